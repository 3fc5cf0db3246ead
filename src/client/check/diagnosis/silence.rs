//! Why a server answers no more.

use super::others::went_to_another;
use super::{Diagnosis, answers, bytes, is_second_client, threshold};
use crate::client::check::bench::{Bench, PeerId};
use crate::client::check::case::Case;
use crate::client::check::problem::Problem;
use crate::mistake::Mistake;

/// The server answers no more, on a connection that is open.
pub(super) fn of_silence(bench: &mut Bench<'_>, case: &Case, problem: &Problem) -> Diagnosis {
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
    match bench.peer(id).has_ended() {
        true => of_end(bench, case, id),
        false => of_poke(bench, case, id),
    }
}

/// Others than the silent one are connected. Do they stand in the way?
fn of_others(bench: &mut Bench<'_>, id: PeerId) -> Diagnosis {
    if went_to_another(bench, id) {
        let because = "another client got what this one had sent";
        return Diagnosis::sure(Mistake::MIXES_CLIENTS, because);
    }
    let before = bench.peer(id).received().len();
    if before == 0 && comes_with_another(bench, id) {
        return Diagnosis::sure(Mistake::UNDRAINED_LISTENER, ANOTHER);
    }
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
    match (0..3).any(|_| comes_with_another(bench, id)) {
        true => Diagnosis::sure(mistake, ANOTHER),
        false => Diagnosis::likely(mistake, "connections that wait to be accepted are not served"),
    }
}

const ANOTHER: &str = "a connection that waited was served when another one came";

/// Whether more comes on a connection when another one is made.
fn comes_with_another(bench: &mut Bench<'_>, id: PeerId) -> bool {
    let before = bench.peer(id).received().len();
    if bench.begin().is_err() {
        return false;
    }
    bench.run(&[id], |bench| bench.peer(id).received().len() > before);
    bench.peer(id).received().len() > before
}

/// Sends a little more: what was kept back may come with it.
fn of_poke(bench: &mut Bench<'_>, case: &Case, id: PeerId) -> Diagnosis {
    let (before, owed) = (bench.peer(id).received().len(), bench.peer(id).message().len());
    // Any byte brings what a lost edge has left, and what is short of a full buffer by one.
    if comes_with(bench, id, b"x", before + 1) {
        return match threshold::least(bench) {
            Some(1) => of_lost_edge(case, before),
            // No new connection gets an answer soon: that one can have been late.
            None => Diagnosis::not_sure(),
            least => threshold::of(least),
        };
    }
    if bench.peer(id).first_wrong().is_none() && comes_with(bench, id, b"\n", owed) {
        // The line end can also have been the byte that a buffer was short of.
        // A server of one client at a time answers only when this one has gone.
        bench.drop_peer(id);
        let is_line = answers(bench, b"x\n");
        let because = "the answer came as soon as a line end had been sent";
        return match is_line {
            true => Diagnosis::sure(Mistake::WAITS_FOR_LINE, because),
            false => threshold::measured(bench),
        };
    }
    if bench.peer(id).first_wrong().is_some() {
        return of_gap(bench, id, before);
    }
    if owed < 1000 && comes_with(bench, id, &[b'x'; 70_000], owed) {
        return match threshold::least(bench) {
            Some(1) | None => Diagnosis::not_sure(),
            least => threshold::of(least),
        };
    }
    of_end(bench, case, id)
}

/// Ends this direction: an answer may come with that, or never.
fn of_end(bench: &mut Bench<'_>, case: &Case, id: PeerId) -> Diagnosis {
    let before = bench.peer(id).received().len();
    bench.end(id);
    bench.run(&[id], |bench| bench.peer(id).ending.is_some());
    if bench.peer(id).received().len() > before {
        let because = "the answer came when the client had ended its direction";
        return match threshold::least(bench) {
            Some(least @ 2..) => threshold::of(Some(least)),
            _ if before > 0 => Diagnosis::likely(Mistake::WAITS_FOR_END, because),
            _ => Diagnosis::sure(Mistake::WAITS_FOR_END, because),
        };
    }
    if case.id.starts_with("pressure/") || case.id == "end/half-close-8m" {
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
