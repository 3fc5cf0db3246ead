//! `resound serve`: from its arguments to a server that runs until a signal stops it.

use std::io;
use std::time::{Duration, Instant};

use clap::Args;
use log::{Level, log_enabled, warn};

use super::Failure;
use super::address::{LISTEN_HELP, ListenAddr, listen_addr};
use super::descriptors::{open_descriptors, raise_descriptor_limit};
use super::logging::Format;
use crate::net::{Endpoint, Listen, Listener, Passed, SocketFile, cannot, passed};
use crate::observe::{ConnectionLog, Counters, Observer, ServerLog};
use crate::server::{Config, Notify, Outcome, Server, StopOnSignals};
use crate::signals;
use crate::text::{Excerpt, Plural};
use crate::units::{duration, per_second, timeout};

use access::AccessArgs;
use binding::Place;
use metrics::MetricsAddr;
#[cfg(feature = "clients")]
use study::StudyArgs;
use summary::log_summary;
use values::{backlog, buffer, connections, pending_limit, spin, unix_mode};

mod values;
mod access;
#[cfg(feature = "clients")]
mod study;
mod hint;
mod binding;
mod metrics;
mod summary;

/// Descriptors for other uses than listeners and connections: the poll, the signals, a connection that is accepted
/// only to be refused, standard error, and some for libraries.
const RESERVED_DESCRIPTORS: usize = 8;

/// The default of `--max-connections` if the limit of descriptors is higher. Each connection costs the kernel some
/// kilobytes, so this many fill the memory of a machine.
const MAX_CONNECTIONS: usize = 1_000_000;

/// The arguments of `resound serve`.
#[derive(Args, Debug)]
pub struct Serve {
    #[arg(short, long, value_name = "ADDR", value_parser = listen_addr)]
    #[arg(help = "Where to listen [default: 127.0.0.1:7007]", long_help = LISTEN_HELP)]
    listen: Vec<ListenAddr>,

    /// Open connections [default: ulimit -n, max 1m]
    ///
    /// The server closes a new connection beyond this number. By default, it takes as many connections as the limit
    /// of descriptors allows, up to 1m (1,000,000).
    #[arg(long, value_name = "N", value_parser = connections)]
    max_connections: Option<usize>,

    /// Connections per IP address [default: no limit]
    ///
    /// The server closes a new connection beyond this number. It counts IPv6 addresses by their /64 network, because
    /// a host with one address of a network can take any other of it.
    #[arg(long, value_name = "N", value_parser = connections)]
    max_per_ip: Option<usize>,

    /// Close idle connections [default: never]
    ///
    /// A connection is idle if no byte has moved on it for this long, such as 30s or 5m. Bytes that the kernel holds
    /// count as delivered. If the peer is still receiving them, the server closes the connection later, and none
    /// of them is lost.
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    idle_timeout: Option<Duration>,

    /// Close stalled connections
    ///
    /// A connection is stalled if its peer has taken nothing of its echo for this long. This is not how the server
    /// finds a TCP peer that has vanished. If nothing is pending for that peer, keepalive finds it after two
    /// minutes. If the kernel holds bytes for it, the kernel gives it up after two minutes; with a longer stall
    /// timeout, it first repeats them as often as net.ipv4.tcp_retries2 says, for some 15 minutes.
    #[arg(long, value_name = "DURATION", value_parser = timeout, default_value = "60s")]
    stall_timeout: Duration,

    /// Accept this long after a signal
    ///
    /// After a signal, the server accepts and echoes for this long as before, so that a load balancer notices first
    /// and sends its connections elsewhere. A second signal stops it at once.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    drain_delay: Duration,

    /// Time to finish after a signal
    ///
    /// After a signal, or after --drain-delay, the server accepts no connection, and echoes on those where bytes still
    /// move, for this long and no longer. Then it closes the rest as they are. A second signal does that at once.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "8s")]
    drain_timeout: Duration,

    /// Size of the shared read buffer
    ///
    /// All connections share one read buffer. One read takes this many bytes or fewer.
    #[arg(long, value_name = "SIZE", value_parser = buffer, default_value = "256k")]
    buffer: usize,

    /// Memory limit of pending echoes
    ///
    /// Bytes of an echo that the peer does not take yet stay in memory. This limit is for all connections
    /// together.
    #[arg(long, value_name = "SIZE", value_parser = pending_limit, default_value = "64m")]
    pending_limit: usize,

    /// Datagrams per second and source
    ///
    /// The server answers this many of one IPv4 address, or of one /64 network of IPv6, and drops the others. A source
    /// that was quiet gets a tenth of a second's worth at once, or 100 datagrams if that is more and the rate allows them
    /// in a second. The server tells some 4,096 sources apart; if there are more, some of them share a rate.
    #[arg(long, value_name = "RATE", value_parser = per_second, default_value = "10k")]
    udp_rate: f64,

    /// Length of the accept queue
    ///
    /// The kernel holds this many connections until the server accepts them. net.core.somaxconn limits it too. UDP has
    /// no such queue.
    #[arg(long, value_name = "N", value_parser = backlog, default_value = "4096")]
    backlog: u32,

    /// Poll this long before sleeping [default: off]
    ///
    /// If messages come close together, the server polls for the next one for this long, such as 50us, before it
    /// sleeps. One or two busy connections then get their echoes sooner, for less processor time. The server sleeps at
    /// once if messages come too far apart, and lets other programs run between two polls.
    #[arg(long, value_name = "DURATION", value_parser = spin)]
    spin: Option<Duration>,

    /// Permissions of unix:PATH files
    ///
    /// In octal. They decide which users can connect to the socket.
    #[arg(long, value_name = "MODE", value_parser = unix_mode, default_value = "0600")]
    unix_mode: u32,

    /// Share the address with other servers
    ///
    /// Other servers can listen on the same address, and the kernel distributes its connections and datagrams among
    /// them (SO_REUSEPORT). If one of the servers is killed, connections that it has not accepted yet are lost, unless
    /// net.ipv4.tcp_migrate_req is 1.
    #[arg(long)]
    reuse_port: bool,

    #[command(flatten)]
    access: AccessArgs,

    #[command(flatten)]
    metrics: MetricsAddr,

    /// Close each connection after its first echo
    ///
    /// The first echo is what the first read returns.
    #[arg(long)]
    once: bool,

    /// Log as text or as JSON
    ///
    /// With json, each line is one JSON object (RFC 8259). Each has the keys time (RFC 3339, in UTC), level and message;
    /// event, conn, peer, listener, reason and others are there if they apply. If an argument or a variable makes no
    /// sense, the server says so in text: it reads them before it knows the format.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) log_format: Format,

    #[cfg(feature = "clients")]
    #[command(flatten)]
    study: StudyArgs,
}

impl Serve {
    /// Serves until a signal stops it.
    ///
    /// # Errors
    ///
    /// If it cannot listen, if the arguments contradict each other, or if a second signal stopped it at once.
    pub fn run(self) -> Result<(), Failure> {
        let mut counters = Counters::default();
        // Without a log of connections, an event must not even cost the question whether to log it.
        let observer = (&mut counters, ServerLog::default());
        self.access.check(&self.listen)?;
        // This comes before anything that opens a descriptor.
        let passed = passed()?;
        let end = match log_enabled!(Level::Debug) {
            #[cfg(feature = "clients")]
            _ if self.study.is_given() => {
                self.serve_for_study(passed, (observer, ConnectionLog::default()))
            }
            true => {
                self.serve(passed, (observer, ConnectionLog::default()), |listener, _| listener)
            }
            false => self.serve(passed, observer, |listener, _| listener),
        }?;
        log_summary(&counters);
        log::logger().flush();
        match end? {
            Outcome::Aborted => {
                Err(Failure::run("stopped by a second signal before all was echoed"))
            }
            Outcome::Stopped => Ok(()),
        }
    }

    /// Starts a server, on what `listen` makes of each listener and its address, and runs it to its end. The outer error is one of the
    /// start.
    fn serve<L: Listen>(
        &self,
        passed: Passed,
        observer: impl Observer,
        listen: impl Fn(Listener, &Endpoint) -> L,
    ) -> Result<io::Result<Outcome>, Failure> {
        // This comes before the signals are watched: a look-up can take long, and a signal must end it.
        let places = self.places(passed.has_echo_sockets())?;
        let metrics_at = self.metrics.resolve()?;
        let listeners = places.iter().map(Place::listeners).sum::<usize>() + metrics_at.len();
        let has_metrics = self.metrics.is_given() || passed.has_metrics_sockets();
        let config = self.config(listeners, has_metrics)?;
        let mut server = Server::new(config.clone(), observer, Instant::now())
            .map_err(|e| cannot("set up", &"the poll", &e))?;
        // This comes before the first listener: a program that can reach the server must be able to stop it.
        let signals = signals::watch_for_server()?;
        server
            .add_service(Box::new(StopOnSignals::new(signals)))
            .map_err(|e| signals::cannot_watch(&e))?;
        // The files are removed after the server has finished, so that no peer waits for that.
        let sockets = (passed, &places[..], &metrics_at[..]);
        let _files = self.open(&mut server, sockets, &config, listen)?;
        // This comes last: it says that the server is ready.
        notify_manager(&mut server)?;
        Ok(server.run())
    }

    /// Opens the sockets of the server, and takes over those that it was passed. Returns the files of Unix sockets.
    fn open<L: Listen>(
        &self,
        server: &mut Server<L, impl Observer>,
        (passed, places, metrics_at): (Passed, &[Place], &[Endpoint]),
        config: &Config,
        listen: impl Fn(Listener, &Endpoint) -> L,
    ) -> io::Result<Vec<SocketFile>> {
        let mut for_metrics = metrics::bind(metrics_at, self.unix_mode)?;
        let bound = self.bind(places)?;
        let warnings = self.warnings(&passed);
        // This comes after what can fail for other reasons than a lack of memory or descriptors: it changes sockets that
        // another process holds too.
        let inherited = passed.take_over(Some(self.stall_timeout))?;
        for_metrics.splice(..0, inherited.metrics);
        metrics::add_to(server, for_metrics, config)?;
        let bound = bound.after(inherited.listeners, inherited.datagrams);
        let files = self.listen(server, bound, listen)?;
        warnings.iter().for_each(|warning| warn!(event = "option_warning"; "{warning}"));
        Ok(files)
    }

    /// What users may not expect of the options and of the sockets that were passed.
    fn warnings(&self, passed: &Passed) -> Vec<String> {
        let mut warnings = self.access.warnings(&self.listen);
        warnings.extend(passed.unknown_names().iter().map(|name| {
            let name = Excerpt(name);
            format!(
                "the name \"{name}\" of LISTEN_FDNAMES has no effect: only metrics has a meaning"
            )
        }));
        warnings
    }

    fn config(&self, listeners: usize, has_metrics: bool) -> Result<Config, Failure> {
        let max_connections = self.max_connections(listeners, has_metrics)?;
        if self.pending_limit / 2 < max_connections {
            return Err(self.too_little_pending(max_connections));
        }
        let [accept_rate, accept_rate_per_ip] = self.access.rates();
        Ok(Config {
            max_connections,
            max_per_ip: self.max_per_ip,
            idle_timeout: self.idle_timeout,
            stall_timeout: Some(self.stall_timeout),
            drain_delay: self.drain_delay,
            drain_timeout: self.drain_timeout,
            buffer_bytes: self.buffer,
            pending_limit_bytes: self.pending_limit,
            spin: self.spin,
            once: self.once,
            access: self.access.access(),
            accept_rate,
            accept_rate_per_ip,
            proxies: self.access.proxies(),
        })
    }

    /// The limit of connections. By default, it is what the limit of descriptors leaves.
    fn max_connections(&self, listeners: usize, has_metrics: bool) -> Result<usize, Failure> {
        let limit = raise_descriptor_limit();
        let for_metrics = if has_metrics { metrics::DESCRIPTORS } else { 0 };
        let needed = listeners + RESERVED_DESCRIPTORS + for_metrics;
        let room = limit.saturating_sub(open_descriptors(limit) + needed);
        if room == 0 {
            let listeners = Plural(listeners as u64, "listener");
            let least = open_descriptors(usize::MAX) + needed + 1;
            return Err(Failure::run(&format!(
                "the limit of {limit} descriptors leaves none for connections beside {listeners}: raise \
                 ulimit -n to at least {least}"
            )));
        }
        let max_connections = self.max_connections.unwrap_or(room.min(MAX_CONNECTIONS));
        if max_connections > room {
            warn!(
                event = "few_descriptors", limit, count = max_connections;
                "the limit of {limit} descriptors leaves {room} for {max_connections} connections: the others \
                 wait until one is free; raise ulimit -n to serve them all"
            );
        }
        Ok(max_connections)
    }

    fn too_little_pending(&self, max_connections: usize) -> Failure {
        let (least, most) = (max_connections * 2, self.pending_limit / 2);
        Failure::usage(&match self.max_connections {
            Some(_) => format!(
                "--pending-limit is too small for {max_connections} connections: give at least {least} \
                 bytes, or a smaller --max-connections"
            ),
            None => format!(
                "--pending-limit is too small for {max_connections} connections, the default under \
                 this limit of descriptors: give at least {least} bytes, or --max-connections {most} or less"
            ),
        })
    }
}

/// Lets the server tell a service manager how it is doing, if there is one. A server is no worse without.
fn notify_manager(server: &mut Server<impl Listen, impl Observer>) -> io::Result<()> {
    match Notify::from_env(Instant::now()) {
        Ok(None) => Ok(()),
        Ok(Some(notify)) => server.add_service(Box::new(notify)),
        Err(e) => {
            warn!(event = "notify_failed"; "cannot notify the service manager: {e}");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::net::ListenOptions;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        serve: Serve,
    }

    /// What users of the library get by default is what users of the program get.
    #[test]
    fn the_defaults_of_the_options_are_those_of_the_library() {
        let Program { serve } = Program::parse_from(["serve"]);
        let config = serve.config(1, false).unwrap();
        let max_connections = config.max_connections;
        let expected = Config { max_connections, ..Config::default() };
        assert_eq!(format!("{config:?}"), format!("{expected:?}"));
        let ListenOptions { backlog, reuse_port, only_v6: _, stall_timeout, unix_mode } =
            ListenOptions::default();
        assert_eq!((serve.backlog, serve.reuse_port), (backlog, reuse_port));
        assert_eq!((Some(serve.stall_timeout), serve.unix_mode), (stall_timeout, unix_mode));
    }
}
