//! Whether there is enough memory for a run. It is better to refuse a run than to fail in the middle.

use std::fs;

use super::{Interval, Length, Options, datagrams};
use crate::client::probe::Probe;
use crate::net::Addr;
use crate::text::format::count;

/// What every run takes: histograms, the pattern, the read buffer and the reports.
const FIXED_BYTES: usize = 8 << 20;

/// What a connection takes beside its messages in flight, while the table of connections grows.
const CONNECTION_BYTES: usize = 1024;

/// Refuses a run that needs more memory than there is.
///
/// # Errors
///
/// A line for the user.
pub fn check_memory(options: &Options) -> Result<(), String> {
    let needed = needed_bytes(options);
    let is_there = needed.is_some_and(|bytes| {
        available_bytes().is_none_or(|available| bytes <= available) && is_granted(bytes)
    });
    if is_there {
        return Ok(());
    }
    let megabytes = count(needed.unwrap_or(usize::MAX).div_ceil(1_000_000) as u64);
    Err(format!(
        "the run needs up to {megabytes} MB of memory, and there is not as much: give fewer --connections, or \
         less for --pipeline"
    ))
}

/// The memory that a run can take, if the number is not too large for a `usize`.
fn needed_bytes(options: &Options) -> Option<usize> {
    let in_flight = match options.server {
        Addr::Udp { .. } => datagrams::memory(options)?,
        _ => options.depth.checked_mul(Probe::FLIGHT_BYTES)?,
    };
    let each = in_flight.checked_add(CONNECTION_BYTES)?;
    let intervals = match options.length {
        Length::Time(time) => time.as_nanos() / options.interval.as_nanos().max(1) + 1,
        Length::Messages(_) => 0,
    };
    let intervals = usize::try_from(intervals).ok()?.checked_mul(size_of::<Interval>())?;
    options.connections.checked_mul(each)?.checked_add(intervals)?.checked_add(FIXED_BYTES)
}

/// Whether the system grants this much address space: setrlimit(2), `RLIMIT_AS`. Nothing is written to it.
fn is_granted(bytes: usize) -> bool {
    Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
}

/// The memory that is available, if the system says: proc_meminfo(5), and the limit of a control group.
fn available_bytes() -> Option<usize> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok();
    let free = meminfo.as_deref().and_then(available_in);
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = group.and_then(|text| text.trim().parse().ok());
    [free, limit].into_iter().flatten().min()
}

fn available_in(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::options;
    use super::*;

    #[test]
    fn messages_in_flight_and_intervals_are_counted() {
        let one = needed_bytes(&options()).unwrap();
        let deep = Options { depth: 1001, ..options() };
        assert_eq!(needed_bytes(&deep).unwrap() - one, 1000 * Probe::FLIGHT_BYTES);
        let hour = Length::Time(Duration::from_secs(3600));
        let long = Options { length: hour, interval: Duration::from_millis(10), ..options() };
        assert!(needed_bytes(&long).unwrap() > one + 360_000 * size_of::<Interval>());
        let absurd = Options { connections: usize::MAX / 2, ..deep };
        assert_eq!(needed_bytes(&absurd), None);
        assert!(check_memory(&absurd).is_err() && check_memory(&options()).is_ok());
    }

    #[test]
    fn what_is_available_is_read_in_kib() {
        let text = "MemTotal:       10 kB\nMemAvailable:   2000 kB\n";
        assert_eq!(available_in(text), Some(2_048_000));
        assert_eq!(available_in("MemTotal: 10 kB\n"), None);
    }
}
