//! A socket whose script decides what each call returns.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};

use super::pattern;
use super::source::unpolled;

/// Calls in a row without a look at them. More are an endless loop.
const MAX_CALLS: usize = 1000;

/// A call: a read with space for this many bytes, or a write that offers this many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Read(usize),
    Write(usize),
}

/// What a call returns. 0 is the end of file to a read, and a failure to a write.
pub type Answer = Result<usize, ErrorKind>;

/// Decides what each call returns.
pub trait Script {
    fn answer(&mut self, call: Call) -> Answer;
}

impl<F: FnMut(Call) -> Answer> Script for F {
    fn answer(&mut self, call: Call) -> Answer {
        self(call)
    }
}

/// Gives the answers one after the other, to reads and writes alike.
impl Script for VecDeque<Answer> {
    fn answer(&mut self, call: Call) -> Answer {
        self.pop_front().unwrap_or_else(|| panic!("the script has no answer to {call:?}"))
    }
}

/// A socket whose peer sends the [pattern], and that checks each byte that it is offered.
#[derive(Debug)]
pub struct Socket<S> {
    pub script: S,
    /// Bytes that were read from it.
    pub given: usize,
    /// Bytes that were written to it.
    pub taken: usize,
    /// Every call, until the test clears them.
    pub calls: Vec<(Call, Answer)>,
    /// Written bytes that the peer's system has not acknowledged, if the test says so.
    pub unacknowledged: Option<u32>,
}

impl<S> Socket<S> {
    pub fn new(script: S) -> Self {
        Self { script, given: 0, taken: 0, calls: Vec::new(), unacknowledged: None }
    }

    pub fn reads(&self) -> usize {
        self.calls.iter().filter(|(call, _)| matches!(call, Call::Read(_))).count()
    }

    pub fn writes(&self) -> usize {
        self.calls.len() - self.reads()
    }
}

impl<S: Script> Socket<S> {
    fn answer(&mut self, call: Call) -> Answer {
        let answer = self.script.answer(call);
        self.calls.push((call, answer));
        assert!(self.calls.len() < MAX_CALLS, "an endless loop: {:?}", &self.calls[..10]);
        answer
    }
}

impl<S: Script> Read for Socket<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.answer(Call::Read(buffer.len()))?;
        buffer[..n].copy_from_slice(pattern::bytes(0, self.given as u64, n));
        self.given += n;
        Ok(n)
    }
}

impl<S: Script> Write for Socket<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (taken, calls) = (self.taken, &self.calls);
        assert!(taken + bytes.len() <= self.given, "more is written than was read: {calls:?}");
        let expected = pattern::bytes(0, taken as u64, bytes.len());
        assert!(bytes == expected, "wrong bytes are written after {taken}: {calls:?}");
        let n = self.answer(Call::Write(bytes.len()))?;
        self.taken += n;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        panic!("a socket has nothing to flush");
    }
}

unpolled!(Socket<S>, S);
