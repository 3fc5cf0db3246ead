//! Text from other programs and peers, made safe to print.

use std::fmt::{self, Write as _};

/// Text from another program or a peer. Each character that [must be escaped](must_be_escaped) is written as an
/// escape. The result is safe to print, but ambiguous: a backslash is not escaped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match must_be_escaped(c) {
            true => write!(f, "{}", c.escape_default()),
            false => f.write_char(c),
        })
    }
}

/// Whether a character could act on a terminal, or change the order of the text beside it.
pub(crate) fn must_be_escaped(c: char) -> bool {
    let separates_lines = matches!(c, '\u{2028}' | '\u{2029}');
    let changes_direction = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    c.is_control() || separates_lines || changes_direction
}

/// The beginning of an [`Escaped`] text of any length, for a line that quotes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Excerpt<'a>(pub &'a str);

/// Twice as long as the path of a Unix socket can be.
const EXCERPT_CHARS: usize = 240;

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(EXCERPT_CHARS) {
            Some((end, _)) => write!(f, "{}…", Escaped(&self.0[..end])),
            None => Escaped(self.0).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn characters_that_can_act_on_a_terminal_are_escaped() {
        for (text, expected) in [
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\r\nb\tc\0", "a\\r\\nb\\tc\\u{0}"),
            ("\u{7f}\u{9b}\u{85}", "\\u{7f}\\u{9b}\\u{85}"),
            ("\u{202e}gpj\u{2066}", "\\u{202e}gpj\\u{2066}"),
            ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"),
            ("\u{61c}\u{200e}\u{200f}", "\\u{61c}\\u{200e}\\u{200f}"),
            ("a\u{2028}b\u{200f}", "a\\u{2028}b\\u{200f}"),
            ("\"it's\" C:\\", "\"it's\" C:\\"),
            ("äöüß 日本語 🦀", "äöüß 日本語 🦀"),
            // Characters of several code points stay whole: a decomposed accent, a family, a red heart.
            ("u\u{308} 👩\u{200d}👧 ❤\u{fe0f}", "u\u{308} 👩\u{200d}👧 ❤\u{fe0f}"),
            ("", ""),
        ] {
            assert_eq!(Escaped(text).to_string(), expected);
        }
    }

    #[test]
    fn an_excerpt_is_cut_after_240_characters() {
        assert_eq!(Excerpt(&"x".repeat(240)).to_string(), "x".repeat(240));
        assert_eq!(Excerpt(&"é".repeat(241)).to_string(), "é".repeat(240) + "…");
        assert_eq!(Excerpt("\u{1b}x").to_string(), "\\u{1b}x");
    }

    proptest! {
        #[test]
        fn escaped_text_has_no_control_character(text in "\\PC*|.*") {
            prop_assert!(!Escaped(&text).to_string().contains(char::is_control));
        }
    }
}
