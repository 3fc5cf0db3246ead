//! Turns the bytes that a terminal sends into keys.

/// What the user pressed, or pasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character to insert: a letter, a Tab, or any character after Ctrl-V.
    Char(char),
    /// A bracketed paste, as the user copied it.
    Paste(String),
    /// Enter, or Ctrl-J.
    Enter,
    /// Ctrl with a letter or with one of `@[\]^_`.
    Ctrl(char),
    /// Alt with a character.
    Alt(char),
    Backspace,
    Delete,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    /// To the start of a word.
    WordLeft,
    /// To the end of a word.
    WordRight,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// A key that has no meaning here.
    Other,
}

/// Collects bytes until they make a whole key.
#[derive(Debug, Default)]
pub struct Keys {
    bytes: Vec<u8>,
    /// How many of the bytes belong to keys that it has returned.
    taken: usize,
    /// The bytes of a paste whose end has not come.
    paste: Option<Vec<u8>>,
}

const ESCAPE: u8 = 0x1b;
const CTRL_V: u8 = 0x16;
const PASTE_END: &[u8] = b"\x1b[201~";

impl Keys {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend(bytes);
    }

    /// Adds what came to the paste, and returns the paste if its end is there.
    fn continue_paste(&mut self) -> Option<Key> {
        let paste = self.paste.as_mut()?;
        let searched = paste.len().saturating_sub(PASTE_END.len() - 1);
        paste.extend(&self.bytes[self.taken..]);
        self.taken = self.bytes.len();
        let found = paste[searched..].windows(PASTE_END.len()).position(|end| end == PASTE_END);
        let end = searched + found?;
        let rest = paste.split_off(end);
        let paste = self.paste.take()?;
        self.feed(&rest[PASTE_END.len()..]);
        Some(String::from_utf8(paste).map_or(Key::NotUtf8, |text| Key::Paste(as_copied(text))))
    }
}

impl Iterator for Keys {
    type Item = Key;

    /// The next whole key, if there is one.
    fn next(&mut self) -> Option<Key> {
        if self.paste.is_some() {
            return self.continue_paste();
        }
        match first(&self.bytes[self.taken..])? {
            (Parsed::PasteBegin, n) => {
                self.taken += n;
                self.paste = Some(Vec::new());
                self.continue_paste()
            }
            (Parsed::Key(key), n) => {
                self.taken += n;
                Some(key)
            }
        }
    }
}

/// Most terminals send a carriage return for each line break of a paste. A paste with line feeds comes from another
/// terminal, and stays as it is.
fn as_copied(text: String) -> String {
    if text.contains('\n') { text } else { text.replace('\r', "\n") }
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    Key(Key),
    PasteBegin,
}

/// The first key, and how many bytes it takes. `None` if it is not whole yet.
fn first(bytes: &[u8]) -> Option<(Parsed, usize)> {
    let (key, taken) = match *bytes.first()? {
        ESCAPE => return escape(bytes),
        b'\r' | b'\n' => (Key::Enter, 1),
        b'\t' => (Key::Char('\t'), 1),
        0x08 | 0x7f => (Key::Backspace, 1),
        CTRL_V => {
            let (key, taken) = character(bytes.get(1..)?)?;
            (key, taken + 1)
        }
        control @ ..0x20 => (Key::Ctrl(char::from(control + b'@')), 1),
        _ => character(bytes)?,
    };
    Some((Parsed::Key(key), taken))
}

/// The first character, of any kind.
fn character(bytes: &[u8]) -> Option<(Key, usize)> {
    let start = &bytes[..bytes.len().min(4)];
    let (valid, error) = match std::str::from_utf8(start) {
        Ok(text) => (text, None),
        Err(e) => (std::str::from_utf8(&start[..e.valid_up_to()]).unwrap_or(""), Some(e)),
    };
    match (valid.chars().next(), error) {
        (Some(c), _) => Some((Key::Char(c), c.len_utf8())),
        (None, Some(e)) => e.error_len().map(|n| (Key::NotUtf8, n)),
        (None, None) => None,
    }
}

/// A key whose bytes begin with an escape character: a function key, or Alt with another key.
fn escape(bytes: &[u8]) -> Option<(Parsed, usize)> {
    let (key, taken) = match bytes.get(1)? {
        b'[' => return control_sequence(bytes),
        b'O' if bytes.get(2)?.is_ascii_control() => (Key::Other, 2),
        b'O' => (named(b"", *bytes.get(2)?), 3),
        // A lone escape, before another key: Ctrl-C must not get lost in it.
        &ESCAPE => (Key::Other, 1),
        control @ ..0x20 if !matches!(control, 0x08 | b'\t' | b'\r' | b'\n') => (Key::Other, 1),
        _ => match character(&bytes[1..])? {
            (Key::Char(c), n) => (Key::Alt(c), n + 1),
            (key, n) => (key, n + 1),
        },
    };
    Some((Parsed::Key(key), taken))
}

/// A control sequence (ECMA-48, 5.4): parameters, and a last byte that names the function.
fn control_sequence(bytes: &[u8]) -> Option<(Parsed, usize)> {
    const START: usize = 2;
    // The Linux console has its own form for F1 to F5.
    if bytes.get(START) == Some(&b'[') {
        return bytes.get(START + 1).map(|_| (Parsed::Key(Key::Other), START + 2));
    }
    let last = START + bytes[START..].iter().position(|byte| !(b' '..=b'?').contains(byte))?;
    if bytes[last].is_ascii_control() {
        return Some((Parsed::Key(Key::Other), last));
    }
    let found = match (&bytes[START..last], bytes[last]) {
        (b"200", b'~') => Parsed::PasteBegin,
        (parameters, byte) => Parsed::Key(named(parameters, byte)),
    };
    Some((found, last + 1))
}

/// A key by the parameters and the last byte of its sequence, as xterm, rxvt and the Linux console send it.
fn named(parameters: &[u8], last: u8) -> Key {
    match (parameters, last) {
        (b"1;3" | b"1;5", b'C') => Key::WordRight,
        (b"1;3" | b"1;5", b'D') => Key::WordLeft,
        (_, b'A') => Key::Up,
        (_, b'B') => Key::Down,
        (_, b'C') => Key::Right,
        (_, b'D') => Key::Left,
        (_, b'H') | (b"1" | b"7", b'~') => Key::Home,
        (_, b'F') | (b"4" | b"8", b'~') => Key::End,
        (b"3", b'~') => Key::Delete,
        _ => Key::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the keys of these bytes, in one piece and byte by byte.
    #[track_caller]
    fn check(bytes: &[u8], expected: &[Key]) {
        let mut whole = Keys::default();
        whole.feed(bytes);
        assert_eq!(whole.by_ref().collect::<Vec<_>>(), expected, "in one piece");
        let mut pieces = Keys::default();
        let mut found = Vec::new();
        for byte in bytes {
            pieces.feed(&[*byte]);
            found.extend(pieces.by_ref());
        }
        assert_eq!(found, expected, "byte by byte");
    }

    /// Failed when Ctrl-C after a lone escape counted as the rest of a sequence.
    #[test]
    fn a_control_key_after_a_lone_escape_is_a_key() {
        for start in [&b"\x1b"[..], b"\x1b[", b"\x1b[1;", b"\x1bO"] {
            check(&[start, &b"\x03"[..]].concat(), &[Key::Other, Key::Ctrl('C')]);
        }
    }

    #[test]
    fn characters_of_several_bytes_come_whole() {
        let chars = "aé世🦀\t".chars().map(Key::Char).collect::<Vec<_>>();
        check("aé世🦀\t".as_bytes(), &chars);
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_one_key_each_and_hide_no_other_key() {
        check(b"f\xe9\r", &[Key::Char('f'), Key::NotUtf8, Key::Enter]);
        check(b"\xff\xfea", &[Key::NotUtf8, Key::NotUtf8, Key::Char('a')]);
    }

    #[test]
    fn the_sequences_of_common_terminals_are_known() {
        use Key::{Backspace, Delete, Down, End, Home, Left, Right, Up, WordLeft, WordRight};
        check(b"\x1b[A\x1b[B\x1b[C\x1b[D", &[Up, Down, Right, Left]);
        check(b"\x1bOA\x1bOH\x1bOF", &[Up, Home, End]);
        check(b"\x1b[H\x1b[F\x1b[1~\x1b[4~\x1b[7~\x1b[8~", &[Home, End, Home, End, Home, End]);
        check(
            b"\x1b[1;5D\x1b[1;3C\x1b[3~\x7f\x08",
            &[WordLeft, WordRight, Delete, Backspace, Backspace],
        );
        check(b"\x03\x1c\x04\x01", &['C', '\\', 'D', 'A'].map(Key::Ctrl));
        check(b"\x1bb\x1b\xc3\xa9", &[Key::Alt('b'), Key::Alt('é')]);
    }

    #[test]
    fn an_unknown_sequence_is_one_key() {
        check(b"\x1b[24~a", &[Key::Other, Key::Char('a')]);
        check(b"\x1b[[Aa", &[Key::Other, Key::Char('a')]);
        check(b"\x1b[?1;2ca", &[Key::Other, Key::Char('a')]);
        check(b"\x1b\x1b[Aa", &[Key::Other, Key::Up, Key::Char('a')]);
    }

    /// Failed when the client dropped escape sequences within a paste.
    #[test]
    fn a_paste_stays_as_it_was_copied() {
        let pasted = |text: &str| Key::Paste(text.into());
        check(
            b"\x1b[200~a\tb\x1b[31m\x03\x1b[201~c",
            &[pasted("a\tb\x1b[31m\x03"), Key::Char('c')],
        );
        check(b"\x1b[200~one\rtwo\r\x1b[201~", &[pasted("one\ntwo\n")]);
        check(b"\x1b[200~one\r\ntwo\x1b[201~", &[pasted("one\r\ntwo")]);
        check(b"\x1b[200~\x1b[201~\r", &[pasted(""), Key::Enter]);
        check(b"\x1b[200~\xff\x1b[201~\r", &[Key::NotUtf8, Key::Enter]);
    }

    #[test]
    fn a_character_after_ctrl_v_stays_as_it_is() {
        check(b"\x16\x1b\x16\ra", &['\x1b', '\r', 'a'].map(Key::Char));
    }
}
