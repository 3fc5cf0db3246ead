//! Barks at a run that does not come to its end. A server that lost its pacemaker waits in a real poll,
//! for ever perhaps, and nobody but another thread can tell.

use std::process;
use std::sync::{Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any run takes, and than the shrinking of one that failed.
const PATIENCE: Duration = Duration::from_secs(100);

static RUNS: Mutex<Vec<(u64, Instant)>> = Mutex::new(Vec::new());
static START: Once = Once::new();

/// Does `run`, and ends the process if that takes too long.
pub fn watched<T>(seed: u64, run: impl FnOnce() -> T) -> T {
    START.call_once(|| drop(thread::spawn(watch)));
    let runs = || RUNS.lock().expect("nobody panics while holding it");
    let begun = (seed, Instant::now());
    runs().push(begun);
    let outcome = run();
    runs().retain(|other| *other != begun);
    outcome
}

fn watch() {
    loop {
        thread::sleep(Duration::from_secs(1));
        let runs = RUNS.lock().expect("nobody panics while holding it");
        if let Some((seed, _)) = runs.iter().find(|(_, begun)| begun.elapsed() > PATIENCE) {
            eprintln!(
                "a run hangs, in a turn that waits; again with: RESOUND_SEED={seed} cargo test --test sim the_simulated"
            );
            process::exit(1);
        }
    }
}
