//! What a run costs this client itself.

use std::time::Duration;

use super::clock::Clock;

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
    pub(super) fn start(&mut self, clock: &impl Clock) {
        (self.began, self.spin) = (Some(clock.cpu_time()), None);
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
    pub(super) fn spins(&mut self, clock: &impl Clock) {
        if self.spin.is_none() && self.began.is_some() {
            self.spin = Some(Spin { began: clock.cpu_time(), worked: Duration::ZERO });
        }
    }

    /// This client sleeps.
    #[inline]
    pub(super) fn sleeps(&mut self, clock: &impl Clock) {
        if let Some(spin) = self.spin.take() {
            let used = clock.cpu_time().saturating_sub(spin.began);
            self.spun += used.saturating_sub(spin.worked);
        }
    }

    /// The measured part is over, if it has begun.
    pub(super) fn end(&mut self, clock: &impl Clock) -> Option<Usage> {
        self.sleeps(clock);
        let cpu = clock.cpu_time().saturating_sub(self.began.take()?);
        Some(Usage { busy: self.busy, cpu, spin_cpu: self.spun.min(cpu) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulated::FakeClock;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn spinning_is_told_from_working() {
        let clock = FakeClock::new();
        let mut cost = Cost::default();
        cost.worked(MS);
        cost.spins(&clock);
        clock.work(MS);
        cost.start(&clock);
        cost.spins(&clock);
        clock.work(20 * MS);
        cost.worked(5 * MS);
        cost.spins(&clock);
        cost.sleeps(&clock);
        clock.work(30 * MS);
        cost.worked(30 * MS);
        let usage = Usage { busy: 35 * MS, cpu: 50 * MS, spin_cpu: 15 * MS };
        assert_eq!(cost.end(&clock), Some(usage));
        assert_eq!(cost.end(&clock), None, "it ends once");
    }
}
