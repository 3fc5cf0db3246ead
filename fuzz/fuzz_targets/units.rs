//! Any text as a size, a count, a duration or a timeout, against a second reading in whole numbers.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use resound::cli::units;

const NANOS_A_YEAR: u128 = 365 * 24 * 60 * 60 * 1_000_000_000;

/// Below this, in nanoseconds (13 days), the roundings of an f64 come to less than half of one.
const EXACT_BELOW: u128 = 1 << 50;

/// Above it, they come to less than one in so many, and one.
const F64_ACCURACY: u128 = 2_000_000_000_000_000;

fuzz_target!(|text: &str| {
    assert_eq!(units::size(text).ok(), whole(text, 1024, "kmg"), "size {text:?}");
    assert_eq!(units::count(text).ok(), whole(text, 1000, "km"), "count {text:?}");
    let duration = units::duration(text);
    check_duration(text, duration.as_ref().ok());
    let millisecond = Duration::from_millis(1);
    let timeout = duration.ok().filter(|duration| *duration >= millisecond);
    assert_eq!(units::timeout(text).ok(), timeout, "timeout {text:?}");
});

/// Digits, perhaps with a point among them, and perhaps a letter of so many steps; in all, a whole number.
fn whole(text: &str, step: u128, letters: &str) -> Option<usize> {
    let last = text.chars().next_back()?.to_ascii_lowercase();
    let (digits, steps) = match letters.find(last) {
        Some(at) => (&text[..text.len() - 1], at as u32 + 1),
        None => (text, 0),
    };
    let (before, after) = digits.split_once('.').unwrap_or((digits, "0"));
    if before.is_empty() || after.is_empty() {
        return None;
    }
    let factor = step.pow(steps);
    let places = u32::try_from(after.len()).ok().filter(|places| *places <= MAX_PLACES)?;
    let parts = decimal(after)?.checked_mul(factor)?;
    let more = parts.is_multiple_of(10_u128.pow(places)).then(|| parts / 10_u128.pow(places))?;
    usize::try_from(decimal(before)?.saturating_mul(factor).saturating_add(more)).ok()
}

/// More places than that are more than a u128 can scale.
const MAX_PLACES: u32 = 38;

/// The value of decimal digits, or of none; where it is too large, the largest there is.
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

/// The nanoseconds, rounded down, and whether nothing was cut off.
fn nanoseconds(text: &str) -> Option<(u128, bool)> {
    let units = [
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    // What is nothing needs no unit.
    let points = text.bytes().filter(|byte| *byte == b'.').count();
    if points <= 1 && text.contains('0') && text.bytes().all(|byte| b"0.".contains(&byte)) {
        return Some((0, true));
    }
    let (number, unit) =
        units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))?;
    let (before, after) = number.split_once('.').unwrap_or((number, ""));
    if before.is_empty() && after.is_empty() {
        return None;
    }
    decimal(after)?;
    // Any more would be nothing to a nanosecond, and too much for the arithmetic.
    let kept = &after[..after.len().min(20)];
    let scale = 10_u128.pow(kept.len() as u32);
    let fraction = decimal(kept)? * unit;
    let nanos = decimal(before)?.saturating_mul(unit).saturating_add(fraction / scale);
    Some((nanos.min(u128::MAX / 2), fraction.is_multiple_of(scale) && kept == after))
}
