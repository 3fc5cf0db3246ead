//! What can happen, and the story that a seed makes of it: a list of steps.
//!
//! The whole story is made before the run begins. Each peer in it is a number that always means one of those present, so
//! a story still works if steps are left out.

use std::time::Duration;

use rustix::io::Errno;

use crate::datagrams::SOCKETS;
use crate::kit::rng::Rng;
use crate::scenario::{LISTENERS, Pace, PeerMix, Scenario};

/// An action, and then some turns of the server. Before the first of them, `passes` passes.
#[derive(Clone, Debug)]
pub struct Step {
    pub action: Action,
    pub passes: Duration,
    pub turns: u8,
    /// Decides about faults in this step. Each step has its own seed, so that the others stay the same if it is left
    /// out.
    pub seed: u32,
}

/// Which peer: taken modulo the number of those present.
pub type PeerIndex = u16;

#[derive(Clone, Debug)]
pub enum Action {
    Connect {
        listener: usize,
        ip: u8,
        receive_space: u64,
        send_space: u64,
    },
    /// Many peers connect at once.
    ConnectMany {
        listener: usize,
        peers: u8,
    },
    Send {
        peer: PeerIndex,
        bytes: u64,
    },
    /// A proxy sends more of its header.
    SendHeader {
        peer: PeerIndex,
        bytes: u16,
    },
    /// A peer sends all that it may have on the way.
    Flood {
        peer: PeerIndex,
    },
    /// A byte out of band.
    Urgent {
        peer: PeerIndex,
    },
    StopReading {
        peer: PeerIndex,
    },
    ResumeReading {
        peer: PeerIndex,
    },
    /// From now on, the peer reads little at a time.
    ReadSlowly {
        peer: PeerIndex,
    },
    HalfClose {
        peer: PeerIndex,
    },
    Close {
        peer: PeerIndex,
    },
    Reset {
        peer: PeerIndex,
        error: Errno,
    },
    Vanish {
        peer: PeerIndex,
    },
    /// In the next turns, no event is delivered and nothing arrives.
    Quiet,
    Datagrams {
        socket: usize,
        count: u8,
    },
    ReceiveFails {
        socket: usize,
        error: Errno,
        times: u8,
    },
    /// A client of the metrics connects, and sends the beginning of its request.
    Scrape {
        bytes: u16,
    },
    /// Many clients of the metrics come at once, some of which send too little.
    Scrapes,
    SendRequest {
        peer: PeerIndex,
        bytes: u16,
    },
    /// A client of the metrics ends its direction, or closes.
    LeaveScrape {
        peer: PeerIndex,
        closes: bool,
    },
    /// Only `spare` descriptors are left.
    LimitDescriptors {
        spare: u8,
    },
    RestoreDescriptors,
    AcceptFails {
        listener: usize,
        error: Errno,
        times: u8,
    },
    /// The server is asked to stop, or, if it is stopping, to stop at once.
    Stop,
}

/// Errors of accept(2) that concern one connection, and those that concern the machine.
pub const PER_CONNECTION: [Errno; 4] = [Errno::CONNABORTED, Errno::PROTO, Errno::INTR, Errno::PERM];
const EXHAUSTION: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];

/// Errors of recvmsg(2): what the network says of earlier answers, and the machine's.
const RECEIVE_FAILS: [Errno; 3] = [Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::NOMEM];

pub fn story(seed: u64, steps: usize, scenario: &Scenario) -> Vec<Step> {
    let mut rng = Rng::new(seed);
    (0..steps).map(|_| step(&mut rng, scenario)).collect()
}

fn step(rng: &mut Rng, scenario: &Scenario) -> Step {
    let action = action(rng, scenario);
    let turns = match action {
        Action::Quiet => 2 + rng.below(5) as u8,
        _ => rng.pick(&[0, 1, 1, 1, 1, 1, 1, 2]),
    };
    Step { action, passes: passes(rng, scenario.pace), turns, seed: rng.next() as u32 }
}

fn passes(rng: &mut Rng, pace: Pace) -> Duration {
    let (none_of_64, little_of_64) = match pace {
        Pace::Still => (62, 1),
        Pace::Slow => (44, 16),
        Pace::Fast => (20, 30),
        Pace::Even => return rng.millis(0, 30),
    };
    match rng.below(64) {
        n if n < none_of_64 => Duration::ZERO,
        n if n < none_of_64 + little_of_64 => Duration::from_micros(rng.size(1, 20_000)),
        _ if rng.below(16) > 0 => rng.millis(1, 1_000),
        // Longer than any timeout, as if the process was suspended.
        _ => Duration::from_secs(rng.size(12, 100_000)),
    }
}

fn action(rng: &mut Rng, scenario: &Scenario) -> Action {
    //           connect send flood urgent stop resume half close reset vanish quiet slow header scrape datagram
    let weights: [u64; 17] = match scenario.peer_mix {
        PeerMix::Mixed => [12, 30, 2, 1, 4, 8, 3, 2, 1, 1, 6, 2, 8, 2, 2, 1, 4],
        PeerMix::Fleeting => [30, 30, 1, 1, 1, 2, 12, 6, 6, 1, 5, 1, 12, 4, 4, 1, 4],
        PeerMix::Greedy => [8, 30, 8, 1, 12, 10, 2, 1, 1, 2, 5, 4, 4, 1, 1, 1, 4],
        PeerMix::Steady => [4, 60, 2, 1, 2, 4, 1, 0, 0, 0, 10, 4, 4, 1, 1, 1, 4],
    };
    if rng.below(24) == 0 {
        return rare(rng);
    }
    let mut at = rng.below(weights.iter().sum());
    let what = weights.iter().position(|weight| match at.checked_sub(*weight) {
        Some(rest) => {
            at = rest;
            false
        }
        None => true,
    });
    usual(what.unwrap_or(0), rng, scenario)
}

fn usual(what: usize, rng: &mut Rng, scenario: &Scenario) -> Action {
    let peer = rng.next() as PeerIndex;
    match what {
        0 => connect(rng, scenario),
        1 => Action::Send { peer, bytes: message(rng, scenario) },
        2 => Action::Flood { peer },
        3 => Action::Urgent { peer },
        4 => Action::StopReading { peer },
        5 => Action::ResumeReading { peer },
        6 => Action::HalfClose { peer },
        7 => Action::Close { peer },
        8 => {
            let error = rng.pick(&[Errno::CONNRESET, Errno::TIMEDOUT, Errno::HOSTUNREACH]);
            Action::Reset { peer, error }
        }
        9 => Action::Vanish { peer },
        11 => Action::ReadSlowly { peer },
        12 => Action::SendHeader { peer, bytes: rng.size(1, 4096) as u16 },
        13 => Action::Scrape { bytes: rng.size(0, 10_000) as u16 },
        14 => Action::SendRequest { peer, bytes: rng.size(1, 10_000) as u16 },
        15 => Action::LeaveScrape { peer, closes: rng.below(2) == 0 },
        16 => Action::Datagrams { socket: rng.index(SOCKETS), count: rng.size(1, 250) as u8 },
        _ => Action::Quiet,
    }
}

fn rare(rng: &mut Rng) -> Action {
    let listener = rng.index(LISTENERS);
    match rng.below(19) {
        0..=3 => Action::LimitDescriptors { spare: rng.below(3) as u8 },
        4..=8 => Action::RestoreDescriptors,
        9..=11 => {
            let times = rng.size(1, 100) as u8;
            Action::AcceptFails { listener, error: rng.pick(&PER_CONNECTION), times }
        }
        12..=14 => {
            let times = rng.size(1, 5) as u8;
            Action::AcceptFails { listener, error: rng.pick(&EXHAUSTION), times }
        }
        15 => Action::ConnectMany { listener, peers: rng.size(1, 200) as u8 },
        16 => Action::Scrapes,
        17 => {
            let times = rng.size(1, 200) as u8;
            let error = rng.pick(&RECEIVE_FAILS);
            Action::ReceiveFails { socket: rng.index(SOCKETS), error, times }
        }
        _ => Action::Stop,
    }
}

fn connect(rng: &mut Rng, scenario: &Scenario) -> Action {
    let most = 8 * scenario.unit();
    Action::Connect {
        listener: rng.index(LISTENERS),
        ip: rng.below(4) as u8,
        receive_space: rng.size(1, most),
        send_space: rng.size(1, most),
    }
}

/// Mostly small, and up to a MiB if the server's buffer is large enough.
fn message(rng: &mut Rng, scenario: &Scenario) -> u64 {
    const MIB: u64 = 1024 * 1024;
    match rng.below(64) {
        0 => rng.size(1, (256 * scenario.unit()).min(MIB)),
        1..=8 => rng.size(1, 8 * scenario.unit()),
        _ => rng.size(1, 2 * scenario.unit()),
    }
}
