//! A server that answers only when enough has been sent: how much is that?

use std::time::Duration;

use super::Diagnosis;
use crate::client::check::bench::Bench;
use crate::mistake::Mistake;
use crate::text::format::counted;

/// How long each amount has to bring an answer.
const WAIT: Duration = Duration::from_millis(80);

/// More than any buffer that a server waits to fill.
const MOST: usize = 128 << 10;

/// Names a server that answers only when enough has been sent, and how much that is.
pub(super) fn measured(bench: &mut Bench<'_>) -> Diagnosis {
    of(least(bench))
}

/// Names a server that answers only when this many bytes have been sent.
pub(super) fn of(least: Option<usize>) -> Diagnosis {
    let Some(least) = least else { return Diagnosis::not_sure() };
    let least = counted(least as u64, "byte", "bytes");
    Diagnosis::sure(Mistake::WAITS_FOR_BUFFER, format!("answers begin after exactly {least}"))
}

/// Finds the least number of bytes that brings an answer.
pub(super) fn least(bench: &mut Bench<'_>) -> Option<usize> {
    // As many waits as halving needs, and as doubling needs.
    bench.deadline += 40 * WAIT;
    let patience = std::mem::replace(&mut bench.patience, WAIT);
    let least = searched(bench);
    bench.patience = patience;
    least
}

fn searched(bench: &mut Bench<'_>) -> Option<usize> {
    let mut enough = 1;
    while !answers(bench, enough)? {
        enough *= 2;
        if enough > MOST {
            return None;
        }
    }
    let mut too_few = enough / 2;
    // Most buffers are as long as a power of two: then this one question is enough.
    if enough > 1 && !answers(bench, enough - 1)? {
        return Some(enough);
    }
    while too_few + 1 < enough {
        let middle = too_few + (enough - too_few) / 2;
        match answers(bench, middle)? {
            true => enough = middle,
            false => too_few = middle,
        }
    }
    Some(enough)
}

/// Whether a message of this length brings any answer. `None` if there is no connection.
fn answers(bench: &mut Bench<'_>, bytes: usize) -> Option<bool> {
    let id = bench.connect().ok()?;
    bench.send(id, &vec![b'x'; bytes]);
    bench.run(&[id], |bench| !bench.peer(id).received().is_empty());
    let answers = !bench.peer(id).received().is_empty();
    bench.drop_peer(id);
    Some(answers)
}
