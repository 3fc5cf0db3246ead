//! What others sent, as text that is safe to print.

use std::fmt::{self, Write as _};

/// Text from somebody else, in which whatever could act on a terminal, or reorder what stands beside it,
/// is written as an escape. Safe to print, though not unambiguous: a backslash stays itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            // Line and paragraph separators, and what changes the direction of writing.
            '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' => escape(c, f),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escape(c, f),
            _ if c.is_control() => escape(c, f),
            _ => f.write_char(c),
        })
    }
}

/// The beginning of an [`Escaped`] text, which may be of any length, for a line that quotes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Excerpt<'a>(pub &'a str);

/// Twice as long as the path of a Unix socket may be.
const EXCERPT_CHARS: usize = 240;

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(EXCERPT_CHARS) {
            Some((end, _)) => write!(f, "{}…", Escaped(&self.0[..end])),
            None => Escaped(self.0).fmt(f),
        }
    }
}

fn escape(c: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}", c.escape_default())
}
