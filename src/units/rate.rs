//! Rates as users write them.

use super::{nanoseconds, split, steps, within};

/// A number of things per unit of time: `0.5`, `10k` (1k is 1000), `10/s`, `30/m`, `30/min` or `2/h`.
///
/// # Errors
///
/// What to write instead.
pub fn per_second(text: &str) -> Result<f64, String> {
    const HELP: &str = "write a number a second, such as 500, 10k or 0.5; or 30/m, or 2/h";
    let (amount, unit) = text.rsplit_once('/').unwrap_or((text, "s"));
    let rate = number(amount).ok_or(HELP)? * 1e9 / nanoseconds(unit).ok_or(HELP)?;
    within(rate, (1.0 / 3600.0, "1/h"), (100e6, "100m"))
}

fn number(text: &str) -> Option<f64> {
    let (digits, prefix) = split(text);
    let factor = 1000_f64.powi(steps(&prefix.to_ascii_lowercase(), 3)? as i32);
    // `parse` would also take a point without a digit on both sides.
    let is_plain = !digits.starts_with('.') && !digits.ends_with('.');
    digits.parse::<f64>().ok().filter(|_| is_plain).map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_is_per_second_or_minute_or_hour() {
        for (text, expected) in [
            ("500", 500.0),
            ("10k", 10_000.0),
            ("1.5K", 1_500.0),
            ("100m", 100e6),
            ("0.5", 0.5),
            ("10/s", 10.0),
            ("2k/s", 2_000.0),
            ("30/m", 0.5),
            ("1m/m", 1e6 / 60.0),
            ("1/h", 1.0 / 3600.0),
            ("1.5/h", 1.5 / 3600.0),
            // Failed when each unit had one name, and no space before it.
            ("10 k", 10_000.0),
            ("2 K/sec", 2_000.0),
            ("30/min", 0.5),
            ("30/Minute", 0.5),
            ("7200/hr", 2.0),
            ("10/ms", 10_000.0),
            ("86400/day", 1.0),
        ] {
            assert_eq!(per_second(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for text in [
            "", "k", ".5", "5.", "-1", "+1", "1e3", "inf", "nan", "1/", "/s", "1/w", "1/s/s",
            "1kk", "1.2.3", "1  k", "1g", "10/ s", "10 /s", "µ",
        ] {
            let error = per_second(text).unwrap_err();
            assert!(error.contains("10k"), "{text:?}: {error}");
        }
        for text in ["0", "0/m", "0.0001", "0.5/h", "1/d", "101m", "1/ns", "99999999999999999999"] {
            let error = per_second(text).unwrap_err();
            assert_eq!(error, "write something from 1/h to 100m", "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".*") {
            let _ = per_second(&text);
        }
    }
}
