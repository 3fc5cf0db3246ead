use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

use mio::Token;
use mio::net::TcpStream;
use socket2::{Domain, Type};

use super::*;
use crate::client::drive::{Driven, Timeout, drive};
use crate::net::Addr;
use crate::reactor::{Reactor, Ready};

const LONG: Duration = Duration::from_secs(10);
const MS: Duration = Duration::from_millis(1);

/// A dialer with nothing beside it.
struct Alone {
    reactor: Reactor<Dialer>,
    token: Token,
    /// The steps that it reported.
    reported: Vec<String>,
    outcome: Option<io::Result<Established>>,
}

impl Alone {
    fn dialer(&mut self) -> &mut Dialer {
        self.reactor.get_mut(self.token).unwrap()
    }
}

impl Driven for Alone {
    type Watched = Dialer;
    type Outcome = io::Result<Established>;

    fn reactor(&mut self) -> &mut Reactor<Dialer> {
        &mut self.reactor
    }

    fn poll_timeout(&mut self, now: Instant) -> Timeout {
        self.dialer().poll_timeout(now)
    }

    fn discount(&mut self, standstill: Duration, _: Instant) {
        self.dialer().discount(standstill);
    }

    fn handle_ready(&mut self, _: &[Ready], _: Instant) -> io::Result<()> {
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> io::Result<()> {
        loop {
            match self.dialer().poll(now) {
                Step::Wait => return Ok(()),
                Step::Progress(progress) => self.reported.push(progress.to_string()),
                Step::Connected(made) => self.outcome = Some(Ok(made)),
                Step::Failed(error) => self.outcome = Some(Err(error)),
            }
        }
    }

    fn outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

/// Drives a dialer to its end. Returns what it reported, too.
fn finish(dialer: Dialer) -> (io::Result<Established>, Vec<String>) {
    let mut reactor = Reactor::new().unwrap();
    let token = reactor.insert(dialer).unwrap();
    let mut alone = Alone { reactor, token, reported: Vec::new(), outcome: None };
    let made = drive(&mut alone, Instant::now()).unwrap();
    (made, alone.reported)
}

fn dial(server: &Addr, limits: Limits) -> io::Result<Established> {
    let mut dialer = Dialer::new(server, limits).unwrap();
    dialer.start(Instant::now());
    finish(dialer).0
}

fn addr_of(listener: &TcpListener) -> Addr {
    listener.local_addr().unwrap().to_string().parse().unwrap()
}

/// Dials a name that stands for these addresses. Returns what the dialer reported, too.
fn dial_all(peers: &[Endpoint], limits: Limits) -> (io::Result<Established>, Vec<String>) {
    let peers = peers.to_vec();
    looked_up(limits, move || Ok(peers.clone()))
}

/// Dials a name that `look_up` looks up.
fn looked_up(
    limits: Limits,
    look_up: impl Fn() -> io::Result<Vec<Endpoint>> + Send + Sync + 'static,
) -> (io::Result<Established>, Vec<String>) {
    let name = "name.example:7".parse().unwrap();
    let resolve = Arc::new(move |_: &Addr| look_up());
    let mut dialer = Dialer::with_resolver(&name, limits, resolve).unwrap();
    dialer.start(Instant::now());
    finish(dialer)
}

fn listening() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = listener.local_addr().unwrap().into();
    (listener, endpoint)
}

fn refusing() -> Endpoint {
    listening().1
}

/// A listener with a full accept queue: it answers no further connection.
fn silent() -> (socket2::Socket, Vec<std::net::TcpStream>, Endpoint) {
    let socket = bound();
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let connect = || std::net::TcpStream::connect_timeout(&addr, MS * 200).ok();
    let queue = std::iter::from_fn(connect).collect();
    (socket, queue, addr.into())
}

fn bound() -> socket2::Socket {
    let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket
}

#[test]
fn both_ends_know_each_other() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let made = dial(&addr_of(&listener), Limits::new(LONG)).unwrap();
    let (_accepted, peer) = listener.accept().unwrap();
    assert_eq!(made.local, peer.into());
    assert_eq!(made.peer, listener.local_addr().unwrap().into());
    assert!(made.took > Duration::ZERO);
}

#[test]
fn a_refusal_names_the_address_and_what_helps() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = addr_of(&listener);
    drop(listener);
    let error = dial(&addr, Limits::new(LONG)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let line = error.to_string();
    assert!(line.starts_with(&format!("cannot connect to {addr}: connection refused")), "{line}");
}

#[test]
fn after_an_address_that_refuses_the_next_one_gets_its_attempt_at_once() {
    let (refusing, (_listener, answering)) = (refusing(), listening());
    let (made, reported) = dial_all(&[refusing.clone(), answering.clone()], Limits::new(LONG));
    assert_eq!(made.unwrap().peer, answering);
    assert_eq!(reported.len(), 3, "{reported:?}");
    assert_eq!(reported[0], format!("connecting to {refusing}"));
    let failed = format!("cannot connect to {refusing}: connection refused; ");
    assert!(reported[1].starts_with(&failed), "{reported:?}");
    assert!(reported[1].ends_with("; trying the next address"), "{reported:?}");
    assert_eq!(reported[2], format!("connecting to {answering}"));
}

/// Failed when each address had the whole timeout, one after the other.
#[test]
#[cfg(target_os = "linux")]
fn a_silent_address_does_not_keep_another_from_answering() {
    let ((_socket, _queue, silent), (_listener, answering)) = (silent(), listening());
    for timeout in [LONG * 10, MS * 700] {
        let began = Instant::now();
        let (made, reported) =
            dial_all(&[silent.clone(), silent.clone(), answering.clone()], Limits::new(timeout));
        assert_eq!(made.unwrap().peer, answering, "{reported:?}");
        assert!(began.elapsed() < timeout, "{:?}", began.elapsed());
    }
}

#[test]
fn an_address_that_fails_in_an_odd_way_does_not_keep_another_from_answering() {
    let (_listener, answering) = listening();
    for peer in ["[ff02::1]:7", "255.255.255.255:7", "[2001:db8::1]:7", "[::1]:1"] {
        let odd = Endpoint::Inet(peer.parse().unwrap());
        let (made, reported) = dial_all(&[odd, answering.clone()], Limits::new(LONG));
        assert_eq!(made.unwrap().peer, answering, "{reported:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn all_addresses_share_one_timeout() {
    let (_socket, _queue, silent) = silent();
    let began = Instant::now();
    let (made, _) = dial_all(&vec![silent; 5], Limits::new(MS * 500));
    let error = made.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains(": no answer within 500 ms; "), "{error}");
    let elapsed = began.elapsed();
    assert!(elapsed >= MS * 500 && elapsed < LONG, "{elapsed:?}");
}

#[test]
fn an_unknown_name_is_reported_as_such() {
    let server = "no.such.host.invalid:7".parse().unwrap();
    let error = dial(&server, Limits::new(LONG)).unwrap_err();
    assert!(error.to_string().starts_with("cannot resolve no.such.host.invalid:7"), "{error}");
}

/// Failed when the look-up blocked the caller.
#[test]
fn the_timeout_ends_a_look_up_that_takes_long() {
    let (_keep, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let (made, _) = looked_up(Limits::new(MS * 200), move || {
        let _ = gate.lock().unwrap().recv();
        Ok(Vec::new())
    });
    let error = made.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let line = "cannot resolve name.example:7: no answer within 200 ms; ";
    assert!(error.to_string().starts_with(line), "{error}");
}

/// The look-up is slow but not stuck. Its thread must wake the reactor.
#[test]
fn the_end_of_a_slow_look_up_wakes_the_caller() {
    let (_listener, answering) = listening();
    let (open, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let peers = vec![answering.clone()];
    let name = "name.example:7".parse().unwrap();
    let resolve = move |_: &Addr| {
        let _ = gate.lock().unwrap().recv();
        Ok(peers.clone())
    };
    let mut dialer = Dialer::with_resolver(&name, Limits::new(LONG), Arc::new(resolve)).unwrap();
    let mut reactor = Reactor::new().unwrap();
    let now = Instant::now();
    dialer.start(now);
    assert!(matches!(dialer.poll(now), Step::Wait));
    let token = reactor.insert(dialer).unwrap();
    open.send(()).unwrap();
    let mut ready = Vec::new();
    loop {
        reactor.wait(Some(LONG), &mut ready).unwrap();
        assert!(!ready.is_empty(), "the dialer made no event");
        let dialer = reactor.get_mut(token).unwrap();
        let step = std::iter::repeat_with(|| dialer.poll(Instant::now()))
            .find(|step| !matches!(step, Step::Progress(_)));
        match step.unwrap() {
            Step::Connected(made) => return assert_eq!(made.peer, answering),
            step => assert!(matches!(step, Step::Wait), "{step:?}"),
        }
    }
}

/// It may be old by the time of the next start.
#[test]
fn an_answer_that_comes_after_its_round_is_not_used() {
    let (_listener, answering) = listening();
    let (open, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let (old, new) = (refusing(), answering.clone());
    let resolve = move |_: &Addr| match gate.lock().unwrap().recv() {
        Ok(()) => Ok(vec![old.clone()]),
        Err(_) => Ok(vec![new.clone()]),
    };
    let name = "name.example:7".parse().unwrap();
    let mut dialer = Dialer::with_resolver(&name, Limits::new(LONG), Arc::new(resolve)).unwrap();
    let now = Instant::now();
    dialer.start(now);
    assert!(matches!(dialer.poll(now), Step::Wait));
    assert!(matches!(dialer.poll(now + LONG), Step::Failed(_)));
    let mut reactor = Reactor::new().unwrap();
    let token = reactor.insert(dialer).unwrap();
    open.send(()).unwrap();
    drop(open);
    let mut ready = Vec::new();
    reactor.wait(Some(LONG), &mut ready).unwrap();
    assert!(!ready.is_empty(), "the answer made no event");
    let mut dialer = reactor.remove(token).unwrap();
    dialer.start(now + LONG);
    assert_eq!(finish(dialer).0.unwrap().peer, answering);
}

#[test]
fn the_dialer_connects_to_a_server_that_comes_up_in_time_and_reports_the_wait_once() {
    let (listener, endpoint) = listening();
    drop(listener);
    let (late, is_late) = (std::sync::Mutex::new(0), endpoint.clone());
    let limits = Limits { wait: Some(LONG * 10), ..Limits::new(LONG) };
    let keep = Arc::new(std::sync::Mutex::new(None));
    let kept = Arc::clone(&keep);
    let (made, reported) = looked_up(limits, move || {
        let mut rounds = late.lock().unwrap();
        *rounds += 1;
        match (*rounds, &is_late) {
            (1, _) => return Err(io::Error::other("no such name")),
            (3, Endpoint::Inet(addr)) => {
                *kept.lock().unwrap() = Some(TcpListener::bind(addr).unwrap());
            }
            _ => {}
        }
        Ok(vec![is_late.clone()])
    });
    assert_eq!(made.unwrap().peer, endpoint);
    assert_eq!(reported, ["no such name; trying again for up to 100 s"]);
    drop(keep);
}

#[test]
fn the_dialer_gives_up_a_server_that_does_not_come_up() {
    let limits = Limits { wait: Some(MS * 500), ..Limits::new(LONG) };
    let began = Instant::now();
    let (made, reported) = dial_all(&[refusing()], limits);
    let error = made.unwrap_err().to_string();
    assert!(error.ends_with("; waited for 500 ms"), "{error}");
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    let waits = reported.iter().filter(|line| line.contains("trying again")).count();
    assert_eq!((waits, reported.len()), (1, 2), "{reported:?}");
}

#[test]
fn no_server_owes_anything_between_two_rounds() {
    let limits = Limits { wait: Some(LONG), ..Limits::new(LONG) };
    let resolve = |_: &Addr| Err(io::Error::other("no such name"));
    let needs_no_lookup = "127.0.0.1:7".parse().unwrap();
    let mut dialer = Dialer::with_resolver(&needs_no_lookup, limits, Arc::new(resolve)).unwrap();
    let now = Instant::now();
    dialer.start(now);
    assert!(matches!(dialer.poll(now), Step::Progress(DialProgress::Waiting { .. })));
    assert_eq!(dialer.poll_timeout(now), Timeout::Idle(MS * 200));
}

#[test]
#[cfg(target_os = "linux")]
fn the_dialer_waits_for_room_in_the_accept_queue_of_a_unix_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let listener = UnixListener::from(std::os::fd::OwnedFd::from(socket));
    let server: Addr = format!("unix:{}", path.display()).parse().unwrap();
    let _first = dial(&server, Limits::new(LONG)).unwrap();
    let error = dial(&server, Limits::new(MS * 100)).unwrap_err();
    let line =
        format!("cannot connect to {server}: no room within 100 ms; its accept queue is full");
    assert!(error.to_string().starts_with(&line), "{error}");

    let mut dialer = Dialer::new(&server, Limits::new(LONG)).unwrap();
    let now = Instant::now();
    dialer.start(now);
    assert!(matches!(dialer.poll(now), Step::Progress(DialProgress::Connecting(_))));
    assert!(matches!(dialer.poll(now), Step::Wait), "the queue is full");
    listener.accept().unwrap();
    finish(dialer).0.unwrap();
}

/// A full accept queue answers a client as little as a firewall does.
#[test]
#[cfg(target_os = "linux")]
fn the_timeout_ends_an_attempt_without_an_answer() {
    let (_socket, _queue, silent) = silent();
    let error = dial(&silent.to_string().parse().unwrap(), Limits::new(MS * 200));
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("no answer within 200 ms"), "{error}");
}

/// Failed when a client gave up after a standstill, before it looked.
#[test]
fn a_connection_that_is_made_counts_however_late_the_dialer_looks() {
    let (_listener, answering) = listening();
    let server = answering.to_string().parse().unwrap();
    let mut dialer = Dialer::new(&server, Limits::new(MS * 50)).unwrap();
    let now = Instant::now();
    dialer.start(now);
    while matches!(dialer.poll(now), Step::Progress(_)) {}
    match dialer.poll(now + LONG) {
        Step::Connected(made) => assert_eq!((made.peer, made.took), (answering, LONG)),
        step => panic!("{step:?}"),
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_standstill_counts_against_no_server() {
    let (_socket, _queue, silent) = silent();
    let server = silent.to_string().parse().unwrap();
    let mut dialer = Dialer::new(&server, Limits::new(MS * 500)).unwrap();
    let now = Instant::now();
    dialer.start(now);
    while matches!(dialer.poll(now), Step::Progress(_)) {}
    assert_eq!(dialer.poll_timeout(now), Timeout::Owed(MS * 500));
    dialer.discount(LONG);
    assert!(matches!(dialer.poll(now + LONG), Step::Wait));
    assert!(matches!(dialer.poll(now + LONG + MS * 500), Step::Failed(_)));
    assert_eq!(dialer.poll_timeout(now), Timeout::Never);
}

/// It delays the next attempt, extends the wait for a server that is not up, and is no part of the time to connect.
#[test]
#[cfg(target_os = "linux")]
fn a_standstill_counts_neither_for_the_next_address_nor_for_the_wait() {
    let ((_socket, _queue, silent), (_listener, answering)) = (silent(), listening());
    let limits = Limits { wait: Some(MS * 600), ..Limits::new(LONG) };
    let peers = vec![silent.clone(), answering.clone()];
    let resolve = Arc::new(move |_: &Addr| Ok(peers.clone()));
    let needs_no_lookup = "127.0.0.1:7".parse().unwrap();
    let mut dialer = Dialer::with_resolver(&needs_no_lookup, limits, resolve).unwrap();
    let start = Instant::now();
    dialer.start(start);
    while matches!(dialer.poll(start), Step::Progress(_)) {}
    let now = start + LONG;
    dialer.discount(LONG);
    assert_eq!(dialer.poll_timeout(now), Timeout::Owed(MS * 200), "a third of the wait");
    assert!(matches!(dialer.poll(now), Step::Wait));
    let now = now + MS * 200;
    assert!(matches!(dialer.poll(now), Step::Progress(DialProgress::Connecting(_))));
    assert!(matches!(dialer.poll(now), Step::Wait));
    dialer.discount(LONG);
    match dialer.poll(now + LONG + MS) {
        Step::Connected(made) => assert_eq!((made.peer, made.took), (answering, MS)),
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_standstill_does_not_count_for_the_look_up() {
    let (_keep, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let resolve = move |_: &Addr| {
        let _ = gate.lock().unwrap().recv();
        Ok(Vec::new())
    };
    let name = "name.example:7".parse().unwrap();
    let mut dialer = Dialer::with_resolver(&name, Limits::new(LONG), Arc::new(resolve)).unwrap();
    let now = Instant::now();
    dialer.start(now);
    assert!(matches!(dialer.poll(now), Step::Wait));
    dialer.discount(LONG);
    assert_eq!(dialer.poll_timeout(now + LONG), Timeout::Owed(LONG));
}

/// Under each name of the address: the dialled one can differ from the kernel's.
#[test]
fn a_socket_connected_to_itself_is_no_connection() {
    for (ip, port_of) in
        [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "0.0.0.0")]
    {
        let local = SocketAddr::new(ip.parse().unwrap(), 0);
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&local.into()).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        let target = SocketAddr::new(port_of.parse().unwrap(), port);
        socket.connect(&target.into()).unwrap();
        let socket = Socket::Tcp(TcpStream::from_std(socket.into()));
        assert!(socket.connected().unwrap().is_some());
        let error = outcome(&socket).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{ip} {target}");
    }
}

/// Failed when the line gave only the kernel's words: "invalid argument".
#[test]
fn a_link_local_address_without_its_interface_says_what_is_missing() {
    let addr = "[fe80::1]:7".parse().unwrap();
    let error = dial(&addr, Limits::new(LONG)).unwrap_err();
    let line = error.to_string();
    assert!(
        line.ends_with("a link-local address needs its interface, as in [fe80::1%eth0]:7007"),
        "{line}"
    );
    assert_ne!(error.kind(), ErrorKind::InvalidInput, "this kind means a wrong command line");
}
