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
            assert_eq!(run.turn(ReadOn), Ok(Again));
            assert!(run.peer.given - before <= scratch_bytes);
            assert_eq!((run.peer.reads(), run.peer.writes()), (1, 1));
        }
    }
}

#[test]
fn a_turn_of_lingering_is_bounded() {
    let mut run = Run::of(Echo::once(), 64, tireless);
    assert_eq!(run.turn(ShortReadDrains), Ok(Again));
    assert_eq!(run.turn(ShortReadDrains), Ok(Shut));
    run.peer.calls.clear();
    assert_eq!(run.turn(ShortReadDrains), Ok(Again));
    assert_eq!((run.peer.reads(), run.peer.writes()), (1, 0));
}

#[test]
fn reads_grow_for_a_peer_that_keeps_up() {
    let mut run = Run::of(Echo::new(), 256 * KIB, tireless);
    while run.peer.reads() < 7 {
        assert_eq!(run.turn(ShortReadDrains), Ok(Again));
    }
    assert_eq!(asked(&run)[..7], [16, 32, 64, 128, 256, 256, 256].map(|kib| kib * KIB));
}

#[test]
fn reads_never_ask_for_more_than_the_scratch_holds() {
    for scratch_bytes in [1, 1000, 20_000, 64 * KIB] {
        let mut run = Run::of(Echo::new(), scratch_bytes, tireless);
        for _ in 0..5 {
            assert_eq!(run.turn(ShortReadDrains), Ok(Again));
            assert!(asked(&run).iter().all(|n| *n <= scratch_bytes));
        }
        assert_eq!(asked(&run).last(), Some(&scratch_bytes), "it gets there in the end");
    }
}

#[test]
fn reads_shrink_for_a_peer_that_does_not_keep_up() {
    let mut run = Run::of(Echo::new(), 256 * KIB, Script::default());
    for kib in [16, 8, 4, 4] {
        run.expect(ShortReadDrains, &[GivesAll, Takes(1)], Ok(Wait));
        assert_eq!(asked(&run), [kib * KIB]);
        assert_eq!(run.echo.pending_bytes(), kib * KIB - 1);
        run.expect(ShortReadDrains, &[TakesAll], Ok(Wait));
    }
    let steps = [GivesAll, TakesAll, GivesAll, TakesAll, Gives(64), TakesAll];
    run.expect(ShortReadDrains, &steps, Ok(Wait));
    assert_eq!(asked(&run), [4 * KIB, 8 * KIB, 16 * KIB], "and grow again");
}

#[test]
fn reads_keep_their_size_for_small_messages() {
    let mut run = Run::of(Echo::new(), 256 * KIB, Script::default());
    for _ in 0..5 {
        run.expect(ShortReadDrains, &[Gives(64), TakesAll], Ok(Wait));
        assert_eq!(asked(&run), [16 * KIB]);
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
            (0..8 * MESSAGE_BYTES).find(|_| !matches!(run.turn(ShortReadDrains), Ok(Wait | Again)));
        assert!(ended.is_some(), "cut at {given:b} and {taken:b}");
        assert_eq!(run.peer.calls.last(), Some(&(Ask::Read(8), Eof)));
        assert_eq!((run.peer.given, run.peer.taken), (MESSAGE_BYTES, MESSAGE_BYTES));
    }
}

#[test]
fn the_only_read_of_one_that_echoes_once_asks_for_all_there_is_room_for() {
    for scratch_bytes in [1, 1000, 256 * KIB] {
        let mut run = Run::of(Echo::once(), scratch_bytes, tireless);
        run.turn(ReadOn).unwrap();
        assert_eq!(asked(&run), [scratch_bytes]);
    }
}
