//! Sockets that a service manager has opened, and passes to the program it starts: sd_listen_fds(3).

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::process;
use std::time::Duration;

use listenfd::ListenFd;
use nix::sys::socket::{getsockopt, sockopt::AcceptConn};
use socket2::{Domain, Socket, Type};

use super::udp::{MANY_HOSTS, is_of_many};
use super::{Listener, UdpSocket};
use crate::text::{Excerpt, Plural};

/// The first descriptor that is passed.
const FIRST: RawFd = 3;

/// The most sockets that are taken over. More than any service has.
const MAX_SOCKETS: usize = 1024;

/// The known kinds of socket. An error can name each of them.
const KINDS: [(Domain, Type); 5] = [
    (Domain::IPV4, Type::STREAM), // This means IPv6 too.
    (Domain::UNIX, Type::STREAM),
    (Domain::IPV4, Type::DGRAM),
    (Domain::UNIX, Type::DGRAM),
    (Domain::UNIX, Type::SEQPACKET),
];

/// The name (`FileDescriptorName=` in systemd) of a socket to serve metrics on.
const METRICS: &str = "metrics";

/// Sockets that were passed and checked, in their order. They share their state with the process that passed them, so
/// nothing of it is changed before they are [taken over](Self::take_over).
#[derive(Debug, Default)]
pub struct Passed {
    sockets: Vec<(Kind, Socket)>,
    unknown_names: Vec<String>,
}

/// Sockets that were taken over, in the order in which they were passed.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Those that listen, over TCP or as Unix sockets.
    pub listeners: Vec<Listener>,
    /// Those for datagrams.
    pub datagrams: Vec<UdpSocket>,
    /// Those that listen, and that have the name `metrics`.
    pub metrics: Vec<Listener>,
}

/// What the server can do with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Listener,
    Datagrams,
    Metrics,
}

impl Passed {
    /// Whether there is a socket to echo on.
    pub fn has_echo_sockets(&self) -> bool {
        self.sockets.iter().any(|(kind, _)| *kind != Kind::Metrics)
    }

    /// Whether there is a socket to serve metrics on.
    pub fn has_metrics_sockets(&self) -> bool {
        self.sockets.iter().any(|(kind, _)| *kind == Kind::Metrics)
    }

    /// The names of sockets that mean nothing to the server, and that no service manager gives by itself.
    pub fn unknown_names(&self) -> &[String] {
        &self.unknown_names
    }

    /// Makes the sockets non-blocking, and sets the options of TCP. This lasts after the program has ended, so do it when
    /// nothing else can stop the program from starting. See [`ListenOptions`](super::ListenOptions) for `stall_timeout`.
    ///
    /// # Errors
    ///
    /// If the system refuses an option.
    pub fn take_over(self, stall_timeout: Option<Duration>) -> io::Result<Inherited> {
        let mut inherited = Inherited::default();
        for (kind, socket) in self.sockets {
            match kind {
                Kind::Datagrams => inherited.datagrams.push(UdpSocket::inherited(socket.into())?),
                Kind::Listener => {
                    inherited.listeners.push(Listener::inherited(socket, stall_timeout)?);
                }
                Kind::Metrics => {
                    inherited.metrics.push(Listener::inherited(socket, stall_timeout)?);
                }
            }
        }
        Ok(inherited)
    }

    fn add(&mut self, socket: Socket, name: String) -> Result<(), &'static str> {
        let kind = kind_with_name(&socket, &name)?;
        self.sockets.push((kind, socket));
        let is_known = kind == Kind::Metrics || is_name_by_default(&name);
        if !is_known && !self.unknown_names.contains(&name) {
            self.unknown_names.push(name);
        }
        Ok(())
    }
}

/// Finds and checks the sockets that a service manager has passed to this process. Removes the variables that
/// say so, so that no child takes them for its own.
///
/// Call this before the program opens descriptors: it could otherwise take one of its own for one that was passed.
///
/// # Errors
///
/// Which variable or which descriptor is wrong, and why, in a line for people.
pub fn passed() -> io::Result<Passed> {
    let [fds, pid, first, names] =
        ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDS_FIRST_FD", "LISTEN_FDNAMES"]
            .map(|name| set(env::var_os(name)));
    let count = passed_sockets(fds.as_deref(), pid.as_deref(), first.as_deref(), process::id())
        .map_err(io::Error::other)?;
    let mut passed = Passed::default();
    if count == 0 {
        return Ok(passed);
    }
    let names = names_of(names.as_deref(), count).map_err(io::Error::other)?;
    let first = first.and_then(|first| first.to_str()?.parse().ok()).unwrap_or(FIRST);
    let mut fds = ListenFd::from_env();
    for (index, name) in names.into_iter().enumerate() {
        let descriptor = first + index as RawFd;
        let taken = take(&mut fds, index).ok_or_else(|| what_else(descriptor));
        taken.and_then(|socket| Ok(passed.add(socket, name)?)).map_err(|why| {
            let text = format!("cannot serve descriptor {descriptor} of LISTEN_FDS: {why}");
            io::Error::other(text)
        })?;
    }
    Ok(passed)
}

/// An empty variable counts as unset.
fn set(variable: Option<OsString>) -> Option<OsString> {
    variable.filter(|value| !value.is_empty())
}

/// How many sockets were passed to the process `own`. None if they were passed to another process, which had this one's
/// environment. `first` is an addition of the library `listenfd`.
fn passed_sockets(
    fds: Option<&OsStr>,
    pid: Option<&OsStr>,
    first: Option<&OsStr>,
    own: u32,
) -> Result<usize, String> {
    let Some(fds) = fds else { return Ok(0) };
    match pid.map(number) {
        Some(None) => return Err(wrong("LISTEN_PID", pid, "the number of a process")),
        Some(Some(pid)) if pid != u64::from(own) => return Ok(0),
        _ => {}
    }
    if first.is_some_and(|first| !number(first).is_some_and(|n| (3..1 << 20).contains(&n))) {
        return Err(wrong("LISTEN_FDS_FIRST_FD", first, "a descriptor from 3 on"));
    }
    let count = number(fds).and_then(|n| usize::try_from(n).ok());
    count.filter(|n| (1..=MAX_SOCKETS).contains(n)).ok_or_else(|| {
        wrong("LISTEN_FDS", Some(fds), &format!("the number of sockets, from 1 to {MAX_SOCKETS}"))
    })
}

/// The name of each socket. They are all empty if the service manager gives no names.
fn names_of(variable: Option<&OsStr>, count: usize) -> Result<Vec<String>, String> {
    let Some(variable) = variable else { return Ok(vec![String::new(); count]) };
    let text = variable.to_string_lossy();
    let names: Vec<_> = text.split(':').map(String::from).collect();
    if names.len() == count {
        return Ok(names);
    }
    let right =
        format!("the names of {}, with colons between them", Plural(count as u64, "socket"));
    Err(wrong("LISTEN_FDNAMES", Some(variable), &right))
}

/// Whether a service manager gives this name to a socket that has no other: sd_listen_fds(3), systemd.socket(5).
fn is_name_by_default(name: &str) -> bool {
    matches!(name, "" | "unknown" | "connection") || name.ends_with(".socket")
}

fn number(text: &OsStr) -> Option<u64> {
    text.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

fn wrong(name: &str, value: Option<&OsStr>, right: &str) -> String {
    let value = value.unwrap_or_default().to_string_lossy();
    format!("{name} is \"{}\", but it must be {right}", Excerpt(&value))
}

/// Takes the socket with this index, of any known kind.
fn take(passed: &mut ListenFd, index: usize) -> Option<Socket> {
    KINDS.iter().find_map(|(domain, kind)| {
        let taken = passed.take_custom(index, (*domain).into(), (*kind).into(), "socket");
        taken.ok().flatten().map(|fd: OwnedFd| Socket::from(fd))
    })
}

/// What a descriptor is, if it is no socket of a known kind.
fn what_else(descriptor: RawFd) -> String {
    match fs::read_link(format!("/proc/self/fd/{descriptor}")) {
        Err(_) => "it is not open".into(),
        Ok(path) if path.to_string_lossy().starts_with("socket:") => {
            "it is a socket, but for neither TCP, UDP nor Unix sockets".into()
        }
        Ok(path) => format!("it is {}, and not a socket", Excerpt(&path.to_string_lossy())),
    }
}

/// What the server can do with a socket of this name, or why it can do nothing.
fn kind_with_name(socket: &Socket, name: &str) -> Result<Kind, &'static str> {
    match kind(socket)? {
        Kind::Listener if name == METRICS => Ok(Kind::Metrics),
        Kind::Datagrams if name == METRICS => Err(
            "its name is metrics, but it is a UDP socket; write ListenStream= in its socket unit",
        ),
        kind => Ok(kind),
    }
}

/// What the server can do with a socket, or why it can do nothing.
fn kind(socket: &Socket) -> Result<Kind, &'static str> {
    let local = socket.local_addr().map_err(|_| "it has no address")?;
    let is_connected = socket.peer_addr().is_ok();
    match socket.r#type() {
        Ok(Type::STREAM) if getsockopt(socket, AcceptConn).unwrap_or_default() => {
            Ok(Kind::Listener)
        }
        Ok(Type::STREAM) if is_connected => {
            Err("it is a connection, and not a listener; write Accept=no in the socket unit")
        }
        Ok(Type::STREAM) => Err("it does not listen; call listen(2) first"),
        Ok(Type::DGRAM) if local.is_unix() => {
            Err("it is a Unix datagram socket; write ListenStream= in the socket unit")
        }
        Ok(Type::DGRAM) if is_connected => {
            Err("it is a UDP socket that is connected to one peer; do not connect it")
        }
        Ok(Type::DGRAM) if local.as_socket().is_none_or(|addr| addr.port() == 0) => {
            Err("it is a UDP socket without a port; call bind(2) first")
        }
        Ok(Type::DGRAM) if local.as_socket().is_some_and(is_of_many) => Err(MANY_HOSTS),
        Ok(Type::DGRAM) => Ok(Kind::Datagrams),
        _ => Err("it is a SEQPACKET socket; write ListenStream= in the socket unit"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::net::Listen;

    const OWN: u32 = 42;

    fn passed(fds: &str, pid: &str, first: &str) -> Result<usize, String> {
        let [fds, pid, first] = [fds, pid, first].map(|value| set(Some(value.into())));
        passed_sockets(fds.as_deref(), pid.as_deref(), first.as_deref(), OWN)
    }

    #[test]
    fn sockets_are_passed_to_the_process_that_the_environment_names_or_to_any() {
        for (fds, pid, first, expected) in [
            ("1", "42", "", 1),
            ("1024", "42", "", 1024),
            ("2", "", "", 2),
            ("2", "42", "10", 2),
            ("", "42", "", 0),
            ("", "", "", 0),
            ("1", "41", "", 0),
            // What another process was passed is no business of this one.
            ("x", "41", "x", 0),
            ("", "x", "x", 0),
        ] {
            assert_eq!(passed(fds, pid, first), Ok(expected), "{fds:?} {pid:?} {first:?}");
        }
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_refused_with_what_would() {
        for fds in ["0", "-1", "+1", " 1", "1 ", "x", "1.5", "1025", "99999999999999999999", "0x1"]
        {
            let expected = format!(
                "LISTEN_FDS is \"{fds}\", but it must be the number of sockets, from 1 to 1024"
            );
            assert_eq!(passed(fds, "42", ""), Err(expected.clone()));
            assert_eq!(passed(fds, "", ""), Err(expected));
        }
        for pid in ["x", "-42", "4 2", "99999999999999999999"] {
            let expected =
                format!("LISTEN_PID is \"{pid}\", but it must be the number of a process");
            assert_eq!(passed("1", pid, ""), Err(expected));
        }
        for first in ["x", "-1", "2", "2147483647"] {
            let expected = format!(
                "LISTEN_FDS_FIRST_FD is \"{first}\", but it must be a descriptor from 3 on"
            );
            assert_eq!(passed("1", "42", first), Err(expected));
        }
    }

    #[test]
    fn each_socket_has_the_name_that_the_variable_gives_it() {
        let names = |text: &str, count| names_of(set(Some(text.into())).as_deref(), count);
        for (text, expected) in [
            ("", &["", ""][..]),
            ("a:b", &["a", "b"]),
            ("metrics:", &["metrics", ""]),
            (":", &["", ""]),
        ] {
            assert_eq!(names(text, 2).unwrap(), expected, "{text:?}");
        }
        for text in ["a", "a:b:c", "a,b"] {
            let expected = format!(
                "LISTEN_FDNAMES is \"{text}\", but it must be the names of 2 sockets, with colons between them"
            );
            assert_eq!(names(text, 2), Err(expected));
        }
        assert!(names("a:b", 1).unwrap_err().contains("the names of 1 socket,"));
    }

    /// Failed when a socket with the name metrics became one to echo on, without a word.
    #[test]
    fn a_name_that_means_nothing_is_noted() {
        let mut passed = Passed::default();
        let listener = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().into();
        for name in ["", "unknown", "connection", "resound.socket", "resound@1.socket"] {
            passed.add(listener(), name.into()).unwrap();
        }
        assert!(passed.unknown_names().is_empty() && !passed.has_metrics_sockets());
        for name in ["metrics", "Metrics", "echo", "Metrics", "metrics"] {
            passed.add(listener(), name.into()).unwrap();
        }
        assert_eq!(passed.unknown_names(), ["Metrics", "echo"]);
        assert!(passed.has_metrics_sockets() && passed.has_echo_sockets());
        let inherited = passed.take_over(None).unwrap();
        assert_eq!((inherited.listeners.len(), inherited.metrics.len()), (8, 2));

        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into();
        let why = Passed::default().add(datagrams, "metrics".into()).unwrap_err();
        assert!(why.starts_with("its name is metrics, but it is a UDP socket"), "{why}");
        let mut passed = Passed::default();
        passed.add(listener(), "metrics".into()).unwrap();
        assert!(!passed.has_echo_sockets());
    }

    /// The type of a socket is checked, and that it listens. Failed when only the type was.
    #[test]
    fn a_socket_that_does_not_listen_is_refused_with_what_it_is() {
        let of = |domain, kind| Socket::new(domain, kind, None).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        connected.connect(listener.local_addr().unwrap()).unwrap();
        let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        for (socket, expected) in [
            (of(Domain::IPV4, Type::STREAM), "it does not listen"),
            (of(Domain::UNIX, Type::STREAM), "it does not listen"),
            (connection.into(), "it is a connection, and not a listener"),
            (of(Domain::UNIX, Type::DGRAM), "it is a Unix datagram socket"),
            (of(Domain::UNIX, Type::SEQPACKET), "it is a SEQPACKET socket"),
            (of(Domain::IPV4, Type::DGRAM), "it is a UDP socket without a port"),
            (connected.into(), "it is a UDP socket that is connected"),
        ] {
            let why = kind(&socket).unwrap_err();
            assert!(why.starts_with(expected), "{why}");
        }
        assert_eq!(kind(&listener.into()), Ok(Kind::Listener));
        let datagrams = std::net::UdpSocket::bind("[::1]:0").unwrap();
        assert_eq!(kind(&datagrams.into()), Ok(Kind::Datagrams));
    }

    /// Failed when only connections that came later had the options.
    #[test]
    fn a_connection_from_before_has_the_options_too() {
        let opened = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = opened.local_addr().unwrap();
        let _before = TcpStream::connect(addr).unwrap();
        let stall_timeout = Some(Duration::from_secs(60));
        let mut listener = Listener::inherited(opened.into(), stall_timeout).unwrap();
        let mut accepted = Vec::new();
        accepted.push(listener.accept().unwrap().0);
        assert!(listener.accept().is_err(), "the queue is empty");
        let _after = TcpStream::connect(addr).unwrap();
        accepted.push(listener.accept().unwrap().0);
        for stream in accepted {
            let crate::net::Socket::Tcp(stream) = stream else { panic!("no TCP") };
            let socket = socket2::SockRef::from(&stream);
            assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(120)));
        }
    }
}
