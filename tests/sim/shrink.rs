//! Shrinks a story that fails to a short part that still fails.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::time::{Duration, Instant};

use crate::coverage::Coverage;
use crate::grammar::{Step, story};
use crate::run::{Failure, run};
use crate::scenario::Scenario;

/// How long to look for a shorter story. Half of it is for the shortest prefix.
const MAX_SHRINKING: Duration = Duration::from_secs(40);

/// A story that fails, without the steps that do not matter.
pub struct Shrunk {
    seed: u64,
    scenario: Scenario,
    story: Vec<Step>,
    prefix: usize,
    /// Whether all shorter prefixes were tried.
    is_shortest: bool,
    failure: Failure,
}

/// Runs a seed; shrinks it if it fails.
pub fn try_seed(seed: u64, steps: usize) -> Result<Coverage, Box<Shrunk>> {
    let scenario = Scenario::new(seed);
    let story = story(seed, steps, &scenario);
    attempt(&scenario, &story).map_err(|failure| Box::new(shrink(seed, scenario, story, failure)))
}

/// Runs a story; a panic is a failure too.
fn attempt(scenario: &Scenario, story: &[Step]) -> Result<Coverage, Failure> {
    catch_quietly(|| run(scenario, story)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?");
        Err(Failure { steps: story.len(), what: format!("panicked: {text}") })
    })
}

thread_local! {
    /// Whether a panic of this thread is reported as a failure, and so must not be printed as well.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` and catches its panic without printing it. The panics of other threads are printed as before.
fn catch_quietly<T>(work: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    static HOOK: Once = Once::new();
    HOOK.call_once(hook_panics);
    IS_QUIET.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    IS_QUIET.set(false);
    result
}

/// Puts a hook before the present one, which skips that one if the thread is quiet.
fn hook_panics() {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !IS_QUIET.get() {
            previous(info);
        }
    }));
}

fn shrink(seed: u64, scenario: Scenario, mut story: Vec<Step>, failure: Failure) -> Shrunk {
    let start = Instant::now();
    story.truncate(failure.steps);
    let mut shrunk =
        Shrunk { seed, scenario, prefix: story.len(), is_shortest: true, story, failure };
    shrunk.shorten(start);
    shrunk.prefix = shrunk.story.len();
    shrunk.thin_out(start);
    shrunk
}

impl Shrunk {
    /// Keeps the shortest prefix that fails.
    fn shorten(&mut self, start: Instant) {
        for len in 0..self.story.len() {
            if start.elapsed() > MAX_SHRINKING / 2 {
                self.is_shortest = false;
                break;
            }
            if let Err(failure) = attempt(&self.scenario, &self.story[..len]) {
                self.story.truncate(len);
                self.failure = failure;
            }
            if self.story.len() == len {
                break;
            }
        }
    }

    /// Leaves out steps as long as it still fails: many at a time at first, and then single ones.
    fn thin_out(&mut self, start: Instant) {
        let mut size = self.story.len() / 2;
        while size > 0 && start.elapsed() < MAX_SHRINKING {
            let before = self.story.len();
            let mut at = 0;
            while at + size <= self.story.len() && start.elapsed() < MAX_SHRINKING {
                if !self.leave_out(at, size) {
                    at += size;
                }
            }
            size = if size == 1 && self.story.len() < before { 1 } else { size / 2 };
        }
    }

    fn leave_out(&mut self, at: usize, size: usize) -> bool {
        let mut story = self.story.clone();
        story.drain(at..at + size);
        let Err(failure) = attempt(&self.scenario, &story) else { return false };
        story.truncate(failure.steps);
        self.story = story;
        self.failure = failure;
        true
    }
}

impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, scenario, story, prefix, is_shortest, failure } = self;
        let (kind, count) = (if *is_shortest { "the shortest" } else { "a" }, story.len());
        writeln!(f, "with seed {seed}, {}", failure.what)?;
        writeln!(f, "to repeat it: RESOUND_SEED={seed} cargo test --test sim the_simulated")?;
        writeln!(f, "steps of {kind} prefix that fails: {prefix}")?;
        writeln!(
            f,
            "steps of it that are enough: {count} (`peer` counts modulo the number of peers)"
        )?;
        for (at, step) in story.iter().enumerate() {
            writeln!(f, "  {}. {step}", at + 1)?;
        }
        writeln!(f, "the scenario that the seed sets:")?;
        write!(f, "{scenario}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static PRINTED: Cell<usize> = const { Cell::new(0) };
    }

    /// Failed when the simulation silenced the whole process, so that other tests failed without a message.
    #[test]
    fn only_the_panics_of_a_run_are_silent() {
        // After this, no other test sets a hook.
        catch_quietly(|| ()).unwrap();
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PRINTED.set(PRINTED.get() + 1);
            previous(info);
        }));
        hook_panics();
        assert!(catch_quietly(|| panic!("in a run")).is_err());
        assert_eq!(PRINTED.get(), 0);
        assert!(panic::catch_unwind(|| panic!("outside a run, on purpose")).is_err());
        assert_eq!(PRINTED.get(), 1);
    }
}
