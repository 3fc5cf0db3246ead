//! Two processors: one for the server and one for the load.

use std::error::Error;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One for the server and one for the load.
pub struct Processors {
    server: usize,
    load: usize,
}

/// The last two processors that this process may use. The first ones handle more interrupts.
pub fn two() -> Result<Processors, Box<dyn Error>> {
    let allowed = sched_getaffinity(None)?;
    let mut last = (0..CpuSet::MAX_CPU).rev().filter(|cpu| allowed.is_set(*cpu));
    match (last.next(), last.next()) {
        (Some(server), Some(load)) => Ok(Processors { server, load }),
        _ => Err("this needs two processors, one for the server and one for the load".into()),
    }
}

impl Processors {
    /// Runs `act` on the server's processor, where the processes that it starts stay. Then moves this thread to the
    /// load's processor.
    pub fn on_servers<T>(&self, act: impl FnOnce() -> T) -> Result<T, Box<dyn Error>> {
        pin(self.server)?;
        let outcome = act();
        pin(self.load)?;
        Ok(outcome)
    }
}

fn pin(cpu: usize) -> Result<(), Box<dyn Error>> {
    let mut only = CpuSet::new();
    only.set(cpu);
    Ok(sched_setaffinity(None, &only)?)
}
