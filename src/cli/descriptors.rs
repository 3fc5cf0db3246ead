//! The limit of open descriptors, and the number of open ones.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open descriptors to the hard limit, and returns the limit that then holds.
pub(super) fn raise_descriptor_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    limit.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX)
}

/// The number of open descriptors that count against `limit`: those of this program, and those that its parent left
/// open.
pub(super) fn open_descriptors(limit: usize) -> usize {
    // Without this directory, only the three standard descriptors are known.
    let Ok(entries) = fs::read_dir("/dev/fd") else { return 3 };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // One of them reads the directory.
    numbers.filter(|number: &usize| *number < limit).count().saturating_sub(1)
}
