//! What a seed decides before the first step: the server's limits, the fault rates, and the mix of peers.

use std::time::Duration;

use resound::net::parse_network;
use resound::server::Config;

use crate::access::{AccessLists, OPEN, RESTRICTED};
use crate::kit::rng::Rng;

/// Rare, since steps with it take longer.
const LARGE_BUFFER_BYTES: usize = 64 * 1024;

/// Listeners: over TCP, over a Unix socket, and one whose peers are proxies.
pub const LISTENERS: usize = 3;

/// The listener whose peers are proxies, over either.
pub const PROXIED: usize = 2;

/// Sources beside the listeners and connections: the metrics, and two UDP sockets.
pub const SERVICES: usize = 3;

/// The last byte of the address of each known proxy.
pub const KNOWN_PROXIES: [u8; 4] = [0, 1, 2, 3];

#[derive(Clone, Debug)]
pub struct Scenario {
    pub config: Config,
    /// Which clients may connect, as `config` has it.
    pub lists: AccessLists,
    pub backlog: usize,
    pub queues: [Queue; LISTENERS],
    /// Whether proxies connect over TCP.
    pub are_proxies_tcp: bool,
    /// Whether the server serves metrics.
    pub has_metrics: bool,
    /// Whether the server answers datagrams, and how many of one source in a second.
    pub has_udp: bool,
    pub udp_rate: f64,
    pub fault_rates: FaultRates,
    pub peer_mix: PeerMix,
    pub pace: Pace,
}

/// Whose a listener's accept queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    Own,
    /// Others move connections into it, sometimes without an event.
    Shared,
    /// It outlives the server, and the next server has it too.
    Inherited,
}

/// How likely each fault is, of 1024 chances.
#[derive(Clone, Debug)]
pub struct FaultRates {
    /// A system call is interrupted.
    pub interrupted: u32,
    /// A read or a write is cut short.
    pub cut: u32,
    /// Something arrives between two system calls.
    pub meanwhile: u32,
    /// A reset arrives between two system calls.
    pub reset: u32,
    /// An event comes a turn later.
    pub withheld: u32,
    /// An event comes for no reason.
    pub spurious: u32,
    /// A socket cannot be registered.
    pub register_fails: u32,
    /// No event comes for a connection that joins a shared accept queue.
    pub unreported: u32,
}

/// What most peers do.
#[derive(Clone, Copy, Debug)]
pub enum PeerMix {
    Mixed,
    /// They come and go.
    Fleeting,
    /// They send more than they take.
    Greedy,
    /// They send all the time.
    Steady,
}

/// How fast the time passes.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    Still,
    Slow,
    Fast,
    /// A little in each step, so that a peer can be slow without a stall.
    Even,
}

impl Scenario {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5ce4_a110);
        let config = config(&mut rng);
        let lists = if rng.below(4) == 0 { rng.pick(&RESTRICTED) } else { OPEN };
        Self {
            backlog: backlog(&mut rng),
            fault_rates: fault_rates(&mut rng),
            peer_mix: rng.pick(&[
                PeerMix::Mixed,
                PeerMix::Fleeting,
                PeerMix::Greedy,
                PeerMix::Steady,
            ]),
            pace: rng.pick(&[Pace::Still, Pace::Slow, Pace::Fast, Pace::Even]),
            are_proxies_tcp: rng.below(4) > 0,
            has_metrics: rng.below(4) == 0,
            has_udp: rng.below(2) == 0,
            udp_rate: rng.pick(&[5.0, 300.0, 10_000.0, 1e6]),
            queues: [(); LISTENERS]
                .map(|()| rng.pick(&[Queue::Own, Queue::Own, Queue::Shared, Queue::Inherited])),
            lists,
            config: Config {
                access: lists.access(),
                accept_rate: accept_rate(&mut rng),
                accept_rate_per_ip: accept_rate(&mut rng),
                ..config
            },
        }
    }

    /// The most bytes that the server reads at once while nothing is pending.
    pub fn unit(&self) -> u64 {
        let config = &self.config;
        config.buffer_bytes.min(config.pending_limit_bytes / 2).max(1) as u64
    }
}

fn backlog(rng: &mut Rng) -> usize {
    let most = rng.pick(&[16, 16, 16, 256]);
    rng.size(1, most) as usize
}

fn config(rng: &mut Rng) -> Config {
    let max_connections = rng.size(1, 32) as usize;
    let buffer_bytes = match rng.below(16) {
        0 => 1,
        1 => LARGE_BUFFER_BYTES,
        _ => rng.size(16, 4096) as usize,
    };
    let least = 2 * max_connections;
    let pending_limit_bytes = match rng.below(4) {
        0 => least + rng.index(3 * least),
        _ => least + buffer_bytes * rng.size(2, 64) as usize,
    };
    let config = Config {
        max_connections,
        max_per_ip: (rng.below(3) == 0).then(|| rng.size(1, 6) as usize),
        idle_timeout: (rng.below(2) == 0).then(|| timeout(rng)),
        stall_timeout: (rng.below(3) > 0).then(|| timeout(rng)),
        drain_delay: if rng.below(4) == 0 { timeout(rng) } else { Duration::ZERO },
        drain_timeout: if rng.below(8) == 0 { Duration::ZERO } else { timeout(rng) },
        buffer_bytes,
        pending_limit_bytes,
        spin: (rng.below(8) == 0).then(|| Duration::from_micros(50)),
        once: rng.below(8) == 0,
        ..Config::default()
    };
    Config { proxies: parse_network("127.0.0.0/30").into_iter().collect(), ..config }
}

fn accept_rate(rng: &mut Rng) -> Option<f64> {
    (rng.below(6) == 0).then(|| rng.pick(&[0.2, 3.0, 50.0, 1_200.0]))
}

fn timeout(rng: &mut Rng) -> Duration {
    Duration::from_millis(rng.size(20, 8_000))
}

fn fault_rates(rng: &mut Rng) -> FaultRates {
    let mut often = || rng.pick(&[0, 0, 10, 100, 300]);
    let [interrupted, cut, meanwhile, withheld, spurious] = [(); 5].map(|()| often());
    let reset = rng.pick(&[0, 0, 0, 1, 4]);
    let unreported = rng.pick(&[100, 500]);
    let register_fails = rng.pick(&[0, 0, 0, 30]);
    FaultRates {
        interrupted,
        cut,
        meanwhile,
        reset,
        withheld,
        spurious,
        register_fails,
        unreported,
    }
}
