//! Proxied connections on scripted sockets: headers that come in any pieces, late, wrong or never.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::kit::source::unpolled;
use crate::net::{Access, parse_network};
use crate::observe::Counters;
use crate::reactor::Ready;
use crate::server::{Config, ListenAt, Outcome};

const SECOND: Duration = Duration::from_secs(1);
const INSTANT: Duration = Duration::from_nanos(1);
const PROXY: &str = "10.0.0.1:4000";
const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 7\r\n";

/// A connection as both of its ends see it.
#[derive(Default)]
struct Wire {
    /// Bytes that have come and are unread.
    come: VecDeque<u8>,
    /// Bytes that come only after the next peek.
    comes_later: Vec<u8>,
    has_ended: bool,
    /// What the next calls fail with.
    errors: VecDeque<ErrorKind>,
    echo: Vec<u8>,
    is_open: bool,
    is_reset: bool,
}

#[derive(Clone, Default)]
struct Peer(Rc<RefCell<Wire>>);

impl Peer {
    fn new(bytes: &[u8]) -> Self {
        let peer = Self::default();
        peer.send(bytes);
        peer.0.borrow_mut().is_open = true;
        peer
    }

    fn send(&self, bytes: &[u8]) {
        self.0.borrow_mut().come.extend(bytes);
    }

    fn end(&self) {
        self.0.borrow_mut().has_ended = true;
    }

    fn fail(&self, kind: ErrorKind) {
        self.0.borrow_mut().errors.push_back(kind);
    }

    fn echo(&self) -> Vec<u8> {
        self.0.borrow().echo.clone()
    }

    fn is_open(&self) -> bool {
        self.0.borrow().is_open
    }
}

/// The server's end.
struct Accepted(Peer);

unpolled!(Accepted);

impl Accepted {
    /// What a read returns; only a real one takes the bytes away.
    fn receive(&self, buffer: &mut [u8], takes: bool) -> io::Result<usize> {
        let mut wire = self.0.0.borrow_mut();
        if let Some(kind) = wire.errors.pop_front() {
            return Err(kind.into());
        }
        let n = buffer.len().min(wire.come.len());
        buffer.iter_mut().zip(&wire.come).for_each(|(to, from)| *to = *from);
        if takes {
            wire.come.drain(..n);
        } else {
            let later = std::mem::take(&mut wire.comes_later);
            wire.come.extend(later);
        }
        if n == 0 && !wire.has_ended { Err(ErrorKind::WouldBlock.into()) } else { Ok(n) }
    }
}

impl Read for Accepted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer, true)
    }
}

impl Write for Accepted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.borrow_mut().echo.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Accepted {
    fn short_read_drains(&self) -> bool {
        true
    }

    fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer, false)
    }

    fn is_read_closed(&self) -> bool {
        self.0.0.borrow().has_ended
    }

    fn reset_on_close(&self) {
        self.0.0.borrow_mut().is_reset = true;
    }

    fn shutdown_write(&self) -> io::Result<()> {
        Ok(())
    }

    fn unacknowledged(&self) -> Option<u32> {
        Some(0)
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        self.0.0.borrow_mut().is_open = false;
    }
}

/// Accepts these peers, each from its address.
struct Queue(Rc<RefCell<VecDeque<(Peer, Endpoint)>>>);

unpolled!(Queue);

impl Listen for Queue {
    type Stream = Accepted;

    fn accept(&mut self) -> io::Result<(Accepted, Endpoint)> {
        let (peer, at) = self.0.borrow_mut().pop_front().ok_or(ErrorKind::WouldBlock)?;
        Ok((Accepted(peer), at))
    }
}

/// Keeps what happens to connections.
#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    counters: Counters,
}

impl Observer for Seen {
    fn observe(&mut self, at: At<'_>, event: Event<'_>) {
        self.counters.observe(at, event);
        let Some((id, peer)) = at.conn else { return };
        self.lines.push(match event {
            Event::Proxied { by } => format!("{id} {peer} proxied by {by}"),
            Event::Refused { refused, start: &[] } => format!("{id} {peer} refused: {refused}"),
            Event::Refused { refused, start } => {
                format!("{id} {peer} refused: {refused}: {}", start.escape_ascii())
            }
            Event::Closed { why, is_cut } => {
                format!("{id} {peer} closed: {why}{}", if is_cut { ", cut" } else { "" })
            }
            event => format!("{id} {peer} {event:?}"),
        });
    }
}

/// A server with one proxied listener.
struct World {
    server: Server<Queue, Seen>,
    queue: Rc<RefCell<VecDeque<(Peer, Endpoint)>>>,
    start: Instant,
}

impl World {
    fn new(config: Config) -> Self {
        let start = Instant::now();
        let proxies = [parse_network("10.0.0.0/8").unwrap()].into_iter().collect();
        let config = Config { max_connections: 10, proxies, ..config };
        let mut server = Server::new(config, Seen::default(), start).unwrap();
        let queue = Rc::default();
        let at = ListenAt { at: Endpoint::Unix(None), is_proxied: true };
        server.listen([(Queue(Rc::clone(&queue)), at)]).unwrap();
        Self { server, queue, start }
    }

    /// Accepts a peer. The first has token 1.
    fn accept(&mut self, from: &str, bytes: &[u8]) -> Peer {
        let peer = Peer::new(bytes);
        self.queue.borrow_mut().push_back((peer.clone(), endpoint(from)));
        self.server.accept(Token(0), self.start);
        peer
    }

    /// An event comes for the connection with this token, at this time after the start.
    fn event(&mut self, token: usize, after: Duration) {
        self.server.reactor.requeue(Token(token));
        self.turn(after);
    }

    /// An event comes that says more than that there are bytes: an end, for example.
    fn exceptional_event(&mut self, token: usize) {
        self.server.reactor.inject(Ready { token: Token(token), exceptional: true });
        self.turn(Duration::ZERO);
    }

    /// Takes one turn at this time after the start.
    fn turn(&mut self, after: Duration) {
        let mut ready = Vec::new();
        self.server.poll_timeout();
        self.server.wait(Some(Duration::ZERO), &mut ready).unwrap();
        // The clock must not take the jump for a suspension.
        self.server.clock.begin_wait(None, self.start + after);
        let now = self.server.begin_turn(self.start + after, ready.len());
        ready.iter().for_each(|event| self.server.handle_event(*event, now));
        self.server.handle_timeouts(now);
    }

    fn lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.server.shared.observer.lines)
    }

    fn connections(&self) -> usize {
        self.server.admission.connections()
    }
}

fn endpoint(text: &str) -> Endpoint {
    text.parse().map_or(Endpoint::Unix(None), Endpoint::Inet)
}

fn with_idle(idle: Duration) -> Config {
    Config { idle_timeout: Some(idle), ..Config::default() }
}

/// A larger kind of source would cost each connection memory.
#[test]
fn a_connection_that_waits_for_its_header_is_no_larger_than_another() {
    assert!(size_of::<Proxied<Accepted>>() <= size_of::<Connection<Accepted>>());
    assert!(
        size_of::<Proxied<crate::net::Socket>>() <= size_of::<Connection<crate::net::Socket>>()
    );
}

#[test]
fn the_client_is_served_in_the_place_of_its_proxy_as_soon_as_the_header_is_complete() {
    let mut world = World::new(Config::default());
    let peer = world.accept(PROXY, b"");
    for byte in HEADER {
        world.event(1, Duration::ZERO);
        assert_eq!(world.lines(), [""; 0]);
        peer.send(&[*byte]);
    }
    world.event(1, Duration::ZERO);
    let named = ["#1 192.0.2.7:5000 proxied by 10.0.0.1:4000", "#1 192.0.2.7:5000 Accepted"];
    assert_eq!(world.lines(), named);
    assert_eq!(peer.echo(), b"");
    peer.send(b"hello");
    world.event(1, Duration::ZERO);
    assert_eq!(world.lines(), ["#1 192.0.2.7:5000 Read(5)", "#1 192.0.2.7:5000 Wrote(5)"]);
    assert_eq!((peer.echo(), peer.is_open()), (b"hello".to_vec(), true));
}

/// Failed when the server waited for an event after the header, or echoed a part of the header.
#[test]
fn what_comes_with_the_header_is_echoed_wherever_it_is_split() {
    let sent = [HEADER, b"PROXY UNKNOWN\r\n"].concat();
    for end in 0..=sent.len() {
        let mut world = World::new(Config::default());
        let peer = world.accept(PROXY, &sent[..end]);
        world.event(1, Duration::ZERO);
        assert_eq!(peer.echo(), sent[..end].get(HEADER.len()..).unwrap_or(b""), "{end}");
        peer.send(&sent[end..]);
        peer.end();
        world.exceptional_event(1);
        world.turn(Duration::ZERO);
        assert_eq!(peer.echo(), b"PROXY UNKNOWN\r\n", "{end}");
        let counters = world.server.shared.observer.counters;
        assert_eq!((counters.bytes_in, counters.accepted, counters.refused.total()), (15, 1, 0));
        assert_eq!((peer.is_open(), world.connections()), (false, 0), "{end}");
    }
}

#[test]
fn a_header_that_names_no_client_leaves_the_connection_to_its_proxy() {
    for header in [
        &b"PROXY UNKNOWN\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x00\x00\x00",
    ] {
        let mut world = World::new(Config::default());
        let peer = world.accept(PROXY, &[header, b"check"].concat());
        world.event(1, Duration::ZERO);
        assert_eq!(world.lines()[0], "#1 10.0.0.1:4000 Accepted");
        assert_eq!(peer.echo(), b"check");
    }
}

#[test]
fn a_connection_without_a_proper_header_is_closed_and_nothing_is_echoed() {
    let oversized = format!("PROXY UNKNOWN {}", "x".repeat(100));
    for (sent, line) in [
        ("GET / HTTP/1.1\r\n", "no PROXY header: GET / HTTP/1.1\\r\\n"),
        ("PROXY \x1b\r\n", "malformed PROXY header: PROXY \\x1b\\r\\n"),
        (&oversized, &format!("PROXY header too long: {}", &oversized[..REPORTED_BYTES])),
    ] {
        let mut world = World::new(Config::default());
        let peer = world.accept(PROXY, sent.as_bytes());
        world.event(1, Duration::ZERO);
        assert_eq!(world.lines(), [format!("#1 10.0.0.1:4000 refused: {line}")]);
        assert_eq!((peer.echo(), peer.is_open(), world.connections()), (vec![], false, 0));
    }
}

#[test]
fn a_peer_that_is_no_known_proxy_is_refused_before_it_says_anything() {
    let mut world = World::new(Config::default());
    let peer = world.accept("192.0.2.1:4000", HEADER);
    assert_eq!(world.lines(), ["#1 192.0.2.1:4000 refused: not the address of a known proxy"]);
    assert_eq!((peer.is_open(), world.connections()), (false, 0));
    let peer = world.accept("over a Unix socket", HEADER);
    world.event(1, Duration::ZERO);
    assert_eq!(world.lines()[0], "#2 192.0.2.7:5000 proxied by unix:(unnamed)");
    assert!(peer.is_open());
}

/// A header that names no client leaves the proxy's own address, which is judged like any other.
#[test]
fn the_client_and_not_its_proxy_must_be_allowed() {
    let allow = [parse_network("192.0.2.0/24").unwrap()].into_iter().collect();
    let access = Access { allow, ..Access::default() };
    for (header, peer, is_allowed) in [
        ("PROXY TCP4 192.0.2.7 10.0.0.1 5000 7\r\n", "192.0.2.7:5000", true),
        ("PROXY TCP6 ::ffff:192.0.2.7 ::1 5000 7\r\n", "192.0.2.7:5000", true),
        ("PROXY TCP4 192.0.3.7 10.0.0.1 5000 7\r\n", "192.0.3.7:5000", false),
        ("PROXY UNKNOWN\r\n", PROXY, false),
    ] {
        let mut world = World::new(Config { access: access.clone(), ..Config::default() });
        let client = world.accept(PROXY, header.as_bytes());
        world.event(1, Duration::ZERO);
        let said = if is_allowed { "Accepted" } else { "refused: its address may not connect" };
        assert_eq!(world.lines().pop().unwrap(), format!("#1 {peer} {said}"));
        assert_eq!((client.is_open(), world.connections()), (is_allowed, is_allowed.into()));
        assert_eq!(client.0.borrow().is_reset, !is_allowed);
    }
}

#[test]
fn a_peer_that_ends_within_its_header_is_refused() {
    let mut world = World::new(Config::default());
    let peer = world.accept(PROXY, &HEADER[..7]);
    world.event(1, Duration::ZERO);
    peer.end();
    world.event(1, Duration::ZERO);
    let line = "#1 10.0.0.1:4000 refused: ended within its PROXY header: PROXY T";
    assert_eq!((world.lines(), peer.is_open()), (vec![line.to_string()], false));
}

/// Failed when the end was looked for once, after a peek that had come too early.
#[test]
fn a_header_that_is_completed_between_the_peek_and_the_end_is_served() {
    let mut world = World::new(Config::default());
    let peer = world.accept(PROXY, &HEADER[..7]);
    peer.0.borrow_mut().comes_later = [&HEADER[7..], b"hello"].concat();
    peer.end();
    world.event(1, Duration::ZERO);
    world.turn(Duration::ZERO);
    assert_eq!((peer.echo(), peer.is_open()), (b"hello".to_vec(), false));
}

/// So do the checks of some balancers.
#[test]
fn a_peer_that_ends_without_a_byte_is_no_fault() {
    let mut world = World::new(Config::default());
    world.accept(PROXY, b"").end();
    world.event(1, Duration::ZERO);
    let proxy = "#1 10.0.0.1:4000";
    assert_eq!(
        world.lines(),
        ["Accepted", "HalfClosed", "closed: all echoed"].map(|what| format!("{proxy} {what}"))
    );
    assert_eq!(world.connections(), 0);
}

#[test]
fn a_socket_that_fails_ends_its_connection_only() {
    for sent in [&b""[..], &HEADER[..7]] {
        let mut world = World::new(Config::default());
        let peer = world.accept(PROXY, sent);
        world.event(1, Duration::ZERO);
        peer.fail(ErrorKind::ConnectionReset);
        world.event(1, Duration::ZERO);
        let last = world.lines().pop().unwrap();
        assert_eq!(last, "#1 10.0.0.1:4000 closed: connection reset");
        assert_eq!((peer.is_open(), world.connections()), (false, 0));
    }
}

#[test]
fn an_interrupted_look_is_repeated_without_an_event() {
    let mut world = World::new(Config::default());
    let peer = world.accept(PROXY, &[HEADER, b"hello"].concat());
    peer.fail(ErrorKind::Interrupted);
    world.event(1, Duration::ZERO);
    assert_eq!(peer.echo(), b"");
    world.turn(Duration::ZERO);
    assert_eq!(peer.echo(), b"hello");
}

#[test]
fn the_header_has_five_seconds_from_its_first_byte() {
    let mut world = World::new(Config::default());
    let peer = world.accept(PROXY, b"");
    world.event(1, SECOND);
    assert_eq!(world.server.poll_timeout(), None, "nothing has come");
    for late in [100, 102, 104] {
        peer.send(b"PROXY T"[..(late - 98) / 2].last_chunk::<1>().unwrap());
        world.event(1, late as u32 * SECOND);
    }
    world.turn(105 * SECOND - INSTANT);
    assert!(peer.is_open());
    world.turn(106 * SECOND);
    let line = "#1 10.0.0.1:4000 refused: PROXY header not complete in time: PRO";
    assert_eq!((world.lines(), peer.is_open()), (vec![line.to_string()], false));
    assert_eq!(world.server.poll_timeout(), None);
}

#[test]
fn a_peer_that_sends_nothing_has_the_idle_timeout() {
    let mut world = World::new(with_idle(60 * SECOND));
    let peer = world.accept(PROXY, b"");
    world.event(1, SECOND);
    world.turn(60 * SECOND - INSTANT);
    assert!(peer.is_open());
    world.turn(62 * SECOND);
    let lines = world.lines();
    let expected = ["Accepted", "Expired(Idle)", "closed: idle timeout"];
    assert_eq!(lines, expected.map(|what| format!("#1 10.0.0.1:4000 {what}")));
    assert!(!peer.is_open());
}

/// Failed when the limit of connections was asked only once the client was known.
#[test]
fn a_connection_counts_from_its_accept_and_its_client_from_its_header() {
    let config = Config { max_per_ip: Some(2), ..Config::default() };
    let mut world = World::new(config);
    let peers: Vec<_> = (0..11).map(|_| world.accept(PROXY, b"")).collect();
    let over = "#11 10.0.0.1:4000 refused: max connections reached (10 of 10)";
    assert_eq!((world.lines(), world.connections()), (vec![over.to_string()], 10));
    for (i, peer) in peers[..3].iter().enumerate() {
        peer.send(HEADER);
        world.event(i + 1, Duration::ZERO);
    }
    let over = "#3 192.0.2.7:5000 refused: max connections per IP address reached (2 of 2)";
    assert_eq!((world.lines().pop().unwrap().as_str(), world.connections()), (over, 9));
    // A connection that has ended no longer counts for its client.
    peers[0].end();
    world.event(1, Duration::ZERO);
    peers[3].send(HEADER);
    world.event(4, Duration::ZERO);
    assert_eq!(world.lines().pop().unwrap(), "#4 192.0.2.7:5000 Accepted");
}

#[test]
fn connections_of_whose_headers_nothing_has_come_end_soon_when_the_server_stops() {
    let mut world = World::new(Config::default());
    let peers = [b"", HEADER].map(|sent| world.accept(PROXY, sent));
    (1..=2).for_each(|token| world.event(token, Duration::ZERO));
    world.lines();
    world.server.stop();
    world.turn(SECOND / 4);
    assert!(peers.iter().all(Peer::is_open));
    world.turn(SECOND);
    let closed = "#1 10.0.0.1:4000 closed: finished by the server".into();
    assert!(world.lines().contains(&closed));
    assert!(!peers[0].is_open());
    peers[1].end();
    world.event(2, SECOND);
    assert_eq!(world.server.take_outcome().unwrap().unwrap(), Outcome::Stopped);
}

/// Failed when such headers had half a second while the server stopped.
#[test]
fn a_header_that_has_begun_has_its_time_although_the_server_stops() {
    let mut world = World::new(Config::default());
    let peers = [&HEADER[..5], b""].map(|sent| world.accept(PROXY, sent));
    (1..=2).for_each(|token| world.event(token, Duration::ZERO));
    world.server.stop();
    // This one begins when the server stops already.
    peers[1].send(&HEADER[..5]);
    world.event(2, Duration::ZERO);
    for (i, byte) in HEADER[5..].iter().enumerate() {
        peers.iter().for_each(|peer| peer.send(&[*byte]));
        (1..=2).for_each(|token| world.event(token, SECOND / 10 * i as u32));
    }
    let lines = world.lines();
    for id in ["#1", "#2"] {
        assert!(lines.contains(&format!("{id} 192.0.2.7:5000 Accepted")), "{lines:#?}");
    }
}

#[test]
fn a_header_that_never_ends_does_not_outlast_its_time_or_half_of_the_drain_timeout() {
    for (drain_timeout, end) in [(8 * SECOND, 4 * SECOND), (60 * SECOND, 5 * SECOND)] {
        let mut world = World::new(Config { drain_timeout, ..Config::default() });
        let peer = world.accept(PROXY, b"PROXY");
        world.event(1, Duration::ZERO);
        world.server.stop();
        world.turn(end - INSTANT);
        assert!(peer.is_open());
        world.turn(end + SECOND / 2);
        let late = "#1 10.0.0.1:4000 refused: PROXY header not complete in time: PROXY";
        assert_eq!((world.lines().pop().unwrap().as_str(), peer.is_open()), (late, false));
    }
}

/// Failed when the server took the end of such a connection for that of an idle one, while it still accepted.
#[test]
fn a_server_that_is_stopped_twice_before_it_drains_calls_nothing_idle() {
    let mut world = World::new(Config { drain_delay: SECOND, ..Config::default() });
    let peer = world.accept(PROXY, b"");
    world.event(1, Duration::ZERO);
    world.server.stop();
    world.server.stop();
    world.turn(Duration::ZERO);
    let closed = "#1 10.0.0.1:4000 closed: finished by the server";
    assert_eq!(world.lines().pop().unwrap(), closed);
    assert!(!peer.is_open());
}

#[test]
fn a_server_that_is_stopped_twice_closes_what_waits_for_its_header() {
    let mut world = World::new(Config::default());
    let peers = [b"".as_slice(), b"PROXY"].map(|sent| world.accept(PROXY, sent));
    (1..=2).for_each(|token| world.event(token, Duration::ZERO));
    world.server.stop();
    world.server.stop();
    // The header comes, but no event says so before the server looks for the last time.
    peers[0].send(HEADER);
    world.turn(Duration::ZERO);
    assert_eq!(world.server.take_outcome().unwrap().unwrap(), Outcome::Aborted);
    assert!(peers.iter().all(|peer| !peer.is_open() && peer.echo().is_empty()));
    let lines = world.lines();
    let cut = "#1 10.0.0.1:4000 closed: aborted as the server stops, cut";
    assert!(lines.contains(&cut.into()), "{lines:#?}");
}
