//! How a connection ends.

use std::time::Duration;

use super::super::bench::Bench;
use super::super::case::{Case, Finding, Need, Severity};
use super::super::peer::Ending;
use super::super::problem::Problem;

/// More than the buffers of both ends hold on loopback.
const MUCH: usize = 8 << 20;

const HALF: &str =
    "An end of file says that the client sends no more. It still waits for what it is owed.";
const TRUST: &str = "A client that has ended its direction waits for the server's end, to know that it has everything.";

pub(super) const CASES: &[Case] = &[
    case("end/closes", "After the client's end, the server ends its direction too.", closes, TRUST),
    case("end/empty", "A connection on which nothing was sent ends in the same way.", empty, TRUST),
    case("end/not-before", "The server does not close before the client does.", not_before, HALF),
    case(
        "end/with-data",
        "Bytes that arrive together with the end come back before the server's end.",
        with_data,
        HALF,
    ),
    case(
        "end/half-close-64k",
        "A client that ends its direction at once gets its 64 KiB back.",
        half_close_64k,
        HALF,
    ),
    case(
        "end/half-close-8m",
        "A client that reads only after its end gets all of its 8 MiB back.",
        half_close_8m,
        HALF,
    ),
];

const fn case(
    id: &'static str,
    expectation: &'static str,
    run: fn(&mut Bench<'_>) -> Result<Finding, Problem>,
    rationale: &'static str,
) -> Case {
    let severity = Severity::Tcp;
    Case { id, level: 4, severity, expectation, rationale, needs: Need::Nothing, run }
}

fn closes(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let peer = bench.connect()?;
    bench.exchange(peer, b"hello\n")?;
    bench.finish(peer)?;
    match bench.peer(peer).ending {
        Some(Ending::Broken(_)) => {
            Ok(Finding::Note("it ended by a reset, which destroys what is still on its way".into()))
        }
        _ => Ok(Finding::Fine),
    }
}

fn empty(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let peer = bench.connect()?;
    bench.finish(peer)?;
    Ok(Finding::Fine)
}

fn not_before(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let peer = bench.connect()?;
    for message in [&b"one\n"[..], b"two\n", b"three\n"] {
        bench.exchange(peer, message)?;
    }
    bench.run_for(Duration::from_millis(300));
    bench.expect_open(peer)?;
    bench.exchange(peer, b"four\n")?;
    Ok(Finding::Fine)
}

/// Often, since the server must find both in one event.
fn with_data(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    for n in 0..20 {
        let peer = bench.connect()?;
        bench.send(peer, format!("the last words of client {n}\n").as_bytes());
        bench.finish(peer)?;
        bench.drop_peer(peer);
    }
    Ok(Finding::Fine)
}

fn half_close_64k(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    for _ in 0..5 {
        let peer = bench.connect()?;
        let message = bench.random(64 << 10);
        bench.send(peer, &message);
        bench.finish(peer)?;
        bench.drop_peer(peer);
    }
    Ok(Finding::Fine)
}

/// The buffers on the way are full when the end of file is sent, and what the server has read waits in the server.
fn half_close_8m(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let peer = bench.connect()?;
    bench.fill(peer, MUCH)?;
    bench.end(peer);
    bench.read_slowly_until(peer, |peer| peer.is_sent());
    bench.run_for(Duration::from_millis(50));
    bench.set_reading(peer, true);
    bench.finish(peer)?;
    Ok(Finding::Fine)
}
