//! The end of what a server writes to standard error.

use std::io::Read;
use std::process::ChildStderr;

use mio::unix::pipe::Receiver;

/// The bytes that are kept.
const KEPT: usize = 4 << 10;

/// The most reads at a time: as much as a pipe holds, several times.
const MOST_READS: usize = 64;

/// Keeps the end of a stream.
#[derive(Debug)]
pub(super) struct Tail {
    pipe: Option<Receiver>,
    bytes: Vec<u8>,
}

impl Tail {
    /// Of this stream, which no longer blocks from here on. If there is none, nothing is kept.
    pub(super) fn new(stream: Option<ChildStderr>) -> Self {
        let pipe = stream.map(Receiver::from);
        let pipe = pipe.filter(|pipe| pipe.set_nonblocking(true).is_ok());
        Self { pipe, bytes: Vec::new() }
    }

    /// Reads what has been written, without waiting for more.
    pub(super) fn drain(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut buffer = [0; KEPT];
        // A server that writes without an end must not keep this program reading: there is a next time.
        for _ in 0..MOST_READS {
            let Ok(n @ 1..) = pipe.read(&mut buffer) else { return };
            self.bytes.extend_from_slice(&buffer[..n]);
            self.bytes.drain(..self.bytes.len().saturating_sub(KEPT));
        }
    }

    /// The last line that is not blank.
    pub(super) fn last_line(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_last_line_is_kept_of_however_much_was_written() {
        let script = "i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; echo last >&2; echo >&2";
        let mut child =
            Command::new("sh").args(["-c", script]).stderr(Stdio::piped()).spawn().unwrap();
        let mut tail = Tail::new(child.stderr.take());
        child.wait().unwrap();
        tail.drain();
        assert_eq!(tail.last_line().as_deref(), Some("last"));
        assert!(tail.bytes.len() <= KEPT);
        assert_eq!(Tail::new(None).last_line(), None);
    }
}
