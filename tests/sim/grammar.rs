//! What can happen, and how a seed makes a story of it.
//!
//! The whole story is written before it begins, and names peers by a number that always means somebody,
//! so that it can be cut anywhere and still be told.

use std::time::Duration;

use rustix::io::Errno;

use crate::kit::rng::Rng;
use crate::scenario::{Pace, PeerMix, Scenario};

/// Something happens, and then the server takes some turns, after the first of which `passes` is over.
#[derive(Clone, Debug)]
pub struct Step {
    pub action: Action,
    pub passes: Duration,
    pub turns: u8,
    /// What chance does meanwhile, so that leaving a step out changes as little as possible for others.
    pub seed: u32,
}

/// Which peer: taken modulo the number of those that are there.
pub type Who = u16;

#[derive(Clone, Debug)]
pub enum Action {
    Connect {
        listener: usize,
        ip: u8,
        receive_space: u64,
        send_space: u64,
    },
    /// Many at once.
    Rush {
        listener: usize,
        peers: u8,
    },
    Send {
        who: Who,
        bytes: u64,
    },
    /// As much as there is patience for.
    Flood {
        who: Who,
    },
    /// A byte out of band.
    Urgent {
        who: Who,
    },
    StopReading {
        who: Who,
    },
    ReadAgain {
        who: Who,
    },
    /// From now on, it reads little at a time.
    Sip {
        who: Who,
    },
    HalfClose {
        who: Who,
    },
    Close {
        who: Who,
    },
    Reset {
        who: Who,
        error: Errno,
    },
    Vanish {
        who: Who,
    },
    /// No event is told in the next turns, and nothing arrives.
    Quiet,
    /// So many descriptors are left.
    Descriptors {
        spare: u8,
    },
    DescriptorsAgain,
    AcceptFails {
        listener: usize,
        error: Errno,
        times: u8,
    },
    /// The server is asked to stop, or, if it is stopping, to stop at once.
    Stop,
}

/// Errors of accept(2) that concern the one connection, and those that concern the machine.
pub const OF_ONE: [Errno; 4] = [Errno::CONNABORTED, Errno::PROTO, Errno::INTR, Errno::PERM];
const OF_ALL: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];

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
    };
    match rng.below(64) {
        n if n < none_of_64 => Duration::ZERO,
        n if n < none_of_64 + little_of_64 => Duration::from_micros(rng.size(1, 20_000)),
        _ if rng.below(16) > 0 => rng.millis(1, 1_000),
        // Longer than any timeout: the process was stopped.
        _ => Duration::from_secs(rng.size(12, 100_000)),
    }
}

fn action(rng: &mut Rng, scenario: &Scenario) -> Action {
    //           connect send flood urgent stop again half close reset vanish quiet sip
    let weights: [u64; 12] = match scenario.peer_mix {
        PeerMix::Mixed => [12, 30, 2, 1, 4, 8, 3, 2, 1, 1, 6, 2],
        PeerMix::Fleeting => [30, 30, 1, 1, 1, 2, 12, 6, 6, 1, 5, 1],
        PeerMix::Greedy => [8, 30, 8, 1, 12, 10, 2, 1, 1, 2, 5, 4],
        PeerMix::Steady => [4, 60, 2, 1, 2, 4, 1, 0, 0, 0, 10, 4],
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
    let who = rng.next() as Who;
    match what {
        0 => connect(rng, scenario),
        1 => Action::Send { who, bytes: message(rng, scenario) },
        2 => Action::Flood { who },
        3 => Action::Urgent { who },
        4 => Action::StopReading { who },
        5 => Action::ReadAgain { who },
        6 => Action::HalfClose { who },
        7 => Action::Close { who },
        8 => {
            let error = rng.pick(&[Errno::CONNRESET, Errno::TIMEDOUT, Errno::HOSTUNREACH]);
            Action::Reset { who, error }
        }
        9 => Action::Vanish { who },
        11 => Action::Sip { who },
        _ => Action::Quiet,
    }
}

fn rare(rng: &mut Rng) -> Action {
    let listener = rng.index(2);
    match rng.below(17) {
        0..=3 => Action::Descriptors { spare: rng.below(3) as u8 },
        4..=8 => Action::DescriptorsAgain,
        9..=11 => {
            let times = rng.size(1, 100) as u8;
            Action::AcceptFails { listener, error: rng.pick(&OF_ONE), times }
        }
        12..=14 => {
            let times = rng.size(1, 5) as u8;
            Action::AcceptFails { listener, error: rng.pick(&OF_ALL), times }
        }
        15 => Action::Rush { listener, peers: rng.size(1, 200) as u8 },
        _ => Action::Stop,
    }
}

fn connect(rng: &mut Rng, scenario: &Scenario) -> Action {
    let most = 8 * scenario.unit();
    Action::Connect {
        listener: rng.index(2),
        ip: rng.below(4) as u8,
        receive_space: rng.size(1, most),
        send_space: rng.size(1, most),
    }
}

/// Mostly small, and up to a MiB where the server has the buffer for it.
fn message(rng: &mut Rng, scenario: &Scenario) -> u64 {
    const MIB: u64 = 1024 * 1024;
    match rng.below(64) {
        0 => rng.size(1, (256 * scenario.unit()).min(MIB)),
        1..=8 => rng.size(1, 8 * scenario.unit()),
        _ => rng.size(1, 2 * scenario.unit()),
    }
}
