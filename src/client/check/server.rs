//! The server under check: an address, and the process behind it if that is known.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{getpid, set_child_subreaper};

use super::process::ProcessTree;
use super::tail::Tail;
use crate::net::Endpoint;
use crate::signals;
use crate::text::format::setting;

/// How long a command may take until its server can be connected to.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// How long its port may be listened on after its end.
const PORT_PATIENCE: Duration = Duration::from_secs(2);
/// How often the server is tried meanwhile.
const RETRY: Duration = Duration::from_millis(20);

/// Stands in a command for the port.
const PORT: &str = "{port}";

/// What is checked.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) server: Endpoint,
    /// If a command started it.
    pub(super) started: Option<Started>,
    /// Its process, if the user names it.
    pub(super) process: Option<ProcessTree>,
}

/// A server that a command starts.
#[derive(Debug)]
pub(super) struct Started {
    command: Vec<OsString>,
    /// Where it listens: at 127.0.0.1, or ::1 if that is all.
    addr: SocketAddr,
    /// How long it took until it listened.
    pub(super) took: Duration,
    child: Child,
    output: Tail,
}

impl Started {
    /// Starts a server on a free port, and waits until it can be connected to.
    ///
    /// # Errors
    ///
    /// That the command cannot be started, ends at once, or never listens. The error says so in a line.
    pub(super) fn new(command: Vec<OsString>) -> io::Result<Self> {
        // The port is free again when the server binds it, and the system gives it to nobody else soon.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        // A daemon that the command leaves behind becomes a child of this process, which can end it then.
        set_child_subreaper(Some(getpid()))?;
        let (child, output) = spawn(&command, port)?;
        let addr = (Ipv4Addr::LOCALHOST, port).into();
        let mut started = Self { command, addr, took: Duration::ZERO, child, output };
        started.await_listener()?;
        Ok(started)
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.addr.into()
    }

    /// Its processes. This program has started no others.
    pub(super) fn tree(&self) -> ProcessTree {
        ProcessTree::of_children()
    }

    /// How it has ended, if it has. A command that has left a daemon behind has not.
    pub(super) fn ending(&mut self) -> Option<String> {
        self.output.drain();
        let status = self.child.try_wait().ok().flatten()?;
        if self.tree().is_alive() {
            return None;
        }
        self.output.drain();
        let how = described(status);
        Some(match self.output.last_line() {
            Some(line) => format!("{how}; it wrote: {line}"),
            None => how,
        })
    }

    /// Reads what it has written to standard error, so that it never waits for that.
    pub(super) fn drain(&mut self) {
        self.output.drain();
    }

    /// Ends the server and all that it has started, and starts it again on the same port.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.stop();
        self.await_free_port();
        (self.child, self.output) = spawn(&self.command, self.addr.port())?;
        self.await_listener()
    }

    fn await_listener(&mut self) -> io::Result<()> {
        let (began, port) = (Instant::now(), self.addr.port());
        while began.elapsed() < START_PATIENCE {
            if is_listened_at(port) {
                self.addr = reachable(port);
                self.took = began.elapsed();
                return Ok(());
            }
            if signals::is_stop_requested() {
                return Err(io::Error::new(
                    ErrorKind::Interrupted,
                    "interrupted before the server listened",
                ));
            }
            if let Some(how) = self.ending() {
                return Err(io::Error::other(format!(
                    "the server ended before it listened: {how}"
                )));
            }
            std::thread::sleep(RETRY);
        }
        let patience = setting(START_PATIENCE);
        Err(io::Error::other(format!(
            "the server did not listen on port {port} of 127.0.0.1 or ::1 within {patience}: does it take the port from {PORT} or $PORT?"
        )))
    }

    /// Waits until nobody listens on the port. The system can close a listener a while after its process has ended, as
    /// it does with io_uring.
    fn await_free_port(&self) {
        let end = Instant::now() + PORT_PATIENCE;
        while Instant::now() < end && is_listened_at(self.addr.port()) {
            std::thread::sleep(RETRY);
        }
    }

    fn stop(&mut self) {
        self.tree().kill();
        let _ = self.child.wait();
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(command: &[OsString], port: u16) -> io::Result<(Child, Tail)> {
    let with_port = |argument: &OsString| match argument.to_str() {
        Some(text) => text.replace(PORT, &port.to_string()).into(),
        None => argument.clone(),
    };
    let mut words = command.iter().map(with_port);
    let program = words.next().unwrap_or_default();
    let spawned = Command::new(&program)
        .args(words)
        .env("PORT", port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = spawned.map_err(|e| {
        let why = match e.kind() {
            ErrorKind::NotFound => "there is no such program".into(),
            _ => crate::net::reason(&e),
        };
        io::Error::other(format!("cannot start {}: {why}", program.to_string_lossy()))
    })?;
    let output = Tail::new(child.stderr.take());
    Ok((child, output))
}

/// Whether somebody listens at a port. Where the system shows that, no connection is made: some servers serve just one.
fn is_listened_at(port: u16) -> bool {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let tables: Vec<_> = tables.into_iter().flatten().collect();
    match tables.is_empty() {
        true => TcpStream::connect(("127.0.0.1", port)).is_ok(),
        false => tables.iter().flat_map(|table| table.lines()).any(|line| is_listener(line, port)),
    }
}

/// The address of this machine at which a port is listened on. If it can be had at 127.0.0.1, that is not the one.
fn reachable(port: u16) -> SocketAddr {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => (Ipv6Addr::LOCALHOST, port).into(),
        Err(_) => (Ipv4Addr::LOCALHOST, port).into(),
    }
}

/// Whether a line of /proc/net/tcp is of a listener at a port: proc_pid_net(5).
fn is_listener(line: &str, port: u16) -> bool {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next().and_then(|local| local.rsplit_once(':'));
    let is_there = local.is_some_and(|(_, at)| u16::from_str_radix(at, 16) == Ok(port));
    is_there && fields.nth(1) == Some(LISTEN)
}

/// How a process has ended.
fn described(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => match nix::sys::signal::Signal::try_from(signal) {
            Ok(signal) => format!("killed by {signal}"),
            Err(_) => format!("killed by signal {signal}"),
        },
        (None, None) => "it is unknown how".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_listened_at_or_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert!(is_listened_at(port));
        assert!(!is_listened_at(client.local_addr().unwrap().port()));
        drop(listener);
        assert!(!is_listened_at(port));
        let line = "0: 0100007F:1B5F 00000000:0000 0A 00000000:00000000 00:00000000 00000000";
        assert!(is_listener(line, 7007) && !is_listener(line, 0x1b5e));
    }
}
