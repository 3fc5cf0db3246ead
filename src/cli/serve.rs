//! From the arguments of `resound serve` to a server that runs until it is told to stop.

use std::io::{self, ErrorKind, IsTerminal, stderr};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use clap::Args;
use log::{Level, info, log_enabled, warn};

use super::Failure;
use super::descriptors::raise_descriptor_limit;
use super::units::{count, duration, size, timeout, within};
use crate::net::{Addr, Endpoint, ListenOptions, Listener, ParseAddrError, cannot};
use crate::observe::{Counters, Logger, Observer, Refusals};
use crate::server::{Config, Flow, Server};
use crate::signals;

/// Descriptors kept for other things than connections: standard input, output and error, the poll, the
/// signals, listeners, one to accept what is then refused, and some that a library may open.
const RESERVED_DESCRIPTORS: usize = 32;

/// The default of `--max-connections` where there is no limit to descriptors worth the name. Each
/// connection costs the kernel some kilobytes: this many fill a machine.
const MAX_CONNECTIONS: usize = 1_000_000;

const LISTEN_HELP: &str = "Where to listen: HOST:PORT, [IPV6]:PORT or unix:PATH; may be given several \
                           times. Port 0 takes any free port, and the log says which. [::]:PORT takes \
                           IPv4 too, unless an IPv4 address is given with the same port";

/// What `resound serve` can be told.
#[derive(Args, Debug)]
pub struct Serve {
    #[arg(short, long, value_name = "ADDR", default_value = "127.0.0.1:7007", value_parser = place)]
    #[arg(help = LISTEN_HELP)]
    listen: Vec<Addr>,

    /// Close connections beyond this many at once [default: as many as there may be descriptors]
    #[arg(long, value_name = "N", value_parser = connections)]
    max_connections: Option<usize>,

    /// Close connections beyond this many from one IPv4 address, or one /64 network of IPv6, at once [default: no
    /// limit]
    #[arg(long, value_name = "N", value_parser = connections)]
    max_per_ip: Option<usize>,

    /// Close a connection on which nothing has moved for this long, such as 30s or 5m. An echo that the kernel
    /// has taken counts as delivered; if its peer is still taking that, the close waits for it [default: never]
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    idle_timeout: Option<Duration>,

    /// Close a connection whose peer has taken nothing of its echo for this long
    #[arg(long, value_name = "DURATION", value_parser = timeout, default_value = "60s")]
    stall_timeout: Duration,

    /// When told to stop, go on for this long at most where something still moves
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10s")]
    drain_timeout: Duration,

    /// Size of the one read buffer that all connections share: the most that one read takes
    #[arg(long, value_name = "SIZE", value_parser = buffer, default_value = "256k")]
    buffer: usize,

    /// The most memory that echoes may hold, in all, while their peers do not take them
    #[arg(long, value_name = "SIZE", value_parser = pending_limit, default_value = "64m")]
    pending_limit: usize,

    /// Connections that the kernel holds until they are accepted; net.core.somaxconn bounds it too
    #[arg(long, value_name = "N", value_parser = backlog, default_value = "4096")]
    backlog: u32,

    /// After something was ready, poll this long without sleeping, such as 50us: lower latency, for
    /// processor time [default: off]
    #[arg(long, value_name = "DURATION", value_parser = spin)]
    spin: Option<Duration>,

    /// Let other servers listen on the same address too, and share its connections (SO_REUSEPORT)
    #[arg(long)]
    reuse_port: bool,

    /// Close each connection after its first echo: whatever one read returns
    #[arg(long)]
    once: bool,
}

fn place(text: &str) -> Result<Addr, String> {
    text.parse().map_err(|e: ParseAddrError| {
        let (each, separator) = (text.split(','), " --listen ");
        let is_list =
            each.clone().count() > 1 && each.clone().all(|one| one.parse::<Addr>().is_ok());
        let each = each.collect::<Vec<_>>().join(separator);
        if is_list { format!("give each by itself:{separator}{each}") } else { e.to_string() }
    })
}

fn connections(text: &str) -> Result<usize, String> {
    within(count(text)?, (1, "1"), (100_000_000, "100m"))
}

fn spin(text: &str) -> Result<Duration, String> {
    let (least, most) = (Duration::from_micros(1), Duration::from_secs(1));
    within(duration(text)?, (least, "1us"), (most, "1s"))
}

fn buffer(text: &str) -> Result<usize, String> {
    within(size(text)?, (1, "1"), (64 << 20, "64m"))
}

fn pending_limit(text: &str) -> Result<usize, String> {
    within(size(text)?, (1 << 10, "1k"), (1 << 40, "1024g"))
}

fn backlog(text: &str) -> Result<u32, String> {
    within(count(text)?, (1, "1"), (1_000_000, "1m")).map(|n| n as u32)
}

impl Serve {
    /// Serves until a signal says to stop.
    ///
    /// # Errors
    ///
    /// Where it cannot listen, or the arguments do not go together, or it was told to stop at once.
    pub fn run(self) -> Result<(), Failure> {
        let mut counters = Counters::default();
        // What nobody reads is not to cost anything, not even the question whether anybody does.
        let observer = (&mut counters, Refusals::default());
        let end = if log_enabled!(Level::Debug) {
            self.serve((observer, Logger))
        } else {
            self.serve(observer)
        }?;
        match counters.cut {
            0 => info!("stopped: {counters}"),
            _ => warn!("stopped before all was echoed: {counters}"),
        }
        match end? {
            Flow::Aborted => Err(Failure::run("stopped by a second signal before all was echoed")),
            Flow::Stopped | Flow::Continue => Ok(()),
        }
    }

    /// Starts a server, which may fail, and runs it to its end, which may fail too.
    fn serve(&self, observer: impl Observer) -> Result<io::Result<Flow>, Failure> {
        let mut server = Server::new(self.config()?, observer, Instant::now())
            .map_err(|e| cannot("set up", &"the poll", &e))?;
        // Before the first listener, so that whoever can reach the server can stop it.
        signals::watch_for_server()
            .and_then(|signals| server.obey(signals))
            .map_err(|e| cannot("watch for", &"signals", &e))?;
        self.listen(&mut server)?;
        loop {
            match server.turn(Instant::now()) {
                Ok(Flow::Continue) => {}
                end => return Ok(end),
            }
        }
    }

    fn listen(&self, server: &mut Server<Listener, impl Observer>) -> io::Result<()> {
        let endpoints: Vec<_> = self.listen.iter().map(Addr::resolve).collect::<io::Result<_>>()?;
        let all: Vec<_> = endpoints.iter().flatten().cloned().collect();
        let options = |at: &Endpoint| ListenOptions {
            backlog: self.backlog,
            reuse_port: self.reuse_port,
            only_v6: leaves_ipv4(at, &all),
            stall_timeout: Some(self.stall_timeout),
        };
        // All are bound before any is announced: either the whole command holds, or none of it.
        let mut places = Vec::new();
        for endpoints in &endpoints {
            for listener in bind_all(endpoints, options)? {
                let at = listener.local_addr()?;
                server.listen(listener, at.to_string())?;
                places.push(at);
            }
        }
        for at in &places {
            info!("listening on {at}");
        }
        if let (true, Some(at)) = (stderr().is_terminal(), places.first()) {
            info!("{}", hint(at));
        }
        Ok(())
    }

    fn config(&self) -> Result<Config, Failure> {
        let descriptors = raise_descriptor_limit();
        let room = descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(1);
        let max_connections = self.max_connections.unwrap_or(room.min(MAX_CONNECTIONS));
        if max_connections > room {
            warn!(
                "there may be {descriptors} descriptors: of {max_connections} connections, those \
                 beyond {room} may have to wait to be accepted; raise ulimit -n to serve them all"
            );
        }
        if self.pending_limit / 2 < max_connections {
            return Err(Failure::usage(&format!(
                "--pending-limit is too small for {max_connections} connections: give at least {} \
                 bytes, or a smaller --max-connections",
                max_connections * 2
            )));
        }
        Ok(Config {
            max_connections,
            max_per_ip: self.max_per_ip,
            idle_timeout: self.idle_timeout,
            stall_timeout: Some(self.stall_timeout),
            drain_timeout: self.drain_timeout,
            buffer_bytes: self.buffer,
            pending_limit_bytes: self.pending_limit,
            spin: self.spin,
            once: self.once,
        })
    }
}

/// Listens on all that an address stands for. Where that is several, as for many a machine's `localhost`,
/// those whose protocol this machine does not have may be missing.
fn bind_all(
    endpoints: &[Endpoint],
    options: impl Fn(&Endpoint) -> ListenOptions,
) -> io::Result<Vec<Listener>> {
    let (mut listeners, mut missing) = (Vec::new(), None);
    for endpoint in endpoints {
        match Listener::bind(endpoint, options(endpoint)) {
            Ok(listener) => listeners.push(listener),
            Err(e) if e.kind() == ErrorKind::AddrNotAvailable => missing = Some(e),
            Err(e) => return Err(e),
        }
    }
    match missing {
        Some(e) if listeners.is_empty() => return Err(e),
        Some(e) => warn!("{e}"),
        None => {}
    }
    Ok(listeners)
}

/// `[::]` takes IPv4 as well, as people expect; but not where that is to be listened on by itself at the same
/// port, which could not be had then.
fn leaves_ipv4(at: &Endpoint, all: &[Endpoint]) -> bool {
    let Endpoint::Inet(SocketAddr::V6(at)) = at else { return false };
    let rivals = |other: &Endpoint| matches!(other, Endpoint::Inet(SocketAddr::V4(v4)) if v4.port() == at.port());
    at.ip().is_unspecified() && all.iter().any(rivals)
}

/// How to try the server out, from another terminal.
fn hint(at: &Endpoint) -> String {
    let (addr, nc) = match at {
        Endpoint::Inet(addr) => {
            let (ip, port) = (reachable(addr.ip()), addr.port());
            (SocketAddr::new(ip, port).to_string(), format!("nc {ip} {port}"))
        }
        Endpoint::Unix(_) => {
            let addr = at.to_string();
            let nc = format!("nc -U {}", addr.trim_start_matches("unix:"));
            (addr, nc)
        }
    };
    format!("try it from another terminal: resound connect {addr}, or {nc}")
}

/// Whoever listens on every address can be reached by the one that every machine has.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_names_an_address_to_connect_to() {
        for (at, connect, nc) in [
            ("127.0.0.1:7", "127.0.0.1:7", "nc 127.0.0.1 7"),
            ("0.0.0.0:7", "127.0.0.1:7", "nc 127.0.0.1 7"),
            ("[::]:7", "[::1]:7", "nc ::1 7"),
        ] {
            let at = Endpoint::Inet(at.parse().unwrap());
            let expected =
                format!("try it from another terminal: resound connect {connect}, or {nc}");
            assert_eq!(hint(&at), expected);
        }
        let unix = hint(&Endpoint::Unix(Some(std::path::Path::new("/run/echo").into())));
        assert!(unix.ends_with("resound connect unix:/run/echo, or nc -U /run/echo"), "{unix}");
    }
}
