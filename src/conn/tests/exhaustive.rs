//! Every script of up to six answers, and after each drive the rules that no answer may break.

use super::*;

/// Answers chosen one by one. What comes after them is `WouldBlock`, and at the very end a peer that
/// takes everything and then closes.
const STEPS: usize = 6;

const TO_READ: [Step; 7] = [Gives(1), Gives(3), GivesAll, Eof, ReadBlocks, ReadInterrupted, Reset];
const TO_WRITE: [Step; 6] =
    [TakesAll, TakesNothing, WriteBlocks, WriteInterrupted, BrokenPipe, Takes(1)];

/// One script, and the way to the next.
#[derive(Debug, Default)]
struct Choices {
    /// Which answer was chosen, of how many that there were: chosen when first asked for, so that
    /// reads and writes alternate as the machine wants them to.
    made: Vec<(usize, usize)>,
    next: usize,
    obliging: bool,
}

impl Answer for Choices {
    fn answer(&mut self, ask: Ask) -> Step {
        let options = match ask {
            Ask::Read(_) => &TO_READ[..],
            Ask::Write(1) => &TO_WRITE[..5], // To take one is to take all.
            Ask::Write(_) => &TO_WRITE[..],
        };
        if self.next == STEPS {
            return match (ask, self.obliging) {
                (Ask::Read(_), false) => ReadBlocks,
                (Ask::Read(_), true) => Eof,
                (Ask::Write(_), false) => WriteBlocks,
                (Ask::Write(_), true) => TakesAll,
            };
        }
        if self.next == self.made.len() {
            self.made.push((0, options.len()));
        }
        self.next += 1;
        options[self.made[self.next - 1].0]
    }
}

impl Choices {
    /// Turns to the next script, unless this was the last.
    fn advance(&mut self) -> bool {
        (self.next, self.obliging) = (0, false);
        while let Some((choice, of)) = self.made.pop() {
            if choice + 1 < of {
                self.made.push((choice + 1, of));
                return true;
            }
        }
        false
    }
}

/// What is fixed while all scripts are run.
#[derive(Clone, Copy, Debug)]
struct Setup {
    once: bool,
    /// `finish` is called before the drive of this number, if it is ever reached.
    finish_before: Option<usize>,
    hints: fn(usize) -> ShortRead,
    scratch_bytes: usize,
}

/// What the machine should know, derived from its calls alone.
#[derive(Debug, Default)]
struct Model {
    /// Bytes read and not yet written.
    owed: usize,
    /// Whether a short read proves nothing.
    read_on: bool,
    /// Whether this drive has seen the socket empty, and has had no write refused since.
    emptied: bool,
    /// Whether the socket was seen empty since `finish`.
    all_arrived: bool,
    finishing: bool,
    shut: bool,
    /// Whether the read was made that is to be the only one.
    only_read_done: bool,
    /// How often this drive has read and written.
    reads: usize,
    writes: usize,
    /// The last call, until it is made again, where a signal interrupted it.
    interrupted: Option<Ask>,
}

impl Model {
    fn begin(&mut self, hint: ShortRead) {
        self.read_on |= hint == ProvesNothing;
        (self.emptied, self.reads, self.writes) = (false, 0, 0);
    }

    fn call(&mut self, ask: Ask, step: Step, setup: &Setup) {
        match ask {
            Ask::Read(asked) => {
                assert_eq!(self.owed, 0, "read while bytes were pending");
                assert!(!self.emptied, "read what was known to be empty");
                assert!(self.shut || !self.only_read_done, "read on after the last read");
                assert!((1..=setup.scratch_bytes).contains(&asked));
                self.reads += 1;
            }
            Ask::Write(offered) => {
                assert!(!self.shut, "wrote after ShutdownWrite");
                assert_eq!(offered, self.owed, "offered less or more than is pending");
                self.writes += 1;
            }
        }
        assert!(self.reads <= 1 && self.writes <= 2, "more than one connection's share of a turn");
        assert!(self.interrupted.is_none_or(|a| a == ask), "the interrupted call is made again");
        self.interrupted = matches!(step, ReadInterrupted | WriteInterrupted).then_some(ask);
        match (ask, step) {
            (Ask::Read(asked), Gives(_) | GivesAll) => {
                let n = if let Gives(n) = step { n } else { asked };
                self.only_read_done |= setup.once && !self.finishing;
                self.owed = if self.shut { 0 } else { n };
                self.emptied = n < asked && !self.read_on;
            }
            (_, ReadBlocks) => (self.emptied, self.read_on) = (true, false),
            (_, Takes(n)) => self.owed -= n,
            (_, TakesAll) => self.owed = 0,
            (_, WriteBlocks) => self.emptied = false,
            _ => {}
        }
        self.all_arrived |= self.finishing && self.emptied;
    }

    /// Whether there is nothing left to read for.
    fn is_leaving(&self) -> bool {
        !self.shut && (self.only_read_done || self.finishing && self.emptied)
    }

    fn end(&mut self, turn: Result<Next, ErrorKind>, last: Option<Step>, peer: &Peer<Choices>) {
        let said = match last {
            Some(Reset) => Some(Err(ErrorKind::ConnectionReset)),
            Some(BrokenPipe) => Some(Err(ErrorKind::BrokenPipe)),
            Some(TakesNothing) => Some(Err(ErrorKind::WriteZero)),
            Some(Eof) => Some(Ok(Close)),
            _ => None,
        };
        let exhausted = if self.owed > 0 { last == Some(WriteBlocks) } else { self.emptied };
        match (turn, said) {
            (_, Some(said)) => assert_eq!(turn, said),
            (Ok(Wait | Yield), None) if self.owed == 0 && self.is_leaving() => {
                panic!("{turn:?} instead of ShutdownWrite");
            }
            (Ok(Wait), None) => assert!(exhausted, "a lost wake-up"),
            (Ok(Yield), None) => assert!(!exhausted, "it would spin"),
            (Ok(ShutdownWrite), None) => self.shut_rightly(peer),
            (Ok(Close) | Err(_), None) => panic!("{turn:?}, though the socket never said so"),
        }
        if turn == Ok(Close) {
            assert_eq!(self.owed, 0, "dropped at end of file");
            assert!(self.shut || peer.taken == peer.given);
        }
    }

    fn shut_rightly(&mut self, peer: &Peer<Choices>) {
        assert!(!self.shut, "ShutdownWrite twice");
        assert_eq!(self.owed, 0, "ShutdownWrite with bytes pending");
        assert_eq!(peer.taken, peer.given);
        assert!(
            self.only_read_done || self.all_arrived,
            "ShutdownWrite before all that arrived was read"
        );
        self.shut = true;
    }
}

/// Runs one script to its end and says how many drives that took.
fn run_script(setup: &Setup, run: &mut Run<Choices>) -> usize {
    let mut model = Model::default();
    for drive in 0.. {
        assert!(drive < 2 * STEPS + 4, "this never ends");
        if setup.finish_before == Some(drive) {
            run.echo.finish();
            model.finishing = true;
        }
        let hint = (setup.hints)(drive);
        run.peer.calls.clear();
        let turn = run.turn(hint);
        model.begin(hint);
        let mut last = None;
        for &(ask, step) in &run.peer.calls {
            assert!(!last.is_some_and(is_the_end), "called after the end");
            last = Some(step);
            model.call(ask, step, setup);
        }
        model.end(turn, last, &run.peer);
        if last.is_some_and(is_the_end) {
            return drive;
        }
        check_memory(&run.echo, &model, setup.scratch_bytes);
        // Quiet at the end of the script: now let the peer take what is pending, and close.
        run.peer.answers.obliging |= turn == Ok(Wait) && run.peer.answers.next == STEPS;
    }
    unreachable!()
}

fn is_the_end(step: Step) -> bool {
    matches!(step, Eof | Reset | TakesNothing | BrokenPipe)
}

fn check_memory(echo: &Echo, model: &Model, scratch_bytes: usize) {
    assert_eq!(echo.pending_bytes(), model.owed);
    assert!(echo.buffered_bytes() <= scratch_bytes);
    assert!(model.owed > 0 || echo.buffered_bytes() == 0, "memory kept for no bytes");
    assert_eq!(echo.is_lingering(), model.shut);
}

/// Runs every script, and says how many there were and the most drives that one of them took.
fn run_all(setup: &Setup) -> (usize, usize) {
    let mut run = Run::of(Echo::new(), setup.scratch_bytes, Choices::default());
    let (mut scripts, mut most_drives) = (0, 0);
    loop {
        run.echo = if setup.once { Echo::once() } else { Echo::new() };
        (run.peer.given, run.peer.taken) = (0, 0);
        let told = Told { setup, run: &mut run };
        most_drives = most_drives.max(run_script(setup, told.run));
        drop(told);
        scripts += 1;
        if !run.peer.answers.advance() {
            return (scripts, most_drives);
        }
    }
}

/// Runs every script for every way to hint, and for every moment to call `finish` where there is one.
fn run_all_setups(once: bool, finish: bool) {
    let hints: [fn(usize) -> ShortRead; 4] = [
        |_| MeansEmpty,
        |_| ProvesNothing,
        |drive| if drive == 0 { ProvesNothing } else { MeansEmpty },
        |drive| if drive == 1 { ProvesNothing } else { MeansEmpty },
    ];
    for (hints, scratch_bytes) in hints.into_iter().flat_map(|h| [4, 64].map(|s| (h, s))) {
        for moment in 0.. {
            let finish_before = finish.then_some(moment);
            let (scripts, most_drives) =
                run_all(&Setup { once, finish_before, hints, scratch_bytes });
            assert!(scripts > 1000, "only {scripts} scripts were run");
            if !finish || moment == most_drives {
                break;
            }
        }
    }
}

/// Names the script in which an assertion failed.
struct Told<'a> {
    setup: &'a Setup,
    run: &'a mut Run<Choices>,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { setup, run } = self;
            eprintln!(
                "{setup:?}\nchosen {:?}\nlast drive {:?}",
                run.peer.answers.made, run.peer.calls
            );
        }
    }
}

#[test]
fn every_script_of_an_open_connection() {
    run_all_setups(false, false);
}

#[test]
fn every_script_of_a_connection_that_echoes_once() {
    run_all_setups(true, false);
}

#[test]
fn every_script_of_a_connection_that_is_to_finish() {
    run_all_setups(false, true);
}

#[test]
fn every_script_of_a_connection_that_echoes_once_and_is_to_finish() {
    run_all_setups(true, true);
}
