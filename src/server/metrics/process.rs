//! What the system knows of this process, under the names that Prometheus' own clients use.

use std::fs;

use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// The most descriptors that are counted one by one, in some 0.2 ms. Echoes wait meanwhile.
const MAX_COUNTED: usize = 1000;

/// What the system knows of this process. What is missing, this system does not say, or not fast enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_descriptors: Option<u64>,
    pub(super) max_descriptors: Option<u64>,
}

impl Process {
    pub(super) fn now() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            resident_bytes: resident_bytes(),
            open_descriptors: open_descriptors(),
            max_descriptors: getrlimit(Resource::Nofile).current,
        }
    }
}

/// The second field of proc_pid_statm(5), which counts pages.
fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size() as u64)
}

/// Since Linux 6.2, the size of the directory is their number. On older systems they are counted, if they are few.
fn open_descriptors() -> Option<u64> {
    let size = fs::metadata("/proc/self/fd").ok()?.len();
    if size > 0 {
        return Some(size);
    }
    // One of them reads the directory.
    let count = fs::read_dir("/proc/self/fd").ok()?.take(MAX_COUNTED + 1).count() - 1;
    (count < MAX_COUNTED).then_some(count as u64)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    /// Other tests open and close descriptors meanwhile, but no hundred.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_linux_knows_is_there_and_plausible() {
        let before = Process::now();
        let files: Vec<_> = (0..200).map(|_| File::open("/dev/null").unwrap()).collect();
        let now = Process::now();
        assert!(now.open_descriptors >= before.open_descriptors.map(|n| n + 100), "{now:?}");
        assert!(now.max_descriptors > now.open_descriptors, "{now:?}");
        assert!(now.resident_bytes > Some(1 << 20) && now.resident_bytes < Some(1 << 33));
        assert!(now.cpu_seconds > 0.0 && now.cpu_seconds >= before.cpu_seconds);
        drop(files);
    }
}
