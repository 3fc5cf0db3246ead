//! A client of the HTTP server: a connection on which one request is answered.
//!
//! ```text
//! Reading ──whole head──▶ Writing ──all written──▶ Discarding ──end of file──▶ close
//! ```
//!
//! After the response, the server reads on until the client closes too. A close with unread bytes would be a reset, which
//! can destroy the response on its way.

use std::io::{self, ErrorKind};

use mio::event::Source;

use super::request::respond;
use super::response::{Response, StatusCode};
use super::{Answer, MAX_HEAD_BYTES};
use crate::memory;
use crate::net::Stream;

/// A read takes this many bytes or fewer.
const CHUNK_BYTES: usize = 8 << 10;

/// Bytes beyond the head that are read and forgotten, before the connection is closed all the same: the body of a
/// mistaken upload, or a far too long head.
const MAX_DISCARDED_BYTES: usize = 256 << 10;

/// A request and its response need no more memory than this.
const CLIENT_BYTES: usize = 128 << 10;

/// What a client needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another drive, at its next event.
    Wait,
    /// To be closed.
    Close,
}

/// A connection on which one request is answered.
#[derive(Debug)]
pub(super) struct Client<S> {
    stream: S,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Reads the head of the request. Holds what has come.
    Reading(Vec<u8>),
    /// Writes the response.
    Writing { response: Vec<u8>, written: usize },
    /// Shut down writing, and reads until the end of the stream. May read this many bytes more.
    Discarding { left: usize },
}

/// What one system call led to.
enum Step {
    Stay,
    To(State),
    End,
}

impl<S: Stream> Client<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, state: State::Reading(Vec::new()) }
    }

    /// Reads and writes until the socket says `WouldBlock`. The number of system calls is bounded, since the bytes of
    /// each state are.
    pub(super) fn drive(&mut self, answer: &mut Answer<'_>) -> Next {
        if !memory::is_available(CLIENT_BYTES) {
            return Next::Close;
        }
        loop {
            match self.step(answer) {
                Ok(Step::Stay) => {}
                Ok(Step::To(state)) => self.state = state,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Next::Wait,
                Ok(Step::End) | Err(_) => return Next::Close,
            }
        }
    }

    /// Whether it has sent nothing at all.
    pub(super) fn is_silent(&self) -> bool {
        let has_begun = !matches!(&self.state, State::Reading(head) if head.is_empty());
        !has_begun && !self.has_unread()
    }

    /// Whether a request has come, or a part or the end of one, that was not read yet.
    pub(super) fn has_unread(&self) -> bool {
        let is_reading = matches!(self.state, State::Reading(_));
        is_reading && !is_would_block(self.stream.peek(&mut [0]))
    }

    /// Its time is over. If part of a request came, the client is sent the reason, as far as its socket takes it now.
    pub(super) fn time_out(&mut self) {
        if let State::Reading(head) = &self.state
            && !head.is_empty()
        {
            let _ = self.stream.write(&Response::refusal(StatusCode::RequestTimeout).to_bytes());
        }
    }

    fn step(&mut self, answer: &mut Answer<'_>) -> io::Result<Step> {
        let Self { stream, state } = self;
        match state {
            State::Reading(head) => read_head(stream, head, answer),
            State::Writing { response, written } => write_response(stream, response, written),
            State::Discarding { left } => discard(stream, left),
        }
    }

    pub(super) fn source(&mut self) -> &mut dyn Source {
        &mut self.stream
    }
}

fn is_would_block<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
}

fn read_head(
    stream: &mut impl Stream,
    head: &mut Vec<u8>,
    answer: &mut Answer<'_>,
) -> io::Result<Step> {
    let mut chunk = [0; CHUNK_BYTES];
    let n = stream.read(&mut chunk[..MAX_HEAD_BYTES - head.len()])?;
    head.extend_from_slice(&chunk[..n]);
    let response = match (n, head.is_empty()) {
        (0, true) => return Ok(Step::End),
        (0, false) => Some(Response::refusal(StatusCode::BadRequest).to_bytes()),
        _ => respond(head, answer),
    };
    let writing = |response| Step::To(State::Writing { response, written: 0 });
    Ok(response.map_or(Step::Stay, writing))
}

fn write_response(
    stream: &mut impl Stream,
    response: &[u8],
    written: &mut usize,
) -> io::Result<Step> {
    match stream.write(&response[*written..])? {
        0 => return Ok(Step::End),
        n => *written += n,
    }
    if *written < response.len() {
        return Ok(Step::Stay);
    }
    stream.shutdown_write()?;
    Ok(Step::To(State::Discarding { left: MAX_DISCARDED_BYTES }))
}

fn discard(stream: &mut impl Stream, left: &mut usize) -> io::Result<Step> {
    let n = stream.read(&mut [0; CHUNK_BYTES])?;
    *left = left.saturating_sub(n);
    Ok(if n == 0 || *left == 0 { Step::End } else { Step::Stay })
}

/// Answers the request on `stream`, as a server does as long as the socket is ready. For tests.
///
/// Returns whether the connection must be closed.
pub fn answer_to(stream: impl Stream, answer: &mut Answer<'_>) -> bool {
    Client::new(stream).drive(answer) == Next::Close
}

#[cfg(test)]
mod tests;
