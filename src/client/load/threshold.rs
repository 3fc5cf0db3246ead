//! Conditions that fail a run, as people write them: `p99>1ms`, `rate<10k`, `errors>0`.
//!
//! A message that was never answered has no response time, but it has waited. In a condition on response times
//! it counts with the time that it waited: its true time would have been longer. So it fails a limit only if it
//! had waited that long when it was given up.

use std::fmt;
use std::time::Duration;

use super::Outcome;
use crate::text::format::{self, setting};
use crate::units;

/// A figure of a run, and a limit that it must not cross.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Threshold {
    metric: Metric,
    /// Whether the limit is an upper one: a higher figure fails. Otherwise a lower figure fails.
    is_upper: bool,
    limit: f64,
    /// The condition as the user wrote it.
    text: String,
}

/// The figure of a threshold. Times are in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Metric {
    /// A percentile of the response times.
    Percentile(f64),
    Mean,
    Max,
    /// The 99th percentile of how late this client itself was.
    Lag,
    /// Messages a second.
    Rate,
    Errors,
    /// Messages that were lost, of those that were sent: from 0 to 1.
    Lost,
}

impl Metric {
    fn of(self, outcome: &Outcome) -> f64 {
        match self {
            Self::Percentile(p) => outcome.at_least().percentile(p).as_secs_f64(),
            Self::Mean => outcome.at_least().mean().as_secs_f64(),
            Self::Max => outcome.response.max().max(outcome.unanswered.max()).as_secs_f64(),
            Self::Lag => outcome.lag.percentile(99.0).as_secs_f64(),
            Self::Rate => outcome.rate(),
            Self::Errors => outcome.failure_count as f64,
            Self::Lost => outcome.lost_fraction(),
        }
    }

    fn is_time(self) -> bool {
        !matches!(self, Self::Rate | Self::Errors | Self::Lost)
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "mean" => Self::Mean,
            "max" => Self::Max,
            "lag" => Self::Lag,
            "rate" => Self::Rate,
            "errors" => Self::Errors,
            "lost" => Self::Lost,
            _ => Self::Percentile(percentile(text)?),
        })
    }
}

/// A percentile such as `p99.9`.
pub(super) fn percentile(text: &str) -> Option<f64> {
    let number = text.strip_prefix('p')?;
    let plain = number.starts_with(|c: char| c.is_ascii_digit());
    number.parse().ok().filter(|p| plain && (0.0..=100.0).contains(p))
}

impl Threshold {
    /// Why the run fails this condition, or `None` if it does not.
    pub fn missed_by(&self, outcome: &Outcome) -> Option<String> {
        let value = self.metric.of(outcome);
        let is_missed = if self.is_upper { value > self.limit } else { value < self.limit };
        // If no message came back, no time is good enough.
        let is_void = self.metric.is_time() && self.metric != Metric::Lag && outcome.messages == 0;
        (is_missed || is_void).then(|| match self.metric {
            _ if is_void => format!("{self}: nothing came back"),
            Metric::Rate => format!("{self}: it was {}", format::rate(value)),
            Metric::Errors => format!("{self}: it was {}", format::count(value as u64)),
            Metric::Lost => format!("{self}: it was {}", format::percent(value)),
            _ => format!("{self}: it was {}", format::seconds(value)),
        })
    }

    /// Whether it limits how late this client itself was. Only an open loop has a schedule to be late for.
    pub fn is_about_lag(&self) -> bool {
        self.metric == Metric::Lag
    }

    /// Reads a condition.
    ///
    /// # Errors
    ///
    /// What is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let at = text.find(['<', '>']).ok_or(HELP)?;
        if text[at + 1..].starts_with('=') {
            return Err(format!("write > or <, and not {}", &text[at..at + 2]));
        }
        let (metric, limit) = (text[..at].trim(), text[at + 1..].trim());
        let metric = Metric::parse(metric).ok_or(HELP)?;
        let limit = match metric {
            Metric::Rate => units::per_second(limit)?,
            Metric::Errors => units::count(limit)? as f64,
            Metric::Lost => fraction(limit)?,
            _ => units::duration(limit)?.as_secs_f64(),
        };
        Ok(Self { metric, is_upper: text[at..].starts_with('>'), limit, text: text.trim().into() })
    }
}

const HELP: &str = "write a figure, > or <, and a limit: p99>1ms, max>20ms, mean>1ms, lag>1ms, rate<10k, lost>0.1% \
                    or errors>0";

/// Reads a part of a whole, such as `0.1%`, from 0 to 1.
fn fraction(text: &str) -> Result<f64, &'static str> {
    let number = text.strip_suffix('%').map(str::trim_end).unwrap_or_default();
    let is_plain = number.starts_with(|c: char| c.is_ascii_digit());
    let percent = number.parse::<f64>().ok().filter(|p| is_plain && (0.0..=100.0).contains(p));
    percent.map(|percent| percent / 100.0).ok_or("write a part from 0% to 100%, such as lost>0.1%")
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The objective of a search for the highest rate: `p99=1ms`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// This percentile of the response times...
    pub percentile: f64,
    /// ...must not be longer than this.
    pub limit: Duration,
}

impl Objective {
    /// Reads an objective.
    ///
    /// # Errors
    ///
    /// What is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (of, limit) = text.split_once('=').ok_or("write, say, max@p99=1ms")?;
        let percentile = percentile(of).ok_or("write a percentile, such as max@p99.9=1ms")?;
        match units::duration(limit)? {
            Duration::ZERO => Err("no response takes no time; write, say, max@p99=1ms".into()),
            limit => Ok(Self { percentile, limit }),
        }
    }

    /// Whether a run kept to it: all messages that fell due were sent and came back in time.
    pub fn judge(&self, outcome: &Outcome) -> Verdict {
        if let Some(failure) = outcome.fatal_failure().or(outcome.failures.first()) {
            return Verdict::Failed(failure.to_string());
        }
        if outcome.messages == 0 {
            return Verdict::Failed("nothing came back".into());
        }
        let found = outcome.at_least().percentile(self.percentile);
        match outcome.unsent {
            _ if found > self.limit => Verdict::Slow(found),
            0 => Verdict::Kept(found),
            unsent => Verdict::Unsent(found, unsent),
        }
    }
}

/// The result of a run under an [`Objective`]. Times are at the objective's percentile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The run kept to the objective.
    Kept(Duration),
    /// Responses took too long.
    Slow(Duration),
    /// This number of messages fell due and were not sent.
    Unsent(Duration, u64),
    /// The run failed, for this reason.
    Failed(String),
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{} <= {}", self.percentile, setting(self.limit))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ConnectionFailure;
    use super::super::tests::outcome;
    use super::*;
    use crate::client::failure::Failure;

    #[test]
    fn each_figure_is_compared_with_its_limit() {
        // 1000 responses of 1 ms to 1000 ms, in ten seconds.
        let outcome = outcome();
        for (text, is_missed) in [
            ("p50>501ms", false),
            ("p50>490ms", true),
            ("p99.9 > 1.01s", false),
            ("p99>1ms", true),
            ("max>1010ms", false),
            ("max>999ms", true),
            ("mean>400ms", true),
            ("mean<400ms", false),
            ("rate<100", false),
            ("rate<101", true),
            ("errors>0", false),
            ("lag>1ms", false),
            ("lost>0%", false),
            ("lost<0.1 %", true),
        ] {
            let missed = Threshold::parse(text).unwrap().missed_by(&outcome);
            assert_eq!(missed.is_some(), is_missed, "{text}: {missed:?}");
        }
        let missed = Threshold::parse("rate<101").unwrap().missed_by(&outcome);
        assert_eq!(missed.unwrap(), "rate<101: it was 100");
        let missed = Threshold::parse("mean<1s").unwrap().missed_by(&outcome);
        assert_eq!(missed.unwrap(), "mean<1s: it was 501 ms");
    }

    /// Of 1100 messages, 100 were never answered. Each had waited for 5 s. So one in eleven took longer than 4 s,
    /// and none is known to take longer than 6 s.
    #[test]
    fn a_message_without_an_answer_fails_a_limit_that_it_waited_for() {
        let mut outcome = Outcome { unsent: 100, ..outcome() };
        outcome.unanswered.record_evenly(Duration::from_secs(5), 0.0, 100);
        for (text, is_missed) in [
            ("p90>1.1s", false),
            ("p99>4s", true),
            ("p99>6s", false),
            ("max>4s", true),
            ("max>6s", false),
            ("mean>900ms", true),
            ("mean>920ms", false),
            ("p99<4s", false),
        ] {
            let missed = Threshold::parse(text).unwrap().missed_by(&outcome);
            assert_eq!(missed.is_some(), is_missed, "{text}: {missed:?}");
        }
        assert_eq!(
            outcome.response.max().as_millis(),
            1000,
            "an unanswered message is no response"
        );
    }

    #[test]
    fn a_run_without_an_echo_fails_every_condition_on_times() {
        let nothing = Outcome { messages: 0, response: Default::default(), ..outcome() };
        let missed = Threshold::parse("p99>1h").unwrap().missed_by(&nothing);
        assert_eq!(missed.unwrap(), "p99>1h: nothing came back");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "p99", "p99=1ms", "p99>", "p101>1ms", "p-1>1ms", "pinf>1ms", "q>1ms", "rate>1ms"]
        {
            assert!(Threshold::parse(text).is_err(), "{text:?}");
        }
        let equal = Threshold::parse("p99>=1ms").unwrap_err();
        assert_eq!(equal, "write > or <, and not >=");
        for text in ["p99", "99=1ms", "p99=", "p99=1"] {
            assert!(Objective::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_objective_requires_all_messages_sent_and_echoed_in_time() {
        let objective = Objective::parse("p99=995ms").unwrap();
        assert_eq!(objective.to_string(), "p99 <= 995 ms");
        let judge = |percentile, ms| {
            Objective { percentile, limit: Duration::from_millis(ms) }.judge(&outcome())
        };
        assert!(matches!(objective.judge(&outcome()), Verdict::Kept(_)));
        assert!(matches!(judge(99.0, 900), Verdict::Slow(found) if found.as_millis() == 990));
        assert!(matches!(judge(50.0, 502), Verdict::Kept(_)));
        let unsent = Outcome { unsent: 1, ..outcome() };
        assert!(matches!(objective.judge(&unsent), Verdict::Unsent(_, 1)));
        let failure = Failure::Late { timeout: Duration::ZERO, took: Duration::ZERO };
        let failure =
            ConnectionFailure { connection: Some(3), local: None, failure, is_fatal: true };
        let failed = Outcome { failures: vec![failure], ..outcome() };
        assert!(
            matches!(objective.judge(&failed), Verdict::Failed(why) if why.contains("no echo"))
        );
    }
}
