//! The log, which must never stand in the server's way.

use std::io::stderr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::{LevelFilter, Log, Metadata, Record, SetLoggerError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use simple_logger::SimpleLogger;

/// Sends the log to standard error: what is at `level` or more severe.
///
/// # Errors
///
/// Where there is a logger already.
pub fn init(level: LevelFilter) -> Result<(), SetLoggerError> {
    let logger = SimpleLogger::new()
        // The libraries below have little to tell a user.
        .with_level(LevelFilter::Off)
        .with_module_level("resound", level)
        .with_utc_timestamps();
    log::set_max_level(level);
    log::set_boxed_logger(Box::new(Expendable(logger)))
}

/// A logger whose lines are lost rather than waited for.
///
/// `simple_logger` writes with `eprintln!`, which blocks while standard error is a pipe that nobody
/// empties, and panics once it is a full disk or a pipe without a reader. A server goes on serving.
struct Expendable(SimpleLogger);

impl Log for Expendable {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) && takes_a_line() {
            // A panic in `eprintln!` leaves nothing behind that could be seen in a broken state.
            let _ = catch_unwind(AssertUnwindSafe(|| self.0.log(record)));
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Whether standard error would take some text without blocking; a pipe that says so has room for a
/// page, which is more than a line.
fn takes_a_line() -> bool {
    let stderr = stderr();
    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|_| fds[0].revents() == PollFlags::OUT)
}
