//! What can be wrong with an echo, and what seems to have happened to it.

use std::fmt;
use std::io::{self, ErrorKind};

use super::Pattern;
use crate::text::format::counted;

/// An excerpt shows this many bytes before the first wrong one...
const BEFORE_BYTES: u64 = 4;
/// ...and this many in all.
const SHOWN_BYTES: usize = 16;

/// This many bytes that belong to another offset are no coincidence.
const CONVINCING_BYTES: usize = 4;

/// How far away the search looks for the offset to which bytes belong.
const FAR_BYTES: u64 = 4096;

/// Why an echo is not what was sent. Offsets count from the start of the stream that came back.
#[derive(Debug)]
pub enum Fault {
    /// Some byte is not the one that was sent.
    Wrong(Wrong),
    /// More came back than had been sent by then.
    Surplus {
        /// The offset of the first byte too many.
        offset: u64,
        /// The bytes from there on. There may be more.
        bytes: Box<[u8]>,
    },
    /// The connection ended before everything had come back.
    Ended {
        /// Bytes that came back.
        received: u64,
        /// Bytes that had been sent by then.
        sent: u64,
        /// The error of the system, or `None` if the server closed the connection cleanly.
        error: Option<io::Error>,
    },
}

/// The first wrong byte, and the bytes around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Its offset.
    pub offset: u64,
    /// The byte that was sent there.
    pub expected: u8,
    /// The byte that came.
    pub got: u8,
    /// What seems to have happened.
    pub cause: Cause,
    /// The offset at which the excerpts begin.
    excerpt_offset: u64,
    expected_excerpt: Box<[u8]>,
    got_excerpt: Box<[u8]>,
}

/// What seems to have happened to an echo, judged by the bytes after the first wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// This many bytes were changed. The bytes after them are right.
    Altered(usize),
    /// This many bytes are missing.
    Dropped(u64),
    /// The stream went back by this many bytes, which came a second time.
    Repeated(u64),
    /// This many bytes were added that were never sent.
    Added(usize),
    /// The bytes that came do not show it.
    Unknown,
}

impl Wrong {
    /// Finds the first wrong byte of `echo`, which came at `offset` of a stream.
    pub(super) fn find(echo: &[u8], pattern: &Pattern, stream: usize, offset: u64) -> Option<Self> {
        let sent = |at: u64| pattern.byte(stream, at);
        let first = echo.iter().zip(offset..).position(|(got, at)| *got != sent(at))?;
        let at = offset + first as u64;
        // The bytes before `echo` were right, so the pattern can stand for them.
        let excerpt_offset = at.saturating_sub(BEFORE_BYTES);
        let shown = (excerpt_offset..at + (echo.len() - first) as u64).take(SHOWN_BYTES);
        let came = |of: u64| if of < at { sent(of) } else { echo[(of - offset) as usize] };
        Some(Self {
            offset: at,
            expected: sent(at),
            got: echo[first],
            cause: Cause::of(&echo[first..], at, sent),
            excerpt_offset,
            expected_excerpt: shown.clone().map(sent).collect(),
            got_excerpt: shown.map(came).collect(),
        })
    }
}

impl Cause {
    /// `rest` came from offset `at` on. Its first byte is wrong.
    fn of(rest: &[u8], at: u64, sent: impl Fn(u64) -> u8) -> Self {
        let belongs = |skipped: usize, to: u64| {
            let rest = &rest[skipped..];
            rest.len() >= CONVINCING_BYTES
                && rest
                    .iter()
                    .take(2 * CONVINCING_BYTES)
                    .zip(to..)
                    .all(|(got, at)| *got == sent(at))
        };
        let near = || 1..=FAR_BYTES;
        let within = || 1..rest.len();
        let dropped = || near().find(|n| belongs(0, at + n)).map(Self::Dropped);
        let repeated = || near().take_while(|n| *n <= at).find(|n| belongs(0, at - n));
        let altered = || within().find(|n| belongs(*n, at + *n as u64)).map(Self::Altered);
        let added = || within().find(|n| belongs(*n, at)).map(Self::Added);
        // A single byte first: in a short pattern it would look like a long jump ahead or back.
        if belongs(1.min(rest.len()), at + 1) {
            return Self::Altered(1);
        }
        dropped()
            .or_else(|| repeated().map(Self::Repeated))
            .or_else(added)
            .or_else(altered)
            .unwrap_or(Self::Unknown)
    }
}

impl Fault {
    /// One word for summaries, the same for all faults of a kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Wrong(wrong) => match wrong.cause {
                Cause::Altered(_) => "altered",
                Cause::Dropped(_) => "dropped",
                Cause::Repeated(_) => "repeated",
                Cause::Added(_) => "added",
                Cause::Unknown => "wrong",
            },
            Self::Surplus { .. } => "surplus",
            Self::Ended { error: None, .. } => "closed",
            Self::Ended { error: Some(e), .. } if e.kind() == ErrorKind::TimedOut => "timeout",
            Self::Ended { error: Some(_), .. } => "reset",
        }
    }

    /// Whether bytes are wrong, and not only missing.
    pub fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong(_) | Self::Surplus { .. })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(wrong) => wrong.fmt(f),
            Self::Surplus { offset, bytes } => {
                let bytes = Hex { bytes, offset: *offset, marked: None };
                write!(f, "more came back than was sent, from offset {offset} on: {bytes}")
            }
            Self::Ended { received, sent, error: None } => {
                write!(f, "the server closed the connection after {received} of {sent} bytes")
            }
            Self::Ended { received, sent, error: Some(e) } => {
                write!(f, "the connection broke after {received} of {sent} bytes: {}", e.kind())
            }
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, expected, got, cause, .. } = self;
        let excerpt = |bytes| Hex { bytes, offset: self.excerpt_offset, marked: Some(self.offset) };
        let (sent, came) = (excerpt(&self.expected_excerpt), excerpt(&self.got_excerpt));
        write!(f, "wrong byte at offset {offset}: expected 0x{expected:02x}, got 0x{got:02x}")?;
        write!(f, "{cause}; expected {sent}, got {came}")
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |n| counted(n, "byte", "bytes");
        match *self {
            Self::Altered(n) => write!(f, "; {} altered", bytes(n as u64)),
            Self::Dropped(n) => write!(f, "; {} dropped", bytes(n)),
            Self::Repeated(n) => write!(f, "; {} repeated", bytes(n)),
            Self::Added(n) => write!(f, "; {} added", bytes(n as u64)),
            Self::Unknown => Ok(()),
        }
    }
}

/// Bytes in hexadecimal, with the marked one in brackets.
struct Hex<'a> {
    bytes: &'a [u8],
    offset: u64,
    marked: Option<u64>,
}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (byte, at)) in self.bytes.iter().zip(self.offset..).enumerate() {
            let space = if i == 0 { "" } else { " " };
            if self.marked == Some(at) {
                write!(f, "{space}[{byte:02x}]")?;
            } else {
                write!(f, "{space}{byte:02x}")?;
            }
        }
        Ok(())
    }
}
