//! The system calls on a connection that waits for the header of its proxy, and the laws for it.

use std::io::{self, ErrorKind};
use std::time::Duration;

use resound::net::Endpoint;
use resound::observe::{Closed, Event, Refusal};

use crate::coverage::Feature;
use crate::gate;
use crate::header::{Header, Stage, Verdict};
use crate::kit::pattern;
use crate::laws;
use crate::scenario::KNOWN_PROXIES;
use crate::socket::{End, Socket};
use crate::syscalls::MAX_FUTILE;
use crate::world::World;

/// How long a header may take from its first byte.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// One look, one more if the peer has ended, and one at what is reported of a refused header; and one at a header whose
/// time is over.
const LOOKS_PER_TURN: usize = 4;

/// The most that is reported of a refused header.
const REPORTED_BYTES: usize = 64;

impl Socket {
    /// The header, while the server waits for it.
    pub fn waiting_header(&self) -> Option<&Header> {
        self.header.as_ref().filter(|header| header.stage == Stage::Waiting)
    }

    /// Whether the server ends the connection, of whose header nothing came.
    pub fn is_abandoned(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.stage == Stage::Abandoned)
    }

    /// Bytes that a peek would show.
    fn visible(&self) -> u64 {
        self.arrived - self.read + self.header_unread() as u64
    }

    /// Whether the server waits for its header and has not seen all that it could.
    pub fn has_unseen(&self) -> bool {
        let is_over = self.fin_arrived || self.error.is_some();
        self.waiting_header().is_some_and(|h| is_over || h.is_decided() || self.visible() > h.seen)
    }

    /// The first `len` bytes that a peek would show, or all.
    fn peeked(&self, len: usize) -> Vec<u8> {
        let Some(header) = &self.header else { return Vec::new() };
        let mut bytes = header.bytes[header.read..header.arrived].to_vec();
        let rest = len.saturating_sub(bytes.len()).min((self.arrived - self.read) as usize);
        bytes.extend(pattern::bytes(self.id, self.read, rest));
        bytes.truncate(len);
        bytes
    }
}

impl World {
    pub fn sys_peek(&mut self, id: usize, buffer: &mut [u8]) -> io::Result<usize> {
        self.enter_look(id);
        if self.chance(self.scenario.fault_rates.interrupted) {
            self.coverage.note(Feature::Interrupted);
            return Err(ErrorKind::Interrupted.into());
        }
        let socket = &mut self.sockets[id];
        let visible = socket.visible();
        if let Some(error) = socket.error.filter(|_| socket.error_first || visible == 0) {
            return Err(socket.fail(error));
        }
        self.note_look(id, visible);
        let socket = &self.sockets[id];
        if visible == 0 && !socket.fin_arrived {
            return Err(ErrorKind::WouldBlock.into());
        }
        let bytes = socket.peeked(buffer.len());
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn enter_look(&mut self, id: usize) {
        self.calls += 1;
        let turn = self.turn;
        let (is_watched, end) = (self.sockets[id].token.is_some(), self.sockets[id].end);
        let waiting = self.sockets[id].header.as_mut().filter(|h| h.stage == Stage::Waiting);
        let Some(header) = waiting else {
            return self.fail(|| format!("socket {id}: a look for a header that is not due"));
        };
        header.looks = if header.turn == turn { header.looks + 1 } else { 1 };
        header.turn = turn;
        if header.looks > LOOKS_PER_TURN || !is_watched || end.is_some() {
            let looks = header.looks;
            self.fail(|| {
                format!("socket {id}: look {looks} of one turn, end {end:?}, {is_watched}")
            });
        }
        self.meanwhile(id);
    }

    /// Notes that the server sees `visible` bytes.
    fn note_look(&mut self, id: usize, visible: u64) {
        let served = self.clock.served;
        let socket = &mut self.sockets[id];
        let Some(header) = &mut socket.header else { return };
        let is_new = visible > header.seen;
        header.seen = visible;
        if visible > 0 && !header.has_begun && !header.is_decided() {
            header.has_begun = true;
            socket.ledger.last_active = served;
            self.coverage.note(Feature::HeaderInParts);
        }
        let socket = &mut self.sockets[id];
        socket.ledger.futile = if is_new { 0 } else { socket.ledger.futile + 1 };
        if socket.ledger.futile > MAX_FUTILE {
            self.fail(|| format!("socket {id}: looks for a header without an event: a busy loop"));
        }
    }

    /// Whether the peer has ended its direction.
    pub fn sys_is_read_closed(&mut self, id: usize) -> bool {
        self.calls += 1;
        self.meanwhile(id);
        self.sockets[id].fin_arrived || self.sockets[id].error.is_some()
    }

    /// Reads a header that is there as a whole, and no byte more.
    pub fn read_header(&mut self, id: usize, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        self.meanwhile(id);
        if self.chance(self.scenario.fault_rates.interrupted) {
            self.coverage.note(Feature::Interrupted);
            return Err(ErrorKind::Interrupted.into());
        }
        let socket = &mut self.sockets[id];
        if let Some(error) = socket.error.filter(|_| socket.error_first) {
            return Err(socket.fail(error));
        }
        let has_more = socket.arrived > 0;
        let Some(header) = &mut socket.header else { return Err(ErrorKind::NotConnected.into()) };
        let (left, asked) = (header.bytes.len() - header.read, buffer.len());
        let is_refused = matches!(header.verdict, Verdict::Refused(_));
        if is_refused || !header.has_arrived() || asked != left {
            self.fail(|| format!("socket {id}: {asked} bytes of a header are read; it has {left}"));
            return Err(ErrorKind::WouldBlock.into());
        }
        let cut = if socket.is_tcp { 0 } else { self.scenario.fault_rates.cut };
        let n = if self.rng.chance(cut) { self.rng.size(1, left as u64) as usize } else { left };
        buffer[..n].copy_from_slice(&header.bytes[header.read..header.read + n]);
        header.read += n;
        if n == left {
            header.stage = Stage::Consumed;
            self.sockets[id].ledger.last_active = self.clock.served;
            self.note_consumed(id, has_more);
        }
        Ok(n)
    }

    fn note_consumed(&mut self, id: usize, has_more: bool) {
        let is_named = self.sockets[id].named_client().is_some();
        self.coverage.note(if is_named { Feature::ClientNamed } else { Feature::ClientUnnamed });
        if has_more {
            self.coverage.note(Feature::BytesBehindHeader);
        }
    }

    /// The last read of a connection of whose header nothing had come: what it finds is lost.
    pub fn discard_header(&mut self, id: usize, buffer: &[u8]) -> usize {
        let socket = &mut self.sockets[id];
        let Some(header) = &mut socket.header else { return 0 };
        let n = header.unread().min(buffer.len());
        header.read += n;
        socket.ledger.discarded += n as u64;
        self.totals.read += n as u64;
        self.coverage.note(Feature::HeaderLost);
        n
    }
}

/// A proxied connection is served as soon as its header has named its client, and not before. One that ends, or that is
/// ended, before its header came is reported like one that was served.
pub fn accepted(world: &mut World, id: usize) {
    // Its time may have passed in this turn.
    laws::note_silence(world, id);
    let may_end = laws::may_finish(world, &world.sockets[id]);
    let socket = &mut world.sockets[id];
    let has_failed = matches!(socket.end, Some(End::Error(_)));
    let is_over = socket.fin_arrived || has_failed;
    let Some(header) = &mut socket.header else { return check_allowed(world, id) };
    let is_lawful = match (header.stage, header.verdict) {
        (Stage::Consumed, Verdict::Client(_)) => header.is_reported,
        (Stage::Consumed, Verdict::Unnamed) => true,
        (Stage::Waiting, _) => has_failed || (is_over || may_end) && !header.has_begun,
        _ => false,
    };
    if header.stage == Stage::Waiting {
        header.stage = Stage::Abandoned;
        world.coverage.note(if is_over { Feature::HeaderNeverSent } else { Feature::SilentProxy });
    }
    if !is_lawful {
        let socket = world.sockets[id].to_string();
        world.fail(|| format!("socket {id}: served without its header\n{socket}"));
    }
    check_allowed(world, id);
}

/// Who may not connect is not served, however it comes.
fn check_allowed(world: &mut World, id: usize) {
    if is_unknown(&world.sockets[id]) {
        world.fail(|| format!("socket {id}: served, though its proxy is unknown"));
    }
    gate::pass_client(world, id);
}

/// The server reports the client that a header names.
pub fn named(world: &mut World, id: usize, by: &Endpoint) {
    let socket = &mut world.sockets[id];
    let is_lawful = *by == socket.endpoint() && socket.named_client().is_some();
    if let Some(header) = &mut socket.header {
        header.is_reported = true;
    }
    if !is_lawful {
        world.fail(|| format!("socket {id}: its header names no client of {by}"));
    }
}

/// Whether a connection is refused for its header, or for the lack of one.
pub fn is_of_header(why: Refusal) -> bool {
    use Refusal::{
        HeaderIncomplete, HeaderMalformed, HeaderMissing, HeaderOversized, HeaderTimedOut,
    };
    matches!(
        why,
        HeaderIncomplete | HeaderMalformed | HeaderMissing | HeaderOversized | HeaderTimedOut
    )
}

/// A header may be refused only for what is wrong with it, or if it is late.
pub fn refused(world: &mut World, id: usize, why: Refusal, start: &[u8]) {
    let socket = &world.sockets[id];
    let Some(header) = socket.waiting_header() else {
        return world.fail(|| format!("socket {id}: {why}, though no header is due"));
    };
    let is_lawful = match why {
        Refusal::HeaderIncomplete => {
            let is_over = socket.fin_arrived || socket.error.is_some();
            header.arrived > 0 && !header.is_decided() && is_over
        }
        Refusal::HeaderTimedOut => header.has_begun && is_late(world, socket),
        _ => header.arrived > 0 && header.verdict == Verdict::Refused(why),
    };
    // The look at what is reported can fail.
    let is_start = start.is_empty() || *start == socket.peeked(REPORTED_BYTES);
    let is_silent = socket.written == 0;
    world.coverage.note(feature(why));
    if !is_lawful || !is_start || !is_silent {
        let socket = world.sockets[id].to_string();
        world.fail(|| format!("socket {id}: refused for no reason: {why}, {start:?}\n{socket}"));
    }
}

/// Whether a header that has begun is late.
fn is_late(world: &World, socket: &Socket) -> bool {
    laws::may_be_over(world, socket, laws::timeout(world, socket))
        || laws::may_finish(world, socket)
}

/// Whether a proxy may not connect.
pub fn is_unknown(socket: &Socket) -> bool {
    socket.header.is_some() && socket.is_tcp && !KNOWN_PROXIES.contains(&socket.ip)
}

/// Whether a connection may be closed of whose header nothing came.
pub fn may_close(world: &World, socket: &Socket, why: &Closed) -> bool {
    let ledger = &socket.ledger;
    let is_idle = ledger.is_expired_idle;
    match why {
        Closed::Finished => socket.end == Some(End::OfFile) && !is_idle,
        Closed::Failed(e) => socket.end == Some(End::Error(e.kind())),
        Closed::Idle => is_idle && ledger.may_end_idle,
        Closed::ByServer => !is_idle && laws::may_finish(world, socket),
        Closed::Aborted => laws::may_finish(world, socket) && ledger.discarded > 0,
        Closed::Stalled => false,
    }
}

/// Checks that a report names the peer as it is known by now.
pub fn check_peer(world: &mut World, id: usize, peer: &Endpoint, event: Event<'_>) {
    let expected = world.sockets[id].shown_endpoint();
    if *peer != expected {
        world.fail(|| format!("socket {id} is {expected}, but {peer} in {event:?}"));
    }
}

fn feature(why: Refusal) -> Feature {
    match why {
        Refusal::HeaderMissing => Feature::RefusedHeaderMissing,
        Refusal::HeaderMalformed => Feature::RefusedHeaderMalformed,
        Refusal::HeaderOversized => Feature::RefusedHeaderOversized,
        Refusal::HeaderIncomplete => Feature::RefusedHeaderIncomplete,
        _ => Feature::RefusedHeaderTimedOut,
    }
}
