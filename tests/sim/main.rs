//! The real reactor and the real server in a simulated world: a seed decides what its listeners, streams and clock do.
//!
//! `cargo test --test sim` runs many seeds. With `RESOUND_SEED=7` it repeats one, and with `RESOUND_SOAK=60s` (or `5m`)
//! it runs new seeds for that time.
//!
//! The modules stand in reading order: what a seed decides, what the kernel and the peers do, what the server may do,
//! and a run of all that.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[path = "../support/soak.rs"]
mod soak;

#[allow(dead_code, reason = "each user of the kit needs a part of it")]
#[path = "../kit/mod.rs"]
mod kit;

mod clock;
mod coverage;
mod access;
mod scenario;
mod grammar;
mod header;
mod requests;
mod socket;
mod endpoints;
mod rates;
mod world;
mod gate;
mod laws;
mod proxied;
mod datagrams;
mod metrics;
mod syscalls;
mod fakes;
mod udp;
mod web;
mod checks;
mod run;
mod display;
mod shrink;

use coverage::Coverage;
use shrink::{Shrunk, try_seed};

const SEEDS: u64 = 500;
const STEPS: usize = 2_000;
const THREADS: usize = 2;

#[test]
fn the_simulated_server_keeps_its_promises() {
    let outcome = match (std::env::var("RESOUND_SEED").ok(), soak::asked_for()) {
        (Some(seed), _) => try_seed(seed.parse().expect("RESOUND_SEED is a number"), STEPS),
        (None, Some(time)) => soak(time),
        (None, None) => try_many(0, |seed| seed < SEEDS),
    };
    match outcome {
        Ok(coverage) => println!("{coverage}"),
        Err(shrunk) => panic!("{shrunk}"),
    }
}

/// A simulation proves nothing about a case that it never reaches.
#[test]
fn the_simulation_reaches_every_feature() {
    let coverage =
        try_many(10_000, |seed| seed < 10_060).unwrap_or_else(|shrunk| panic!("{shrunk}"));
    assert_eq!(coverage.missing(), [], "of {coverage}");
}

#[test]
fn a_seed_repeats_its_run() {
    let once = try_seed(3, STEPS).unwrap_or_else(|shrunk| panic!("{shrunk}"));
    let again = try_seed(3, STEPS).unwrap_or_else(|shrunk| panic!("{shrunk}"));
    assert_eq!(once, again);
}

fn soak(time: Duration) -> Result<Coverage, Box<Shrunk>> {
    let until = Instant::now() + time;
    let first = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    try_many(first << 20, |_| Instant::now() < until)
}

/// Runs seeds from `first` on while `goes_on`. The first failure ends it.
fn try_many(first: u64, goes_on: impl Fn(u64) -> bool + Sync) -> Result<Coverage, Box<Shrunk>> {
    let next = AtomicU64::new(first);
    let has_failed = AtomicBool::new(false);
    let outcome = Mutex::new(Ok(Coverage::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if has_failed.load(Ordering::Relaxed) || !goes_on(seed) {
                return;
            }
            let result = try_seed(seed, STEPS);
            has_failed.fetch_or(result.is_err(), Ordering::Relaxed);
            let mut outcome = outcome.lock().expect("no thread panics while it holds the lock");
            match (&mut *outcome, result) {
                (Ok(sum), Ok(coverage)) => sum.add(&coverage),
                (Ok(_), Err(shrunk)) => *outcome = Err(shrunk),
                (Err(_), _) => {}
            }
        }
    };
    thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(work))));
    outcome.into_inner().expect("no thread panics while it holds the lock")
}
