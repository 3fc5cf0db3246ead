//! What a connection may do, derived from what was asked of it and what its socket answered, alone.

use std::io::ErrorKind;

use resound::conn::{Echo, ShortRead, Next};

use crate::script::{Answer, Before};

/// What happened, for whoever has to understand a failure.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "printed")]
pub enum Step {
    Driven(Before),
    Read(usize, Answer),
    Wrote(usize, Answer),
    Said(Result<Next, ErrorKind>),
}

#[derive(Debug, Default)]
pub struct Laws {
    trace: Vec<Step>,
    once: bool,
    /// How many bytes the peer has sent, been sent, and will never be sent.
    given: usize,
    taken: usize,
    thrown_away: usize,
    /// How many bytes were pending at first, as long as any are.
    held: usize,
    /// Whether a short read proves nothing.
    read_on: bool,
    finishing: bool,
    /// Whether the one read was made that is to be echoed.
    only_read_done: bool,
    /// Whether the socket was seen empty since `finish`.
    all_arrived: bool,
    shut: bool,
    now: Drive,
}

/// What came to pass in the drive that is under way.
#[derive(Debug, Default)]
struct Drive {
    scratch_bytes: usize,
    reads: usize,
    writes: usize,
    /// Whether the socket was seen empty, and no write was refused since.
    emptied: bool,
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    EndOfFile,
    WriteBlocked,
    Failed(ErrorKind),
    Other,
}

impl Laws {
    pub fn new(once: bool) -> Self {
        Self { once, ..Self::default() }
    }

    pub fn trace(&self) -> &[Step] {
        &self.trace
    }

    pub fn given(&self) -> usize {
        self.given
    }

    pub fn taken(&self) -> usize {
        self.taken
    }

    /// How many bytes are to be written yet.
    fn owed(&self) -> usize {
        self.given - self.thrown_away - self.taken
    }

    #[track_caller]
    pub fn must(&self, holds: bool, law: &str) {
        assert!(holds, "broken: {law}; so far {:?}", self.trace);
    }

    pub fn begin(&mut self, before: Before) {
        self.trace.push(Step::Driven(before));
        self.finishing |= before.finish;
        self.read_on |= before.hint == ShortRead::ProvesNothing;
        self.now = Drive { scratch_bytes: before.scratch_bytes, ..Drive::default() };
    }

    /// Ends of a connection end the drive too.
    fn may_call(&self) {
        let over = matches!(self.now.last, Some(Last::EndOfFile | Last::Failed(_)));
        self.must(!over, "nothing is called after the end");
    }

    pub fn may_read(&self, room: usize) {
        self.may_call();
        self.must(self.owed() == 0, "nothing is read while bytes are pending");
        self.must(self.now.reads == 0, "a drive reads once at most");
        self.must(self.shut || !self.only_read_done, "one read only is echoed");
        self.must(room == self.now.scratch_bytes, "a read is as large as the scratch");
    }

    pub fn has_read(&mut self, room: usize, answer: Answer) {
        self.trace.push(Step::Read(room, answer));
        self.now.reads += 1;
        self.now.last = Some(last(answer, Last::EndOfFile, Last::Other));
        match answer {
            Ok(0) => {}
            Ok(n) => {
                self.given += n;
                self.thrown_away += if self.shut { n } else { 0 };
                self.only_read_done |= self.once && !self.finishing;
                self.now.emptied = n < room && !self.read_on;
            }
            Err(ErrorKind::WouldBlock) => (self.now.emptied, self.read_on) = (true, false),
            Err(_) => {}
        }
        self.all_arrived |= self.finishing && self.now.emptied;
    }

    pub fn may_write(&self, offered: usize) {
        self.may_call();
        self.must(!self.shut, "nothing is written after ShutdownWrite");
        self.must(offered > 0, "an empty write says nothing");
        self.must(offered == self.owed(), "all that is pending is offered, and nothing else");
        self.must(
            self.now.writes <= self.now.reads,
            "a drive writes once before it reads, once after",
        );
    }

    pub fn has_written(&mut self, offered: usize, answer: Answer) {
        self.trace.push(Step::Wrote(offered, answer));
        self.now.writes += 1;
        self.now.last = Some(last(answer, Last::Failed(ErrorKind::WriteZero), Last::WriteBlocked));
        self.taken += answer.unwrap_or(0);
        self.now.emptied &= answer != Err(ErrorKind::WouldBlock);
        if self.owed() == 0 {
            self.held = 0;
        }
    }

    pub fn end(&mut self, turn: Result<Next, ErrorKind>, echo: &Echo) {
        self.trace.push(Step::Said(turn));
        let blocked = self.now.last == Some(Last::WriteBlocked);
        let exhausted = if self.owed() > 0 { blocked } else { self.now.emptied };
        let leaving = self.owed() == 0 && self.is_leaving();
        match (turn, self.now.last) {
            (_, Some(Last::EndOfFile)) => self.must(turn == Ok(Next::Close), "the end is Close"),
            (_, Some(Last::Failed(kind))) => self.must(turn == Err(kind), "a fault is told"),
            (Ok(Next::Wait), _) => self.must(exhausted && !leaving, "Wait is for an event to come"),
            (Ok(Next::Yield), _) => self.must(!exhausted && !leaving, "Yield is for more to do"),
            (Ok(Next::ShutdownWrite), _) => self.shut_rightly(),
            _ => self.must(false, "Close and faults are the socket's to say"),
        }
        match turn {
            Ok(Next::Close) => self.must(self.owed() == 0, "Close is after the last byte is written"),
            Ok(_) => self.holds_rightly(echo),
            Err(_) => {}
        }
    }

    /// Whether there is nothing left to read for.
    fn is_leaving(&self) -> bool {
        !self.shut && (self.only_read_done || self.finishing && self.now.emptied)
    }

    fn shut_rightly(&mut self) {
        self.must(!self.shut, "ShutdownWrite is said once");
        self.must(self.owed() == 0, "ShutdownWrite is after the last byte is written");
        self.must(self.only_read_done || self.all_arrived, "ShutdownWrite is after all that arrived");
        self.shut = true;
    }

    fn holds_rightly(&mut self, echo: &Echo) {
        if self.owed() > 0 && self.held == 0 {
            self.must(self.owed() <= self.now.scratch_bytes, "the scratch bounds what is pending");
            self.held = self.owed();
        }
        self.must(echo.pending_bytes() == self.owed(), "pending is what is owed");
        self.must(echo.buffered_bytes() == self.held, "memory is held for what was pending, no more");
        self.must(echo.is_lingering() == self.shut, "lingering begins with ShutdownWrite");
    }
}

/// What an answer comes to, where nothing and a refusal mean different things to reads and writes.
fn last(answer: Answer, nothing: Last, blocked: Last) -> Last {
    match answer {
        Ok(0) => nothing,
        Err(ErrorKind::WouldBlock) => blocked,
        Ok(_) | Err(ErrorKind::Interrupted) => Last::Other,
        Err(kind) => Last::Failed(kind),
    }
}
