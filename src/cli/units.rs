//! Sizes, counts and durations as people write them.

use std::time::Duration;

/// Longer than anybody waits, and short enough to be added to a clock without fear.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A whole number of bytes: `64`, `16k`, `1.5m`, `2g`, each step × 1024.
///
/// # Errors
///
/// What is wrong, and what would be right.
pub fn size(text: &str) -> Result<usize, String> {
    whole(text, &[("", 1), ("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30)])
        .ok_or_else(|| "write a number of bytes, such as 64, 16k or 1m (1k is 1024)".into())
}

/// A whole number of things: `64`, `10k`, `1.5m`, each step × 1000.
///
/// # Errors
///
/// What is wrong, and what would be right.
pub fn count(text: &str) -> Result<usize, String> {
    whole(text, &[("", 1), ("k", 1_000), ("m", 1_000_000)])
        .ok_or_else(|| "write a whole number, such as 500 or 10k (1k is 1000)".into())
}

/// A length of time: `50us` or `50µs`, `250ms`, `1.5s`, `2m`, `1h`; and `0`, which needs no unit.
///
/// # Errors
///
/// What is wrong, and what would be right.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let nanos = match unit {
        // The micro sign and the Greek letter look alike.
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        "" if !number.is_empty() => return unitless(number),
        _ => return Err(UNIT.into()),
    };
    seconds(value(number)? * nanos / 1e9)
}

const UNIT: &str = "write a number and its unit, such as 50us, 250ms, 5s, 2m or 1h";

/// Most likely seconds were meant, but that is not certain.
fn unitless(number: &str) -> Result<Duration, String> {
    match seconds(value(number)?) {
        Ok(meant) if number.bytes().all(|byte| matches!(byte, b'0' | b'.')) => Ok(meant),
        Ok(meant) if meant >= Duration::from_micros(1) => {
            Err(format!("write its unit too, such as {meant:?}"))
        }
        _ => Err(UNIT.into()),
    }
}

fn value(number: &str) -> Result<f64, String> {
    number.parse().map_err(|_| format!("\"{number}\" is not a number"))
}

fn seconds(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| *duration <= MAX_DURATION)
        .ok_or_else(|| "that is more than a year".into())
}

/// A [`duration`] to wait for something: at least a millisecond, which is as finely as epoll_wait(2) can
/// wait.
///
/// # Errors
///
/// What is wrong, and what would be right.
pub fn timeout(text: &str) -> Result<Duration, String> {
    within(duration(text)?, (Duration::from_millis(1), "1ms"), (MAX_DURATION, "8760h"))
}

/// Checks that a value lies within bounds, which the error names.
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

/// The leading number and the rest.
fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

/// Parts of a unit are fine where they come to something whole, as in 1.5k.
fn whole(text: &str, units: &[(&str, usize)]) -> Option<usize> {
    let (number, unit) = split(text);
    let (_, factor) = units.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name))?;
    let Some((number, parts)) = number.split_once('.') else {
        return number.parse::<usize>().ok()?.checked_mul(*factor);
    };
    let scale = 10_u128.checked_pow(u32::try_from(parts.len()).ok()?)?;
    let parts = parts.parse::<u128>().ok()?.checked_mul(*factor as u128)?;
    let whole = number.parse::<usize>().ok()?.checked_mul(*factor)?;
    let more = usize::try_from(parts / scale).ok().filter(|_| parts.is_multiple_of(scale))?;
    whole.checked_add(more)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_count_in_1024s() {
        for (text, bytes) in [
            ("0", 0),
            ("64", 64),
            ("16k", 16384),
            ("1M", 1 << 20),
            ("2g", 2 << 30),
            // Failed when parts were refused even where they were whole.
            ("1.5k", 1536),
            ("0.5g", 512 << 20),
            ("2.0", 2),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn counts_count_in_1000s() {
        for (text, n) in
            [("0", 0), ("500", 500), ("10k", 10_000), ("2m", 2_000_000), ("1.5k", 1500)]
        {
            assert_eq!(count(text), Ok(n), "{text}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("50us", Duration::from_micros(50)),
            // Failed when only the letter u was a micro.
            ("50µs", Duration::from_micros(50)),
            ("50μs", Duration::from_micros(50)),
            ("0", ms(0)),
            ("250ms", ms(250)),
            ("0s", ms(0)),
            ("1.5s", ms(1500)),
            ("2m", ms(120_000)),
            ("1h", ms(3_600_000)),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "k",
            "-1",
            "1x",
            "1.5",
            "1 k",
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
        for text in ["", "5", "s", "-5s", "5 s", "1.2.3s", "5d", "9000h", "1e3s", "infs", "nans"] {
            assert!(duration(text).is_err(), "duration {text:?}");
        }
    }

    /// Failed when the unit was asked for without the number that was given.
    #[test]
    fn a_missing_unit_is_written_out() {
        for (text, expected) in [
            ("5", "write its unit too, such as 5s"),
            ("0.2", "write its unit too, such as 200ms"),
            ("0.00005", "write its unit too, such as 50µs"),
            ("0.0000000001", UNIT),
            ("99999999999", UNIT),
            ("", UNIT),
            ("-1", UNIT),
            ("5 s", UNIT),
            ("1.2.3", "\"1.2.3\" is not a number"),
        ] {
            assert_eq!(duration(text), Err(expected.into()), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".*") {
            let _ = (size(&text), count(&text), duration(&text), timeout(&text));
        }

        #[test]
        fn units_multiply(n in 0usize..1_000_000, k in 0u32..4) {
            let unit = ["", "k", "m", "g"][k as usize];
            prop_assert_eq!(size(&format!("{n}{unit}")), Ok(n * 1024usize.pow(k)));
            if k < 3 {
                prop_assert_eq!(count(&format!("{n}{unit}")), Ok(n * 1000usize.pow(k)));
            }
        }

        #[test]
        fn durations_are_what_they_say(n in 0u64..30_000_000) {
            prop_assert_eq!(duration(&format!("{n}us")), Ok(Duration::from_micros(n)));
            prop_assert_eq!(duration(&format!("{n}ms")), Ok(Duration::from_millis(n)));
            prop_assert_eq!(duration(&format!("{n}s")), Ok(Duration::from_secs(n)));
        }
    }
}
