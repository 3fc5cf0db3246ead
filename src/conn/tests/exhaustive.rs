//! Every script of up to six answers, checked against the laws after each drive.

use super::*;

/// Answers that the script chooses. After them, each call returns `WouldBlock`; at the very end, the peer takes all
/// and then closes.
const STEPS: usize = 6;

const TO_READ: [Step; 7] = [Gives(1), Gives(3), GivesAll, Eof, ReadBlocks, ReadInterrupted, Reset];
const TO_WRITE: [Step; 6] =
    [TakesAll, TakesNothing, WriteBlocks, WriteInterrupted, BrokenPipe, Takes(1)];

/// One script, and the way to the next.
#[derive(Debug, Default)]
struct Choices {
    /// Which answer was chosen, and of how many. Each is chosen when it is first asked for, so that reads
    /// and writes alternate as the machine wants them to.
    made: Vec<(usize, usize)>,
    next: usize,
    is_ending: bool,
}

impl Script for Choices {
    fn answer(&mut self, call: Call) -> Answer {
        let options = match call {
            Call::Read(_) => &TO_READ[..],
            Call::Write(1) => &TO_WRITE[..5], // `Takes(1)` would be `TakesAll`.
            Call::Write(_) => &TO_WRITE[..],
        };
        if self.next == STEPS {
            return match call {
                _ if !self.is_ending => Err(ErrorKind::WouldBlock),
                Call::Read(_) => Ok(0),
                Call::Write(offered) => Ok(offered),
            };
        }
        if self.next == self.made.len() {
            self.made.push((0, options.len()));
        }
        self.next += 1;
        options[self.made[self.next - 1].0].answer(call).expect("the option answers the call")
    }
}

impl Choices {
    /// Goes on to the next script. Returns whether there is one.
    fn advance(&mut self) -> bool {
        (self.next, self.is_ending) = (0, false);
        while let Some((choice, of)) = self.made.pop() {
            if choice + 1 < of {
                self.made.push((choice + 1, of));
                return true;
            }
        }
        false
    }
}

/// What is the same for all scripts of a run.
#[derive(Clone, Copy, Debug)]
struct Setup {
    once: bool,
    /// `finish` is called before the drive of this number, if there is one.
    finish_before: Option<usize>,
    hints: fn(usize) -> ShortRead,
    scratch_bytes: usize,
}

/// Runs one script to its end. Returns how many drives that took, and the choices for the next script.
fn run_script(setup: &Setup, choices: Choices) -> (usize, Choices) {
    let new = if setup.once { Checked::once } else { Checked::new };
    let mut run = new(setup.scratch_bytes, choices);
    for drive in 0..2 * STEPS + 4 {
        if setup.finish_before == Some(drive) {
            run.finish();
        }
        match run.drive((setup.hints)(drive)) {
            Ok(Close) | Err(_) => return (drive, run.socket.script),
            // Silent at the end of the script: now let the peer take what is pending, and close.
            Ok(Wait) if run.socket.script.next == STEPS => run.socket.script.is_ending = true,
            Ok(_) => {}
        }
    }
    panic!("{setup:?}: it never ends: {:?}", run.socket.calls)
}

/// Runs every script. Returns how many there were, and the most drives that one of them took.
fn run_all(setup: &Setup) -> (usize, usize) {
    let (mut scripts, mut most_drives) = (0, 0);
    let mut choices = Choices::default();
    loop {
        let (drives, done) = run_script(setup, choices);
        choices = done;
        most_drives = most_drives.max(drives);
        scripts += 1;
        if !choices.advance() {
            return (scripts, most_drives);
        }
    }
}

/// Runs every script with each kind of hints. If `finish`, the connection is asked to finish before each drive in turn.
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

#[test]
fn every_script_of_a_connection() {
    run_all_setups(false, false);
}

#[test]
fn every_script_of_a_connection_that_echoes_once() {
    run_all_setups(true, false);
}

#[test]
fn every_script_of_a_connection_that_must_finish() {
    run_all_setups(false, true);
}

#[test]
fn every_script_of_a_connection_that_echoes_once_and_must_finish() {
    run_all_setups(true, true);
}
