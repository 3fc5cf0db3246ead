//! Output that never waits for its reader while a run goes on.

use std::io::{self, ErrorKind, Write};

use crate::stdio::{Standard, Waiting};

/// The most that is kept for a reader that takes nothing. A day of interval lines, one a second, is less.
const MAX_KEPT_BYTES: usize = 16 << 20;

/// Writes without waiting, and keeps what its reader does not take yet.
#[derive(Debug)]
pub(crate) struct Outbox {
    out: Standard,
    kept: Vec<u8>,
    /// Whether something was dropped for lack of room.
    has_overflowed: bool,
}

impl Outbox {
    pub(crate) fn new(out: Standard) -> Self {
        Self { out, kept: Vec::new(), has_overflowed: false }
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether something was dropped, since its reader takes too little.
    pub fn has_overflowed(&self) -> bool {
        self.has_overflowed
    }

    /// Adds `bytes`, all or none of them, and writes what can be written now.
    ///
    /// # Errors
    ///
    /// If the output fails: nothing can be written to it any more.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        let has_room = self.kept.len() + bytes.len() <= MAX_KEPT_BYTES || self.kept.is_empty();
        if has_room && self.kept.try_reserve(bytes.len()).is_ok() {
            self.kept.extend_from_slice(bytes);
        } else {
            self.has_overflowed = true;
        }
        self.flush()
    }

    /// Writes what can be written now.
    ///
    /// # Errors
    ///
    /// If the output fails, as in [`push`](Self::push).
    pub fn flush(&mut self) -> io::Result<()> {
        let mut written = 0;
        let outcome = loop {
            match self.out.write(&self.kept[written..]) {
                _ if written == self.kept.len() => break Ok(()),
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => break Err(e),
            }
        };
        self.kept.drain(..written);
        outcome
    }

    /// Writes the rest, and waits for the reader if it must.
    ///
    /// # Errors
    ///
    /// If the rest cannot be written, or something was dropped.
    pub fn finish(self) -> io::Result<()> {
        Waiting::new(self.out).write_all(&self.kept)?;
        if self.has_overflowed {
            return Err(io::Error::other("its reader was too slow, and a part of it is missing"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;

    fn pipe() -> (File, Outbox) {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        (reader.into(), Outbox::new(Standard::new(writer.as_fd()).unwrap()))
    }

    #[test]
    fn bytes_that_a_reader_does_not_take_are_kept_and_written_later() {
        let (mut reader, mut outbox) = pipe();
        let line = [b'x'; 1000];
        (0..500).for_each(|_| outbox.push(&line).unwrap());
        assert!(!outbox.is_empty(), "a pipe holds less than that");
        let read = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        outbox.finish().unwrap();
        assert_eq!(read.join().unwrap().unwrap().len(), 500_000);
    }

    #[test]
    fn a_reader_that_has_left_is_an_error() {
        let (reader, mut outbox) = pipe();
        outbox.push(b"x").unwrap();
        assert!(outbox.is_empty());
        drop(reader);
        assert_eq!(outbox.push(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn dropped_bytes_are_reported_at_the_end() {
        let (reader, mut outbox) = pipe();
        let large = vec![0; MAX_KEPT_BYTES];
        outbox.push(&large).unwrap();
        outbox.push(&large).unwrap();
        std::thread::spawn(move || io::copy(&mut &reader, &mut io::sink()));
        let error = outbox.finish().unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
    }
}
