//! Whether a server serves many clients at the same time.

use std::time::{Duration, Instant};

use super::super::bench::{Bench, PeerId};
use super::super::case::{Case, Finding, Need, Severity};
use super::super::problem::Problem;

const ONE: &str = "A server that waits for one client cannot hear the others.";
const QUEUE: &str = "Connections that come together are reported together: one accept for each report is not enough.";
const LEAK: &str = "A server that keeps something of each connection runs out of it.";

pub(super) const CASES: &[Case] = &[
    case(
        "many/second",
        "While one client is connected and silent, another one is served.",
        second,
        ONE,
    ),
    case("many/at-once", "Thirty clients that send at the same time are all served.", at_once, ONE),
    case(
        "many/burst",
        "Connections that come at once, while others are served, are all accepted.",
        burst,
        QUEUE,
    ),
    case("many/churn", "A hundred connections that come and go are all served.", churn, LEAK),
    case("many/mixed", "Bytes of one client never reach another.", mixed, ONE),
];

/// How long a connection may wait for room in the accept queue.
const QUEUE_PATIENCE: Duration = Duration::from_millis(3500);

/// As many as the shortest usual accept queue holds.
const SHORT_QUEUE: usize = 6;

/// What keeps a server busy for a while.
const WORK: usize = 1 << 20;
/// Most servers are done with it by then.
const WORK_TIME: Duration = Duration::from_millis(50);

/// A connection that took longer than this was tried again.
const SYN_TIMEOUT: Duration = Duration::from_millis(900);

const fn case(
    id: &'static str,
    expectation: &'static str,
    run: fn(&mut Bench<'_>) -> Result<Finding, Problem>,
    rationale: &'static str,
) -> Case {
    let severity = Severity::Good;
    Case { id, level: 3, severity, expectation, rationale, needs: Need::Nothing, run }
}

/// Makes connections at once.
fn connect_all(bench: &mut Bench<'_>, n: usize) -> Result<Vec<PeerId>, Problem> {
    let peers = begin_all(bench, n)?;
    await_all(bench, &peers)?;
    Ok(peers)
}

fn begin_all(bench: &mut Bench<'_>, n: usize) -> Result<Vec<PeerId>, Problem> {
    (0..n).map(|_| bench.begin()).collect()
}

/// Waits until all connections are made. If the accept queue is short, the client's system tries some again after a
/// second or three.
fn await_all(bench: &mut Bench<'_>, peers: &[PeerId]) -> Result<(), Problem> {
    let (began, patience) = (Instant::now(), bench.patience);
    bench.patience = QUEUE_PATIENCE;
    bench.run(peers, |bench| peers.iter().all(|peer| bench.peer(*peer).is_connected));
    bench.patience = patience;
    if began.elapsed() > SYN_TIMEOUT {
        // The queue was too short for all. One that it had no room for at the end of the handshake tries its first bytes
        // again after three seconds, since it has no measure of the way.
        bench.patience = patience.max(QUEUE_PATIENCE);
    }
    peers.iter().try_for_each(|peer| bench.await_connection(*peer))
}

fn second(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let silent = bench.connect()?;
    let other = bench.connect()?;
    bench.exchange(other, b"second\n")?;
    // The first is still served.
    bench.exchange(silent, b"first\n")?;
    Ok(Finding::Fine)
}

fn at_once(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let peers = connect_all(bench, 30)?;
    for round in 0..3 {
        for (n, peer) in peers.iter().enumerate() {
            bench.send(*peer, format!("client {n} round {round}\n").as_bytes());
        }
        bench.await_echoes(&peers)?;
    }
    Ok(Finding::Fine)
}

/// Others keep the server busy meanwhile, so that it finds several connections at once: what becomes of those is not
/// judged here. None of the connections sends before all are there, so that no event of theirs helps the server to the
/// next.
fn burst(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    for _ in 0..3 {
        let busy = connect_all(bench, 3)?;
        for peer in &busy {
            let work = bench.random(WORK);
            bench.send(*peer, &work);
        }
        bench.run_once();
        let peers = begin_all(bench, SHORT_QUEUE)?;
        await_all(bench, &peers)?;
        bench.run_for(WORK_TIME);
        busy.into_iter().for_each(|peer| bench.drop_peer(peer));
        peers.iter().for_each(|peer| bench.send(*peer, b"all here\n"));
        bench.await_echoes(&peers)?;
    }
    Ok(Finding::Fine)
}

fn churn(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    for n in 0..100 {
        let peer = bench.connect()?;
        bench.exchange(peer, format!("{n}\n").as_bytes())?;
        bench.drop_peer(peer);
    }
    Ok(Finding::Fine)
}

fn mixed(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let peers = connect_all(bench, 10)?;
    for peer in &peers {
        let bytes = bench.random(50_000);
        bench.send(*peer, &bytes);
    }
    bench.await_echoes(&peers)?;
    Ok(Finding::Fine)
}
