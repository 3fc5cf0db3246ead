//! Whether a server serves many clients at the same time.

use std::time::Duration;

use rustix::process::Signal;

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
    case("many/burst", "Thirty connections that come at once are all accepted.", burst, QUEUE),
    case("many/churn", "A hundred connections that come and go are all served.", churn, LEAK),
    case("many/mixed", "Bytes of one client never reach another.", mixed, ONE),
];

/// How long a connection may wait for room in the accept queue.
const QUEUE_PATIENCE: Duration = Duration::from_millis(3500);

const fn case(
    id: &'static str,
    expectation: &'static str,
    run: fn(&mut Bench<'_>) -> Result<Finding, Problem>,
    rationale: &'static str,
) -> Case {
    let severity = Severity::Good;
    Case { id, level: 3, severity, expectation, rationale, needs: Need::Nothing, run }
}

/// Makes connections at once. If the accept queue is short, the client's system tries some again after a second or three.
fn connect_all(bench: &mut Bench<'_>, n: usize) -> Result<Vec<PeerId>, Problem> {
    let peers = (0..n).map(|_| bench.begin()).collect::<Result<Vec<_>, _>>()?;
    let patience = std::mem::replace(&mut bench.patience, QUEUE_PATIENCE);
    bench.run(&peers, |bench| peers.iter().all(|peer| bench.peer(*peer).is_connected));
    bench.patience = patience;
    for peer in &peers {
        bench.await_connection(*peer)?;
    }
    Ok(peers)
}

fn second(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let silent = bench.connect()?;
    let other = bench.connect()?;
    bench.exchange(other, b"second\n")?;
    // The first is still served.
    bench.exchange(silent, b"first\n")?;
    bench.exchange(other, b"second again\n")?;
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

/// None of them sends before all are there, so that no event of theirs helps the server to the next. If its process is
/// known, it is stopped meanwhile, so that it finds all of them at once.
fn burst(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let tree = bench.process();
    tree.iter().for_each(|tree| tree.signal(Signal::STOP));
    let peers = connect_all(bench, 30);
    tree.iter().for_each(|tree| tree.signal(Signal::CONT));
    let peers = peers?;
    bench.run_for(Duration::from_millis(50));
    for (n, peer) in peers.iter().enumerate() {
        bench.send(*peer, format!("{n}\n").as_bytes());
    }
    bench.await_echoes(&peers)?;
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
