//! What the server may do to a connection, and when.

use std::time::Duration;

use resound::observe::{Closed, Refusal};

use crate::coverage::Feature;
use crate::socket::{End, Socket};
use crate::syscalls::feature;
use crate::world::World;

/// After the goodbye, a peer gets this long to say goodbye too.
const LINGER: Duration = Duration::from_secs(1);

/// Whoever is silent for this long while the server is stopping may be asked to end.
const QUIET: Duration = Duration::from_millis(500);

/// In a time in which a peer must take something, it is looked at so often.
const LOOKS: u32 = 4;

/// A read asks for no less than this, if buffer and limit allow, and while nobody has anything pending.
const USUAL_READ_BYTES: usize = 4 * 1024;

/// How long a connection may be in the state that it is in without a byte moving, and no longer.
pub fn timeout(world: &World, socket: &Socket) -> Option<Duration> {
    let stall = world.scenario.config.stall_timeout;
    if socket.pending() > 0 {
        stall
    } else if socket.ledger.half_closed_at.is_some() {
        // It takes a look to see that a peer takes nothing more, or has taken all.
        let look = stall.map_or(LINGER, |stall| LINGER.min(stall / LOOKS));
        let time = if socket.unacknowledged() > 0 { stall? } else { LINGER };
        Some(LINGER + look + time)
    } else {
        silence(world)
    }
}

/// How long a peer to whom nothing is owed may be silent.
pub fn silence(world: &World) -> Option<Duration> {
    if world.is_stopping() { Some(QUIET) } else { world.scenario.config.idle_timeout }
}

/// Whether a socket may have been left alone for as long as that.
fn may_be_over(world: &World, socket: &Socket, timeout: Option<Duration>) -> bool {
    timeout.is_some_and(|timeout| world.clock.since(socket.ledger.last_active) >= timeout)
}

/// Where there is to be but one echo, it is that of the first read.
pub fn before_read(world: &mut World, id: usize, asked: usize) {
    let socket = &world.sockets[id];
    let is_second = socket.reads > 0 && socket.ledger.half_closed_at.is_none();
    if is_second && world.scenario.config.once && !may_finish(world, socket) {
        world.fail(|| format!("socket {id}: a second read, where there is to be one echo"));
    }
    let config = &world.scenario.config;
    let usual = config.buffer_bytes.min(config.pending_limit_bytes / 2).min(USUAL_READ_BYTES);
    let is_free = || world.accepted.iter().all(|id| world.sockets[*id].pending() == 0);
    // What it has just flushed itself may still count.
    if asked < usual && world.sockets[id].ledger.calls == 1 && is_free() {
        world
            .fail(|| format!("socket {id}: reads {asked} bytes at a time, though none is pending"));
    }
}

/// Whether the server may ask a connection to end although its peer has not finished.
fn may_finish(world: &World, socket: &Socket) -> bool {
    let half = world.scenario.config.drain_timeout / 2;
    world.has_stopped_for(half) || socket.ledger.may_end
}

/// What is noted at the end of each turn: the server may have seen the same, and act on it later.
pub fn note_silence(world: &mut World, id: usize) {
    let socket = &world.sockets[id];
    let is_silent = socket.pending() == 0 && socket.ledger.half_closed_at.is_none();
    if is_silent && may_be_over(world, socket, silence(world)) {
        let is_idle = !world.is_stopping();
        let ledger = &mut world.sockets[id].ledger;
        ledger.may_end = true;
        ledger.may_end_idle |= is_idle;
    }
}

/// Half-close: everything that was read is written first, and there is a reason to end.
pub fn half_close(world: &mut World, id: usize) {
    let once = world.scenario.config.once;
    let socket = &world.sockets[id];
    let pending = socket.pending();
    let is_asked = may_finish(world, socket);
    let is_due = socket.end == Some(End::OfFile) || once && socket.reads == 1 || is_asked;
    if pending > 0 {
        world.fail(|| format!("socket {id}: the goodbye comes {pending} bytes too early"));
    }
    let is_first = world.sockets[id].ledger.half_closed_at.is_none();
    if !is_due && is_first {
        world.fail(|| format!("socket {id}: a goodbye for no reason"));
    }
    let socket = &world.sockets[id];
    let stopped = world.is_stopping() && socket.end.is_none() && !once && is_first;
    if stopped && !socket.ledger.may_end_idle && !socket.ledger.is_drained_since_stop {
        world.fail(|| format!("socket {id}: a goodbye before what had arrived was echoed"));
    }
    if once && world.sockets[id].end.is_none() {
        world.coverage.note(Feature::OnceClosedFirst);
    }
}

/// A connection may be refused only where there is no room for it.
pub fn refused(world: &mut World, id: usize, why: Refusal) {
    let config = &world.scenario.config;
    let others = world.accepted.iter().filter(|other| **other != id);
    let (socket, is_tcp) = (&world.sockets[id], world.sockets[id].is_tcp);
    let of_ip =
        |other: &&usize| world.sockets[**other].is_tcp && world.sockets[**other].ip == socket.ip;
    let is_lawful = match why {
        Refusal::MaxConnections => others.count() >= config.max_connections,
        Refusal::MaxPerIp => {
            is_tcp && config.max_per_ip.is_some_and(|most| others.filter(of_ip).count() >= most)
        }
        Refusal::RegisterFailed => socket.ledger.fails_to_register,
        Refusal::NoMemory => false,
    };
    world.coverage.note(feature(why));
    if !is_lawful || socket.ledger.is_registered {
        world.fail(|| format!("socket {id}: refused for no reason: {why}"));
    }
}

/// A connection may be closed only for the reason that is told, and only if that is true.
pub fn closed(world: &mut World, id: usize, why: &Closed) {
    let socket = &world.sockets[id];
    let ledger = &socket.ledger;
    let owed = if ledger.half_closed_at.is_some() { ledger.owed } else { socket.read };
    let stall = world.scenario.config.stall_timeout;
    let has_parted = ledger.half_closed_at.is_some() && may_close_lingering(world, socket);
    let is_finished =
        socket.end == Some(End::OfFile) && (ledger.half_closed_at.is_some() || may_abort(world));
    let is_cut = may_abort(world) && socket.end.is_none();
    let (is_lawful, feature) = match why {
        Closed::Finished => (is_finished && socket.written == owed, Feature::Finished),
        Closed::Failed(e) => (socket.end == Some(End::Error(e.kind())), Feature::Failed),
        Closed::Stalled => {
            // If there is room, however little, it has moved.
            let stalled = socket.free() == 0 && may_be_over(world, socket, stall);
            (socket.pending() > 0 && stalled, Feature::Stalled)
        }
        Closed::Idle => (
            ledger.may_end_idle && (has_parted || is_finished || is_cut && socket.pending() == 0),
            Feature::ClosedIdle,
        ),
        Closed::ByServer => {
            (has_parted || is_cut && socket.pending() == 0, Feature::ClosedByServer)
        }
        Closed::Aborted => {
            let is_short = may_abort(world) && socket.read > socket.written;
            (is_short && !matches!(socket.end, Some(End::Error(_))), Feature::ClosedAborted)
        }
    };
    world.coverage.note(feature);
    if !is_lawful {
        let socket = world.sockets[id].to_string();
        world.fail(|| format!("socket {id}: closed as {why:?}, which is not so\n{socket}"));
    }
}

/// Whether a peer that was told goodbye may be closed: it has everything, or has taken nothing for long. If it
/// sent anything after that, the rest would be lost.
fn may_close_lingering(world: &World, socket: &Socket) -> bool {
    let (clock, ledger) = (&world.clock, &socket.ledger);
    let rests = clock.since(ledger.last_active).min(clock.since(ledger.last_taken));
    match socket.unacknowledged() {
        0 => may_be_over(world, socket, Some(LINGER)),
        _ => world.scenario.config.stall_timeout.is_some_and(|stall| rests >= stall),
    }
}

/// Whether the server's patience with all may be over.
fn may_abort(world: &World) -> bool {
    world.has_stopped_for(world.scenario.config.drain_timeout)
}

/// Whoever was sent less than was read from it is counted, unless it or the network broke off, and so is whoever
/// still had something to say when the server closed. Nobody else is.
pub fn counted(world: &mut World, id: usize, why: &Closed, is_cut: bool) {
    let socket = &world.sockets[id];
    let is_short = socket.read > socket.written;
    let is_unheard = socket.arrived > socket.read && !socket.ledger.is_interrupted;
    let by_server = matches!(why, Closed::ByServer | Closed::Idle | Closed::Aborted);
    if is_cut != (is_short && !matches!(why, Closed::Failed(_))) {
        let socket = socket.to_string();
        world.fail(|| format!("socket {id}: closed as {why:?}, cut: {is_cut}\n{socket}"));
    } else if by_server && is_unheard && !is_cut {
        let socket = socket.to_string();
        world.fail(|| format!("socket {id}: closed as {why:?}, unheard, uncounted\n{socket}"));
    }
    if is_cut {
        let is_known = matches!(why, Closed::Aborted | Closed::Stalled);
        let feature = if is_known { Feature::CutAtDeadline } else { Feature::CutWhileSending };
        world.coverage.note(feature);
    }
}

/// How many more calls than usual the server may make in a turn: one for a look, without an event, at a connection that
/// may be given up, and one for a last read of a connection that it aborts after such a look.
pub fn extra_calls(world: &World, id: usize) -> usize {
    if may_abort(world) {
        return 2;
    }
    let socket = &world.sockets[id];
    let is_stuck = socket.pending() > 0 || socket.ledger.is_flushed;
    let is_looked_at = is_stuck && world.scenario.config.stall_timeout.is_some();
    usize::from(is_looked_at || socket.ledger.half_closed_at.is_some())
}

/// Whoever waits to be accepted when the server stops is accepted, if at all possible.
pub fn listener_closed(world: &mut World, listener: usize) {
    let listening = &world.listeners[listener];
    let queued = listening.queue.len();
    if !listening.has_failed && world.accepted.len() < world.descriptors && queued > 0 {
        world.fail(|| format!("listener {listener}: closed while {queued} wait"));
    }
}
