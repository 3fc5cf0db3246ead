//! The server's process, as proc(5) shows it.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, getpid, kill_process, prlimit, waitpid,
};

/// How long a process may take to die.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// A process and all that it has started, and that these have started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProcessTree {
    root: i32,
    /// Whether the first process belongs to it.
    with_root: bool,
}

impl ProcessTree {
    /// The tree of the process with this number.
    ///
    /// # Errors
    ///
    /// That there is no such process.
    pub(super) fn of(pid: i32) -> io::Result<Self> {
        fs::metadata(format!("/proc/{pid}"))?;
        Ok(Self { root: pid, with_root: true })
    }

    /// All that this process has started. If it is the subreaper of its children, that includes daemons, which have left
    /// their parents: PR_SET_CHILD_SUBREAPER(2const).
    pub(super) fn of_children() -> Self {
        Self { root: getpid().as_raw_nonzero().get(), with_root: false }
    }

    /// Whether one of its processes runs. One that has ended and was not waited for does not.
    pub(super) fn is_alive(self) -> bool {
        self.pids().into_iter().any(is_running)
    }

    /// Whether its first process still runs.
    pub(super) fn exists(self) -> bool {
        is_running(self.root)
    }

    /// All its processes, the first one first. This program is none of them, even if the user names its parent: it would
    /// stop itself.
    pub(super) fn pids(self) -> Vec<i32> {
        let this = getpid().as_raw_nonzero().get();
        let mut pids = vec![self.root];
        let parents: Vec<_> =
            numbers_in("/proc".into()).filter_map(|pid| Some((pid, parent_of(pid)?))).collect();
        let mut at = 0;
        while let Some(parent) = pids.get(at).copied() {
            let children = parents.iter().filter(|(pid, of)| *of == parent && *pid != this);
            pids.extend(children.map(|(pid, _)| *pid));
            at += 1;
        }
        if !self.with_root {
            pids.remove(0);
        }
        pids
    }

    /// Its threads.
    pub(super) fn threads(self) -> Vec<i32> {
        self.pids().into_iter().flat_map(|pid| numbers_in(format!("/proc/{pid}/task"))).collect()
    }

    /// What it has had of the processors so far.
    pub(super) fn usage(self) -> Usage {
        self.pids().into_iter().map(usage_of).fold(Usage::default(), |sum, usage| Usage {
            ran: sum.ran + usage.ran,
            waited: sum.waited + usage.waited,
        })
    }

    /// Its open sockets. Other descriptors can be its own affair: some runtimes keep pipes to use them again.
    pub(super) fn sockets(self) -> usize {
        self.pids().into_iter().map(sockets_of).sum()
    }

    /// Whether this user may see which descriptors it has.
    pub(super) fn shows_descriptors(self) -> bool {
        self.pids().into_iter().all(|pid| descriptors_of(pid).is_some() || !is_running(pid))
    }

    /// Its processes that have ended, and that their parents have not waited for.
    pub(super) fn zombies(self) -> usize {
        self.pids().into_iter().filter(|pid| state_of(*pid).as_deref() == Some("Z")).count()
    }

    /// Memory that it has resident, in bytes.
    pub(super) fn resident(self) -> u64 {
        self.pids().into_iter().filter_map(resident_of).sum()
    }

    /// Sends a signal to each of its processes.
    pub(super) fn signal(self, signal: Signal) {
        for pid in self.pids().into_iter().filter_map(Pid::from_raw) {
            // It may be gone.
            let _ = kill_process(pid, signal);
        }
    }

    /// Kills each of its processes, and whatever they start meanwhile, and waits for them.
    pub(super) fn kill(self) {
        let end = Instant::now() + KILL_PATIENCE;
        while self.is_alive() && Instant::now() < end {
            self.signal(Signal::KILL);
            std::thread::sleep(Duration::from_millis(1));
        }
        for pid in self.pids().into_iter().filter_map(Pid::from_raw) {
            // Others than this process's own children are waited for by their parents.
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }

    /// Allows each of its processes `more` descriptors beyond those that are open. Returns the limits that they had.
    ///
    /// # Errors
    ///
    /// That this user may not: prlimit(2).
    pub(super) fn limit_descriptors(self, more: u64) -> io::Result<Vec<(i32, Rlimit)>> {
        let mut before = Vec::new();
        for pid in self.pids() {
            let Some(open) = descriptors_of(pid) else { continue };
            let Some(id) = Pid::from_raw(pid) else { continue };
            let maximum = hard_limit(pid);
            let tight = Rlimit { current: Some(limit_that_leaves(more, &open)), maximum };
            before.push((pid, prlimit(Some(id), Resource::Nofile, tight)?));
        }
        Ok(before)
    }
}

/// What processes have had of the processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// How long they ran.
    pub(super) ran: Duration,
    /// How long they could have run, while others did.
    pub(super) waited: Duration,
}

/// Gives processes their limits back.
pub(super) fn restore_descriptors(limits: Vec<(i32, Rlimit)>) {
    for (pid, limit) in limits {
        if let Some(id) = Pid::from_raw(pid) {
            // It may be gone.
            let _ = prlimit(Some(id), Resource::Nofile, limit);
        }
    }
}

fn is_running(pid: i32) -> bool {
    state_of(pid).is_some_and(|state| state != "Z")
}

fn state_of(pid: i32) -> Option<String> {
    stat_of(pid)?.into_iter().next()
}

/// The entries of a folder that are numbers.
fn numbers_in(folder: String) -> impl Iterator<Item = i32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The fields of /proc/PID/stat behind the name, which can contain anything.
fn stat_of(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(Into::into).collect())
}

fn parent_of(pid: i32) -> Option<i32> {
    stat_of(pid)?.get(1)?.parse().ok()
}

/// The sum over its threads: /proc/PID/task/TID/schedstat.
fn usage_of(pid: i32) -> Usage {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut usage = Usage::default();
    for thread in threads {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        let mut numbers = text.split_whitespace().map(|n| n.parse().unwrap_or_default());
        usage.ran += Duration::from_nanos(numbers.next().unwrap_or_default());
        usage.waited += Duration::from_nanos(numbers.next().unwrap_or_default());
    }
    usage
}

fn resident_of(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// The upper limit of a process, which stays as it is: proc(5), /proc/PID/limits.
fn hard_limit(pid: i32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn sockets_of(pid: i32) -> usize {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

fn descriptors_of(pid: i32) -> Option<Vec<u64>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    Some(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// The limit under which a process that has these open can open `more`. It gets the lowest numbers that are free.
fn limit_that_leaves(more: u64, open: &[u64]) -> u64 {
    let mut free = (0..).filter(|number| !open.contains(number));
    free.nth(more as usize).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio, id};

    use super::*;

    #[test]
    fn this_process_and_its_child_are_a_tree() {
        let tree = ProcessTree::of(id() as i32).unwrap();
        assert!(tree.resident() > 1 << 20);
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert!(tree.pids().contains(&(child.id() as i32)));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!tree.pids().contains(&(child.id() as i32)));
        assert!(ProcessTree::of(i32::MAX).is_err());
    }

    #[test]
    fn a_program_that_spins_uses_the_processor() {
        let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let tree = ProcessTree::of(child.id() as i32).unwrap();
        let before = tree.usage();
        while tree.usage().ran < before.ran + Duration::from_millis(20) {}
        assert!(tree.usage().waited >= before.waited);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(tree.usage(), Usage::default());
    }

    #[test]
    fn a_limit_leaves_as_many_as_it_says() {
        assert_eq!(limit_that_leaves(2, &[0, 1, 2]), 5);
        assert_eq!(limit_that_leaves(2, &[0, 1, 2, 4, 60]), 6);
        assert_eq!(limit_that_leaves(0, &[0, 2]), 1);
    }

    #[test]
    fn sockets_are_counted_and_pipes_are_not() {
        let mut child =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let tree = ProcessTree::of(child.id() as i32).unwrap();
        assert_eq!(tree.sockets(), 0);
        drop(child.stdin.take());
        child.wait().unwrap();
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut child = Command::new("cat").stdin(OwnedFd::from(one)).spawn().unwrap();
        assert_eq!(ProcessTree::of(child.id() as i32).unwrap().sockets(), 1);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Its signals would stop the program that sends them.
    #[test]
    fn this_program_belongs_to_no_tree_of_its_parent() {
        let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get();
        let pids = ProcessTree::of(parent).unwrap().pids();
        assert!(pids.contains(&parent) && !pids.contains(&(id() as i32)), "{pids:?}");
    }
}
