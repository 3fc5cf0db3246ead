//! Who may connect, and how often: the laws for `--allow`, `--deny` and the rates at which the server accepts.
//!
//! The server judges the client first, by its address and then by its rate, and then the rate of all connections. What a
//! connection has taken of a rate stays taken if a later limit refuses it. The client of a proxy is judged when its header
//! names it.

use resound::observe::Refusal;

use crate::coverage::Feature;
use crate::endpoints::Network;
use crate::rates::Buckets;
use crate::socket::Socket;
use crate::world::World;

/// What the rates of a server have left.
#[derive(Debug, Default)]
pub struct Gate {
    all: Buckets<()>,
    each: Buckets<Network>,
}

/// Whether a client may not connect.
pub fn is_barred(world: &World, socket: &Socket) -> bool {
    let bars = |Network(client)| world.scenario.lists.bars(client.ip);
    socket.network().is_some_and(bars)
}

/// Whether a client is not among those that may connect.
pub fn is_unlisted(world: &World, socket: &Socket) -> bool {
    let is_unlisted = |Network(client)| world.scenario.lists.unlisted.contains(&client.ip);
    socket.network().is_some_and(is_unlisted)
}

/// Whether the gate may refuse a connection for this reason.
pub fn may_refuse(world: &World, socket: &Socket, why: Refusal) -> bool {
    let (config, gate, now) = (&world.scenario.config, &world.gate, world.clock.served);
    match why {
        Refusal::Denied => is_barred(world, socket),
        Refusal::AcceptRate => {
            config.accept_rate.is_some_and(|rate| gate.all.is_empty((), rate, now))
        }
        Refusal::AcceptRatePerIp => {
            let limit = config.accept_rate_per_ip.zip(socket.network());
            limit.is_some_and(|(rate, network)| gate.each.is_empty(network, rate, now))
        }
        _ => false,
    }
}

/// Whether the gate refuses a connection for this reason: with a reset, so that the system remembers nothing of it.
pub fn is_of_gate(why: Refusal) -> bool {
    use Refusal::{AcceptRate, AcceptRatePerIp, Denied};
    matches!(why, Denied | AcceptRate | AcceptRatePerIp)
}

/// A refused connection has taken what it had passed before.
pub fn refused(world: &mut World, id: usize, why: Refusal) {
    match why {
        Refusal::UnknownProxy | Refusal::Denied | Refusal::AcceptRatePerIp => return,
        Refusal::MaxConnections | Refusal::MaxPerIp if !world.sockets[id].ledger.is_registered => {
            pass_all(world, id);
        }
        _ => {}
    }
    pass_client(world, id);
}

/// A client has passed the lists and its own rate. Both must have let it in.
pub fn pass_client(world: &mut World, id: usize) {
    let socket = &world.sockets[id];
    let Some(network) = socket.network() else { return };
    if is_barred(world, socket) {
        world.fail(|| format!("socket {id}: let in, though it may not connect"));
    }
    let Some(rate) = world.scenario.config.accept_rate_per_ip else { return };
    if world.gate.each.was_empty(network) {
        world.coverage.note(Feature::ClientRateRefilled);
    }
    if !world.gate.each.take(network, rate, world.clock.served) {
        world.fail(|| format!("socket {id}: {network:?} gets more than its rate, {rate} a second"));
    }
}

/// A connection has passed the rate of all, which must have let it in.
pub fn pass_all(world: &mut World, id: usize) {
    let Some(rate) = world.scenario.config.accept_rate else { return };
    if world.gate.all.was_empty(()) {
        world.coverage.note(Feature::RateRefilled);
    }
    if !world.gate.all.take((), rate, world.clock.served) {
        world.fail(|| format!("socket {id}: let in beyond the rate of {rate} a second"));
    }
}
