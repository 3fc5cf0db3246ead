//! What a run costs this client itself.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Adds up, in the measured part, how long this client worked, and the processor time that it used.
#[derive(Debug, Default)]
pub(super) struct Cost {
    /// The processor time when the measured part began, while that goes on.
    began: Option<Duration>,
    busy: Duration,
    spun: Duration,
    spin: Option<Spin>,
}

/// A time in which this client asks for the time instead of sleeping.
#[derive(Clone, Copy, Debug)]
struct Spin {
    /// The processor time when it began.
    began: Duration,
    /// How long this client worked in between.
    worked: Duration,
}

/// What the measured part has cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    /// How long this client worked, by the clock.
    pub(super) busy: Duration,
    /// The processor time that it used.
    pub(super) cpu: Duration,
    /// The part of that which went into waiting for the time when a message is due.
    pub(super) spin_cpu: Duration,
}

impl Cost {
    /// The measured part begins.
    pub(super) fn start(&mut self) {
        (self.began, self.spin) = (Some(cpu_time()), None);
    }

    /// This client worked for `time`.
    #[inline]
    pub(super) fn worked(&mut self, time: Duration) {
        if self.began.is_some() {
            self.busy += time;
        }
        if let Some(spin) = &mut self.spin {
            spin.worked += time;
        }
    }

    /// This client does not sleep until the next message is due. Asks for the processor time only once, however
    /// often it is called.
    #[inline]
    pub(super) fn spins(&mut self) {
        if self.spin.is_none() && self.began.is_some() {
            self.spin = Some(Spin { began: cpu_time(), worked: Duration::ZERO });
        }
    }

    /// This client sleeps.
    #[inline]
    pub(super) fn sleeps(&mut self) {
        if let Some(spin) = self.spin.take() {
            let used = cpu_time().saturating_sub(spin.began);
            self.spun += used.saturating_sub(spin.worked);
        }
    }

    /// The measured part is over, if it has begun.
    pub(super) fn end(&mut self) -> Option<Usage> {
        self.sleeps();
        let cpu = cpu_time().saturating_sub(self.began.take()?);
        Some(Usage { busy: self.busy, cpu, spin_cpu: self.spun.min(cpu) })
    }
}

/// The processor time of this process so far.
pub(super) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Uses `time` of a processor.
    fn burn(time: Duration) {
        let end = cpu_time() + time;
        while cpu_time() < end {}
    }

    /// Other tests of this process use processor time meanwhile, so that it can only be more.
    #[test]
    fn what_was_spun_is_told_apart_from_what_was_worked() {
        let mut cost = Cost::default();
        cost.worked(MS);
        cost.spins();
        burn(MS);
        cost.start();
        cost.spins();
        burn(20 * MS);
        cost.worked(5 * MS);
        cost.spins();
        cost.sleeps();
        burn(30 * MS);
        cost.worked(30 * MS);
        let spent = cost.end().unwrap();
        assert_eq!(spent.busy, 35 * MS);
        assert!(spent.spin_cpu >= 15 * MS && spent.cpu >= 50 * MS, "{spent:?}");
        assert!(spent.cpu - spent.spin_cpu >= 30 * MS, "{spent:?}");
        assert_eq!(cost.end(), None, "it ends once");
    }
}
