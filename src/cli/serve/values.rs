//! Values of the options of `resound serve`, each within its bounds.

use std::time::Duration;

use crate::units::{count, duration, size, within};

pub(super) fn connections(text: &str) -> Result<usize, String> {
    within(count(text)?, (1, "1"), (100_000_000, "100m"))
}

pub(super) fn spin(text: &str) -> Result<Duration, String> {
    let (least, most) = (Duration::from_micros(1), Duration::from_secs(1));
    within(duration(text)?, (least, "1us"), (most, "1s"))
}

pub(super) fn buffer(text: &str) -> Result<usize, String> {
    within(size(text)?, (1, "1"), (64 << 20, "64m"))
}

pub(super) fn pending_limit(text: &str) -> Result<usize, String> {
    within(size(text)?, (1 << 10, "1k"), (1 << 40, "1024g"))
}

pub(super) fn unix_mode(text: &str) -> Result<u32, &'static str> {
    let is_octal = text.len() <= 4 && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
    mode.ok_or("write permissions in octal, such as 0600 or 0660")
}

pub(super) fn backlog(text: &str) -> Result<u32, String> {
    within(count(text)?, (1, "1"), (1_000_000, "1m")).map(|n| n as u32)
}
