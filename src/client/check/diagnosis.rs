//! Which mistake a problem looks like. If the bytes alone do not say, it asks the server once more.

use std::time::Duration;

use super::bench::Bench;
use super::case::Case;
use super::problem::{Problem, Symptom};
use crate::mistake::{Confidence, Mistake};

use ending::of_ending;
use others::is_of_another;
use silence::of_silence;

mod bytes;
mod others;
mod threshold;
mod silence;
mod ending;

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
        Symptom::Ended { received, expected, .. } => {
            of_ending(bench, case, (*received, *expected), problem.peer)
        }
        Symptom::NotEnded => of_no_end(case),
        Symptom::Unbounded { .. } => of_unbounded(bench, case, problem),
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
        _ if is_of_another(bench, id) => Diagnosis::sure(
            Mistake::MIXES_CLIENTS,
            "what came is what another client had sent, at the same time",
        ),
        Some(diagnosis) => diagnosis,
        None if case.id == "many/mixed" => {
            Diagnosis::likely(Mistake::MIXES_CLIENTS, "each client sent bytes of its own")
        }
        None => Diagnosis::not_sure(),
    }
}

/// The server took more than it can hold back. Has it kept that?
fn of_unbounded(bench: &mut Bench<'_>, case: &Case, problem: &Problem) -> Diagnosis {
    let Some(id) = problem.peer else { return Diagnosis::not_sure() };
    bench.set_reading(id, true);
    bench.run(&[id], |bench| bench.peer(id).is_echoed() || bench.peer(id).first_wrong().is_some());
    match bench.peer(id).first_wrong() {
        Some(_) => of_bytes(bench, case, problem),
        None => Diagnosis::sure(Mistake::UNBOUNDED_OUTPUT, "nothing held the client back"),
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
        "process/restart" => of_case(case),
        "bytes/all-values" | "bytes/invalid-utf8" | "bytes/split-utf8" => {
            Diagnosis::likely(Mistake::TEXT_ONLY, "it died of bytes that are not text")
        }
        "end/half-close-8m" | "process/idle-blocked" | "process/memory" => of_blocked_death(),
        id if id.starts_with("pressure/") => of_blocked_death(),
        _ => Diagnosis::likely(Mistake::DIES_OF_PEER, "it died in this case"),
    }
}

fn of_blocked_death() -> Diagnosis {
    Diagnosis::likely(Mistake::BLOCKED_WRITE_ENDS, "it died when its client did not read")
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
            Diagnosis::likely(Mistake::KEEPS_DESCRIPTORS, "its sockets were counted")
        }
        "process/zombies" => Diagnosis::sure(Mistake::LEAVES_ZOMBIES, "its children were counted"),
        "process/restart" => Diagnosis::likely(
            Mistake::CANNOT_REBIND,
            "its port was still that of connections that had ended",
        ),
        _ => Diagnosis::not_sure(),
    }
}

/// Whether a new connection gets this message back, twice.
fn answers(bench: &mut Bench<'_>, message: &[u8]) -> bool {
    let exchanged = bench.connect().and_then(|id| {
        bench.exchange(id, message)?;
        bench.exchange(id, message)
    });
    exchanged.is_ok()
}
