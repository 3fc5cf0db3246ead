//! Numbers for people: three digits and a unit.

use std::time::Duration;

/// Each unit is a thousand times the one before.
const TIMES: [&str; 4] = ["ns", "µs", "ms", "s"];
/// The seconds of each unit, and its name.
const LONG_TIMES: [(f64, &str); 3] = [(86_400.0, "d"), (3_600.0, "h"), (60.0, "min")];
const BYTE_RATES: [&str; 4] = ["B/s", "kB/s", "MB/s", "GB/s"];
const RATES: [&str; 4] = ["/s", "k/s", "M/s", "G/s"];

/// A time, from nanoseconds.
pub fn time(nanoseconds: u64) -> String {
    scaled(nanoseconds as f64, &TIMES)
}

/// A time, from seconds.
pub fn seconds(seconds: f64) -> String {
    scaled(seconds * 1e9, &TIMES)
}

/// A time that was measured.
pub fn elapsed(time: Duration) -> String {
    scaled(time.as_secs_f64() * 1e9, &TIMES)
}

/// A time that a user sets, such as a timeout, without a digit too many.
pub fn setting(time: Duration) -> String {
    time_mark(time.as_nanos() as f64)
}

/// Bytes per second. A kB is 1000 bytes.
pub fn byte_rate(bytes_per_second: f64) -> String {
    scaled(bytes_per_second, &BYTE_RATES)
}

/// A time for the edge of a plot, from nanoseconds, without a digit too many.
pub fn time_mark(nanoseconds: f64) -> String {
    // 60 s and 90 s stay seconds.
    let is_whole = |unit: f64| nanoseconds >= 120e9 && nanoseconds % (unit * 1e9) == 0.0;
    match LONG_TIMES.iter().find(|(unit, _)| is_whole(*unit)) {
        Some((unit, name)) => format!("{} {name}", count((nanoseconds / unit / 1e9) as u64)),
        None => mark(nanoseconds, &TIMES),
    }
}

/// Things per second, for the edge of a plot.
pub fn rate_mark(per_second: f64) -> String {
    mark(per_second, &RATES)
}

/// Things per second.
pub fn rate(per_second: f64) -> String {
    digits(per_second)
}

/// A whole number, with a comma at each thousand.
pub fn count(n: u64) -> String {
    let text = n.to_string();
    let comma = |i: usize| i > 0 && (text.len() - i).is_multiple_of(3);
    let mut grouped = String::new();
    for (i, digit) in text.chars().enumerate() {
        grouped.extend(comma(i).then_some(','));
        grouped.push(digit);
    }
    grouped
}

/// A number of things, with their name in the singular or the plural.
pub fn counted(n: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { more })
}

/// A part of a whole, from 0 to 1.
pub fn percent(part: f64) -> String {
    format!("{} %", digits(part * 100.0))
}

/// A number with three digits, or with more if its whole part has more.
pub fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 999.5 => {
            let sign = if value < 0.0 { "-" } else { "" };
            return format!("{sign}{}", count(size.round() as u64));
        }
        // A value that rounds up to the next power of ten has one more digit before the point.
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.999_5 => 2,
        size if size > 0.0 => 2 + leading_zeros(size),
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// The zeros before the first other digit of a number between 0 and 1: one in 0.5, three in 0.00278.
fn leading_zeros(part: f64) -> usize {
    // Of smaller numbers, a reader sees only that they are small.
    const MOST: f64 = 9.0;
    (-part.log10()).ceil().clamp(1.0, MOST) as usize
}

/// A value in the unit that fits. In the smallest unit, it is a whole number.
fn scaled(value: f64, units: &[&str]) -> String {
    match fit(value, units, 999.5) {
        (value, 0) => format!("{value:.0} {}", units[0]),
        (value, unit) => format!("{} {}", digits(value), units[unit]),
    }
}

fn mark(value: f64, units: &[&str]) -> String {
    let (value, unit) = fit(value, units, 999.999_5);
    let decimals = if value > 0.0 && value < 1.0 { 2 + leading_zeros(value) } else { 3 };
    let text = format!("{value:.decimals$}");
    let (whole, parts) = text.split_once('.').unwrap_or((&text, ""));
    let parts = parts.trim_end_matches('0');
    let point = if parts.is_empty() { "" } else { "." };
    format!("{}{point}{parts} {}", count(whole.parse().unwrap_or(u64::MAX)), units[unit])
}

/// The value in the smallest unit in which it is less than `limit`, and which one that is.
fn fit(mut value: f64, units: &[&str], limit: f64) -> (f64, usize) {
    let mut unit = 0;
    while value >= limit && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    (value, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_the_unit_that_fits() {
        for (nanoseconds, text) in [
            (0, "0 ns"),
            (7, "7 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (1_234, "1.23 µs"),
            (9_994, "9.99 µs"),
            (9_996, "10.0 µs"),
            (99_940, "99.9 µs"),
            (99_960, "100 µs"),
            (999_400, "999 µs"),
            (999_600, "1.00 ms"),
            (12_345_678, "12.3 ms"),
            (2_000_000_000, "2.00 s"),
            (86_400_000_000_000, "86,400 s"),
        ] {
            assert_eq!(time(nanoseconds), text);
        }
    }

    /// Failed when logs, reports and the lines of `connect` each had a format of their own.
    #[test]
    fn a_setting_is_written_as_a_user_writes_it() {
        for (time, text) in [
            (Duration::ZERO, "0 ns"),
            (Duration::from_micros(50), "50 µs"),
            (Duration::from_millis(250), "250 ms"),
            (Duration::from_millis(1500), "1.5 s"),
            (Duration::from_secs(10), "10 s"),
            (Duration::from_secs(60), "60 s"),
            (Duration::from_secs(90), "90 s"),
            (Duration::from_secs(120), "2 min"),
            (Duration::from_secs(3600), "1 h"),
            (Duration::from_secs(5400), "90 min"),
            (Duration::from_secs(3601), "3,601 s"),
            (Duration::from_secs(86_400), "1 d"),
            (Duration::from_secs(365 * 86_400), "365 d"),
        ] {
            assert_eq!(setting(time), text);
        }
        assert_eq!(elapsed(Duration::from_nanos(153_249)), "153 µs");
        assert_eq!(elapsed(Duration::from_millis(1)), "1.00 ms");
    }

    #[test]
    fn byte_rates_have_a_unit_and_other_rates_none() {
        assert_eq!(byte_rate(0.0), "0 B/s");
        assert_eq!(byte_rate(790_123.0), "790 kB/s");
        assert_eq!(byte_rate(2_740e6), "2.74 GB/s");
        assert_eq!(rate(0.0), "0");
        assert_eq!(rate(0.25), "0.250");
        assert_eq!(rate(0.9996), "1.00");
        assert_eq!(rate(1.5), "1.50");
        assert_eq!(rate(99.96), "100");
        assert_eq!(rate(1_234_567.8), "1,234,568");
        assert_eq!(digits(-1_234.5), "-1,235");
        assert_eq!(digits(-0.05), "-0.0500");
        // Failed when a message an hour was 0.000 messages/s.
        assert_eq!(rate(1.0 / 3600.0), "0.000278");
        assert_eq!(rate(0.1), "0.100");
        assert_eq!(rate(1e-300), "0.00000000000");
    }

    #[test]
    fn counts_are_grouped_in_thousands() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(n), text);
        }
    }

    #[test]
    fn marks_have_no_zeros_at_the_end() {
        for (nanoseconds, text) in
            [(1e6, "1 ms"), (2e4, "20 µs"), (5e9, "5 s"), (0.5, "0.5 ns"), (1.25e6, "1.25 ms")]
        {
            assert_eq!(time_mark(nanoseconds), text);
        }
        assert_eq!(rate_mark(50_000.0), "50 k/s");
        assert_eq!(rate_mark(0.0), "0 /s");
        assert_eq!(rate_mark(0.000_05), "0.00005 /s");
        assert_eq!(rate_mark(2e12), "2,000 G/s");
    }
}
