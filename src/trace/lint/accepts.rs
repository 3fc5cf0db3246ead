//! What follows an accept that fails.

use super::sockets::{LastAccept, Listener, Mode};
use super::{Lint, Moment};
use crate::mistake::Mistake;
use crate::trace::record::{Outcome, Record};

/// This many failures in a row, without a pause of [`PAUSE`] microseconds, are a spin.
const MANY_FAILURES: u64 = 10;
const PAUSE: f64 = 5_000.0;

impl Lint {
    pub(super) fn accept(&mut self, thread: u64, group: &str, record: &Record) {
        self.listens(group);
        self.look(group);
        self.blocks(thread, group, record);
        let at = self.moment();
        let Some(listener) = self.listeners.get_mut(group) else { return };
        // An edge means that one more client has come: to try is right then.
        let is_asked = listener.watch.mode == Some(Mode::Edge) && listener.watch.is_told;
        listener.watch.is_told = false;
        listener.failed_in = None;
        match record.outcome() {
            Some(Outcome::Connection) => {
                listener.last = Some(LastAccept::Connection);
                listener.failures = 0;
                self.fruitful(thread);
            }
            Some(Outcome::WouldBlock) => listener.last = Some(LastAccept::Dry),
            Some(Outcome::Failed(error)) => {
                if let Some(error) = shortage(error) {
                    let finding = listener.fail(thread, is_asked, at, error);
                    finding.into_iter().for_each(|(first, because)| {
                        self.sure(Mistake::EMFILE_SPIN, first, group, because);
                    });
                }
            }
            _ => {}
        }
        self.review(group);
    }

    /// A thread slept for this many microseconds: a pause, if it was long enough.
    pub(super) fn paused(&mut self, thread: u64, waited: f64) {
        for listener in self.listeners.values_mut() {
            if waited >= PAUSE {
                listener.failures = 0;
            }
            if listener.failed_in == Some(thread) {
                listener.failed_in = None;
            }
        }
    }

    /// The program ends with an error.
    pub(super) fn server_failed(&mut self) {
        let at = self.moment();
        let failed = self.listeners.iter().find(|(_, listener)| listener.failed_in.is_some());
        if let Some((group, _)) = failed {
            let group = group.clone();
            let because = "an accept failed, and the program ended with an error";
            self.sure(Mistake::ACCEPT_ERROR_ENDS, at, &group, because.into());
        } else if self.threads.values().any(|thread| thread.turn.is_interrupted) {
            let because = "a wait was interrupted, and the program ended with an error";
            self.sure(Mistake::INTERRUPT_ENDS, at, "", because.into());
        }
    }
}

impl Listener {
    /// An accept failed. Says so if many have, each without a reason to try. `is_asked`: there was one.
    fn fail(
        &mut self,
        thread: u64,
        is_asked: bool,
        at: Moment,
        error: &str,
    ) -> Option<(Moment, String)> {
        self.last = Some(LastAccept::Failed);
        self.failed_in = Some(thread);
        if is_asked {
            return None;
        }
        if self.failures == 0 {
            self.first_failure = Some(at);
        }
        self.failures += 1;
        (self.failures == MANY_FAILURES).then(|| {
            let because = format!("{MANY_FAILURES} accepts in a row fail without a pause: {error}");
            (self.first_failure.unwrap_or(at), because)
        })
    }
}

/// Errors of accept(2) that say nothing of a connection, but that something is short: EMFILE, ENFILE, ENOBUFS, ENOMEM.
const SHORTAGES: [&str; 4] = [
    "too many open files",
    "too many open files in system",
    "no buffer space available",
    "cannot allocate memory",
];

/// Which of them an error is, without what a trace has added to it.
fn shortage(error: &str) -> Option<&'static str> {
    let error = error.to_ascii_lowercase();
    SHORTAGES.iter().rev().find(|text| error.contains(**text)).copied()
}
