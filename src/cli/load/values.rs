//! Values of options, with their bounds.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::units::{count, duration, size, within};

pub(super) fn connections(text: &str) -> Result<usize, String> {
    within(count(text)?, (1, "1"), (1_000_000, "1m"))
}

pub(super) fn messages(text: &str) -> Result<u64, String> {
    match count(text)? {
        0 => Err("write 1 or more".into()),
        n => Ok(n as u64),
    }
}

pub(super) fn depth(text: &str) -> Result<usize, String> {
    within(count(text)?, (1, "1"), (100_000, "100k"))
}

/// The name of a file. It need not be UTF-8.
pub(super) fn file(name: OsString) -> Result<PathBuf, &'static str> {
    if name == "-" {
        return Err("write the name of a file: - stands for standard output in --json only");
    }
    Ok(name.into())
}

pub(super) fn interval(text: &str) -> Result<Duration, String> {
    within(duration(text)?, (Duration::from_millis(10), "10ms"), (Duration::from_secs(3600), "1h"))
}

pub(super) fn spin(text: &str) -> Result<Duration, String> {
    within(duration(text)?, (Duration::ZERO, "0"), (Duration::from_secs(1), "1s"))
}

pub(super) fn sizes(text: &str) -> Result<RangeInclusive<usize>, String> {
    let one = |text| within(size(text)?, (1, "1"), (1 << 30, "1g"));
    let (least, most) = match text.split_once('-') {
        Some((least, most)) => (one(least)?, one(most)?),
        None => (one(text)?, one(text)?),
    };
    if least > most {
        return Err("the smaller size comes first, such as 64-4k".into());
    }
    Ok(least..=most)
}
