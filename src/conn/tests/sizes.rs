//! How much is read: in one call, in one turn, and for every way to cut a message up.

use super::*;

const KIB: usize = 1024;

/// A peer that can always do all it is asked to.
fn tireless(ask: Ask) -> Step {
    match ask {
        Ask::Read(_) => GivesAll,
        Ask::Write(_) => TakesAll,
    }
}

/// How much each read of the last drive asked for.
fn asked<A>(run: &Run<A>) -> Vec<usize> {
    run.peer
        .calls
        .iter()
        .filter_map(|(ask, _)| if let Ask::Read(n) = ask { Some(*n) } else { None })
        .collect()
}

#[test]
fn a_turn_is_bounded() {
    for scratch_bytes in [1, 64, 16 * KIB, 100 * KIB, 256 * KIB] {
        let mut run = Run::of(Echo::new(), scratch_bytes, tireless);
        for _ in 0..8 {
            let before = run.peer.given;
            run.peer.calls.clear();
            assert_eq!(run.turn(ProvesNothing), Ok(Yield));
            assert!(run.peer.given - before <= scratch_bytes);
            assert_eq!((run.peer.reads(), run.peer.writes()), (1, 1));
        }
    }
}

#[test]
fn a_turn_of_lingering_is_bounded() {
    let mut run = Run::of(Echo::once(), 64, tireless);
    assert_eq!(run.turn(MeansEmpty), Ok(ShutdownWrite));
    run.peer.calls.clear();
    assert_eq!(run.turn(MeansEmpty), Ok(Yield));
    assert_eq!((run.peer.reads(), run.peer.writes()), (1, 0));
}

/// Also after the peer did not keep up: what it can pin is for the caller to bound, who sees them all.
#[test]
fn every_read_asks_for_the_whole_scratch() {
    for scratch_bytes in [1, 64, 1000, 256 * KIB] {
        let mut run = Run::of(Echo::new(), scratch_bytes, Script::default());
        run.expect(ProvesNothing, &[GivesAll, TakesAll, Gives(1), TakesAll, ReadBlocks], Ok(Wait));
        assert_eq!(asked(&run), [scratch_bytes; 3]);
        run.expect(ProvesNothing, &[GivesAll, WriteBlocks], Ok(Wait));
        run.expect(ProvesNothing, &[TakesAll, GivesAll, TakesAll, ReadBlocks], Ok(Wait));
        assert_eq!(asked(&run), [scratch_bytes; 2]);
    }
}

#[test]
fn a_scratch_that_changes_is_filled_as_far_as_it_goes() {
    let mut run = Run::of(Echo::new(), 64, tireless);
    for scratch_bytes in [64, 1, 4096] {
        run.scratch = vec![0; scratch_bytes];
        run.peer.calls.clear();
        assert_eq!(run.turn(MeansEmpty), Ok(Yield));
        assert_eq!(asked(&run), [scratch_bytes]);
    }
}

/// The lengths of the pieces of `total` bytes that are cut after every byte whose bit is set in `cuts`.
fn pieces(total: usize, cuts: usize) -> impl Iterator<Item = usize> {
    let mut start = 0;
    (1..=total).filter_map(move |end| {
        let cut = end == total || cuts >> (end - 1) & 1 == 1;
        cut.then(|| end - std::mem::replace(&mut start, end))
    })
}

#[test]
fn pieces_are_all_ways_to_cut() {
    let cut = |cuts| pieces(3, cuts).collect::<Vec<_>>();
    assert_eq!([cut(0), cut(1), cut(2), cut(3)], [vec![3], vec![1, 2], vec![2, 1], vec![1, 1, 1]]);
}

#[test]
fn a_message_survives_every_way_to_cut_it_up() {
    const MESSAGE_BYTES: usize = 7;
    const CUTS: usize = 1 << (MESSAGE_BYTES - 1);
    for (given, taken) in (0..CUTS * CUTS).map(|i| (i / CUTS, i % CUTS)) {
        let (mut give, mut take) = (pieces(MESSAGE_BYTES, given), pieces(MESSAGE_BYTES, taken));
        // Between two pieces, either way, nothing moves: the peer is as slow as it is choppy.
        let (mut read_pause, mut write_pause) = (false, true);
        let mut left = 0; // of the piece that the peer is taking
        let peer = move |ask| match ask {
            Ask::Read(_) => {
                read_pause = !read_pause;
                if read_pause { give.next().map_or(Eof, Gives) } else { ReadBlocks }
            }
            Ask::Write(offered) => {
                if left == 0 {
                    write_pause = !write_pause;
                    if write_pause {
                        return WriteBlocks;
                    }
                    left = take.next().expect("no more is offered than was given");
                }
                let n = left.min(offered);
                left -= n;
                Takes(n)
            }
        };
        let mut run = Run::of(Echo::new(), 8, peer);
        // Each piece, and each pause before one, costs a turn or two at the most.
        let ended =
            (0..8 * MESSAGE_BYTES).find(|_| !matches!(run.turn(MeansEmpty), Ok(Wait | Yield)));
        assert!(ended.is_some(), "cut at {given:b} and {taken:b}");
        assert_eq!(run.peer.calls.last(), Some(&(Ask::Read(8), Eof)));
        assert_eq!((run.peer.given, run.peer.taken), (MESSAGE_BYTES, MESSAGE_BYTES));
    }
}
