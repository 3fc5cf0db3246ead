//! The laws of [`Echo`]: what a drive may do. They follow from the calls of the socket alone.

use std::io::ErrorKind;

use resound::conn::{Drive, Echo, Next, ShortRead};

use super::socket::{Answer, Call};

/// What happened, for the message of a failure.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "only printed")]
enum Step {
    Finish,
    Abandon,
    Drive { short_read: ShortRead, scratch_bytes: usize },
    Called(Call, Answer),
    Returned(Result<Next, ErrorKind>),
}

/// Watches one connection, and panics as soon as it breaks a law.
#[derive(Debug, Default)]
pub struct Laws {
    steps: Vec<Step>,
    once: bool,
    /// Bytes that were read and must still be written.
    owed: usize,
    /// Bytes that were owed when the first of them became pending, while any are.
    buffered: usize,
    /// Whether a short read proves nothing.
    reads_on: bool,
    is_finishing: bool,
    /// Whether the only read whose bytes are echoed is done.
    is_once_done: bool,
    /// Whether the socket was empty at some time after `finish`.
    all_arrived: bool,
    is_shut: bool,
    has_discarded: bool,
    /// The last call, if a signal interrupted it.
    interrupted: Option<Call>,
    now: Progress,
}

/// What the present drive has done.
#[derive(Debug, Default)]
struct Progress {
    scratch_bytes: usize,
    reads: usize,
    writes: usize,
    read_bytes: usize,
    written_bytes: usize,
    /// Whether the socket was found empty, and refused no write since.
    is_drained: bool,
    /// Whether the last write returned `WouldBlock`.
    is_blocked: bool,
    end: Option<End>,
}

/// What ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    OfFile,
    Failed(ErrorKind),
}

impl Laws {
    /// Of a connection that echoes its first read only, or everything.
    pub fn new(once: bool) -> Self {
        Self { once, ..Self::default() }
    }

    pub fn finish(&mut self) {
        self.steps.push(Step::Finish);
        self.is_finishing = true;
    }

    /// Nothing may be pending then.
    pub fn abandon(&mut self) {
        self.steps.push(Step::Abandon);
        self.is_shut = true;
    }

    /// Checks a drive with this hint and a scratch of this length, by the calls that it made and what it returned.
    pub fn check(
        &mut self,
        (short_read, scratch_bytes): (ShortRead, usize),
        calls: &[(Call, Answer)],
        drive: &Drive,
        echo: &Echo,
    ) {
        self.steps.push(Step::Drive { short_read, scratch_bytes });
        self.reads_on |= short_read == ShortRead::ProvesNothing;
        self.now = Progress { scratch_bytes, ..Progress::default() };
        for (call, answer) in calls {
            self.steps.push(Step::Called(*call, *answer));
            self.check_call(*call);
            self.note_answer(*call, *answer);
        }
        let next = drive.next.as_ref().map(|next| *next).map_err(|e| e.kind());
        self.steps.push(Step::Returned(next));
        self.check_counts(drive);
        self.check_next(next);
        if next.is_ok_and(|next| next != Next::Close) {
            self.check_state(echo);
        }
    }

    #[track_caller]
    fn must(&self, holds: bool, law: &str) {
        assert!(holds, "a broken law: {law}. All steps: {:?}", self.steps);
    }

    fn check_call(&self, call: Call) {
        let now = &self.now;
        self.must(now.end.is_none(), "nothing is called after the end");
        let is_again = |interrupted: Call| kind(interrupted) == kind(call);
        self.must(self.interrupted.is_none_or(is_again), "an interrupted call is repeated");
        match call {
            Call::Read(space) => {
                self.must(self.owed == 0, "nothing is read while bytes are pending");
                self.must(now.reads == 0, "a drive reads at most once");
                self.must(self.is_shut || !self.is_once_done, "only one read is echoed");
                self.must(space == now.scratch_bytes, "a read asks for the whole scratch");
            }
            Call::Write(offered) => {
                self.must(!self.is_shut, "nothing is written after ShutdownWrite");
                self.must(offered > 0, "no write is empty");
                self.must(offered == self.owed, "a write offers all that is pending");
                let has_turn = now.writes <= now.reads;
                self.must(has_turn, "a drive writes once before its read and once after");
            }
        }
    }

    fn note_answer(&mut self, call: Call, answer: Answer) {
        self.interrupted = (answer == Err(ErrorKind::Interrupted)).then_some(call);
        match call {
            Call::Read(space) => self.note_read(space, answer),
            Call::Write(_) => self.note_write(answer),
        }
    }

    fn note_read(&mut self, space: usize, answer: Answer) {
        self.now.reads += 1;
        match answer {
            Ok(0) => self.now.end = Some(End::OfFile),
            Ok(n) => {
                self.now.read_bytes = n;
                self.is_once_done |= self.once && !self.is_finishing;
                self.owed = if self.is_shut { 0 } else { n };
                self.has_discarded |= self.is_shut;
                self.now.is_drained = n < space && !self.reads_on;
            }
            Err(ErrorKind::WouldBlock) => (self.now.is_drained, self.reads_on) = (true, false),
            Err(ErrorKind::Interrupted) => {}
            Err(kind) => self.now.end = Some(End::Failed(kind)),
        }
        self.all_arrived |= self.is_finishing && self.now.is_drained;
    }

    fn note_write(&mut self, answer: Answer) {
        self.now.writes += 1;
        self.now.is_blocked = answer == Err(ErrorKind::WouldBlock);
        match answer {
            Ok(0) => self.now.end = Some(End::Failed(ErrorKind::WriteZero)),
            Ok(n) => {
                self.owed -= n;
                self.now.written_bytes += n;
            }
            Err(ErrorKind::WouldBlock) => self.now.is_drained = false,
            Err(ErrorKind::Interrupted) => {}
            Err(kind) => self.now.end = Some(End::Failed(kind)),
        }
        if self.owed == 0 {
            self.buffered = 0;
        }
    }

    fn check_counts(&self, drive: &Drive) {
        self.must(drive.read == self.now.read_bytes, "`read` counts the bytes that were read");
        self.must(drive.wrote == self.now.written_bytes, "`wrote` counts the written bytes");
        self.must(drive.blocked == self.now.is_blocked, "`blocked` is of the last write");
    }

    fn check_next(&mut self, next: Result<Next, ErrorKind>) {
        let is_exhausted = if self.owed > 0 { self.now.is_blocked } else { self.now.is_drained };
        let must_shut = self.owed == 0 && self.must_shut();
        match (next, self.now.end) {
            (_, Some(End::OfFile)) => {
                self.must(next == Ok(Next::Close), "an end of file is answered by Close");
                self.must(self.owed == 0, "Close comes after the last byte");
            }
            (_, Some(End::Failed(kind))) => self.must(next == Err(kind), "an error is returned"),
            (Ok(Next::Wait), None) => {
                self.must(is_exhausted, "Wait is returned only if an event will come");
                self.must(!must_shut, "ShutdownWrite is due, not Wait");
            }
            (Ok(Next::Yield), None) => {
                self.must(!is_exhausted, "Yield is returned only if there may be more to do");
                self.must(!must_shut, "ShutdownWrite is due, not Yield");
            }
            (Ok(Next::ShutdownWrite), None) => self.check_shutdown(),
            (Ok(Next::Close) | Err(_), None) => self.must(false, "only the socket ends it"),
        }
    }

    /// Whether there is nothing left to read for.
    fn must_shut(&self) -> bool {
        !self.is_shut && (self.is_once_done || self.is_finishing && self.now.is_drained)
    }

    fn check_shutdown(&mut self) {
        self.must(!self.is_shut, "ShutdownWrite is returned once");
        self.must(self.owed == 0, "ShutdownWrite comes after the last byte");
        let may_shut = self.is_once_done || self.all_arrived;
        self.must(may_shut, "ShutdownWrite comes after all that had arrived");
        self.is_shut = true;
    }

    fn check_state(&mut self, echo: &Echo) {
        if self.buffered == 0 {
            let is_bounded = self.owed <= self.now.scratch_bytes;
            self.must(is_bounded, "the scratch bounds what becomes pending");
            self.buffered = self.owed;
        }
        self.must(echo.pending_bytes() == self.owed, "`pending_bytes` is what is owed");
        let is_exact = echo.buffered_bytes() == self.buffered;
        self.must(is_exact, "memory is held for what was pending at first, until it is written");
        self.must(echo.is_lingering() == self.is_shut, "it lingers from ShutdownWrite on");
        let is_short = self.owed > 0 || self.has_discarded;
        self.must(echo.is_short() == is_short, "it is short if bytes are pending or discarded");
    }
}

fn kind(call: Call) -> std::mem::Discriminant<Call> {
    std::mem::discriminant(&call)
}
