//! The limit of open descriptors, and how many are open.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open descriptors to the hard one, and says what it is then.
pub(super) fn raise_descriptor_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    limit.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX)
}

/// How many descriptors are open that count against `limit`: this program's own, and those that its parent has
/// left open.
pub(super) fn open_descriptors(limit: usize) -> usize {
    // If the system has no such directory, only the standard descriptors are known of.
    let Ok(entries) = fs::read_dir("/dev/fd") else { return 3 };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // Less the one that reads the directory.
    numbers.filter(|number: &usize| *number < limit).count().saturating_sub(1)
}
