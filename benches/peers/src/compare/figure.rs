//! The figures that the page shows, and how it writes numbers.

use super::results::Run;

/// A figure that is measured in each run.
pub struct Figure {
    /// The start of the names of its pictures.
    pub name: &'static str,
    pub title: &'static str,
    pub is_more_better: bool,
    pub of: fn(&Run) -> f64,
    /// How the page writes it if it is not a ratio.
    pub shown: fn(f64) -> String,
}

/// All of them.
pub const FIGURES: [Figure; 2] = [
    Figure {
        name: "cpu",
        title: "Processor time per echo, relative to the reference",
        is_more_better: false,
        of: |run| run.cpu_seconds_per_echo,
        shown: time,
    },
    Figure {
        name: "rate",
        title: "Echoes per second, relative to the reference",
        is_more_better: true,
        of: |run| run.echoes_per_second,
        shown: |rate| format!("{} /s", thousands(rate)),
    },
];

/// `50 connections`.
pub fn connections(n: usize) -> String {
    if n == 1 { "1 connection".into() } else { format!("{} connections", thousands(n as f64)) }
}

/// `16 KiB`.
pub fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

/// `0.98`.
pub fn ratio(ratio: f64) -> String {
    if ratio < 9.95 { format!("{ratio:.2}") } else { format!("{ratio:.1}") }
}

/// `3.5 MiB`.
pub fn mebibytes(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

/// `4.90 µs`.
pub fn time(seconds: f64) -> String {
    match seconds {
        _ if seconds >= 1.0 => format!("{seconds:.2} s"),
        _ if seconds >= 1e-3 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{:.2} µs", seconds * 1e6),
    }
}

/// `1,234`.
pub fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        let is_next = i > 0 && (digits.len() - i).is_multiple_of(3);
        text.extend(is_next.then_some(','));
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_with_their_units() {
        assert_eq!([size(64), size(1024), size(1 << 20)], ["64 B", "1 KiB", "1 MiB"]);
        assert_eq!([connections(1), connections(15_000)], ["1 connection", "15,000 connections"]);
        assert_eq!([ratio(0.984), ratio(12.34)], ["0.98", "12.3"]);
        assert_eq!([time(4.9e-6), time(0.0031), time(2.0)], ["4.90 µs", "3.10 ms", "2.00 s"]);
        assert_eq!([thousands(999.0), thousands(1_234_567.0)], ["999", "1,234,567"]);
        assert_eq!(mebibytes(3584), "3.5 MiB");
    }
}
