//! Standard input, output and error, used without blocking and without a change that other programs notice.
//!
//! `O_NONBLOCK` belongs to the open file description: fcntl(2). A shell, the other programs of a pipeline and the next
//! program share that with this one, so this program never sets it there. [`Standard`] finds another way for
//! each kind of file.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::SIGPIPE;
use signal_hook::low_level::emulate_default_handler;

use crate::net::cannot;
use crate::signals;

/// Its name in messages.
pub(crate) const INPUT: &str = "standard input";
/// Its name in messages.
pub(crate) const OUTPUT: &str = "standard output";

/// If poll(2) reports that a pipe takes bytes, it takes this many: `PIPE_BUF`, pipe(7).
const PIPE_BYTES: usize = 4096;

/// How long [`Waiting`] continues after a signal to stop, and how long [`complain`] waits.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// How often a wait checks for a signal to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One of the three standard descriptors. If a read or a write would wait, it fails with `WouldBlock`.
#[derive(Debug)]
pub(crate) struct Standard {
    file: File,
    access: Access,
}

/// How not to block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Plain calls. A regular file never waits, and an open file description of our own has `O_NONBLOCK` set.
    Plain,
    /// Each call has a flag that it must not block: `RWF_NOWAIT`, preadv2(2).
    NoWait,
    /// poll(2) first, then a call that moves no more than poll(2) promises. If another program reads or writes in
    /// between, the call can wait. There is no better way left.
    PollFirst,
}

impl Standard {
    /// Standard input.
    ///
    /// # Errors
    ///
    /// If the system gives no further descriptor: dup(2).
    pub(crate) fn input() -> io::Result<Self> {
        Self::new(io::stdin().as_fd())
    }

    /// Standard output.
    ///
    /// # Errors
    ///
    /// As [`input`](Self::input).
    pub(crate) fn output() -> io::Result<Self> {
        Self::new(io::stdout().as_fd())
    }

    /// Standard error.
    ///
    /// # Errors
    ///
    /// As [`input`](Self::input).
    pub(crate) fn error() -> io::Result<Self> {
        Self::new(io::stderr().as_fd())
    }

    /// Another descriptor.
    ///
    /// # Errors
    ///
    /// As [`input`](Self::input).
    pub(crate) fn new(shared: BorrowedFd<'_>) -> io::Result<Self> {
        let file = File::from(shared.try_clone_to_owned()?);
        let kind = file.metadata()?.file_type();
        Ok(match () {
            () if file.is_terminal() => Self::reopened(file),
            () if kind.is_fifo() || kind.is_socket() => Self { file, access: Access::NoWait },
            () => Self { file, access: Access::Plain },
        })
    }

    /// The file through an open file description of our own, if the system gives one.
    fn reopened(file: File) -> Self {
        match reopen(&file) {
            Ok(file) => Self { file, access: Access::Plain },
            Err(_) => Self { file, access: Access::PollFirst },
        }
    }

    /// Takes the next best way if the file or the kernel does not know `RWF_NOWAIT`: named pipes and old kernels do
    /// not. Returns whether to try again.
    fn falls_back(&mut self, error: Errno) -> bool {
        let is_unknown = matches!(error, Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL);
        if is_unknown {
            *self = match self.file.try_clone() {
                Ok(file) => Self::reopened(file),
                Err(_) => return false,
            };
        }
        is_unknown
    }

    /// Fails with `WouldBlock` if poll(2) promises nothing.
    fn ask(&self, wanted: PollFlags) -> io::Result<()> {
        let mut fds = [PollFd::new(&self.file, wanted)];
        match poll(&mut fds, Some(&Timespec::default()))? {
            0 => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    }
}

/// Opens `file` again, with a non-blocking open file description of its own.
#[cfg(target_os = "linux")]
fn reopen(file: &File) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, fcntl_getfl, open};
    let access = fcntl_getfl(file)? & OFlags::RWMODE;
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(open(format!("/proc/self/fd/{}", file.as_raw_fd()), flags, Mode::empty())?.into())
}

/// On other systems, that gives no description of its own: fd(4).
#[cfg(not(target_os = "linux"))]
fn reopen(_: &File) -> io::Result<File> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
mod no_wait {
    use std::fs::File;
    use std::io::{IoSlice, IoSliceMut};

    use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2};

    /// The position of the file itself.
    const HERE: u64 = u64::MAX;

    pub(super) fn read(file: &File, buffer: &mut [u8]) -> Result<usize, Errno> {
        preadv2(file, &mut [IoSliceMut::new(buffer)], HERE, ReadWriteFlags::NOWAIT)
    }

    pub(super) fn write(file: &File, bytes: &[u8]) -> Result<usize, Errno> {
        pwritev2(file, &[IoSlice::new(bytes)], HERE, ReadWriteFlags::NOWAIT)
    }
}

#[cfg(not(target_os = "linux"))]
mod no_wait {
    use std::fs::File;

    use rustix::io::Errno;

    pub(super) fn read(_: &File, _: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::NOSYS)
    }

    pub(super) fn write(_: &File, _: &[u8]) -> Result<usize, Errno> {
        Err(Errno::NOSYS)
    }
}

impl Read for Standard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.access {
            Access::Plain => self.file.read(buffer),
            Access::NoWait => match no_wait::read(&self.file, buffer) {
                Err(e) if self.falls_back(e) => self.read(buffer),
                read => Ok(read?),
            },
            Access::PollFirst => {
                self.ask(PollFlags::IN)?;
                self.file.read(buffer)
            }
        }
    }
}

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.access {
            Access::Plain => self.file.write(bytes),
            Access::NoWait => match no_wait::write(&self.file, bytes) {
                Err(e) if self.falls_back(e) => self.write(bytes),
                written => Ok(written?),
            },
            Access::PollFirst => {
                self.ask(PollFlags::OUT)?;
                // The kernel promises room for one byte of a terminal: tty_poll.
                let most = if self.file.is_terminal() { 1 } else { PIPE_BYTES };
                self.file.write(&bytes[..bytes.len().min(most)])
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // There is no buffer.
    }
}

impl AsFd for Standard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Epoll refuses regular files and the like (`EPERM`, epoll_ctl(2)). They never block, so they need no events.
impl Source for Standard {
    fn register(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        match SourceFd(&self.file.as_raw_fd()).register(r, t, i) {
            Err(e) if e.kind() == ErrorKind::PermissionDenied => Ok(()),
            registered => registered,
        }
    }

    fn reregister(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        SourceFd(&self.file.as_raw_fd()).reregister(r, t, i)
    }

    fn deregister(&mut self, r: &Registry) -> io::Result<()> {
        SourceFd(&self.file.as_raw_fd()).deregister(r)
    }
}

/// A standard descriptor whose writes wait for room, until the program must stop.
#[derive(Debug)]
pub(crate) struct Waiting {
    standard: Standard,
    /// When to give up, after a signal to stop.
    give_up: Option<Instant>,
}

impl Waiting {
    /// Its writes wait for room until [`LAST_WAIT`] after a signal to stop.
    pub(crate) fn new(standard: Standard) -> Self {
        Self { standard, give_up: None }
    }

    fn wait_for_room(&mut self) -> io::Result<()> {
        loop {
            if self.give_up.is_none() && signals::is_stop_requested() {
                self.give_up = Some(Instant::now() + LAST_WAIT);
            }
            if self.give_up.is_some_and(|at| at <= Instant::now()) {
                return Err(io::Error::new(ErrorKind::TimedOut, "its reader takes nothing"));
            }
            let mut fds = [PollFd::new(&self.standard.file, PollFlags::OUT)];
            let timeout = Timespec { tv_sec: 0, tv_nsec: LOOK_EVERY.subsec_nanos().into() };
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) | Err(Errno::INTR) => {}
                polled => return polled.map(drop).map_err(io::Error::from),
            }
        }
    }
}

impl Write for Waiting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.standard.write(bytes) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.wait_for_room()?,
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a whole line to standard output, and waits for room if there is none.
///
/// If the reader of standard output has left, the program ends by SIGPIPE, as other filters do.
///
/// # Errors
///
/// A line for people: the system's error of the write, or that the reader takes nothing and the program must stop.
pub(crate) fn say(line: &dyn Display) -> io::Result<()> {
    static WAITING: Mutex<Option<Waiting>> = Mutex::new(None);
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    let waiting = match &mut *waiting {
        Some(waiting) => waiting,
        empty => empty.insert(Waiting::new(Standard::output()?)),
    };
    let written = waiting.write_all(format!("{line}\n").as_bytes());
    written.map_err(|e| {
        end_if_reader_left(&e);
        cannot("write to", &OUTPUT, &e)
    })
}

/// Ends the program by SIGPIPE if `error`, of a write to standard output, means that its reader has left. The caller
/// must finish its files and restore the terminal before.
pub(crate) fn end_if_reader_left(error: &io::Error) {
    if error.kind() == ErrorKind::BrokenPipe {
        // Rust starts with SIGPIPE ignored. This ends the process.
        let _ = emulate_default_handler(SIGPIPE);
    }
}

/// Writes a line to standard error, if that takes it within [`LAST_WAIT`]. There is no place left to report a
/// failure.
pub(crate) fn complain(line: &dyn Display) {
    if let Ok(standard) = Standard::error() {
        let give_up = Some(Instant::now() + LAST_WAIT);
        let _ = Waiting { standard, give_up }.write_all(format!("{line}\n").as_bytes());
    }
}

#[cfg(test)]
mod tests;
