//! What happened on a connection, and when, in a few lines.

use std::fmt;
use std::time::{Duration, Instant};

use crate::text::format::{counted, elapsed};

/// The most entries that are kept: the first ones, and the last.
const MOST: usize = 12;

/// Something that happened on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Connected,
    /// The system took bytes.
    Sent(usize),
    /// Bytes came.
    Received(usize),
    /// This end shut down writing.
    Ended,
    /// The server shut down writing.
    Closed,
    Broken(String),
    /// Something that a case did.
    Did(String),
}

/// The moments of a connection. Those of one kind that follow each other are one entry.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    start: Instant,
    entries: Vec<Entry>,
    /// Entries that were left out, before the last.
    left_out: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    from: Duration,
    to: Duration,
    moment: Moment,
    /// How many system calls it stands for.
    calls: usize,
}

impl Timeline {
    pub(super) fn new(start: Instant) -> Self {
        Self { start, entries: Vec::new(), left_out: 0 }
    }

    pub(super) fn add(&mut self, moment: Moment, now: Instant) {
        let at = now.saturating_duration_since(self.start);
        if let Some(last) = self.entries.last_mut()
            && last.absorb(&moment, at)
        {
            return;
        }
        if self.entries.len() == MOST {
            self.entries.pop();
            self.left_out += 1;
        }
        self.entries.push(Entry { from: at, to: at, moment, calls: 1 });
    }

    /// Each entry as a line.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.entries.iter().map(Entry::to_string).collect();
        if self.left_out > 0 {
            let more = counted(self.left_out as u64, "moment", "moments");
            lines.insert(lines.len() - 1, format!("{:>10}  {more} left out", "..."));
        }
        lines
    }
}

impl Entry {
    /// Takes up a moment of the same kind. Returns whether it did.
    fn absorb(&mut self, moment: &Moment, at: Duration) -> bool {
        match (&mut self.moment, moment) {
            (Moment::Sent(all), Moment::Sent(n)) | (Moment::Received(all), Moment::Received(n)) => {
                *all += n;
            }
            _ => return false,
        }
        (self.to, self.calls) = (at, self.calls + 1);
        true
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10}  {}", elapsed(self.from), self.moment)?;
        if self.calls > 1 {
            write!(f, ", in {} parts until {}", self.calls, elapsed(self.to))?;
        }
        Ok(())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |n: usize| counted(n as u64, "byte", "bytes");
        match self {
            Self::Connected => f.write_str("connected"),
            Self::Sent(n) => write!(f, "sent {}", bytes(*n)),
            Self::Received(n) => write!(f, "received {}", bytes(*n)),
            Self::Ended => f.write_str("ended our direction"),
            Self::Closed => f.write_str("the server ended its direction"),
            Self::Broken(why) => write!(f, "the connection broke: {why}"),
            Self::Did(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_a_kind_are_one_entry_and_the_last_is_always_there() {
        let start = Instant::now();
        let mut timeline = Timeline::new(start);
        let at = |ms| start + Duration::from_millis(ms);
        timeline.add(Moment::Connected, at(0));
        timeline.add(Moment::Sent(1), at(1));
        timeline.add(Moment::Sent(2), at(2));
        assert_eq!(
            timeline.lines(),
            ["      0 ns  connected", "   1.00 ms  sent 3 bytes, in 2 parts until 2.00 ms"]
        );
        for n in 0..40 {
            timeline.add(Moment::Sent(n), at(3));
            timeline.add(Moment::Received(n), at(3));
        }
        timeline.add(Moment::Closed, at(4));
        let lines = timeline.lines();
        assert_eq!(lines.len(), MOST + 1);
        assert!(lines[MOST - 1].ends_with("moments left out"), "{lines:?}");
        assert!(lines[MOST].ends_with("the server ended its direction"), "{lines:?}");
    }
}
