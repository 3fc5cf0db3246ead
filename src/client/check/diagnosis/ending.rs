//! Why a server closes too early.

use super::{Diagnosis, PROBE, answers};
use crate::client::check::bench::{Bench, PeerId};
use crate::client::check::case::Case;
use crate::mistake::Mistake;

/// The server closed before everything had come back.
pub(super) fn of_ending(
    bench: &mut Bench<'_>,
    case: &Case,
    (received, expected): (usize, usize),
    id: Option<PeerId>,
) -> Diagnosis {
    let Some(id) = id else { return Diagnosis::not_sure() };
    let has_ended = bench.peer(id).has_ended();
    match case.id {
        "end/with-data" | "end/half-close-64k" if has_ended && received == 0 => Diagnosis::likely(
            Mistake::HANG_UP_FIRST,
            "bytes that came together with the client's end did not come back",
        ),
        _ if has_ended && received < expected => Diagnosis::likely(
            Mistake::HALF_CLOSE_DROPS_TAIL,
            "what was missing was missing only after the client's end",
        ),
        _ if closes_for_high_bytes(bench, id, received) => {
            let because = "it closed when bytes came that are no ASCII, and not when others came";
            Diagnosis::likely(Mistake::TEXT_ONLY, because)
        }
        _ => of_early_close(bench),
    }
}

/// Whether the server closes for bytes that are no ASCII: those around the place where it did, alone on a connection,
/// and not for as many letters.
fn closes_for_high_bytes(bench: &mut Bench<'_>, id: PeerId, received: usize) -> bool {
    const AROUND: usize = 256;
    let message = bench.peer(id).message();
    let from = received.min(message.len()).saturating_sub(AROUND);
    let piece = message[from..message.len().min(from + 2 * AROUND)].to_vec();
    piece.iter().any(|byte| *byte >= 0x80)
        && answers(bench, &vec![b'x'; piece.len()])
        && !answers(bench, &piece)
}

/// The server closes by itself. Is it after one answer, whatever its length, or after a read that was not full?
fn of_early_close(bench: &mut Bench<'_>) -> Diagnosis {
    // It closed this connection, and not each after an answer: for want of descriptors, or of patience, for example.
    bench.clear();
    bench.run_for(PROBE / 3);
    if answers(bench, b"resound\n") {
        return Diagnosis::not_sure();
    }
    let came = [300_000, 280_000].map(|len| came_back_of(bench, len));
    match came {
        [0, _] | [_, 0] => Diagnosis::not_sure(),
        // As many as one read takes: few programs have a longer buffer.
        [one, other] if one == other && one <= LONGEST_BUFFER => {
            Diagnosis::likely(Mistake::CLOSES_AFTER_ONE, "each connection got one answer")
        }
        [one, other] => {
            let because = format!(
                "of two long messages {one} and {other} bytes came back, of a short one all"
            );
            Diagnosis::likely(Mistake::SHORT_READ_ENDS, because)
        }
    }
}

const LONGEST_BUFFER: usize = 64 << 10;

/// How much of a message comes back on a new connection before the server closes.
fn came_back_of(bench: &mut Bench<'_>, len: usize) -> usize {
    let Ok(id) = bench.connect() else { return 0 };
    let message = bench.random(len);
    let _ = bench.exchange(id, &message);
    bench.peer(id).received().len()
}
