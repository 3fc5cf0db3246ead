//! Which processor does what: one serves, and the other loads it.

use std::error::Error;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One for the server and one for the load.
pub struct Processors {
    server: usize,
    load: usize,
}

/// Two that this process may use, the last ones: the first has more to do with interrupts.
pub fn two() -> Result<Processors, Box<dyn Error>> {
    let allowed = sched_getaffinity(None)?;
    let mut last = (0..CpuSet::MAX_CPU).rev().filter(|cpu| allowed.is_set(*cpu));
    match (last.next(), last.next()) {
        (Some(server), Some(load)) => Ok(Processors { server, load }),
        _ => Err("this needs two processors, one for the server and one for the load".into()),
    }
}

impl Processors {
    /// Does something on the server's; what is started meanwhile stays there. The rest of the program goes
    /// on on the load's.
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
