//! A script made of the fuzzer's bytes: what the socket answers, and how the connection is driven.

use std::io::ErrorKind;

use resound::conn::ShortRead;

use crate::kit::socket::{Answer, Call, Script};

/// The smallest lengths of the scratch, and some around powers of two.
const SCRATCH_BYTES: [usize; 8] = [1, 2, 5, 64, 4095, 4097, 16_385, 40_000];

/// What is decided before a drive.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    pub short_read: ShortRead,
    pub finish: bool,
    pub scratch_bytes: usize,
}

/// Each byte decides on a drive or on a call. After the last one, the socket stays silent until the connection waits;
/// then the peer takes all that is pending, and closes.
#[derive(Debug)]
pub struct Bytes<'a> {
    rest: &'a [u8],
    is_ending: bool,
}

impl<'a> Bytes<'a> {
    pub fn new(rest: &'a [u8]) -> Self {
        Self { rest, is_ending: false }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Whether only the first read is echoed.
    pub fn once(&mut self) -> bool {
        self.next().is_some_and(|byte| byte & 1 == 1)
    }

    /// How the next drive is made.
    pub fn before_drive(&mut self) -> Before {
        let byte = self.next().unwrap_or(0);
        let proves_nothing = byte & 1 == 1;
        Before {
            short_read: if proves_nothing {
                ShortRead::ProvesNothing
            } else {
                ShortRead::MeansEmpty
            },
            finish: byte >> 4 == 0xf,
            scratch_bytes: SCRATCH_BYTES[usize::from(byte >> 1 & 7)],
        }
    }

    /// The connection waits. It is driven again all the same.
    pub fn on_wait(&mut self) {
        self.is_ending = self.rest.is_empty();
    }
}

impl Script for Bytes<'_> {
    fn answer(&mut self, call: Call) -> Answer {
        let (Call::Read(most) | Call::Write(most)) = call;
        match (self.next(), call) {
            (Some(byte), _) => answer(byte, most),
            (None, _) if !self.is_ending => Err(ErrorKind::WouldBlock),
            (None, Call::Read(_)) => Ok(0),
            (None, Call::Write(_)) => Ok(most),
        }
    }
}

/// Moves all of `most` bytes, a few, nearly all or a part, or fails. `most` is at least 1.
fn answer(byte: u8, most: usize) -> Answer {
    let n = usize::from(byte >> 3);
    match byte & 7 {
        0 | 1 => Ok(most),
        2 => Ok(most.min(n + 1)),
        3 => Ok(most.saturating_sub(n).max(1)),
        4 => Ok((most * (n + 1) / 33).max(1)),
        5 => Err(ErrorKind::WouldBlock),
        6 => Err(ErrorKind::Interrupted),
        _ => match n {
            0..16 => Ok(0),
            16..22 => Err(ErrorKind::ConnectionReset),
            22..28 => Err(ErrorKind::BrokenPipe),
            _ => Err(ErrorKind::TimedOut),
        },
    }
}
