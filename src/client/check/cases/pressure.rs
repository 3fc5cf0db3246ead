//! What a server does with a peer that does not read.

use std::time::Duration;

use super::super::bench::Bench;
use super::super::case::{Case, Finding, Need, Severity};
use super::super::problem::{Problem, Symptom};
use crate::text::format::byte_rate;

/// More than the buffers of both ends hold on loopback.
const MUCH: usize = 16 << 20;

/// More than any server needs to take of what is not read.
const FAR_TOO_MUCH: usize = 96 << 20;
const TOO_MUCH: usize = 64 << 20;

const KEEP: &str =
    "A write can take less than it was given. The rest must be kept, and sent once there is room.";
const RESUME: &str = "A server that stops reading must notice when it may go on.";
const OTHERS: &str = "A peer that does not read is its own fault, and no one else's.";
const BOUND: &str = "What a server takes and cannot send fills its memory. It must stop reading, so that TCP holds the sender back.";

pub(super) const CASES: &[Case] = &[
    case(
        "pressure/read-late",
        "A client that writes until nothing more is taken, and reads then, gets everything.",
        Severity::Rfc862,
        read_late,
        KEEP,
    ),
    case(
        "pressure/read-slowly",
        "A client that reads slowly gets everything.",
        Severity::Rfc862,
        read_slowly,
        KEEP,
    ),
    case(
        "pressure/again",
        "A client that stops reading again and again gets everything.",
        Severity::Rfc862,
        again,
        RESUME,
    ),
    case(
        "pressure/others",
        "While clients do not read, others are served.",
        Severity::Good,
        others,
        OTHERS,
    ),
    case(
        "pressure/bounded",
        "A server does not take without an end what is not read.",
        Severity::Good,
        bounded,
        BOUND,
    ),
];

const fn case(
    id: &'static str,
    expectation: &'static str,
    severity: Severity,
    run: fn(&mut Bench<'_>) -> Result<Finding, Problem>,
    rationale: &'static str,
) -> Case {
    Case { id, level: 5, severity, expectation, rationale, needs: Need::Nothing, run }
}

fn read_late(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let peer = bench.connect()?;
    bench.fill(peer, MUCH)?;
    bench.peer(peer).forget_unsent();
    bench.run_for(Duration::from_millis(50));
    bench.set_reading(peer, true);
    bench.await_echo(peer)?;
    Ok(Finding::Fine)
}

fn read_slowly(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let peer = bench.connect()?;
    bench.fill(peer, MUCH)?;
    bench.read_slowly_until(peer, |peer| peer.is_sent());
    bench.set_reading(peer, true);
    bench.await_echo(peer)?;
    Ok(Finding::Fine)
}

fn again(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let peer = bench.connect()?;
    for _ in 0..3 {
        bench.fill(peer, MUCH)?;
        bench.peer(peer).forget_unsent();
        bench.set_reading(peer, true);
        bench.await_echo(peer)?;
    }
    // It reads on after that, too.
    bench.exchange(peer, b"still there?\n")?;
    Ok(Finding::Fine)
}

fn others(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    for _ in 0..2 {
        let stuck = bench.connect()?;
        bench.fill(stuck, MUCH)?;
    }
    let peer = bench.connect()?;
    for message in [&b"one\n"[..], b"two\n", b"three\n"] {
        bench.exchange(peer, message)?;
    }
    Ok(Finding::Fine)
}

fn bounded(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let peer = bench.connect()?;
    let taken = bench.fill(peer, FAR_TOO_MUCH)?;
    if taken > TOO_MUCH {
        let symptom = Symptom::Unbounded { taken };
        return Err(Problem::on(peer, bench.peer(peer), symptom));
    }
    let taken = byte_rate(taken as f64);
    Ok(Finding::Note(format!(
        "it took {} before it held the client back",
        taken.trim_end_matches("/s")
    )))
}
