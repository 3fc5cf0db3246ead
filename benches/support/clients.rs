//! Clients in a closed loop, all on one thread. Each sends a message, waits for the whole echo, and sends the next
//! message. Every byte is checked.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use resound::client::probe::{Fault, Pattern, Probe, Received};

/// The largest read or write of a client, in bytes: the same as the server's.
const PIECE_BYTES: usize = 256 << 10;

/// The most events that one wait returns.
const EVENTS_PER_WAIT: usize = 1024;

/// If nothing happens for this long, the server has forgotten a client.
const STALLED: Duration = Duration::from_secs(10);

/// Connected clients.
pub struct Clients {
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    shared: Shared,
}

/// What all clients share.
struct Shared {
    pattern: Pattern,
    scratch: Box<[u8]>,
    message_bytes: usize,
    /// How many echoes are still missing, over all clients.
    missing: usize,
    /// When the round began. It stands in for the time of each message, which does not matter here and costs a clock
    /// read.
    start: Instant,
}

impl Clients {
    pub fn connect(
        server: SocketAddr,
        connections: usize,
        message_bytes: usize,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let clients = (0..connections)
            .map(|number| {
                let mut client = Client::connect(server, number)?;
                let interest = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(&mut client.stream, Token(number), interest)?;
                Ok(client)
            })
            .collect::<io::Result<_>>()?;
        let shared = Shared {
            pattern: Pattern::new(PIECE_BYTES),
            scratch: vec![0; PIECE_BYTES].into(),
            message_bytes,
            missing: 0,
            start: Instant::now(),
        };
        Ok(Self { poll, events: Events::with_capacity(EVENTS_PER_WAIT), clients, shared })
    }

    /// Sends `rounds` messages on every connection, and returns the time until all echoes are back.
    pub fn play(&mut self, rounds: usize) -> Duration {
        let Self { clients, shared, .. } = self;
        shared.missing = rounds * clients.len();
        shared.start = Instant::now();
        for client in clients {
            client.left = rounds;
            client.send(shared).unwrap_or_else(|e| client.fail(e));
        }
        while self.shared.missing > 0 {
            self.turn();
        }
        self.shared.start.elapsed()
    }

    /// Waits once, and drives each client that is ready.
    fn turn(&mut self) {
        let Self { poll, events, clients, shared } = self;
        match poll.poll(events, Some(STALLED)) {
            Err(e) if e.kind() == ErrorKind::Interrupted => return,
            polled => polled.expect("the poll works"),
        }
        if events.is_empty() {
            let forgotten = clients.iter().find(|client| !client.probe.is_echoed());
            let (sent, received) = forgotten.expect("bytes are missing").probe.progress();
            panic!("the server forgot a client that sent {sent} bytes and received {received}");
        }
        for event in &*events {
            let client = &mut clients[event.token().0];
            client.drive(event, shared).unwrap_or_else(|e| client.fail(e));
        }
    }
}

struct Client {
    number: usize,
    stream: TcpStream,
    probe: Probe,
    /// How many messages it has not begun yet.
    left: usize,
}

impl Client {
    fn connect(server: SocketAddr, number: usize) -> io::Result<Self> {
        let stream = std::net::TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream);
        Ok(Self { number, stream, probe: Probe::new(number, 1), left: 0 })
    }

    /// Reads and writes in turn, until the socket is empty.
    fn drive(&mut self, event: &Event, shared: &mut Shared) -> Result<(), Fault> {
        // The same rule as in the server: see `ShortRead`.
        let short_read_drains = !event.is_read_closed() && !event.is_error();
        loop {
            let received = self.receive(shared)?;
            self.send(shared)?;
            match received {
                Received::Short(_) if short_read_drains => return Ok(()),
                Received::Nothing => return Ok(()),
                Received::Short(_) | Received::More(_) => {}
                Received::End => self.fail("the server closed the connection"),
            }
        }
    }

    fn receive(&mut self, shared: &mut Shared) -> Result<Received, Fault> {
        let received =
            self.probe.receive(&mut self.stream, &shared.pattern, &mut shared.scratch)?;
        if self.probe.complete().is_some() {
            shared.missing -= 1;
        }
        Ok(received)
    }

    /// Sends as much as the socket takes of the current message, or of the next one if the current echo is complete.
    fn send(&mut self, shared: &Shared) -> Result<(), Fault> {
        if self.left > 0 && self.probe.has_room() {
            self.left -= 1;
            self.probe.begin(shared.message_bytes, shared.start);
        }
        self.probe.send(&mut self.stream, &shared.pattern, shared.start)
    }

    fn fail(&self, why: impl Display) -> ! {
        panic!("connection {}: {why}", self.number)
    }
}
