//! The echo machine on scripted sockets: what a peer and the system can do, call by call.

use std::collections::VecDeque;

use super::*;
use crate::kit::checked::Checked;
use crate::kit::socket::{Answer, Call, Script};
use Next::{Close, ShutdownWrite, Wait, Yield};
use ShortRead::{MeansEmpty, ProvesNothing};
use Step::*;

mod exhaustive;
mod leaving;
mod sizes;

/// What the socket answers to one call: the first half to reads, the second to writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Gives(usize),
    GivesAll,
    Eof,
    ReadBlocks,
    ReadInterrupted,
    Reset,
    Takes(usize),
    TakesAll,
    TakesNothing,
    WriteBlocks,
    WriteInterrupted,
    BrokenPipe,
}

impl Step {
    /// What `call` returns, if the step is an answer to it.
    fn answer(self, call: Call) -> Option<Answer> {
        match (call, self) {
            (Call::Read(_), Gives(n)) | (Call::Write(_), Takes(n)) => Some(Ok(n)),
            (Call::Read(n), GivesAll) | (Call::Write(n), TakesAll) => Some(Ok(n)),
            (Call::Read(_), Eof) | (Call::Write(_), TakesNothing) => Some(Ok(0)),
            (Call::Read(_), ReadBlocks) | (Call::Write(_), WriteBlocks) => {
                Some(Err(ErrorKind::WouldBlock))
            }
            (Call::Read(_), ReadInterrupted) | (Call::Write(_), WriteInterrupted) => {
                Some(Err(ErrorKind::Interrupted))
            }
            (Call::Read(_), Reset) => Some(Err(ErrorKind::ConnectionReset)),
            (Call::Write(_), BrokenPipe) => Some(Err(ErrorKind::BrokenPipe)),
            _ => None,
        }
    }
}

/// Answers with its steps in turn, and then with `WouldBlock`.
#[derive(Debug, Default)]
struct Steps(VecDeque<Step>);

impl Script for Steps {
    fn answer(&mut self, call: Call) -> Answer {
        let Some(step) = self.0.pop_front() else { return Err(ErrorKind::WouldBlock) };
        step.answer(call).unwrap_or_else(|| panic!("{call:?}, but the script has {step:?}"))
    }
}

impl Checked<Steps> {
    /// A connection with 8 bytes of scratch, and a peer that is silent so far.
    fn echo() -> Self {
        Self::new(8, Steps::default())
    }

    /// As [`echo`](Self::echo), but it echoes its first read only.
    fn echo_once() -> Self {
        Self::once(8, Steps::default())
    }

    /// Drives the connection through all of `steps` after an event: on while it yields, unless to yield is
    /// what is expected. Forgets the calls from before.
    #[track_caller]
    fn expect(&mut self, hint: ShortRead, steps: &[Step], expected: Result<Next, ErrorKind>) {
        self.socket.calls.clear();
        self.socket.script.0.extend(steps);
        let mut next = self.drive(hint);
        while next == Ok(Yield) && next != expected {
            // The ready queue knows nothing of short reads.
            next = self.drive(MeansEmpty);
        }
        let (calls, left) = (&self.socket.calls, &self.socket.script.0);
        assert_eq!(next, expected, "after {calls:?}");
        assert!(left.is_empty(), "{left:?} are left after {calls:?}");
    }
}

/// What one event leads to on a fresh connection that goes through all of `steps`: what its last drive returns,
/// and how many bytes are pending then.
#[track_caller]
fn check(steps: &[Step], expected: Result<Next, ErrorKind>, pending_bytes: usize) {
    let mut run = Checked::echo();
    run.expect(MeansEmpty, steps, expected);
    if expected.is_ok() {
        assert_eq!(run.echo.pending_bytes(), pending_bytes);
        assert_eq!(run.socket.taken + pending_bytes, run.socket.given);
    }
}

#[test]
fn one_event() {
    check(&[], Ok(Wait), 0);
    check(&[Eof], Ok(Close), 0);
    check(&[Gives(5), TakesAll], Ok(Wait), 0);
    check(&[Gives(5), Takes(2)], Ok(Wait), 3);
    check(&[Gives(5), Takes(2), Takes(3)], Ok(Wait), 0);
    check(&[Gives(5), WriteBlocks], Ok(Wait), 5);
    // A full read proves nothing.
    check(&[GivesAll, TakesAll], Ok(Yield), 0);
    check(&[GivesAll, TakesAll, Gives(1), TakesAll], Ok(Wait), 0);
}

#[test]
fn an_error_ends_the_connection() {
    check(&[Reset], Err(ErrorKind::ConnectionReset), 0);
    check(&[Gives(5), BrokenPipe], Err(ErrorKind::BrokenPipe), 0);
    check(&[Gives(5), Takes(2), BrokenPipe], Err(ErrorKind::BrokenPipe), 0);

    let mut run = Checked::echo();
    run.expect(MeansEmpty, &[Gives(5), WriteBlocks], Ok(Wait));
    run.expect(MeansEmpty, &[Takes(1), BrokenPipe], Err(ErrorKind::BrokenPipe));
}

#[test]
fn a_write_that_takes_nothing_is_an_error() {
    check(&[Gives(5), TakesNothing], Err(ErrorKind::WriteZero), 0);
}

#[test]
fn an_interrupted_call_is_repeated() {
    check(&[ReadInterrupted, ReadInterrupted, Gives(5), TakesAll], Ok(Wait), 0);
    check(&[Gives(5), WriteInterrupted, Takes(2), WriteInterrupted, Takes(3)], Ok(Wait), 0);
    check(&[ReadInterrupted, Eof], Ok(Close), 0);

    let mut run = Checked::echo();
    run.expect(MeansEmpty, &[Gives(5), WriteBlocks], Ok(Wait));
    run.expect(MeansEmpty, &[WriteInterrupted, TakesAll, ReadInterrupted], Ok(Wait));
    assert_eq!((run.socket.writes(), run.socket.reads()), (2, 2));
}

#[test]
fn an_echo_costs_one_read_and_one_write() {
    let mut run = Checked::echo();
    for _ in 0..3 {
        run.expect(MeansEmpty, &[Gives(7), TakesAll], Ok(Wait));
        assert_eq!((run.socket.reads(), run.socket.writes()), (1, 1));
    }
}

#[test]
fn a_stall_costs_one_refused_write() {
    let mut run = Checked::echo();
    for steps in [&[Gives(5), WriteBlocks][..], &[WriteBlocks]] {
        run.expect(MeansEmpty, steps, Ok(Wait));
        assert_eq!(run.socket.writes(), 1);
    }
}

#[test]
fn nothing_is_read_while_bytes_are_pending() {
    let mut run = Checked::echo();
    run.expect(MeansEmpty, &[Gives(5), Takes(1)], Ok(Wait));
    for pending_bytes in [3, 2, 1] {
        run.expect(MeansEmpty, &[Takes(1)], Ok(Wait));
        assert_eq!((run.socket.reads(), run.echo.pending_bytes()), (0, pending_bytes));
    }
}

#[test]
fn reading_resumes_in_the_turn_in_which_pending_drains() {
    let mut run = Checked::echo();
    run.expect(MeansEmpty, &[Gives(5), WriteBlocks], Ok(Wait));
    run.socket.script.0.extend([TakesAll, Gives(3), TakesAll]);
    assert_eq!(run.drive(MeansEmpty), Ok(Wait));
    assert_eq!((run.socket.given, run.socket.taken), (8, 8));
}

#[test]
fn end_of_file_waits_behind_pending_bytes() {
    let mut run = Checked::echo();
    run.expect(ProvesNothing, &[Gives(5), Takes(1), WriteBlocks], Ok(Wait));
    run.expect(ProvesNothing, &[Takes(3)], Ok(Wait));
    run.expect(ProvesNothing, &[Takes(1), Eof], Ok(Close));
}

#[test]
fn a_connection_with_nothing_pending_owns_no_memory() {
    let mut run = Checked::echo();
    run.expect(MeansEmpty, &[Gives(5), Takes(1)], Ok(Wait));
    run.expect(MeansEmpty, &[Takes(1)], Ok(Wait));
    assert_eq!((run.echo.pending_bytes(), run.echo.buffered_bytes()), (3, 4));
    run.expect(MeansEmpty, &[TakesAll], Ok(Wait));
    assert_eq!(run.echo.buffered_bytes(), 0, "freed with the last byte");
}

#[test]
fn a_slow_reader_moves_no_bytes() {
    let mut run = Checked::echo();
    run.expect(MeansEmpty, &[Gives(7), WriteBlocks], Ok(Wait));
    let buffer = |run: &Checked<Steps>| {
        run.echo.pending.as_ref().map(|pending| (pending.bytes.as_ptr(), pending.bytes.len()))
    };
    let first = buffer(&run);
    for pending_bytes in (1..7).rev() {
        run.expect(MeansEmpty, &[Takes(1)], Ok(Wait));
        assert_eq!(run.echo.pending_bytes(), pending_bytes);
        assert_eq!(buffer(&run), first);
    }
}

#[test]
fn a_short_read_that_proves_nothing_is_followed_by_another() {
    let mut run = Checked::echo();
    run.expect(ProvesNothing, &[Gives(1), TakesAll, Gives(2), TakesAll, ReadBlocks], Ok(Wait));
    // The socket was found empty, so the reason for the doubt is gone.
    run.expect(MeansEmpty, &[Gives(1), TakesAll], Ok(Wait));
    assert_eq!(run.socket.reads(), 1);
    run.expect(ProvesNothing, &[Gives(1), TakesAll, Eof], Ok(Close));
}

#[test]
fn a_doubt_about_short_reads_outlasts_back_pressure() {
    let mut run = Checked::echo();
    run.expect(ProvesNothing, &[Gives(3), WriteBlocks], Ok(Wait));
    run.expect(MeansEmpty, &[Takes(1)], Ok(Wait));
    run.expect(MeansEmpty, &[TakesAll, Gives(2), TakesAll, Eof], Ok(Close));
}

#[test]
fn a_doubt_about_short_reads_outlasts_a_turn() {
    let mut run = Checked::echo();
    run.expect(ProvesNothing, &[GivesAll, TakesAll], Ok(Yield));
    run.expect(MeansEmpty, &[Gives(2), TakesAll, Eof], Ok(Close));
}
