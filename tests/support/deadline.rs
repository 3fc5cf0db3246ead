//! Ends processes that do not end by themselves.

use std::process::Child;
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process that still runs after this time is taken to hang.
const DEADLINE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// Kills a process that still runs at the deadline, so that a test that waits for it, or for its output, does
/// not wait forever.
pub fn end_in_time(child: &Child) {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap();
    thread::spawn(move || {
        let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&DEADLINE)).unwrap();
        if ended == 0 {
            pidfd_send_signal(&process, Signal::KILL).unwrap();
        }
    });
}
