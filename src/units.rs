//! Sizes, counts, durations and rates as users write them.

use std::time::Duration;

pub use rate::per_second;

use crate::text::Excerpt;
use crate::text::format::setting;

mod rate;

/// A year is longer than any wait, and short enough to be added to a clock without overflow.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The powers of 1024 for bytes, and of 1000 for other things.
const PREFIXES: [&str; 4] = ["", "k", "m", "g"];

/// The names of each unit, and its length in nanoseconds. The micro sign and the Greek letter look alike.
const TIMES: [(&[&str], f64); 7] = [
    (&["ns", "nsec"], 1.0),
    (&["us", "µs", "μs", "usec"], 1e3),
    (&["ms", "msec"], 1e6),
    (&["s", "sec", "secs", "second", "seconds"], 1e9),
    (&["m", "min", "mins", "minute", "minutes"], 60e9),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600e9),
    (&["d", "day", "days"], 86_400e9),
];

/// A whole number of bytes: `64`, `16k`, `1.5m` or `2g`, with 1024 from one unit to the next. A unit has several
/// spellings: `16K`, `16kB` and `16KiB` are equal.
///
/// # Errors
///
/// What to write instead.
pub fn size(text: &str) -> Result<usize, String> {
    let bytes = |unit: &str| {
        let unit = unit.to_ascii_lowercase();
        let prefix = match unit.strip_suffix("ib").or(unit.strip_suffix('b')) {
            // There is no unit "ib".
            Some("") if unit != "b" => return None,
            Some(prefix) => prefix,
            None => &unit,
        };
        steps(prefix, PREFIXES.len()).map(|steps| 1024_usize.pow(steps))
    };
    whole(text, bytes)
        .ok_or_else(|| "write a number of bytes, such as 64, 16k or 1m (1k is 1024)".into())
}

/// A whole number of things: `64`, `10k` or `1.5m`, with 1000 from one unit to the next.
///
/// # Errors
///
/// What to write instead.
pub fn count(text: &str) -> Result<usize, String> {
    // No option takes a billion, so `g` is no unit here.
    let things = |unit: &str| Some(1000_usize.pow(steps(&unit.to_ascii_lowercase(), 3)?));
    whole(text, things)
        .ok_or_else(|| "write a whole number, such as 500 or 10k (1k is 1000)".into())
}

/// The power that a prefix stands for, if it is one of the first `most`.
fn steps(prefix: &str, most: usize) -> Option<u32> {
    PREFIXES[..most].iter().zip(0..).find_map(|(name, steps)| (*name == prefix).then_some(steps))
}

/// A length of time: `50us` or `50µs`, `250ms`, `1.5s`, `2m` or `2min`, `1h` or `1d`. Only `0` needs no unit.
///
/// # Errors
///
/// What to write instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    if unit.is_empty() && !number.is_empty() {
        return unitless(number);
    }
    let nanos = nanoseconds(unit).ok_or(UNIT)?;
    seconds(value(number)? * nanos / 1e9)
}

/// The length of a unit of time.
fn nanoseconds(unit: &str) -> Option<f64> {
    let is_unit = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(unit));
    TIMES.iter().find_map(|(names, nanos)| is_unit(names).then_some(*nanos))
}

const UNIT: &str = "write a number and its unit, such as 50us, 250ms, 5s, 2m or 1h";

/// The user most likely meant seconds, but that is not certain.
fn unitless(number: &str) -> Result<Duration, String> {
    match seconds(value(number)?) {
        Ok(meant) if number.bytes().all(|byte| matches!(byte, b'0' | b'.')) => Ok(meant),
        Ok(meant) if meant >= Duration::from_secs(1) => Err(written_out(&format!("{number}s"))),
        Ok(meant) if meant >= Duration::from_micros(1) => {
            Err(written_out(&setting(meant).replace(' ', "")))
        }
        _ => Err(UNIT.into()),
    }
}

fn written_out(meant: &str) -> String {
    format!("write its unit too, such as {}", Excerpt(meant))
}

fn value(number: &str) -> Result<f64, String> {
    number.parse().map_err(|_| format!("\"{}\" is not a number", Excerpt(number)))
}

fn seconds(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| *duration <= MAX_DURATION)
        .ok_or_else(|| "that is more than a year".into())
}

/// A [`duration`] to wait: at least a millisecond, since epoll_wait(2) counts in milliseconds.
///
/// # Errors
///
/// What to write instead.
pub fn timeout(text: &str) -> Result<Duration, String> {
    within(duration(text)?, (Duration::from_millis(1), "1ms"), (MAX_DURATION, "8760h"))
}

/// Checks that a value lies within bounds. The error names them.
pub(super) fn within<T: PartialOrd>(
    value: T,
    (least, least_text): (T, &str),
    (most, most_text): (T, &str),
) -> Result<T, String> {
    if value < least || value > most {
        return Err(format!("write something from {least_text} to {most_text}"));
    }
    Ok(value)
}

/// The leading number and its unit. A space can stand between them, as in what this program prints.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    (number, rest.strip_prefix(' ').filter(|unit| !unit.is_empty()).unwrap_or(rest))
}

/// The product of number and unit, if it is whole, as it is for 1.5k.
fn whole(text: &str, factor: impl Fn(&str) -> Option<usize>) -> Option<usize> {
    let (number, unit) = split(text);
    let factor = factor(unit)?;
    let Some((number, parts)) = number.split_once('.') else {
        return number.parse::<usize>().ok()?.checked_mul(factor);
    };
    let scale = 10_u128.checked_pow(u32::try_from(parts.len()).ok()?)?;
    let parts = parts.parse::<u128>().ok()?.checked_mul(factor as u128)?;
    let whole = number.parse::<usize>().ok()?.checked_mul(factor)?;
    let more = usize::try_from(parts / scale).ok().filter(|_| parts.is_multiple_of(scale))?;
    whole.checked_add(more)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_size_counts_in_steps_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("64", 64),
            ("16k", 16384),
            ("1M", 1 << 20),
            ("2g", 2 << 30),
            // Failed when 1.5k was refused.
            ("1.5k", 1536),
            ("0.5g", 512 << 20),
            ("2.0", 2),
            // Failed when each unit was a single letter.
            ("64b", 64),
            ("64B", 64),
            ("1K", 1024),
            ("1kB", 1024),
            ("1KB", 1024),
            ("1KiB", 1024),
            ("16kib", 16384),
            ("1MiB", 1 << 20),
            ("1.5 MB", 3 << 19),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_count_counts_in_steps_of_1000() {
        for (text, n) in
            [("0", 0), ("500", 500), ("10k", 10_000), ("2m", 2_000_000), ("1.5k", 1500)]
        {
            assert_eq!(count(text), Ok(n), "{text}");
        }
    }

    #[test]
    fn a_duration_has_a_unit() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("50us", Duration::from_micros(50)),
            // Failed when only us meant microseconds.
            ("50µs", Duration::from_micros(50)),
            ("50μs", Duration::from_micros(50)),
            ("0", ms(0)),
            ("250ms", ms(250)),
            ("0s", ms(0)),
            ("1.5s", ms(1500)),
            ("2m", ms(120_000)),
            ("1h", ms(3_600_000)),
            // Failed when each unit had one name.
            ("800ns", Duration::from_nanos(800)),
            ("5usec", Duration::from_micros(5)),
            ("5msec", ms(5)),
            ("250 ms", ms(250)),
            ("5S", ms(5000)),
            ("1sec", ms(1000)),
            ("30secs", ms(30_000)),
            ("1 second", ms(1000)),
            ("5M", ms(300_000)),
            ("1min", ms(60_000)),
            ("2minutes", ms(120_000)),
            ("1hr", ms(3_600_000)),
            ("2 hours", ms(7_200_000)),
            ("1d", ms(86_400_000)),
            ("365days", MAX_DURATION),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "k",
            "-1",
            "1x",
            "1.5",
            "1  k",
            "1 ",
            "1 kk",
            "1ib",
            "1iB",
            "1bb",
            "1kbb",
            "1kibb",
            "k1",
            "1kk",
            "99999999999999999999",
            "16777216t",
            ".5k",
            "1.k",
            ".",
            "1.5.0k",
            "0.0001k",
            "+1.5k",
            "1.+5k",
            "18446744073709551615.5k",
            "0.00000000000000000000000000000000000000000k",
        ] {
            assert!(size(text).is_err(), "size {text:?}");
            assert!(count(text).is_err(), "count {text:?}");
        }
        assert!(size("18014398509481984k").is_err(), "more than fits");
        for text in ["10kb", "10kib", "10b", "1g"] {
            assert!(count(text).is_err(), "count {text:?}");
        }
        for text in [
            "", "5", "s", "-5s", "5  s", "5 ", "1.2.3s", "5w", "366d", "9000h", "1e3s", "infs",
            "nans", "5ss", "5 s s",
        ] {
            assert!(duration(text).is_err(), "duration {text:?}");
        }
    }

    /// Failed when the error did not repeat the number.
    #[test]
    fn the_error_for_a_missing_unit_gives_an_example() {
        for (text, expected) in [
            ("5", "write its unit too, such as 5s"),
            ("0.2", "write its unit too, such as 200ms"),
            ("120", "write its unit too, such as 120s"),
            ("0.00005", "write its unit too, such as 50µs"),
            ("0.0000000001", UNIT),
            ("99999999999", UNIT),
            ("", UNIT),
            ("-1", UNIT),
            ("5  s", UNIT),
            ("1.2.3", "\"1.2.3\" is not a number"),
        ] {
            assert_eq!(duration(text), Err(expected.into()), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (size(&text), count(&text), duration(&text), timeout(&text));
        }

        /// The program reads what it prints.
        #[test]
        fn a_printed_setting_can_be_typed(n in 1u64..1000, unit in 0usize..TIMES.len() - 1) {
            let (names, _) = TIMES[unit];
            let time = duration(&format!("{n}{}", names[0])).unwrap();
            prop_assert_eq!(duration(&setting(time)), Ok(time));
        }

        #[test]
        fn a_unit_multiplies_its_number(n in 0usize..1_000_000, k in 0u32..4) {
            let unit = ["", "k", "m", "g"][k as usize];
            prop_assert_eq!(size(&format!("{n}{unit}")), Ok(n * 1024usize.pow(k)));
            if k < 3 {
                prop_assert_eq!(count(&format!("{n}{unit}")), Ok(n * 1000usize.pow(k)));
            }
        }

        #[test]
        fn a_duration_is_its_number_of_units(n in 0u64..30_000_000) {
            prop_assert_eq!(duration(&format!("{n}us")), Ok(Duration::from_micros(n)));
            prop_assert_eq!(duration(&format!("{n}ms")), Ok(Duration::from_millis(n)));
            prop_assert_eq!(duration(&format!("{n}s")), Ok(Duration::from_secs(n)));
        }
    }
}
