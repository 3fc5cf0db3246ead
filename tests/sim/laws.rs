//! What the server may do to a connection, and when.

use std::time::Duration;

use resound::observe::{Closed, Refusal};

use crate::coverage::Feature;
use crate::gate;
use crate::proxied;
use crate::scenario::Queue;
use crate::socket::{End, Socket};
use crate::world::{Request, World};

/// How long a peer may take to close after the server shut down writing.
const LINGER: Duration = Duration::from_secs(1);

/// A peer that is silent for this long may be asked to end while the server is stopping.
const QUIET: Duration = Duration::from_millis(500);

/// How often the server looks at a peer in the time in which it must take something.
const LOOKS: u32 = 4;

/// While nothing is pending on any connection, a read asks for at least this, if the buffer and the limit allow it.
const USUAL_READ_BYTES: usize = 4 * 1024;

/// How long a connection may stay in its present state if no byte moves.
pub fn timeout(world: &World, socket: &Socket) -> Option<Duration> {
    let stall = world.scenario.config.stall_timeout;
    if socket.waiting_header().is_some_and(|header| header.has_begun) {
        Some(proxied::TIMEOUT)
    } else if socket.pending() > 0 {
        // An interrupted look finds nothing out. The next one comes after the usual interval.
        stall.map(|stall| stall + stall / LOOKS * socket.ledger.interrupted_writes)
    } else if socket.ledger.half_closed_at.is_some() {
        // The server needs a look to see that a peer takes no more, or has taken everything.
        let look = stall.map_or(LINGER, |stall| LINGER.min(stall / LOOKS));
        let time = if socket.unacknowledged() > 0 { stall? } else { LINGER };
        Some(LINGER + look + time)
    } else {
        silence(world)
    }
}

/// How long a peer that is owed nothing may be silent.
pub fn silence(world: &World) -> Option<Duration> {
    if world.has_drained() { Some(QUIET) } else { world.scenario.config.idle_timeout }
}

/// Whether nothing has happened on a socket for `timeout`.
pub fn may_be_over(world: &World, socket: &Socket, timeout: Option<Duration>) -> bool {
    timeout.is_some_and(|timeout| world.clock.since(socket.ledger.last_active) >= timeout)
}

/// With `once`, only the first read is echoed. And no read is smaller than it needs to be.
pub fn before_read(world: &mut World, id: usize, asked: usize) {
    let socket = &world.sockets[id];
    let is_second = socket.reads > 0 && socket.ledger.half_closed_at.is_none();
    if is_second && world.scenario.config.once && !may_finish(world, socket) {
        world.fail(|| format!("socket {id}: a second read, though only one is echoed"));
    }
    let config = &world.scenario.config;
    let usual = config.buffer_bytes.min(config.pending_limit_bytes / 2).min(USUAL_READ_BYTES);
    let is_free = || world.accepted.iter().all(|id| world.sockets[*id].pending() == 0);
    // What it has just flushed itself may still be in the server's accounts.
    if asked < usual && world.sockets[id].ledger.calls == 1 && is_free() {
        world
            .fail(|| format!("socket {id}: reads {asked} bytes at a time, though none is pending"));
    }
}

/// Whether the server may ask a connection to end although its peer has not finished.
pub fn may_finish(world: &World, socket: &Socket) -> bool {
    let half = world.scenario.config.drain_timeout / 2;
    world.has_stopped_for(half) || socket.ledger.may_end
}

/// Notes at the end of a turn that a connection was silent for too long: the server may have seen it too, and act on it
/// later.
pub fn note_silence(world: &mut World, id: usize) {
    let socket = &world.sockets[id];
    let has_begun = socket.waiting_header().is_some_and(|header| header.has_begun);
    let is_silent = socket.pending() == 0 && socket.ledger.half_closed_at.is_none() && !has_begun;
    if is_silent && may_be_over(world, socket, silence(world)) {
        let is_idle = !world.has_drained();
        let ledger = &mut world.sockets[id].ledger;
        ledger.may_end = true;
        ledger.may_end_idle |= is_idle;
    }
}

/// Checks a half-close: all that was read is written, and there is a reason to end.
pub fn half_close(world: &mut World, id: usize) {
    let once = world.scenario.config.once;
    let socket = &world.sockets[id];
    let pending = socket.pending();
    let is_asked = may_finish(world, socket);
    let is_due = socket.end == Some(End::OfFile) || once && socket.reads == 1 || is_asked;
    if pending > 0 {
        world.fail(|| {
            format!("socket {id}: writing is shut down while {pending} bytes are pending")
        });
    }
    let is_first = world.sockets[id].ledger.half_closed_at.is_none();
    if !is_due && is_first {
        world.fail(|| format!("socket {id}: writing is shut down for no reason"));
    }
    let socket = &world.sockets[id];
    let stopped = world.is_stopping() && socket.end.is_none() && !once && is_first;
    if stopped && !socket.ledger.may_end_idle && !socket.ledger.is_drained_since_stop {
        world.fail(|| {
            format!("socket {id}: writing is shut down before all that had arrived was echoed")
        });
    }
    if once && world.sockets[id].end.is_none() {
        world.coverage.note(Feature::OnceClosedFirst);
    }
}

/// A connection may be refused only if a limit or an error forbids it.
pub fn refused(world: &mut World, id: usize, why: Refusal) {
    let config = &world.scenario.config;
    let others = world.accepted.iter().filter(|other| **other != id);
    let socket = &world.sockets[id];
    let of_network = |other: &&usize| world.sockets[**other].network() == socket.network();
    let is_lawful = match why {
        Refusal::MaxConnections => others.count() >= config.max_connections,
        Refusal::MaxPerIp => {
            let is_full = |most| others.filter(of_network).count() >= most;
            socket.network().is_some() && config.max_per_ip.is_some_and(is_full)
        }
        Refusal::RegisterFailed => socket.ledger.fails_to_register,
        Refusal::UnknownProxy => proxied::is_unknown(socket),
        _ => gate::may_refuse(world, socket, why),
    };
    // The client of a proxy is known only after a while.
    let is_judged = matches!(why, Refusal::Denied | Refusal::AcceptRatePerIp | Refusal::MaxPerIp);
    let is_late = socket.header.is_some() && socket.network().is_some() && is_judged;
    let is_reset = why == Refusal::UnknownProxy || gate::is_of_gate(why);
    world.coverage.note(if is_late { late_feature(why) } else { feature(world, socket, why) });
    let is_silent = socket.written == 0 && socket.ledger.is_reset == is_reset;
    if !is_lawful || socket.ledger.is_registered && !is_late || !is_silent {
        world.fail(|| format!("socket {id}: refused for no reason: {why}"));
    }
    gate::refused(world, id, why);
}

/// What the refusal of a client counts as that its proxy has named.
fn late_feature(why: Refusal) -> Feature {
    match why {
        Refusal::AcceptRatePerIp => Feature::ClientOverRate,
        _ => Feature::ClientRefused,
    }
}

/// What a refusal counts as.
fn feature(world: &World, socket: &Socket, why: Refusal) -> Feature {
    match why {
        Refusal::MaxConnections => Feature::RefusedMaxConnections,
        Refusal::MaxPerIp => Feature::RefusedMaxPerIp,
        Refusal::Denied if gate::is_unlisted(world, socket) => Feature::RefusedNotAllowed,
        Refusal::Denied => Feature::RefusedDenied,
        Refusal::AcceptRate => Feature::RefusedAcceptRate,
        Refusal::AcceptRatePerIp => Feature::RefusedAcceptRatePerIp,
        Refusal::UnknownProxy => Feature::RefusedUnknownProxy,
        // The simulator never lacks memory.
        _ => Feature::RefusedRegisterFailed,
    }
}

/// A connection may be closed only for the reported reason, which must be true.
pub fn closed(world: &mut World, id: usize, why: &Closed) {
    let is_lawful = may_close(world, &world.sockets[id], why);
    world.coverage.note(match why {
        Closed::Finished => Feature::Finished,
        Closed::Failed(_) => Feature::Failed,
        Closed::Stalled => Feature::Stalled,
        Closed::Idle => Feature::ClosedIdle,
        Closed::ByServer => Feature::ClosedByServer,
        Closed::Aborted => Feature::ClosedAborted,
    });
    if !is_lawful {
        let socket = world.sockets[id].to_string();
        world.fail(|| format!("socket {id}: closed as {why:?}, which is wrong\n{socket}"));
    }
}

fn may_close(world: &World, socket: &Socket, why: &Closed) -> bool {
    if socket.is_abandoned() {
        return proxied::may_close(world, socket, why);
    }
    let (ledger, may_abort) = (&socket.ledger, may_abort(world));
    let is_half_closed = ledger.half_closed_at.is_some();
    let owed = if is_half_closed { ledger.owed } else { socket.read };
    let is_finished = socket.end == Some(End::OfFile) && (is_half_closed || may_abort);
    let is_over = is_half_closed && may_close_lingering(world, socket)
        || may_abort && socket.end.is_none() && socket.pending() == 0;
    match why {
        Closed::Finished => is_finished && socket.written == owed && !ledger.is_expired_idle,
        Closed::Failed(e) => socket.end == Some(End::Error(e.kind())),
        Closed::Stalled => {
            // If there is any room, the peer has taken something.
            let is_full = socket.pending() > 0 && socket.free() == 0;
            is_full && may_be_over(world, socket, world.scenario.config.stall_timeout)
        }
        Closed::Idle => ledger.is_expired_idle && ledger.may_end_idle && (is_over || is_finished),
        Closed::ByServer => is_over && !ledger.is_expired_idle,
        Closed::Aborted => {
            let has_failed = matches!(socket.end, Some(End::Error(_)));
            may_abort && socket.read > socket.written && !has_failed
        }
    }
}

/// Whether a lingering connection may be closed: its peer has everything, or has taken nothing for the stall timeout. If
/// the peer sends anything after that, the rest is lost.
fn may_close_lingering(world: &World, socket: &Socket) -> bool {
    let (clock, ledger) = (&world.clock, &socket.ledger);
    let silent = clock.since(ledger.last_active).min(clock.since(ledger.last_taken));
    match socket.unacknowledged() {
        0 => may_be_over(world, socket, Some(LINGER)),
        _ => world.scenario.config.stall_timeout.is_some_and(|stall| silent >= stall),
    }
}

/// Whether the server may close all connections, since the drain timeout is over.
fn may_abort(world: &World) -> bool {
    world.has_stopped_for(world.scenario.config.drain_timeout)
}

/// A connection counts as cut if less was written than was read, unless the peer or the network broke it off; and also
/// if bytes had arrived that the server never read. No other connection counts as cut.
pub fn counted(world: &mut World, id: usize, why: &Closed, is_cut: bool) {
    let socket = &world.sockets[id];
    let is_short = socket.read + socket.ledger.discarded > socket.written;
    let is_unread = socket.has_unread() && !socket.ledger.is_interrupted;
    let by_server = matches!(why, Closed::ByServer | Closed::Idle | Closed::Aborted);
    if is_cut != (is_short && !matches!(why, Closed::Failed(_))) {
        let socket = socket.to_string();
        world.fail(|| format!("socket {id}: closed as {why:?}, cut: {is_cut}\n{socket}"));
    } else if by_server && is_unread && !is_cut {
        let socket = socket.to_string();
        world.fail(|| format!("socket {id}: unread bytes, but {why:?} is no cut\n{socket}"));
    }
    if is_cut {
        let is_known = matches!(why, Closed::Aborted | Closed::Stalled);
        let feature = if is_known { Feature::CutAtDeadline } else { Feature::CutWhileSending };
        world.coverage.note(feature);
    }
}

/// How many more calls than usual the server may make in a turn: one to look, without an event, at a connection that may
/// have stalled, and one for the last read of a connection that it aborts after that look.
pub fn extra_calls(world: &World, id: usize) -> usize {
    if may_abort(world) {
        return 2;
    }
    let socket = &world.sockets[id];
    let is_stuck = socket.pending() > 0 || socket.ledger.is_flushed;
    let is_looked_at = is_stuck && world.scenario.config.stall_timeout.is_some();
    usize::from(is_looked_at || socket.ledger.half_closed_at.is_some())
}

/// A stopping server accepts what its queue holds, unless accepting fails, the next server has the queue too, or it must
/// stop at once.
pub fn listener_closed(world: &mut World, listener: usize) {
    let listening = &world.listeners[listener];
    let queued = listening.queue.len();
    if world.scenario.queues[listener] == Queue::Inherited {
        if queued > 0 {
            world.coverage.note(Feature::LeftToSuccessor);
        }
        return;
    }
    if matches!(world.request, Request::Abort { .. }) {
        return;
    }
    if !listening.has_failed && world.accepted.len() < world.descriptors && queued > 0 {
        world.fail(|| format!("listener {listener}: closed while {queued} connections are queued"));
    }
}
