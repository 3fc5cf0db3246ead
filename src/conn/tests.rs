//! The echo machine on scripted sockets: what a peer and the system may do, call by call.

use std::collections::VecDeque;

use super::*;
use Next::{Close, ShutdownWrite, Wait, Yield};
use ShortRead::{MeansEmpty, ProvesNothing};
use Step::*;

mod exhaustive;
mod leaving;
mod sizes;

/// What the machine asks of the socket, with the bytes it has room for, or offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Read(usize),
    Write(usize),
}

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

trait Answer {
    fn answer(&mut self, ask: Ask) -> Step;
}

impl<F: FnMut(Ask) -> Step> Answer for F {
    fn answer(&mut self, ask: Ask) -> Step {
        self(ask)
    }
}

/// Answers with its steps in turn, and then with `WouldBlock`.
#[derive(Debug, Default)]
struct Script(VecDeque<Step>);

impl Answer for Script {
    fn answer(&mut self, ask: Ask) -> Step {
        match ask {
            Ask::Read(_) => self.0.pop_front().unwrap_or(ReadBlocks),
            Ask::Write(_) => self.0.pop_front().unwrap_or(WriteBlocks),
        }
    }
}

/// A socket whose every answer is decided beforehand, and which looks at every byte that it is offered.
#[derive(Debug)]
struct Peer<A> {
    answers: A,
    given: usize,
    taken: usize,
    calls: Vec<(Ask, Step)>,
}

/// What the peer sends as its `i`th byte. No power of two is a multiple of the period, so a shifted
/// buffer shows.
fn sent(i: usize) -> u8 {
    (i % 251) as u8
}

impl<A: Answer> Peer<A> {
    fn new(answers: A) -> Self {
        Self { answers, given: 0, taken: 0, calls: Vec::new() }
    }

    fn ask(&mut self, ask: Ask) -> Step {
        let step = self.answers.answer(ask);
        self.calls.push((ask, step));
        assert!(self.calls.len() < 1000, "this drive never ends: {:?}", &self.calls[..10]);
        step
    }

    fn count(&self, is: fn(&Ask) -> bool) -> usize {
        self.calls.iter().filter(|(ask, _)| is(ask)).count()
    }

    fn reads(&self) -> usize {
        self.count(|ask| matches!(ask, Ask::Read(_)))
    }

    fn writes(&self) -> usize {
        self.count(|ask| matches!(ask, Ask::Write(_)))
    }
}

impl<A: Answer> Read for Peer<A> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match self.ask(Ask::Read(buffer.len())) {
            Gives(n) => n,
            GivesAll => buffer.len(),
            Eof => 0,
            ReadBlocks => return Err(ErrorKind::WouldBlock.into()),
            ReadInterrupted => return Err(ErrorKind::Interrupted.into()),
            Reset => return Err(ErrorKind::ConnectionReset.into()),
            step => panic!("read, where the script has {step:?}; so far {:?}", self.calls),
        };
        for (i, byte) in buffer[..n].iter_mut().enumerate() {
            *byte = sent(self.given + i);
        }
        self.given += n;
        Ok(n)
    }
}

impl<A: Answer> Write for Peer<A> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(self.taken + bytes.len() <= self.given, "more than was read: {:?}", self.calls);
        for (i, byte) in bytes.iter().enumerate() {
            assert_eq!(*byte, sent(self.taken + i), "byte {}: {:?}", self.taken + i, self.calls);
        }
        let n = match self.ask(Ask::Write(bytes.len())) {
            Takes(n) => n,
            TakesAll => bytes.len(),
            TakesNothing => 0,
            WriteBlocks => return Err(ErrorKind::WouldBlock.into()),
            WriteInterrupted => return Err(ErrorKind::Interrupted.into()),
            BrokenPipe => return Err(ErrorKind::BrokenPipe.into()),
            step => panic!("wrote, where the script has {step:?}; so far {:?}", self.calls),
        };
        self.taken += n;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        panic!("there is nothing to flush in a socket");
    }
}

/// A machine with its peer and its scratch.
struct Run<A> {
    echo: Echo,
    peer: Peer<A>,
    scratch: Vec<u8>,
}

impl<A: Answer> Run<A> {
    fn of(echo: Echo, scratch_bytes: usize, answers: A) -> Self {
        Self { echo, peer: Peer::new(answers), scratch: vec![0; scratch_bytes] }
    }

    /// Drives it once, and checks what the drive says that it did.
    fn turn(&mut self, hint: ShortRead) -> Result<Next, ErrorKind> {
        // What a drive leaves in the scratch is not to matter to the next.
        self.scratch.fill(0xff);
        let (given, taken, made) = (self.peer.given, self.peer.taken, self.peer.calls.len());
        let drive = self.echo.drive(&mut self.peer, hint, &mut self.scratch);
        assert_eq!((drive.read, drive.wrote), (self.peer.given - given, self.peer.taken - taken));
        let last_write =
            self.peer.calls[made..].iter().rev().find(|(ask, _)| matches!(ask, Ask::Write(_)));
        assert_eq!(drive.blocked, last_write.is_some_and(|(_, step)| *step == WriteBlocks));
        drive.next.map_err(|e| e.kind())
    }
}

impl Run<Script> {
    fn new(echo: Echo) -> Self {
        Self::of(echo, 8, Script::default())
    }

    /// Drives it after an event, and on while it says `Yield` if that is not what is expected. This
    /// is to take it through all of `steps`, and forgets the calls from before.
    #[track_caller]
    fn expect(&mut self, hint: ShortRead, steps: &[Step], expected: Result<Next, ErrorKind>) {
        self.peer.calls.clear();
        self.peer.answers.0.extend(steps);
        let mut turn = self.turn(hint);
        while turn == Ok(Yield) && turn != expected {
            // The ready queue knows nothing of short reads.
            turn = self.turn(MeansEmpty);
        }
        assert_eq!(turn, expected, "after {:?}", self.peer.calls);
        let left = &self.peer.answers.0;
        assert!(left.is_empty(), "not asked for {left:?}; calls {:?}", self.peer.calls);
    }
}

/// A fresh connection, with 8 bytes of scratch, after one event and through all of `steps`: how it
/// ends, and how many bytes are pending then.
#[track_caller]
fn check(steps: &[Step], expected: Result<Next, ErrorKind>, pending_bytes: usize) {
    let mut run = Run::new(Echo::new());
    run.expect(MeansEmpty, steps, expected);
    if expected.is_ok() {
        assert_eq!(run.echo.pending_bytes(), pending_bytes);
        assert_eq!(run.peer.taken + pending_bytes, run.peer.given);
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

    let mut run = Run::new(Echo::new());
    run.expect(MeansEmpty, &[Gives(5), WriteBlocks], Ok(Wait));
    run.expect(MeansEmpty, &[Takes(1), BrokenPipe], Err(ErrorKind::BrokenPipe));
}

#[test]
fn a_write_that_takes_nothing_is_an_error() {
    check(&[Gives(5), TakesNothing], Err(ErrorKind::WriteZero), 0);
}

#[test]
fn an_interrupted_call_is_made_again() {
    check(&[ReadInterrupted, ReadInterrupted, Gives(5), TakesAll], Ok(Wait), 0);
    check(&[Gives(5), WriteInterrupted, Takes(2), WriteInterrupted, Takes(3)], Ok(Wait), 0);
    check(&[ReadInterrupted, Eof], Ok(Close), 0);

    let mut run = Run::new(Echo::new());
    run.expect(MeansEmpty, &[Gives(5), WriteBlocks], Ok(Wait));
    run.expect(MeansEmpty, &[WriteInterrupted, TakesAll, ReadInterrupted], Ok(Wait));
    assert_eq!((run.peer.writes(), run.peer.reads()), (2, 2));
}

#[test]
fn an_echo_costs_one_read_and_one_write() {
    let mut run = Run::new(Echo::new());
    for _ in 0..3 {
        run.expect(MeansEmpty, &[Gives(7), TakesAll], Ok(Wait));
        assert_eq!((run.peer.reads(), run.peer.writes()), (1, 1));
    }
}

#[test]
fn a_stall_costs_one_refused_write() {
    let mut run = Run::new(Echo::new());
    for steps in [&[Gives(5), WriteBlocks][..], &[WriteBlocks]] {
        run.expect(MeansEmpty, steps, Ok(Wait));
        assert_eq!(run.peer.writes(), 1);
    }
}

#[test]
fn nothing_is_read_while_bytes_are_pending() {
    let mut run = Run::new(Echo::new());
    run.expect(MeansEmpty, &[Gives(5), Takes(1)], Ok(Wait));
    for pending_bytes in [3, 2, 1] {
        run.expect(MeansEmpty, &[Takes(1)], Ok(Wait));
        assert_eq!((run.peer.reads(), run.echo.pending_bytes()), (0, pending_bytes));
    }
}

#[test]
fn reading_resumes_in_the_turn_in_which_pending_drains() {
    let mut run = Run::new(Echo::new());
    run.expect(MeansEmpty, &[Gives(5), WriteBlocks], Ok(Wait));
    run.peer.answers.0.extend([TakesAll, Gives(3), TakesAll]);
    assert_eq!(run.turn(MeansEmpty), Ok(Wait));
    assert_eq!((run.peer.given, run.peer.taken), (8, 8));
}

#[test]
fn end_of_file_waits_behind_pending_bytes() {
    let mut run = Run::new(Echo::new());
    run.expect(ProvesNothing, &[Gives(5), Takes(1), WriteBlocks], Ok(Wait));
    run.expect(ProvesNothing, &[Takes(3)], Ok(Wait));
    run.expect(ProvesNothing, &[Takes(1), Eof], Ok(Close));
}

#[test]
fn a_connection_with_nothing_pending_owns_no_memory() {
    let mut run = Run::new(Echo::new());
    run.expect(MeansEmpty, &[Gives(5), Takes(1)], Ok(Wait));
    run.expect(MeansEmpty, &[Takes(1)], Ok(Wait));
    assert_eq!((run.echo.pending_bytes(), run.echo.buffered_bytes()), (3, 4));
    run.expect(MeansEmpty, &[TakesAll], Ok(Wait));
    assert_eq!(run.echo.buffered_bytes(), 0, "freed with the last byte");
}

#[test]
fn a_slow_reader_moves_no_bytes() {
    let mut run = Run::new(Echo::new());
    run.expect(MeansEmpty, &[Gives(7), WriteBlocks], Ok(Wait));
    let buffer = |run: &Run<Script>| {
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
fn a_short_read_proves_nothing_where_told_to_read_on() {
    let mut run = Run::new(Echo::new());
    run.expect(ProvesNothing, &[Gives(1), TakesAll, Gives(2), TakesAll, ReadBlocks], Ok(Wait));
    // The socket was seen empty, so what made short reads doubtful is behind.
    run.expect(MeansEmpty, &[Gives(1), TakesAll], Ok(Wait));
    assert_eq!(run.peer.reads(), 1);
    run.expect(ProvesNothing, &[Gives(1), TakesAll, Eof], Ok(Close));
}

#[test]
fn read_on_is_remembered_across_back_pressure() {
    let mut run = Run::new(Echo::new());
    run.expect(ProvesNothing, &[Gives(3), WriteBlocks], Ok(Wait));
    run.expect(MeansEmpty, &[Takes(1)], Ok(Wait));
    run.expect(MeansEmpty, &[TakesAll, Gives(2), TakesAll, Eof], Ok(Close));
}

#[test]
fn read_on_is_remembered_across_turns() {
    let mut run = Run::new(Echo::new());
    run.expect(ProvesNothing, &[GivesAll, TakesAll], Ok(Yield));
    run.expect(MeansEmpty, &[Gives(2), TakesAll, Eof], Ok(Close));
}
