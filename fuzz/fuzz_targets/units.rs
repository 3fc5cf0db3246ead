//! Any text as a size, a count, a duration, a timeout or a rate, compared with a second parser that uses whole numbers.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use resound::units;

const NANOS_A_YEAR: u128 = 365 * 24 * 60 * 60 * 1_000_000_000;

/// Below this many nanoseconds (13 days), the rounding errors of an f64 add up to less than half a nanosecond.
const EXACT_BELOW: u128 = 1 << 50;

/// Above that, they add up to less than one part in this many, plus one nanosecond.
const F64_ACCURACY: u128 = 2_000_000_000_000_000;

fuzz_target!(|text: &str| {
    assert_eq!(units::size(text).ok(), whole(text, &sizes()), "size {text:?}");
    assert_eq!(units::count(text).ok(), whole(text, &counts()), "count {text:?}");
    let duration = units::duration(text);
    check_duration(text, duration.as_ref().ok());
    let millisecond = Duration::from_millis(1);
    let timeout = duration.ok().filter(|duration| *duration >= millisecond);
    assert_eq!(units::timeout(text).ok(), timeout, "timeout {text:?}");
    check_rate(text, units::per_second(text).ok());
});

/// The names of each unit of time, in small letters, and its length in nanoseconds.
const TIMES: [(&str, u128); 7] = [
    ("ns nsec", 1),
    ("us µs μs usec", 1_000),
    ("ms msec", 1_000_000),
    ("s sec secs second seconds", 1_000_000_000),
    ("m min mins minute minutes", 60_000_000_000),
    ("h hr hrs hour hours", 3_600_000_000_000),
    ("d day days", 86_400_000_000_000),
];

/// Each name of a unit of time, and its length.
fn times() -> impl Iterator<Item = (&'static str, u128)> {
    TIMES.iter().flat_map(|(names, unit)| names.split(' ').map(move |name| (name, *unit)))
}

/// Each way to write a unit of bytes in small letters. Every text ends with the empty unit, so it comes last.
fn sizes() -> Vec<(String, u128)> {
    let letters = [("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30)];
    let spelt = |(letter, factor)| ["ib", "b", ""].map(|end| (format!("{letter}{end}"), factor));
    letters.into_iter().flat_map(spelt).chain([("b".into(), 1), (String::new(), 1)]).collect()
}

fn counts() -> Vec<(String, u128)> {
    [("k", 1_000), ("m", 1_000_000), ("", 1)].map(|(unit, factor)| (unit.into(), factor)).into()
}

/// The value of a text of digits, with a point, a space and a unit if it has them, if that value is whole.
fn whole(text: &str, units: &[(String, u128)]) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    let (number, factor) =
        units.iter().find_map(|(unit, factor)| Some((lower.strip_suffix(&**unit)?, *factor)))?;
    let digits = if number.len() < text.len() { without_space(number) } else { number };
    let (before, after) = digits.split_once('.').unwrap_or((digits, "0"));
    if before.is_empty() || after.is_empty() {
        return None;
    }
    let places = u32::try_from(after.len()).ok().filter(|places| *places <= MAX_PLACES)?;
    let parts = decimal(after)?.checked_mul(factor)?;
    let more = parts.is_multiple_of(10_u128.pow(places)).then(|| parts / 10_u128.pow(places))?;
    usize::try_from(decimal(before)?.saturating_mul(factor).saturating_add(more)).ok()
}

/// A space can stand before a unit.
fn without_space(number: &str) -> &str {
    number.strip_suffix(' ').unwrap_or(number)
}

/// A u128 can scale no more decimal places than this.
const MAX_PLACES: u32 = 38;

/// The value of decimal digits; 0 without a digit; `u128::MAX` if it is larger.
fn decimal(digits: &str) -> Option<u128> {
    digits.bytes().try_fold(0_u128, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u128::from(digit - b'0'))?;
        Some(value.saturating_mul(10).saturating_add(digit))
    })
}

fn check_duration(text: &str, got: Option<&Duration>) {
    let Some((nanos, is_whole)) = nanoseconds(text) else {
        return assert_eq!(got, None, "duration {text:?}");
    };
    let slack = if is_whole && nanos < EXACT_BELOW { 0 } else { nanos / F64_ACCURACY + 1 };
    match got.map(Duration::as_nanos) {
        Some(got) => {
            assert!(got <= NANOS_A_YEAR, "duration {text:?} is {got} ns");
            assert!(got.abs_diff(nanos) <= slack, "duration {text:?} is {got}, not {nanos} ns");
        }
        None => assert!(nanos + slack > NANOS_A_YEAR, "duration {text:?} is refused"),
    }
}

/// The nanoseconds, rounded down, and whether they are exact.
fn nanoseconds(text: &str) -> Option<(u128, bool)> {
    // Zero needs no unit.
    let points = text.bytes().filter(|byte| *byte == b'.').count();
    if points <= 1 && text.contains('0') && text.bytes().all(|byte| b"0.".contains(&byte)) {
        return Some((0, true));
    }
    let lower = text.to_ascii_lowercase();
    let names = times().filter(|(name, _)| lower.ends_with(name));
    let (name, unit) = names.max_by_key(|(name, _)| name.len())?;
    let number = without_space(lower.strip_suffix(name)?);
    let (before, after) = number.split_once('.').unwrap_or((number, ""));
    if before.is_empty() && after.is_empty() {
        return None;
    }
    decimal(after)?;
    // Further digits are far below a nanosecond, and would overflow.
    let kept = &after[..after.len().min(20)];
    let scale = 10_u128.pow(kept.len() as u32);
    let fraction = decimal(kept)? * unit;
    let nanos = decimal(before)?.saturating_mul(unit).saturating_add(fraction / scale);
    Some((nanos.min(u128::MAX / 2), fraction.is_multiple_of(scale) && kept == after))
}

fn check_rate(text: &str, got: Option<f64>) {
    /// The rounding errors of an f64 add up to less than this part.
    const SLACK: f64 = 1e-12;
    let is_within = |rate: f64, slack: f64| {
        rate >= (1.0 - slack) / 3600.0 && rate <= (1.0 + slack) * 100_000_000.0
    };
    match (rate(text), got) {
        (Some(rate), Some(got)) => {
            assert!((got / rate - 1.0).abs() < SLACK, "rate {text:?} is {got}, not {rate}");
            assert!(is_within(got, 0.0), "rate {text:?} is {got}");
        }
        (Some(rate), None) => assert!(!is_within(rate, -SLACK), "rate {text:?} is refused"),
        (None, got) => assert_eq!(got, None, "rate {text:?}"),
    }
}

/// How many things a second that is.
fn rate(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let (amount, per) = lower.rsplit_once('/').unwrap_or((&lower, "s"));
    let (_, unit) = times().find(|(name, _)| *name == per)?;
    let prefix =
        |(prefix, factor): &(String, u128)| Some((amount.strip_suffix(&**prefix)?, *factor));
    let (number, factor) = counts().iter().find_map(prefix)?;
    let digits = if number.len() < amount.len() { without_space(number) } else { number };
    let (before, after) = digits.split_once('.').unwrap_or((digits, "0"));
    if before.is_empty() || after.is_empty() {
        return None;
    }
    decimal(after)?;
    // Further digits are lost in the rounding, or the rate is far below the lowest.
    let kept = &after[..after.len().min(MAX_PLACES as usize)];
    let parts = decimal(kept)? as f64 / 10_f64.powi(kept.len() as i32);
    Some((decimal(before)? as f64 + parts) * factor as f64 * 1e9 / unit as f64)
}
