//! What a socket answers and how a connection is driven, read off the fuzzer's bytes.

use std::io::ErrorKind;

use resound::conn::ShortRead;

/// Around the sizes at which the machine changes how much it reads, and the smallest ones.
const SCRATCH_BYTES: [usize; 8] = [1, 2, 5, 64, 4095, 4097, 16_385, MAX_SCRATCH_BYTES];

/// Room for the first read, twice it, and a little.
pub const MAX_SCRATCH_BYTES: usize = 40_000;

/// What a call returns: 0 is the end of file to a read, and a fault to a write.
pub type Answer = Result<usize, ErrorKind>;

/// What is decided before a drive.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    pub hint: ShortRead,
    pub finish: bool,
    pub scratch_bytes: usize,
}

/// One byte decides about a drive, or a call. At its end the socket stays silent until the connection
/// waits, and then the peer takes everything and closes.
#[derive(Debug)]
pub struct Script<'a> {
    rest: &'a [u8],
    obliging: bool,
}

impl<'a> Script<'a> {
    pub fn new(rest: &'a [u8]) -> Self {
        Self { rest, obliging: false }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Whether there is to be but one echo.
    pub fn once(&mut self) -> bool {
        self.next().is_some_and(|byte| byte & 1 == 1)
    }

    /// How the next drive is made.
    pub fn before(&mut self) -> Before {
        let byte = self.next().unwrap_or(0);
        Before {
            hint: if byte & 1 == 1 { ShortRead::ProvesNothing } else { ShortRead::MeansEmpty },
            finish: byte >> 4 == 0xf,
            scratch_bytes: SCRATCH_BYTES[usize::from(byte >> 1 & 7)],
        }
    }

    /// The answer to a read into so many bytes of room.
    pub fn on_read(&mut self, room: usize) -> Answer {
        match self.next() {
            Some(byte) => answer(byte, room),
            None if self.obliging => Ok(0),
            None => Err(ErrorKind::WouldBlock),
        }
    }

    /// The answer to a write of so many bytes.
    pub fn on_write(&mut self, offered: usize) -> Answer {
        match self.next() {
            Some(byte) => answer(byte, offered),
            None if self.obliging => Ok(offered),
            None => Err(ErrorKind::WouldBlock),
        }
    }

    /// The connection waited, and is driven again all the same.
    pub fn woken(&mut self) {
        self.obliging = self.rest.is_empty();
    }
}

/// Moves all, few, nearly all or a part of at most `most` bytes, which are at least one, or none.
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
