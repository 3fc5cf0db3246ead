//! What a run costs the client itself.

use std::time::Duration;

use super::clock::Clock;

/// Adds up how long the client works in the measured part, and the processor time that it uses.
#[derive(Debug, Default)]
pub(super) struct Cost {
    /// The processor time when the measured part began. `None` before and after that part.
    began: Option<Duration>,
    busy: Duration,
    /// The processor time that busy-waiting has taken.
    spun: Duration,
    spin: Option<Spin>,
}

/// A time in which the client busy-waits.
#[derive(Clone, Copy, Debug)]
struct Spin {
    /// The processor time when it began.
    began: Duration,
    /// How long the client has worked meanwhile.
    worked: Duration,
}

/// What the measured part has cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    /// How long the client worked, by the clock.
    pub(super) busy: Duration,
    /// The processor time that it used.
    pub(super) cpu: Duration,
    /// The part of it that busy-waiting took.
    pub(super) spin_cpu: Duration,
}

impl Cost {
    /// The measured part begins.
    pub(super) fn start(&mut self, clock: &impl Clock) {
        (self.began, self.spin) = (Some(clock.cpu_time()), None);
    }

    /// The client has worked for `time`.
    #[inline]
    pub(super) fn add_work(&mut self, time: Duration) {
        if self.began.is_some() {
            self.busy += time;
        }
        if let Some(spin) = &mut self.spin {
            spin.worked += time;
        }
    }

    /// The client busy-waits. Only the first of several calls asks for the processor time, which is a system call.
    #[inline]
    pub(super) fn begin_spin(&mut self, clock: &impl Clock) {
        if self.spin.is_none() && self.began.is_some() {
            self.spin = Some(Spin { began: clock.cpu_time(), worked: Duration::ZERO });
        }
    }

    /// The client sleeps, so it does not busy-wait any longer.
    #[inline]
    pub(super) fn end_spin(&mut self, clock: &impl Clock) {
        if let Some(spin) = self.spin.take() {
            let used = clock.cpu_time().saturating_sub(spin.began);
            self.spun += used.saturating_sub(spin.worked);
        }
    }

    /// Ends the measured part, if it goes on.
    pub(super) fn end(&mut self, clock: &impl Clock) -> Option<Usage> {
        self.end_spin(clock);
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
        cost.add_work(MS);
        cost.begin_spin(&clock);
        clock.work(MS);
        cost.start(&clock);
        cost.begin_spin(&clock);
        clock.work(20 * MS);
        cost.add_work(5 * MS);
        cost.begin_spin(&clock);
        cost.end_spin(&clock);
        clock.work(30 * MS);
        cost.add_work(30 * MS);
        let usage = Usage { busy: 35 * MS, cpu: 50 * MS, spin_cpu: 15 * MS };
        assert_eq!(cost.end(&clock), Some(usage));
        assert_eq!(cost.end(&clock), None, "it ends once");
    }
}
