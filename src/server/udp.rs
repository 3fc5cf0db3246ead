//! Echoes datagrams (RFC 862): each as one whole datagram, to its sender, from the address that it was sent to.
//!
//! The server keeps no datagram. If the system has no room for an answer, the server drops it and counts that: UDP
//! promises no delivery, and a server that waited would have to hold memory for peers that it knows nothing of.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;

use super::Server;
use super::accept::BACK_OFF;
use super::service::{Action, Context, Service, Stage};
use crate::net::{Datagrams, Endpoint, Listen, Received, delegate_source};
use crate::observe::{At, DatagramDrop, Event, Observer};
use guard::Guard;

mod guard;

/// Longer than the longest datagram, so that a full buffer means a datagram that was cut.
const BUFFER_BYTES: usize = 1 << 16;

/// Datagrams received from one socket in one turn, at some 3 µs each...
const DATAGRAMS_PER_TURN: usize = 64;
/// ...and the bytes after which a turn ends, since long ones take longer.
const BYTES_PER_TURN: usize = 256 << 10;

/// Datagrams that a stopping server answers on one socket before it closes it: more than the usual receive queue holds,
/// and a bound if new ones arrive as fast as they are answered.
const LAST_DATAGRAMS: usize = 4096;

/// How long after a datagram the server asks the kernel what it has dropped.
const DROPS_DELAY: Duration = Duration::from_secs(1);

/// Answers the datagrams of one socket.
struct UdpEcho<S> {
    socket: S,
    at: Endpoint,
    shared: Arc<Mutex<Shared>>,
    /// When to receive again after a failure that is the system's.
    retry_at: Option<Instant>,
    /// What the kernel has dropped, as last reported.
    kernel_drops: u32,
    /// When to ask again. `None` if nothing has come since.
    ask_at: Option<Instant>,
}

/// What all sockets of a server share: one peer can send to several.
struct Shared {
    guard: Guard,
    buffer: Box<[u8]>,
}

/// How a batch of datagrams ended.
#[derive(Debug)]
enum Batch {
    /// The receive queue is empty.
    Drained,
    /// There may be more.
    Full,
    /// Each attempt to receive failed.
    Failed(io::Error),
}

impl<L: Listen, O: Observer> Server<L, O> {
    /// Answers datagrams on each of `sockets`, and says so. `rate` is the most that one source, an IPv4 address or a /64
    /// network of IPv6, gets answered per second. The sockets must be all of this server's UDP sockets: it does not answer
    /// datagrams from their ports.
    ///
    /// # Errors
    ///
    /// If the system cannot register one of them: epoll_ctl(2).
    pub fn echo_datagrams<S: Datagrams + 'static>(
        &mut self,
        sockets: Vec<(S, Endpoint)>,
        rate: f64,
    ) -> io::Result<()> {
        if sockets.is_empty() {
            return Ok(());
        }
        let (own, access) = (sockets.iter().map(|(_, at)| at), self.config.access.clone());
        let guard = Guard::new(own, access, rate, self.clock.real());
        let buffer = vec![0; BUFFER_BYTES].into();
        let shared = Arc::new(Mutex::new(Shared { guard, buffer }));
        for (socket, at) in sockets {
            let announced = at.clone();
            self.add_service(Box::new(UdpEcho::new(socket, at, Arc::clone(&shared))))?;
            let event = Event::Listening { at: &announced, is_proxied: false };
            self.shared.observer.observe(At::server(self.clock.now()), event);
        }
        self.answers_datagrams = true;
        Ok(())
    }
}

impl<S: Datagrams> UdpEcho<S> {
    fn new(socket: S, at: Endpoint, shared: Arc<Mutex<Shared>>) -> Self {
        let kernel_drops = socket.kernel_drops().unwrap_or_default();
        Self { socket, at, shared, retry_at: None, kernel_drops, ask_at: None }
    }

    fn source(&mut self) -> &mut dyn Source {
        &mut self.socket
    }

    /// Answers the next datagrams, up to the bounds of a turn.
    fn answer_batch(&mut self, cx: &mut Context<'_>) -> Batch {
        let shared = &mut *lock(&self.shared);
        let (mut received_any, mut failure, mut bytes) = (false, None, 0);
        for _ in 0..DATAGRAMS_PER_TURN {
            match self.socket.receive(&mut shared.buffer) {
                Ok(received) => {
                    received_any = true;
                    bytes += received.len;
                    let answered = answer(&mut self.socket, shared, &received, cx.now);
                    report(&received, answered, cx);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Batch::Drained,
                // A signal, or what the network says of an earlier answer.
                Err(e) => failure = Some(e),
            }
            if bytes >= BYTES_PER_TURN {
                break;
            }
        }
        match failure {
            // Not one of many attempts succeeded: treat it as the system's problem.
            Some(e) if !received_any => Batch::Failed(e),
            _ => Batch::Full,
        }
    }

    /// Answers what has arrived before the server began to stop. A socket that has a successor leaves it that.
    fn finish(&mut self, cx: &mut Context<'_>) -> Action {
        if self.socket.has_successor() {
            self.report_kernel_drops(cx);
            return Action::Close;
        }
        for _ in 0..LAST_DATAGRAMS / DATAGRAMS_PER_TURN {
            if !matches!(self.answer_batch(cx), Batch::Full) {
                break;
            }
        }
        self.report_kernel_drops(cx);
        Action::Close
    }

    fn back_off(&mut self, error: &io::Error, cx: &mut Context<'_>) -> Action {
        self.retry_at = Some(cx.now + BACK_OFF);
        let event = Event::ReceiveFailed { socket: &self.at, error };
        cx.observer.observe(At::server(cx.now), event);
        Action::Wait
    }

    /// Asks the kernel what it has dropped, a while after something came: it drops only if something comes.
    fn watch_kernel_drops(&mut self, cx: &mut Context<'_>) {
        match self.ask_at {
            Some(at) if at <= cx.now => {
                self.ask_at = None;
                self.report_kernel_drops(cx);
            }
            Some(_) => {}
            None => self.ask_at = Some(cx.now + DROPS_DELAY),
        }
    }

    fn report_kernel_drops(&mut self, cx: &mut Context<'_>) {
        let Some(drops) = self.socket.kernel_drops() else { return };
        let datagrams = drops.wrapping_sub(self.kernel_drops);
        self.kernel_drops = drops;
        if datagrams > 0 {
            let event = Event::KernelDropped { socket: &self.at, datagrams };
            cx.observer.observe(At::server(cx.now), event);
        }
    }
}

impl<S: Datagrams> Service for UdpEcho<S> {
    fn ready(&mut self, cx: &mut Context<'_>) -> Action {
        if cx.stage == Stage::Draining {
            return self.finish(cx);
        }
        self.watch_kernel_drops(cx);
        if self.retry_at.is_some_and(|at| cx.now < at) {
            return Action::Wait;
        }
        self.retry_at = None;
        match self.answer_batch(cx) {
            Batch::Drained => Action::Wait,
            Batch::Full => Action::Requeue,
            Batch::Failed(e) => self.back_off(&e, cx),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.retry_at.into_iter().chain(self.ask_at).min()
    }
}

delegate_source!(UdpEcho<S>, S: Datagrams);

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends a datagram back, if it may be answered. Why not, and what the system said, is the error.
fn answer(
    socket: &mut impl Datagrams,
    shared: &mut Shared,
    received: &Received,
    now: Instant,
) -> Result<(), (DatagramDrop, Option<io::Error>)> {
    shared.guard.judge(received, now).map_err(|why| (why, None))?;
    let bytes = &shared.buffer[..received.len];
    let sent = loop {
        match socket.answer(bytes, received) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            sent => break sent,
        }
    };
    match sent {
        Ok(n) if n == bytes.len() => Ok(()),
        Ok(_) => Err((DatagramDrop::SendFailed, None)),
        Err(e) => Err(send_failure(e, received)),
    }
}

/// Why an answer could not be sent.
fn send_failure(error: io::Error, received: &Received) -> (DatagramDrop, Option<io::Error>) {
    let is_ipv4 = received.from.ip().to_canonical().is_ipv4();
    match Errno::from_io_error(&error) {
        _ if error.kind() == ErrorKind::WouldBlock => (DatagramDrop::NoRoom, None),
        Some(Errno::NOBUFS | Errno::NOMEM) => (DatagramDrop::NoRoom, Some(error)),
        // The source is a broadcast address, as only the system knows: send(2). IPv6 has none.
        Some(Errno::ACCESS) if is_ipv4 => (DatagramDrop::NoSingleSource, Some(error)),
        _ => (DatagramDrop::SendFailed, Some(error)),
    }
}

fn report(
    received: &Received,
    answered: Result<(), (DatagramDrop, Option<io::Error>)>,
    cx: &mut Context<'_>,
) {
    let peer = &Endpoint::udp(received.from);
    let at = At::server(cx.now);
    match answered {
        Ok(()) => cx.observer.observe(at, Event::DatagramEchoed { peer, bytes: received.len }),
        Err((why, error)) => {
            let error = error.as_ref();
            cx.observer.observe(at, Event::DatagramDropped { peer, why, error });
        }
    }
}

#[cfg(test)]
mod tests;
