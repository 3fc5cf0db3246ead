//! One processor for the client and the server, so that they take turns: sched_setaffinity(2).

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::process::ProcessTree;

/// This thread and those of a server, on one processor until this is dropped.
pub(super) struct OneProcessor {
    server: ProcessTree,
    /// The processors that they had.
    before: CpuSet,
}

impl OneProcessor {
    /// Puts them there, if this thread may say where it runs.
    pub(super) fn for_client_and(server: ProcessTree) -> Option<Self> {
        let before = sched_getaffinity(None).ok()?;
        let first = (0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu))?;
        let mut one = CpuSet::new();
        one.set(first);
        put(server, &one);
        Some(Self { server, before })
    }
}

impl Drop for OneProcessor {
    fn drop(&mut self) {
        put(self.server, &self.before);
    }
}

/// A thread that cannot be put there stays where it is, and one that is gone does no harm.
fn put(server: ProcessTree, processors: &CpuSet) {
    let threads = server.threads().into_iter().filter_map(Pid::from_raw).map(Some);
    for thread in threads.chain([None]) {
        let _ = sched_setaffinity(thread, processors);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn client_and_server_share_a_processor_for_a_while() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let tree = ProcessTree::of(child.id() as i32).unwrap();
        let of = |pid| sched_getaffinity(pid).unwrap();
        let before = of(None);
        let shared = OneProcessor::for_client_and(tree).unwrap();
        assert_eq!((of(None).count(), of(Some(pid))), (1, of(None)));
        drop(shared);
        assert_eq!((of(None), of(Some(pid))), (before, before));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
