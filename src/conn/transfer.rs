//! One read and one write of a non-blocking socket, with `WouldBlock` and `Interrupted` as outcomes and not as errors.

use std::io::{self, ErrorKind, Read, Write};

/// The outcome of a read.
pub(super) enum Got {
    Bytes(usize),
    /// The socket is empty.
    Nothing,
    EndOfFile,
    /// A signal came first.
    Interrupted,
}

/// A socket that asks for its caller gets the place in the state machine.
#[track_caller]
#[inline(always)]
pub(super) fn read(io: &mut impl Read, buffer: &mut [u8]) -> io::Result<Got> {
    match io.read(buffer) {
        Ok(0) => Ok(Got::EndOfFile),
        Ok(n) => Ok(Got::Bytes(n)),
        Err(e) => Ok(if is_would_block(e)? { Got::Nothing } else { Got::Interrupted }),
    }
}

/// The outcome of a write.
#[derive(Clone, Copy, Default)]
pub(super) struct Wrote {
    pub(super) bytes: usize,
    /// The socket is full. Otherwise, only another write shows whether it takes more.
    pub(super) blocked: bool,
}

#[track_caller]
#[inline(always)]
pub(super) fn write(io: &mut impl Write, bytes: &[u8]) -> io::Result<Wrote> {
    match io.write(bytes) {
        Ok(0) => Err(ErrorKind::WriteZero.into()),
        Ok(n) => Ok(Wrote { bytes: n, blocked: false }),
        Err(e) => Ok(Wrote { bytes: 0, blocked: is_would_block(e)? }),
    }
}

/// Tells `WouldBlock` (true) from `Interrupted` (false), which are no failures, and returns any other error.
#[cold]
fn is_would_block(error: io::Error) -> io::Result<bool> {
    match error.kind() {
        ErrorKind::WouldBlock => Ok(true),
        ErrorKind::Interrupted => Ok(false),
        _ => Err(error),
    }
}
