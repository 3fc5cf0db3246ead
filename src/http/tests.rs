//! The server on real Unix sockets, where what is sent is there at once, and on a clock that the tests move.

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;

use super::*;
use crate::kit::source::unpolled;
use crate::net::{Endpoint, ListenOptions, Listener, Socket};

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
const SECOND: Duration = Duration::from_secs(1);

struct Site {
    server: HttpServer<Listener>,
    addr: SocketAddr,
    now: Instant,
}

impl Site {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("resound-http-{}-{count}", process::id());
        let endpoint = Endpoint::Abstract(name.as_bytes().into());
        let options = |_: &Endpoint| ListenOptions::default();
        let (mut listeners, _) =
            Listener::bind_all(std::slice::from_ref(&endpoint), options).unwrap();
        let now = Instant::now();
        let mut server = HttpServer::new(now).unwrap();
        server.listen(listeners.remove(0), endpoint).unwrap();
        Self { server, addr: SocketAddr::from_abstract_name(name).unwrap(), now }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect_addr(&self.addr).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    }

    fn connect_with(&self, sent: &[u8]) -> UnixStream {
        let mut stream = self.connect();
        stream.write_all(sent).unwrap();
        stream
    }

    fn turn(&mut self) {
        let mut answer = |_: &Request<'_>| Some(Response::text(StatusCode::Ok, "here\n"));
        self.server.turn(self.now, &mut answer).unwrap();
    }

    /// Takes turns until there is nothing left to do at this time.
    fn settle(&mut self) {
        // One that removes a client, one that accepts another, and one that answers it.
        (0..3).for_each(|_| self.turn());
        for _ in 0..1000 {
            let is_due = self.server.deadline().is_some_and(|at| at <= self.now);
            if !is_due && !self.server.has_more() {
                return;
            }
            self.turn();
        }
        panic!("it does not come to rest");
    }
}

/// What came, up to the end if it came too.
fn received(mut stream: &UnixStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

fn is_answered(stream: &UnixStream) -> bool {
    received(stream).starts_with("HTTP/1.1 200 OK\r\n")
}

#[test]
fn its_poll_makes_it_a_source_of_another_reactor() {
    let site = Site::new();
    let client = site.connect_with(REQUEST);
    let Site { server, now, .. } = site;
    let mut reactor = Reactor::new().unwrap();
    let (token, mut ready) = (reactor.insert(server).unwrap(), Vec::new());
    let mut response = String::new();
    // It is ready once for the listener, and once for the client.
    while response.is_empty() {
        reactor.wait(Some(30 * SECOND), &mut ready).unwrap();
        assert_eq!(ready.len(), 1, "no event came");
        let server = reactor.get_mut(token).unwrap();
        server.turn(now, &mut |_| Some(Response::text(StatusCode::Ok, "here\n"))).unwrap();
        response = received(&client);
    }
    assert!(response.ends_with("here\n"), "{response}");
    drop(client);
    reactor.wait(Some(30 * SECOND), &mut ready).unwrap();
    let server = reactor.get_mut(token).unwrap();
    server.turn(now, &mut |_| None).unwrap();
    assert!(server.clients.is_empty() && server.deadline().is_none());
    reactor.wait(Some(Duration::ZERO), &mut ready).unwrap();
    assert_eq!(ready, [], "an idle server is not ready");
}

#[test]
fn a_client_is_closed_when_its_time_is_over() {
    let mut site = Site::new();
    let (silent, slow) = (site.connect(), site.connect_with(b"GET /"));
    site.settle();
    assert_eq!(site.server.deadline(), Some(site.now + TIMEOUT));
    site.now += TIMEOUT - Duration::from_nanos(1);
    site.settle();
    assert_eq!(site.server.clients.len(), 2);
    site.now += Duration::from_nanos(1);
    site.settle();
    assert_eq!(received(&silent), "");
    assert!(received(&slow).starts_with("HTTP/1.1 408 "));
    assert_eq!((site.server.clients.len(), site.server.deadline()), (0, None));
}

/// A client that does not close after its response holds no place for longer than the others.
#[test]
fn a_client_that_does_not_close_is_closed() {
    let mut site = Site::new();
    let client = site.connect_with(REQUEST);
    site.settle();
    assert!(is_answered(&client) && site.server.clients.len() == 1);
    site.now += TIMEOUT;
    site.settle();
    assert_eq!(site.server.clients.len(), 0);
}

/// Clients that have sent a part of a request.
fn slow(site: &Site) -> Vec<UnixStream> {
    (0..MAX_CLIENTS).map(|_| site.connect_with(b"GET /")).collect()
}

#[test]
fn more_clients_wait_and_shorten_the_time_of_the_others() {
    let mut site = Site::new();
    let slow = slow(&site);
    site.settle();
    let waiting = site.connect_with(REQUEST);
    site.settle();
    assert_eq!(site.server.clients.len(), MAX_CLIENTS);
    assert_eq!(site.server.deadline(), Some(site.now + CROWDED_TIMEOUT));
    assert!(!is_answered(&waiting));
    site.now += CROWDED_TIMEOUT;
    site.settle();
    assert!(is_answered(&waiting));
    drop(slow);
}

/// No event comes for what is in the accept queue already.
#[test]
fn a_client_that_leaves_makes_room_for_one_that_waits() {
    let mut site = Site::new();
    let mut slow = slow(&site);
    site.settle();
    let waiting = site.connect_with(REQUEST);
    site.settle();
    slow.pop();
    site.settle();
    assert!(is_answered(&waiting));
}

/// Failed when a probe waited for 20 s behind 300 connections that sent nothing.
#[test]
fn a_client_that_sends_a_request_takes_the_place_of_one_that_is_silent() {
    let mut site = Site::new();
    let mut slow = slow(&site);
    slow.truncate(MAX_CLIENTS / 2);
    site.settle();
    let silent: Vec<_> = (0..300).map(|_| site.connect()).collect();
    let probe = site.connect_with(REQUEST);
    site.settle();
    assert!(is_answered(&probe));
    assert!(slow.iter().all(is_open), "they have begun to send");
    let places = MAX_CLIENTS - slow.len();
    let open = silent.iter().filter(|stream| is_open(stream)).count();
    assert!((places - 1..=places).contains(&open), "the newest stay: {open}");
    assert!(site.server.clients.len() <= MAX_CLIENTS);
}

fn is_open(mut stream: &UnixStream) -> bool {
    stream.read(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
}

/// Failed when a client whose request had come was closed with those whose time was over.
#[test]
fn after_a_suspension_each_request_that_has_come_is_answered() {
    let mut site = Site::new();
    let clients: Vec<_> = (0..MAX_CLIENTS).map(|_| site.connect()).collect();
    site.settle();
    clients.iter().for_each(|mut client| client.write_all(REQUEST).unwrap());
    site.now += 2 * TIMEOUT;
    site.turn();
    // Failed when the deadline had passed: in a slow turn, the server would go on after each event of a connection.
    assert!(site.server.has_more() && site.server.deadline().is_none());
    site.settle();
    assert_eq!(clients.iter().filter(|client| is_answered(client)).count(), MAX_CLIENTS);
}

#[test]
fn a_turn_answers_a_few_clients_and_the_next_turn_the_others() {
    let mut site = Site::new();
    let clients: Vec<_> = (0..2 * DRIVES_PER_TURN).map(|_| site.connect_with(REQUEST)).collect();
    site.turn(); // Accepts.
    let answered = |clients: &[UnixStream]| clients.iter().filter(|it| is_answered(it)).count();
    site.turn();
    assert_eq!(answered(&clients), DRIVES_PER_TURN);
    assert!(site.server.has_more());
    site.turn();
    assert_eq!(answered(&clients), DRIVES_PER_TURN);
}

/// Those that always have an event do not keep the others waiting.
#[test]
fn busy_clients_do_not_starve_the_others() {
    let mut site = Site::new();
    let mut busy: Vec<_> = (0..MAX_CLIENTS - 1).map(|_| site.connect_with(b"G")).collect();
    let client = site.connect();
    site.settle();
    for turn in 0.. {
        busy.iter_mut().for_each(|busy| busy.write_all(b"E").unwrap());
        if turn == 0 {
            (&client).write_all(REQUEST).unwrap(); // Its event is behind theirs.
        }
        site.turn();
        if is_answered(&client) {
            break;
        }
        assert!(turn < 2 * MAX_CLIENTS, "it is not answered in {turn} turns");
    }
}

/// Its accept fails as often as it says, and then finds no connection.
struct Exhausted(usize);

impl Listen for Exhausted {
    type Stream = Socket;

    fn accept(&mut self) -> io::Result<(Socket, Endpoint)> {
        match self.0 {
            0 => Err(ErrorKind::WouldBlock.into()),
            _ => {
                self.0 -= 1;
                Err(Errno::MFILE.into())
            }
        }
    }
}

unpolled!(Exhausted);

#[test]
fn accepting_is_tried_again_a_while_after_a_failure() {
    let now = Instant::now();
    let mut server = HttpServer::new(now).unwrap();
    server.listen(Exhausted(2), Endpoint::Unix(None)).unwrap();
    server.requeue_listeners();
    let mut turn = |now| {
        server.turn(now, &mut |_| None).unwrap();
        let Some(Slot::Listener(Exhausted(left))) = server.reactor.get_mut(Token(0)) else {
            panic!("the listener is gone");
        };
        let left = *left;
        let has_failed = server.take_accept_failure().is_some();
        assert!(server.take_accept_failure().is_none(), "each failure is reported once");
        (left, has_failed, server.deadline())
    };
    assert_eq!(turn(now), (1, true, Some(now + BACK_OFF)));
    assert_eq!(turn(now + BACK_OFF / 2), (1, false, Some(now + BACK_OFF)));
    assert_eq!(turn(now + BACK_OFF), (0, true, Some(now + 2 * BACK_OFF)));
    assert_eq!(turn(now + 2 * BACK_OFF), (0, false, None));
}
