//! Standard output for echoes. If it is a terminal, it shows them escaped, so that nothing from a server acts on it.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::{mem, str};

use mio::event::Source;
use mio::{Interest, Registry, Token};

use crate::client::write_rest;
use crate::net::delegate_source;
use crate::stdio::Standard;
use crate::text::Escaped;

/// How much to escape at once. An escape can be ten times as long as what it stands for.
const PIECE_BYTES: usize = 4096;

/// Standard output. A pipe or a file gets the bytes as they are; a terminal gets them escaped.
#[derive(Debug)]
pub struct EchoOutput {
    standard: Standard,
    escaping: Option<Escaping>,
}

/// A piece of the echo on its way to the terminal.
#[derive(Debug, Default)]
struct Escaping {
    escape: Escape,
    /// How many of the caller's bytes it stands for.
    piece: usize,
    shown: Vec<u8>,
    written: usize,
}

impl EchoOutput {
    /// # Errors
    ///
    /// If the system gives no further descriptor: dup(2).
    pub fn new() -> io::Result<Self> {
        let standard = Standard::output()?;
        let escaping = standard.as_fd().is_terminal().then(Escaping::default);
        Ok(Self { standard, escaping })
    }

    /// Shows a replacement if the stream ended within a character. Returns whether that is done. If not, the terminal
    /// takes no more now.
    pub fn end(&mut self) -> io::Result<bool> {
        match &mut self.escaping {
            Some(escaping) => escaping.end(&mut self.standard),
            None => Ok(true),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        &mut self.standard
    }
}

delegate_source!(EchoOutput);

impl AsFd for EchoOutput {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.standard.as_fd()
    }
}

/// After `WouldBlock`, the next call must begin with the same bytes, because the terminal may have got some of them.
impl Write for EchoOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.escaping {
            None => self.standard.write(bytes),
            Some(escaping) => escaping.write(bytes, &mut self.standard),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.standard.flush()
    }
}

impl Escaping {
    fn write(&mut self, bytes: &[u8], terminal: &mut impl Write) -> io::Result<usize> {
        if self.piece == 0 {
            self.piece = bytes.len().min(PIECE_BYTES);
            (self.shown, self.written) = (self.escape.next(&bytes[..self.piece]).into_bytes(), 0);
        }
        if !write_rest(terminal, &self.shown, &mut self.written)? {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(mem::take(&mut self.piece))
    }

    fn end(&mut self, terminal: &mut impl Write) -> io::Result<bool> {
        if self.escape.is_in_character() && self.piece == 0 {
            self.escape = Escape::default();
            (self.shown, self.written) = (REPLACEMENT.into(), 0);
        }
        write_rest(terminal, &self.shown, &mut self.written)
    }
}

/// Escapes everything that could act on a terminal, apart from line breaks and tabs. The characters of the stream can
/// come in pieces.
#[derive(Debug, Default)]
struct Escape {
    /// The first bytes of a character: up to three.
    begun: Vec<u8>,
}

/// Stands for what is not UTF-8.
const REPLACEMENT: &str = "\u{fffd}";

impl Escape {
    fn next(&mut self, bytes: &[u8]) -> String {
        let mut rest = mem::take(&mut self.begun);
        rest.extend_from_slice(bytes);
        let mut shown = String::with_capacity(rest.len());
        let mut rest = &rest[..];
        loop {
            let error = match str::from_utf8(rest) {
                Ok(text) => {
                    escape(text, &mut shown);
                    return shown;
                }
                Err(error) => error,
            };
            let (valid, invalid) = rest.split_at(error.valid_up_to());
            escape(str::from_utf8(valid).unwrap_or_default(), &mut shown);
            let Some(n) = error.error_len() else {
                self.begun = invalid.to_vec();
                return shown;
            };
            shown.push_str(REPLACEMENT);
            rest = &invalid[n..];
        }
    }

    fn is_in_character(&self) -> bool {
        !self.begun.is_empty()
    }
}

fn escape(text: &str, shown: &mut String) {
    for piece in text.split_inclusive(['\n', '\t']) {
        let text = piece.trim_end_matches(['\n', '\t']);
        // Writing to a string never fails.
        let _ = write!(shown, "{}", Escaped(text));
        shown.push_str(&piece[text.len()..]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Scripted, Takes};
    use super::*;

    #[test]
    fn what_could_act_on_a_terminal_is_escaped_and_text_is_not() {
        for (bytes, shown) in [
            (&b"one\n\ttwo\n"[..], "one\n\ttwo\n"),
            ("Grüße, 世界 🦀".as_bytes(), "Grüße, 世界 🦀"),
            (b"\x1b]0;pwned\x07\x1b[31m\r\n", "\\u{1b}]0;pwned\\u{7}\\u{1b}[31m\\r\n"),
            (b"\x9b31m", "\u{fffd}31m"),
            ("\u{9b}31m\u{202e}".as_bytes(), "\\u{9b}31m\\u{202e}"),
            (b"\0\x08\x7f\n\n\t\t\x0b", "\\u{0}\\u{8}\\u{7f}\n\n\t\t\\u{b}"),
        ] {
            assert_eq!(Escape::default().next(bytes), shown);
        }
    }

    #[test]
    fn a_character_in_pieces_is_shown_once_it_is_whole() {
        let text = "a\u{1b}ü世🦀\u{9b}";
        let mut escape = Escape::default();
        let shown: String = text.bytes().map(|byte| escape.next(&[byte])).collect();
        assert_eq!(shown, "a\\u{1b}ü世🦀\\u{9b}");
        assert!(!escape.is_in_character());
        assert_eq!(escape.next(&[0xf0, 0x9f]), "");
        assert!(escape.is_in_character());
        assert_eq!(escape.next(b"\x1b"), "\u{fffd}\\u{1b}");
    }

    /// The terminal takes an escape in pieces, and the caller writes again what it did not take.
    #[test]
    fn a_terminal_that_takes_few_bytes_at_once_gets_each_byte_once() {
        let takes = [Takes::Bytes(2), Takes::Blocks, Takes::Bytes(1), Takes::Blocks];
        let mut terminal = Scripted::new(&[], &[&takes[..], &[Takes::Bytes(9); 3]].concat());
        let mut escaping = Escaping::default();
        assert!(escaping.write(b"\x1bx", &mut terminal).is_err());
        assert!(escaping.write(b"\x1bxyz", &mut terminal).is_err());
        assert_eq!(escaping.write(b"\x1bxyz", &mut terminal).unwrap(), 2);
        assert_eq!(escaping.write(b"yz", &mut terminal).unwrap(), 2);
        assert_eq!(terminal.taken, b"\\u{1b}xyz");
    }

    /// Failed when a terminal that took no more just then was an error.
    #[test]
    fn a_replacement_at_the_end_waits_for_the_terminal() {
        let takes = [Takes::Blocks, Takes::Bytes(1), Takes::Blocks, Takes::Bytes(9), Takes::Broken];
        let mut terminal = Scripted::new(&[], &takes);
        let mut escaping = Escaping::default();
        assert_eq!(escaping.write(b"\xf0\x9f", &mut terminal).unwrap(), 2);
        let mut end = || escaping.end(&mut terminal).unwrap();
        assert_eq!([end(), end(), end(), end()], [false, false, true, true]);
        assert_eq!(terminal.taken, REPLACEMENT.as_bytes());
    }
}
