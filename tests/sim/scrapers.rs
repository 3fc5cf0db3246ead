//! Clients of the server's metrics.
//!
//! Their sockets are real: what is sent on a Unix socket is there at once, so a seed still repeats its run. The clock is
//! the simulated one.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use resound::http::{HttpServer, MAX_CLIENTS};
use resound::net::{Endpoint, ListenOptions, Listener};
use resound::observe::Counters;

use crate::coverage::Feature;
use crate::grammar::Scrape;
use crate::world::World;

/// Turns within which a whole request is answered, although each turn answers a few: one accepts, four answer the most
/// clients there can be, and one may come before.
const MOST_TURNS: u32 = 6;

/// How long a client may take, and how long if there are as many as there can be.
const TIMEOUT: Duration = Duration::from_secs(10);
const CROWDED_TIMEOUT: Duration = Duration::from_secs(1);

/// Turns in which the server must notice that the time of a client is over.
const TURNS_TO_CLOSE: u32 = 3;

/// The clients of one server's metrics.
pub struct Scrapers {
    addr: SocketAddr,
    clients: Vec<Scraper>,
}

struct Scraper {
    stream: UnixStream,
    /// Whether it has sent a whole request.
    is_whole: bool,
    received: Vec<u8>,
    /// What the server had counted when the request was sent.
    before: Counters,
    turns: u32,
    /// When the server accepted it, on the caller's clock.
    since: Duration,
    /// Turns since its time was over.
    late_turns: u32,
}

/// Listens for HTTP at a new address. Returns the clients too, of which there are none yet.
pub fn listen(now: Instant) -> io::Result<(HttpServer<Listener>, Scrapers)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("resound-sim-{}-{count}", process::id());
    let endpoint = Endpoint::Abstract(name.as_bytes().into());
    let (listeners, _) = Listener::bind_all(&[endpoint], |_| ListenOptions::default())?;
    let mut http = HttpServer::new(now)?;
    listeners.into_iter().try_for_each(|listener| http.listen(listener))?;
    let addr = SocketAddr::from_abstract_name(name)?;
    Ok((http, Scrapers { addr, clients: Vec::new() }))
}

impl Scrapers {
    /// Another client connects, and sends a request or the first half of one.
    pub fn connect(&mut self, scrape: Scrape, world: &World) -> io::Result<()> {
        const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: sim\r\n\r\n";
        let is_whole = matches!(scrape, Scrape::Whole);
        if self.clients.len() == MAX_CLIENTS {
            return Ok(());
        }
        let mut stream = UnixStream::connect_addr(&self.addr)?;
        stream.set_nonblocking(true)?;
        stream.write_all(if is_whole { REQUEST } else { &REQUEST[..REQUEST.len() / 2] })?;
        self.clients.push(Scraper {
            stream,
            is_whole,
            received: Vec::new(),
            before: world.counters,
            turns: 0,
            since: Duration::ZERO,
            late_turns: 0,
        });
        Ok(())
    }

    /// Checks what the server did in this turn, and forgets the clients that it has closed.
    pub fn check(&mut self, world: &mut World) {
        self.clients.retain_mut(|client| client.check(world));
    }
}

impl Scraper {
    /// Returns whether the connection goes on.
    fn check(&mut self, world: &mut World) -> bool {
        self.turns += 1;
        if self.turns == 1 {
            self.since = world.clock.raw;
        }
        let age = world.clock.raw - self.since;
        self.late_turns += u32::from(age >= TIMEOUT);
        match (self.is_whole, self.has_ended()) {
            (true, true) => self.check_response(world),
            (true, false) if self.turns > MOST_TURNS => {
                world.fail(|| "a scrape is not answered".into());
            }
            (false, true) => self.check_timeout(age, world),
            (false, false) if self.late_turns > TURNS_TO_CLOSE => {
                world.fail(|| format!("half a request is not timed out after {age:?}"));
            }
            (_, false) => return true,
        }
        false
    }

    /// Reads what has come. Returns whether the end has come too.
    fn has_ended(&mut self) -> bool {
        match self.stream.read_to_end(&mut self.received) {
            Err(e) => e.kind() != ErrorKind::WouldBlock,
            Ok(_) => true,
        }
    }

    fn check_timeout(&self, age: Duration, world: &mut World) {
        world.coverage.note(Feature::ScraperTimedOut);
        if !self.received.starts_with(b"HTTP/1.1 408 ") {
            world.fail(|| format!("half a request: {}", self.received.escape_ascii()));
        }
        if age < CROWDED_TIMEOUT {
            world.fail(|| format!("half a request is timed out after {age:?}"));
        }
    }

    /// The figures lie between those when the request was sent and those of now.
    fn check_response(&self, world: &mut World) {
        world.coverage.note(Feature::Scraped);
        let (before, now) = (self.before, world.counters);
        let text = String::from_utf8_lossy(&self.received);
        let samples: HashMap<_, _> = text.lines().filter_map(|line| line.split_once(' ')).collect();
        let closed = |counters: Counters| counters.closed.total();
        for (name, least, most) in [
            ("resound_connections_accepted_total", before.accepted, now.accepted),
            ("resound_received_bytes_total", before.bytes_in, now.bytes_in),
            ("resound_sent_bytes_total", before.bytes_out, now.bytes_out),
            ("resound_turns_total", before.turns, now.turns),
            ("resound_connections", 0, world.scenario.config.max_connections as u64),
            ("resound_pending_bytes", 0, world.scenario.config.pending_limit_bytes as u64),
            ("resound_connections_cut_total", 0, closed(now)),
        ] {
            let figure = samples.get(name).and_then(|figure| figure.parse().ok());
            if !figure.is_some_and(|figure: u64| (least..=most).contains(&figure)) {
                world.fail(|| format!("{name} is {figure:?}, and not {least} to {most}: {text}"));
            }
        }
    }
}
