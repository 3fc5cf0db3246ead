//! What only the server's process shows.

use std::time::Duration;

use super::super::bench::{Bench, PeerId};
use super::super::case::{Case, Finding, Need, Severity};
use super::super::problem::{Problem, Symptom};
use super::super::process::{ProcessTree, Usage, restore_descriptors};
use crate::text::format::byte_rate;

/// How long the use of the processor is measured.
const WINDOW: Duration = Duration::from_millis(400);
/// How often that is done, if the server is busy.
const WINDOWS: usize = 6;
/// A server that runs, or could run, for this part of the time does not rest...
const BUSY: f64 = 0.4;
/// ...unless it needs no more of a processor than this, however long it waits for one.
const LITTLE: f64 = 0.05;

/// Descriptors that a server may open before it has no more.
const FEW: usize = 6;
/// Clients that come then.
const TOO_MANY: usize = 20;

/// Clients whose descriptors are counted. With the one before them, they are no more than other cases ask to serve at the
/// same time: some servers have as many processes or threads, and no more.
const CLIENTS: usize = 29;

/// More than the buffers of both ends hold on loopback.
const MUCH: usize = 32 << 20;

/// Why a case about descriptors finds nothing out.
const NOT_SHOWN: &str = "this user cannot see the descriptors of the server's process";

const REST: &str = "A loop that never waits takes a processor from all other programs.";
const BACK: &str =
    "A server that keeps descriptors of connections that are gone ends with none left.";
const WAIT: &str = "A process that has ended keeps its number until its parent waits for it, and the numbers run out.";
const NONE_LEFT: &str = "When no descriptor is left, accept fails. The connection stays in the queue, and no further event comes for it.";
const REBIND: &str = "A server that was ended must be able to start again: SO_REUSEADDR lets it bind while old connections expire.";
const COSTS: &str = "What a server takes and cannot send fills its memory.";

pub(super) const CASES: &[Case] = &[
    case("process/idle", 3, "While nothing moves, the server uses no processor.", idle, REST),
    case(
        "process/idle-after-end",
        4,
        "After a client's end, the server uses no processor.",
        idle_after_end,
        REST,
    ),
    case(
        "process/idle-blocked",
        5,
        "While a client does not read, the server uses no processor.",
        idle_blocked,
        REST,
    ),
    case(
        "process/descriptors",
        6,
        "The descriptors of clients that are gone are given back.",
        descriptors,
        BACK,
    ),
    case(
        "process/zombies",
        6,
        "Processes that the server started for clients that are gone leave nothing behind.",
        zombies,
        WAIT,
    ),
    case(
        "process/out-of-descriptors",
        6,
        "Without descriptors, the server lives, rests, and serves again once there are some.",
        out_of_descriptors,
        NONE_LEFT,
    ),
    Case {
        needs: Need::Command,
        ..case(
            "process/restart",
            6,
            "The server starts again on its port at once.",
            restart,
            REBIND,
        )
    },
    Case {
        severity: Severity::Info,
        ..case("process/memory", 5, "What a client that never reads costs.", memory, COSTS)
    },
];

const fn case(
    id: &'static str,
    level: u8,
    expectation: &'static str,
    run: fn(&mut Bench<'_>) -> Result<Finding, Problem>,
    rationale: &'static str,
) -> Case {
    let severity = Severity::Good;
    Case { id, level, severity, expectation, rationale, needs: Need::Process, run }
}

/// The process, which each of these cases needs.
fn tree(bench: &mut Bench<'_>) -> Result<ProcessTree, Problem> {
    bench.process().ok_or_else(|| Problem::other("the server's process is gone"))
}

/// Measures which part of a processor the server uses, and expects next to nothing. What it still has to do after the
/// steps before, such as to report an error, comes to an end: only a server that is busy each time does not rest.
fn expect_rest(bench: &mut Bench<'_>, what: &'static str) -> Result<Finding, Problem> {
    let tree = tree(bench)?;
    for _ in 0..WINDOWS {
        let before = tree.usage();
        bench.run_for(WINDOW);
        let after = tree.usage();
        let part = |time: fn(Usage) -> Duration| {
            time(after).saturating_sub(time(before)).as_secs_f64() / WINDOW.as_secs_f64()
        };
        let (ran, waited) = (part(|usage| usage.ran), part(|usage| usage.waited));
        if ran < LITTLE || ran + waited < BUSY {
            return Ok(Finding::Fine);
        }
    }
    Err(Problem::of(Symptom::Process(what)))
}

fn connect_echoed(bench: &mut Bench<'_>) -> Result<PeerId, Problem> {
    let peer = bench.connect()?;
    bench.exchange(peer, b"hello\n")?;
    Ok(peer)
}

fn idle(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    connect_echoed(bench)?;
    connect_echoed(bench)?;
    expect_rest(bench, "the server uses the processor although nothing moves")
}

/// The client's end stays open in its other direction, whatever the server does.
fn idle_after_end(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let peer = connect_echoed(bench)?;
    bench.end(peer);
    bench.run_for(Duration::from_millis(50));
    expect_rest(bench, "the server uses the processor after a client's end")
}

fn idle_blocked(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let peer = connect_echoed(bench)?;
    bench.fill(peer, MUCH)?;
    expect_rest(bench, "the server uses the processor while a client does not read")
}

fn descriptors(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let tree = tree(bench)?;
    if !tree.shows_descriptors() {
        return Ok(Finding::Inconclusive(NOT_SHOWN.into()));
    }
    connect_echoed(bench)?;
    let before = tree.sockets();
    let peers: Vec<_> = (0..CLIENTS).map(|_| connect_echoed(bench)).collect::<Result<_, _>>()?;
    for (n, peer) in peers.into_iter().enumerate() {
        if n % 3 == 0 { bench.reset(peer) } else { bench.drop_peer(peer) }
    }
    let mut now = tree.sockets();
    for _ in 0..20 {
        if now <= before + 5 {
            return Ok(Finding::Fine);
        }
        bench.run_for(Duration::from_millis(100));
        now = tree.sockets();
    }
    let kept = now - before;
    Err(Problem::other(format!(
        "the server still has {kept} sockets of {CLIENTS} clients that are gone"
    )))
}

/// A child that has just ended is no zombie yet: some servers wait for theirs now and then.
fn zombies(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let tree = tree(bench)?;
    let before = tree.zombies();
    for _ in 0..CLIENTS {
        let peer = connect_echoed(bench)?;
        bench.drop_peer(peer);
    }
    let mut kept = 0;
    for _ in 0..20 {
        bench.run_for(Duration::from_millis(100));
        kept = tree.zombies().saturating_sub(before);
        if kept <= CLIENTS / 4 {
            return Ok(Finding::Fine);
        }
    }
    Err(Problem::other(format!("the server has left {kept} zombies of {CLIENTS} clients")))
}

fn out_of_descriptors(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let tree = tree(bench)?;
    let old = connect_echoed(bench)?;
    let limits = match tree.limit_descriptors(FEW as u64) {
        Ok(limits) if limits.is_empty() => return Ok(Finding::Inconclusive(NOT_SHOWN.into())),
        Ok(limits) => limits,
        Err(e) => {
            return Ok(Finding::Inconclusive(format!(
                "cannot limit the server's descriptors: {e}"
            )));
        }
    };
    let outcome = without_descriptors(bench, old);
    restore_descriptors(limits);
    let finding = outcome?;
    connect_echoed(bench)?;
    Ok(finding)
}

fn without_descriptors(bench: &mut Bench<'_>, old: PeerId) -> Result<Finding, Problem> {
    let mut peers = Vec::new();
    for _ in 0..TOO_MANY {
        peers.push(bench.begin()?);
        // A short accept queue must not fill before the server has no descriptor left.
        bench.run_for(Duration::from_millis(10));
    }
    expect_rest(bench, "the server uses the processor while it is out of descriptors")?;
    bench.exchange(old, b"still here?\n")?;
    // Those that came last wait in the queue. The others go.
    let (gone, waiting) = peers.split_at(TOO_MANY - 2);
    gone.iter().for_each(|peer| bench.drop_peer(*peer));
    // A server can also accept what it cannot serve, and close it at once: libuv does, so that nobody waits for nothing.
    if waiting.iter().any(|peer| bench.peer(*peer).ending.is_some()) {
        return served_again(bench);
    }
    for peer in waiting {
        bench.send(*peer, b"now?\n");
    }
    let patience = std::mem::replace(&mut bench.patience, Duration::from_secs(4));
    let served = waiting.iter().try_for_each(|peer| match bench.await_echo(*peer) {
        // Some servers accept what they cannot serve, and close it: no client waits in vain.
        Err(Problem { symptom: Symptom::Ended { received: 0, .. }, .. }) => Ok(()),
        outcome => outcome,
    });
    bench.patience = patience;
    served.map(|()| Finding::Fine)
}

/// Expects that new clients are served, once the server has had the time to close its ends of those that went.
fn served_again(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let mut outcome = Ok(Finding::Fine);
    for _ in 0..10 {
        bench.run_for(Duration::from_millis(100));
        outcome = connect_echoed(bench).and_then(|_| connect_echoed(bench)).map(|_| Finding::Fine);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn restart(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    // The server closes these first, so that its end keeps the port.
    for _ in 0..3 {
        let peer = connect_echoed(bench)?;
        bench.end(peer);
    }
    connect_echoed(bench)?;
    bench.run_for(Duration::from_millis(50));
    bench.restart().map_err(|e| Problem::other(e.to_string()))?;
    connect_echoed(bench)?;
    Ok(Finding::Fine)
}

fn memory(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let tree = tree(bench)?;
    let peer = connect_echoed(bench)?;
    let before = tree.resident();
    let taken = bench.fill(peer, MUCH)?;
    let more = tree.resident().saturating_sub(before);
    let size = |bytes: f64| byte_rate(bytes).trim_end_matches("/s").to_string();
    let (taken, more) = (size(taken as f64), size(more as f64));
    Ok(Finding::Note(format!("of {taken} that were never read, it keeps {more} in its memory")))
}
