//! Peers that do what nobody expects.

use std::time::{Duration, Instant};

use rustix::net::{SendFlags, send};

use super::super::bench::{Bench, PeerId};
use super::super::case::{Case, Finding, Need, Severity};
use super::super::problem::{Problem, Symptom};
use crate::text::format::elapsed;

/// More than the buffers of both ends hold on loopback.
const MUCH: usize = 4 << 20;

/// Given between two connections, so that a short accept queue does not fill: what happens then is another case's matter.
const ACCEPT_TIME: Duration = Duration::from_millis(5);

const OWN: &str = "A peer's fault ends that peer's connection, and nothing else.";
const FAIR: &str =
    "A server that serves one client for as long as it sends keeps all others waiting.";
const URGENT: &str =
    "Urgent data marks a place in the stream: a read stops there, and more bytes follow.";

pub(super) const CASES: &[Case] = &[
    case(
        "hostile/reset",
        "A reset in the middle of an echo ends nothing but its own connection.",
        reset,
        OWN,
    ),
    case(
        "hostile/reset-at-once",
        "A reset right after the connection ends nothing else.",
        reset_at_once,
        OWN,
    ),
    case(
        "hostile/unread",
        "A client that goes away without reading ends nothing else.",
        unread,
        OWN,
    ),
    case("hostile/silent", "Twenty silent clients hold nobody up.", silent, OWN),
    case(
        "hostile/flood",
        "While one client sends as fast as it can, others are served.",
        flood,
        FAIR,
    ),
    case("hostile/urgent", "An urgent byte does not hold up what follows it.", urgent, URGENT),
];

const fn case(
    id: &'static str,
    expectation: &'static str,
    run: fn(&mut Bench<'_>) -> Result<Finding, Problem>,
    rationale: &'static str,
) -> Case {
    let severity = Severity::Good;
    Case { id, level: 6, severity, expectation, rationale, needs: Need::Nothing, run }
}

fn expect_service(bench: &mut Bench<'_>) -> Result<PeerId, Problem> {
    let peer = bench.connect()?;
    bench.exchange(peer, b"still there?\n")?;
    Ok(peer)
}

fn reset(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let bystander = expect_service(bench)?;
    for _ in 0..10 {
        let peer = bench.connect()?;
        let bytes = bench.random(MUCH);
        bench.peer(peer).allow(0);
        bench.send(peer, &bytes);
        bench.run_for(Duration::from_millis(20));
        bench.reset(peer);
        bench.exchange(bystander, b"still here?\n")?;
    }
    expect_service(bench)?;
    Ok(Finding::Fine)
}

fn reset_at_once(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    for _ in 0..20 {
        let peer = bench.connect()?;
        bench.reset(peer);
        bench.run_for(ACCEPT_TIME);
    }
    expect_service(bench)?;
    Ok(Finding::Fine)
}

fn unread(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let bystander = expect_service(bench)?;
    for _ in 0..10 {
        let peer = bench.connect()?;
        bench.peer(peer).allow(0);
        let bytes = bench.random(100_000);
        bench.send(peer, &bytes);
        bench.run(&[peer], |bench| bench.peer(peer).is_sent());
        bench.drop_peer(peer);
        bench.run_for(ACCEPT_TIME);
    }
    bench.exchange(bystander, b"still here?\n")?;
    expect_service(bench)?;
    Ok(Finding::Fine)
}

fn silent(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    for _ in 0..20 {
        bench.connect()?;
        bench.run_for(ACCEPT_TIME);
    }
    expect_service(bench)?;
    Ok(Finding::Fine)
}

/// The time between two echoes of the bystander shows how long the server stays with the flooders. If it has a processor of
/// its own, even a greedy server can keep up with them, and finds nothing to read now and then.
fn flood(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let _shared = bench.share_processor();
    let bystander = expect_service(bench)?;
    let mut longest = Duration::ZERO;
    for much in [MUCH, MUCH / 4, 2 * MUCH] {
        let flooders = [bench.connect()?, bench.connect()?];
        for flooder in flooders {
            let bytes = bench.random(much);
            bench.peer(flooder).flood();
            bench.send(flooder, &bytes);
        }
        for _ in 0..8 {
            bench.run_for(Duration::from_millis(10));
            let began = Instant::now();
            bench.exchange(bystander, b"still here?\n")?;
            longest = longest.max(began.elapsed());
        }
        flooders.iter().for_each(|flooder| bench.drop_peer(*flooder));
    }
    Ok(Finding::Note(format!("the longest echo of another client took {}", elapsed(longest))))
}

/// Some good servers and runtimes take a short read for a drained socket. So a stall proves little.
fn urgent(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let peer = bench.connect()?;
    bench.exchange(peer, b"before\n")?;
    if send(&bench.peer(peer).socket, b"!", SendFlags::OOB).is_err() {
        return Ok(Finding::Inconclusive("this kind of connection has no urgent data".into()));
    }
    bench.send(peer, b"after\n");
    match bench.await_echo(peer) {
        Ok(()) => Ok(Finding::Fine),
        // The urgent byte itself may come back among the others, or not.
        Err(problem) => match problem.symptom {
            Symptom::Silent { .. } => Ok(Finding::Inconclusive(
                "the bytes after an urgent one did not come back: some good servers do that too"
                    .into(),
            )),
            Symptom::Wrong { .. } | Symptom::Surplus { .. } => {
                Ok(Finding::Note("the urgent byte came back within the stream".into()))
            }
            _ => Err(problem),
        },
    }
}
