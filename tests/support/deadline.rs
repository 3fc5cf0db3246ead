//! An end for those who do not end by themselves.

use std::process::Child;
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Who has not ended by then never will.
const DEADLINE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// Sees to it that a process ends: whoever waits for it, or for its output, waits in vain no longer than
/// until the deadline.
pub fn end_in_time(child: &Child) {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap();
    thread::spawn(move || {
        let ends = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&DEADLINE)).unwrap();
        if ends == 0 {
            pidfd_send_signal(&process, Signal::KILL).unwrap();
        }
    });
}
