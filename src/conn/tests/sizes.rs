//! How much is read: in one call, in one drive, and for every way to cut up a message.

use super::*;
use ErrorKind::WouldBlock;

const KIB: usize = 1024;

/// A peer that always has bytes, and takes all that it is offered.
fn tireless(call: Call) -> Answer {
    match call {
        Call::Read(n) | Call::Write(n) => Ok(n),
    }
}

/// How much each read since the last look asked for.
fn asked<S>(run: &Checked<S>) -> Vec<usize> {
    let calls = run.socket.calls.iter();
    calls.filter_map(|(call, _)| if let Call::Read(n) = call { Some(*n) } else { None }).collect()
}

#[test]
fn a_drive_is_bounded() {
    for scratch_bytes in [1, 64, 16 * KIB, 100 * KIB, 256 * KIB] {
        let mut run = Checked::new(scratch_bytes, tireless);
        for _ in 0..8 {
            let before = run.socket.given;
            run.socket.calls.clear();
            assert_eq!(run.drive(ProvesNothing), Ok(Yield));
            assert!(run.socket.given - before <= scratch_bytes);
            assert_eq!((run.socket.reads(), run.socket.writes()), (1, 1));
        }
    }
}

#[test]
fn a_drive_of_a_lingering_connection_is_bounded() {
    let mut run = Checked::once(64, tireless);
    assert_eq!(run.drive(MeansEmpty), Ok(ShutdownWrite));
    run.socket.calls.clear();
    assert_eq!(run.drive(MeansEmpty), Ok(Yield));
    assert_eq!((run.socket.reads(), run.socket.writes()), (1, 0));
}

/// Also after the peer did not keep up. To bound what all peers can hold is the caller's task.
#[test]
fn every_read_asks_for_the_whole_scratch() {
    for scratch_bytes in [1, 64, 1000, 256 * KIB] {
        let mut run = Checked::new(scratch_bytes, Steps::default());
        run.expect(ProvesNothing, &[GivesAll, TakesAll, Gives(1), TakesAll, ReadBlocks], Ok(Wait));
        assert_eq!(asked(&run), [scratch_bytes; 3]);
        run.expect(ProvesNothing, &[GivesAll, WriteBlocks], Ok(Wait));
        run.expect(ProvesNothing, &[TakesAll, GivesAll, TakesAll, ReadBlocks], Ok(Wait));
        assert_eq!(asked(&run), [scratch_bytes; 2]);
    }
}

#[test]
fn the_scratch_may_change_between_drives() {
    let mut run = Checked::new(64, tireless);
    for scratch_bytes in [64, 1, 4096] {
        run.scratch = vec![0; scratch_bytes];
        run.socket.calls.clear();
        assert_eq!(run.drive(MeansEmpty), Ok(Yield));
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
        // Between two pieces nothing moves, in either direction.
        let (mut read_pause, mut write_pause) = (false, true);
        let mut left = 0; // Of the piece that the peer takes now.
        let peer = move |call| match call {
            Call::Read(_) => {
                read_pause = !read_pause;
                if read_pause { Ok(give.next().unwrap_or(0)) } else { Err(WouldBlock) }
            }
            Call::Write(offered) => {
                if left == 0 {
                    write_pause = !write_pause;
                    if write_pause {
                        return Err(WouldBlock);
                    }
                    left = take.next().expect("no more is offered than was given");
                }
                let n = left.min(offered);
                left -= n;
                Ok(n)
            }
        };
        let mut run = Checked::new(8, peer);
        // Each piece, and each pause before one, takes no more than two drives.
        let ended =
            (0..8 * MESSAGE_BYTES).find(|_| !matches!(run.drive(MeansEmpty), Ok(Wait | Yield)));
        assert!(ended.is_some(), "cut at {given:b} and {taken:b}");
        assert_eq!(run.socket.calls.last(), Some(&(Call::Read(8), Ok(0))));
        assert_eq!((run.socket.given, run.socket.taken), (MESSAGE_BYTES, MESSAGE_BYTES));
    }
}
