//! Which mistake a problem looks like. If the bytes alone do not say, it asks the server once more.

use std::time::Duration;

use super::bench::{Bench, PeerId};
use super::case::Case;
use super::peer::Ending;
use super::problem::{Problem, Symptom};
use crate::mistake::{Confidence, Mistake};

mod bytes;
mod threshold;

/// How long a probe waits for its effect.
const PROBE: Duration = Duration::from_millis(300);

/// A mistake that a problem looks like, and what makes it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Diagnosis {
    pub(super) mistake: Option<Mistake>,
    pub(super) confidence: Confidence,
    /// What was seen, as a sentence.
    pub(super) because: String,
}

impl Diagnosis {
    fn sure(mistake: Mistake, because: impl Into<String>) -> Self {
        Self { mistake: Some(mistake), confidence: Confidence::Sure, because: because.into() }
    }

    fn likely(mistake: Mistake, because: impl Into<String>) -> Self {
        Self { mistake: Some(mistake), confidence: Confidence::Likely, because: because.into() }
    }

    /// What fits another case too, since it was seen in the case with this id.
    pub(super) fn again(&self, id: &str) -> Self {
        let because = format!("as in {id}");
        Self { mistake: self.mistake, confidence: Confidence::Likely, because }
    }

    fn not_sure() -> Self {
        Self { mistake: None, confidence: Confidence::NotSure, because: String::new() }
    }
}

/// Names the mistake that a case has found. Its connections are still there.
pub(super) fn diagnose(bench: &mut Bench<'_>, case: &Case, problem: &Problem) -> Diagnosis {
    let patience = std::mem::replace(&mut bench.patience, PROBE);
    bench.deadline += 5 * PROBE;
    let diagnosis = match &problem.symptom {
        Symptom::Wrong { .. } | Symptom::Surplus { .. } => of_bytes(bench, case, problem),
        Symptom::Silent { .. } => of_silence(bench, case, problem),
        Symptom::Ended { received, expected, how } => {
            of_ending(bench, case, (*received, *expected, how), problem.peer)
        }
        Symptom::NotEnded => of_no_end(case),
        Symptom::Unbounded { .. } => {
            Diagnosis::sure(Mistake::UNBOUNDED_OUTPUT, "nothing held the client back")
        }
        Symptom::Died(_) => of_death(bench, case),
        Symptom::Process(_) => of_process(case),
        Symptom::NotConnected(_) | Symptom::Other(_) => of_case(case),
    };
    bench.patience = patience;
    diagnosis
}

fn of_bytes(bench: &mut Bench<'_>, case: &Case, problem: &Problem) -> Diagnosis {
    let Some(id) = problem.peer else { return Diagnosis::not_sure() };
    // What is still on its way belongs to it.
    bench.run(&[id], |_| false);
    let peer = bench.peer(id);
    let found = bytes::compare(peer.message(), peer.received());
    match found {
        Some(diagnosis) => diagnosis,
        None if case.id == "many/mixed" => {
            Diagnosis::likely(Mistake::MIXES_CLIENTS, "each client sent bytes of its own")
        }
        None => Diagnosis::not_sure(),
    }
}

/// Everything came back, and the connection stayed open.
fn of_no_end(case: &Case) -> Diagnosis {
    match case.id {
        "end/with-data" => Diagnosis::likely(
            Mistake::UNDRAINED_EDGE,
            "the client's end came together with bytes, and was not noticed",
        ),
        _ => Diagnosis::likely(
            Mistake::END_IGNORED,
            "everything came back, and the connection stayed open",
        ),
    }
}

/// Whether the server has served just one client before this case.
fn is_second_client(bench: &Bench<'_>, case: &Case) -> bool {
    bench.cases_tried == 0 && !case.id.starts_with("sanity/")
}

fn of_death(bench: &Bench<'_>, case: &Case) -> Diagnosis {
    match case.id {
        _ if is_second_client(bench, case) => {
            Diagnosis::likely(Mistake::SERVES_ONE_CLIENT, "it ended when its first client had gone")
        }
        "process/out-of-descriptors" => {
            Diagnosis::sure(Mistake::ACCEPT_ERROR_ENDS, "it died when it had no descriptors left")
        }
        _ => Diagnosis::likely(Mistake::DIES_OF_PEER, "it died in this case"),
    }
}

fn of_process(case: &Case) -> Diagnosis {
    let (mistake, because) = match case.id {
        "process/idle-after-end" => {
            (Mistake::END_IGNORED, "at the end of a stream, each read returns at once")
        }
        "process/idle" | "process/idle-blocked" => {
            (Mistake::ALWAYS_WRITABLE, "a wait for what is so already returns at once")
        }
        _ => (Mistake::EMFILE_SPIN, "a connection waits, and each accept fails at once"),
    };
    Diagnosis::likely(mistake, because)
}

fn of_case(case: &Case) -> Diagnosis {
    match case.id {
        "process/descriptors" => {
            Diagnosis::likely(Mistake::KEEPS_DESCRIPTORS, "its descriptors were counted")
        }
        "process/restart" => Diagnosis::likely(
            Mistake::CANNOT_REBIND,
            "its port was still that of connections that had ended",
        ),
        _ => Diagnosis::not_sure(),
    }
}

/// The server answers no more, on a connection that is open.
fn of_silence(bench: &mut Bench<'_>, case: &Case, problem: &Problem) -> Diagnosis {
    let Some(id) = problem.peer else { return Diagnosis::not_sure() };
    match case.id {
        "many/second" | "many/at-once" | "pressure/others" | "hostile/silent" => {
            return of_others(bench, id);
        }
        "many/burst" => return of_queue(bench, id, Mistake::UNDRAINED_LISTENER),
        "hostile/flood" => {
            return Diagnosis::likely(
                Mistake::GREEDY_PEER,
                "the others were served before the flood",
            );
        }
        "process/out-of-descriptors" => {
            return of_queue(bench, id, Mistake::DEAF_LISTENER);
        }
        _ => {}
    }
    of_poke(bench, case, id)
}

/// Others than the silent one are connected. Do they stand in the way?
fn of_others(bench: &mut Bench<'_>, id: PeerId) -> Diagnosis {
    let before = bench.peer(id).received().len();
    bench.drop_all_but(id);
    bench.run(&[id], |bench| bench.peer(id).is_echoed());
    if bench.peer(id).received().len() > before {
        Diagnosis::sure(Mistake::BLOCKING_SOCKET, "the answer came when the other clients had gone")
    } else {
        Diagnosis::likely(Mistake::BLOCKING_SOCKET, "one client alone was served")
    }
}

/// A connection waits in the accept queue. Does one more bring it?
fn of_queue(bench: &mut Bench<'_>, id: PeerId, mistake: Mistake) -> Diagnosis {
    let before = bench.peer(id).received().len();
    for _ in 0..3 {
        if bench.begin().is_err() {
            return Diagnosis::not_sure();
        }
        bench.run(&[id], |bench| bench.peer(id).received().len() > before);
    }
    if bench.peer(id).received().len() > before {
        let because = "a connection that waited was served when another one came";
        return Diagnosis::sure(mistake, because);
    }
    Diagnosis::likely(mistake, "connections that wait to be accepted are not served")
}

/// Sends a little more: what was kept back may come with it.
fn of_poke(bench: &mut Bench<'_>, case: &Case, id: PeerId) -> Diagnosis {
    let (before, owed) = (bench.peer(id).received().len(), bench.peer(id).message().len());
    let has_line_end = bench.peer(id).message().last() == Some(&b'\n');
    if !has_line_end && comes_with(bench, id, b"\n", owed) {
        let because = "the answer came as soon as a line end had been sent";
        // An edge that was lost comes with any byte.
        return match before {
            0 => Diagnosis::sure(Mistake::WAITS_FOR_LINE, because),
            _ => of_lost_edge(case, before),
        };
    }
    if comes_with(bench, id, b"x", before + 1) {
        return of_lost_edge(case, before);
    }
    if bench.peer(id).first_wrong().is_some() {
        return of_gap(bench, id, before);
    }
    if before == 0 && owed < 1000 && comes_with(bench, id, &[b'x'; 70_000], owed) {
        return threshold::measured(bench);
    }
    bench.end(id);
    bench.run(&[id], |bench| bench.peer(id).ending.is_some());
    if bench.peer(id).received().len() > before {
        let because = "the answer came when the client had ended its direction";
        return Diagnosis::sure(Mistake::WAITS_FOR_END, because);
    }
    if case.id.starts_with("pressure/") {
        let because = "nothing came any more once the client had not read for a while";
        return Diagnosis::likely(Mistake::STUCK_BACK_PRESSURE, because);
    }
    if before == 0 && is_second_client(bench, case) && !answers(bench, b"resound\n") {
        let because = "a client before it had its answer, and those after it have none";
        return Diagnosis::likely(Mistake::SERVES_ONE_CLIENT, because);
    }
    Diagnosis::not_sure()
}

/// What was sent last came back, and bytes before it did not: the server has dropped them.
fn of_gap(bench: &mut Bench<'_>, id: PeerId, before: usize) -> Diagnosis {
    // Enough bytes to know their place again.
    let more = bench.random(64);
    bench.send(id, &more);
    bench.run(&[id], |_| false);
    let peer = bench.peer(id);
    bytes::compare(peer.message(), peer.received()).unwrap_or_else(|| {
        let because = format!("of what followed offset {before}, only the last bytes came");
        Diagnosis::likely(Mistake::LOST_TAIL, because)
    })
}

/// Whether a new connection gets this message back, twice.
fn answers(bench: &mut Bench<'_>, message: &[u8]) -> bool {
    let exchanged = bench.connect().and_then(|id| {
        bench.exchange(id, message)?;
        bench.exchange(id, message)
    });
    exchanged.is_ok()
}

/// Sends `bytes`, and waits until `count` bytes have come back in all, and each is the one that was sent there.
fn comes_with(bench: &mut Bench<'_>, id: PeerId, bytes: &[u8], count: usize) -> bool {
    let before = bench.peer(id).received().len();
    let count = count.max(before + 1);
    bench.send(id, bytes);
    bench.run(&[id], |bench| {
        let peer = bench.peer(id);
        peer.received().len() >= count || peer.first_wrong().is_some()
    });
    let peer = bench.peer(id);
    peer.first_wrong().is_none() && peer.received().len() >= count
}

fn of_lost_edge(case: &Case, before: usize) -> Diagnosis {
    let because = format!("{before} bytes came, and more when another byte was sent");
    if case.id.starts_with("pressure/") || case.id == "end/half-close-8m" {
        return Diagnosis::sure(Mistake::STUCK_BACK_PRESSURE, because);
    }
    Diagnosis::sure(Mistake::UNDRAINED_EDGE, because)
}

/// The server closed before everything had come back.
fn of_ending(
    bench: &mut Bench<'_>,
    case: &Case,
    (received, expected, how): (usize, usize, &Ending),
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
        _ if has_high_bytes(bench.peer(id).message()) && answers(bench, &[b'x'; 70]) => {
            let because = "it closed when bytes came that are no ASCII, and not when others came";
            Diagnosis::sure(Mistake::TEXT_ONLY, because)
        }
        _ if *how == Ending::Closed => of_early_close(bench),
        _ => Diagnosis::not_sure(),
    }
}

fn has_high_bytes(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| *byte >= 0x80)
}

/// The server closes by itself. Is it after one answer, whatever its length, or after a read that was not full?
fn of_early_close(bench: &mut Bench<'_>) -> Diagnosis {
    let Ok(id) = bench.connect() else { return Diagnosis::not_sure() };
    let message = bench.random(300_000);
    let _ = bench.exchange(id, &message);
    let came = bench.peer(id).received().len();
    match came > 100_000 {
        true => Diagnosis::sure(
            Mistake::SHORT_READ_ENDS,
            format!(
                "of a long message {came} bytes came back before it closed, of a short one all"
            ),
        ),
        false => Diagnosis::likely(Mistake::CLOSES_AFTER_ONE, "each connection got one answer"),
    }
}
