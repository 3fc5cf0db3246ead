//! Refusals, told of at the level of the usual log.

use std::time::{Duration, Instant};

use log::warn;

use super::{Event, Observer, Refusal};
use crate::net::Endpoint;

/// Refusals are told of once in this time: whoever is refused tends to come again at once.
const INTERVAL: Duration = Duration::from_secs(10);

/// Warns of connections that were refused: of the first, and then now and then of one, with how many there
/// were besides. What is left untold in the end, the counters tell.
///
/// It reads the clock where somebody is refused, and nowhere else.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refusals {
    told_at: Option<Instant>,
    untold: u64,
}

impl Observer for Refusals {
    #[inline(always)]
    fn observe(&mut self, peer: &Endpoint, event: Event<'_>) {
        if let Event::Refused(why) = event {
            self.tell(peer, why);
        }
    }
}

impl Refusals {
    #[cold]
    fn tell(&mut self, peer: &Endpoint, why: Refusal) {
        match self.besides(Instant::now()) {
            None => {}
            Some(0) => warn!("{peer}: refused: {why}"),
            Some(n) => {
                warn!("{peer}: refused: {why}; {n} more were refused since this was last told")
            }
        }
    }

    /// How many were refused besides since the last time, if one is to be told of now.
    fn besides(&mut self, now: Instant) -> Option<u64> {
        if self.told_at.is_some_and(|at| now.saturating_duration_since(at) < INTERVAL) {
            self.untold += 1;
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_of_and_then_one_in_ten_seconds_with_the_others_counted() {
        let start = Instant::now();
        let mut refusals = Refusals::default();
        let mut told = Vec::new();
        // Four a second for half a minute, and one much later.
        for quarter in (0..120).chain([2000]) {
            if let Some(n) = refusals.besides(start + quarter * Duration::from_millis(250)) {
                told.push((quarter, n));
            }
        }
        assert_eq!(told, [(0, 0), (40, 39), (80, 39), (2000, 39)]);
    }
}
