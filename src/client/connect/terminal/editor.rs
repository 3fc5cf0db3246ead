//! The line that the user types, without a terminal.

use unicode_segmentation::UnicodeSegmentation;

use super::keys::Key;

/// A line, the cursor in it, and earlier lines.
#[derive(Debug, Default)]
pub struct Editor {
    line: String,
    /// A byte offset into the line. It is always between two characters, as a reader sees them.
    cursor: usize,
    /// The last text that was cut, for Ctrl-Y.
    cut: String,
    /// Earlier lines. They are never written to a disk.
    history: Vec<String>,
    /// While an earlier line is shown: its index, and the new line that the user left.
    shown: Option<(usize, String)>,
    /// Whether bytes came that are not UTF-8. Then the line is not what the user typed.
    is_broken: bool,
}

/// What a key asks for, apart from a change of the line.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Send this line.
    Send(String),
    /// The user pressed Enter on a line that is not UTF-8. The line is gone.
    NotUtf8,
    /// Ctrl-D on an empty line.
    End,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-\.
    Status,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl-L.
    ClearScreen,
}

impl Editor {
    pub fn line(&self) -> &str {
        &self.line
    }

    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// Moves the cursor behind the last character.
    pub fn move_to_end(&mut self) {
        self.cursor = self.line.len();
    }

    pub fn press(&mut self, key: Key) -> Option<Request> {
        match key {
            Key::Char(c) => self.insert(c.encode_utf8(&mut [0; 4])),
            Key::Paste(text) => self.insert(&text),
            Key::NotUtf8 => {
                self.is_broken = true;
                self.insert("\u{fffd}");
            }
            Key::Enter => return Some(self.enter()),
            Key::Ctrl(c) => return self.control(c),
            Key::Alt(c) => self.alt(c),
            Key::Backspace => self.remove(self.previous(), self.cursor),
            Key::Delete => self.remove(self.cursor, self.next()),
            Key::Left => self.cursor = self.previous(),
            Key::Right => self.cursor = self.next(),
            Key::Up => self.show_older(),
            Key::Down => self.show_newer(),
            Key::Home => self.cursor = 0,
            Key::End => self.move_to_end(),
            Key::WordLeft => self.cursor = self.word_start(),
            Key::WordRight => self.cursor = self.word_end(),
            Key::Other => {}
        }
        None
    }

    /// These are the keys of Emacs and of every shell.
    fn control(&mut self, key: char) -> Option<Request> {
        match key {
            'C' => return Some(Request::Interrupt),
            'D' if self.line.is_empty() => return Some(Request::End),
            '\\' => return Some(Request::Status),
            'Z' => return Some(Request::Suspend),
            'L' => return Some(Request::ClearScreen),
            'A' => self.cursor = 0,
            'E' => self.move_to_end(),
            'B' => self.cursor = self.previous(),
            'F' => self.cursor = self.next(),
            'P' => self.show_older(),
            'N' => self.show_newer(),
            'D' => self.remove(self.cursor, self.next()),
            'K' => self.cut(self.cursor, self.line.len()),
            'U' => self.cut(0, self.cursor),
            'W' => self.cut(self.blank_start(), self.cursor),
            'Y' => self.insert(&self.cut.clone()),
            _ => {}
        }
        None
    }

    fn alt(&mut self, key: char) {
        match key {
            'b' => self.cursor = self.word_start(),
            'f' => self.cursor = self.word_end(),
            'd' => self.cut(self.cursor, self.word_end()),
            '\x7f' | '\x08' => self.cut(self.word_start(), self.cursor),
            _ => {}
        }
    }

    fn insert(&mut self, text: &str) {
        self.line.insert_str(self.cursor, text);
        self.cursor += text.len();
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.line.replace_range(from..to, "");
        self.cursor = from;
    }

    fn cut(&mut self, from: usize, to: usize) {
        self.cut = self.line[from..to].into();
        self.remove(from, to);
    }

    fn enter(&mut self) -> Request {
        let line = std::mem::take(&mut self.line);
        (self.cursor, self.shown) = (0, None);
        if std::mem::take(&mut self.is_broken) {
            return Request::NotUtf8;
        }
        if !line.is_empty() && self.history.last() != Some(&line) {
            self.history.push(line.clone());
        }
        Request::Send(line)
    }

    fn show_older(&mut self) {
        let at = self.shown.as_ref().map_or(self.history.len(), |(at, _)| *at);
        if let Some(older) = at.checked_sub(1) {
            let line = std::mem::replace(&mut self.line, self.history[older].clone());
            let left = self.shown.take().map_or(line, |(_, left)| left);
            self.shown = Some((older, left));
            self.move_to_end();
        }
    }

    fn show_newer(&mut self) {
        if let Some((at, left)) = self.shown.take() {
            match self.history.get(at + 1) {
                Some(newer) => {
                    self.line = newer.clone();
                    self.shown = Some((at + 1, left));
                }
                None => self.line = left,
            }
            self.move_to_end();
        }
    }

    /// The start of the character before the cursor. A letter with its accents is one character. So are joined emoji.
    fn previous(&self) -> usize {
        self.line[..self.cursor].grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    /// The end of the character at the cursor.
    fn next(&self) -> usize {
        let character = self.line[self.cursor..].graphemes(true).next();
        self.cursor + character.map_or(0, str::len)
    }

    fn word_start(&self) -> usize {
        let before = self.line[..self.cursor].trim_end_matches(|c: char| !c.is_alphanumeric());
        before.trim_end_matches(char::is_alphanumeric).len()
    }

    fn word_end(&self) -> usize {
        let after = self.line[self.cursor..].trim_start_matches(|c: char| !c.is_alphanumeric());
        self.line.len() - after.trim_start_matches(char::is_alphanumeric).len()
    }

    /// The start of the word before the cursor, if only white space separates words.
    fn blank_start(&self) -> usize {
        self.line[..self.cursor].trim_end().trim_end_matches(|c: char| !c.is_whitespace()).len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::Keys;
    use super::*;

    /// The line after these keys, with a bar at the cursor.
    fn typed(editor: &mut Editor, bytes: &str) -> String {
        let mut keys = Keys::default();
        keys.feed(bytes.as_bytes());
        for key in keys {
            assert_eq!(editor.press(key), None, "{bytes:?}");
        }
        let (before, after) = editor.line.split_at(editor.cursor);
        format!("{before}|{after}")
    }

    #[track_caller]
    fn check(bytes: &str, expected: &str) {
        assert_eq!(typed(&mut Editor::default(), bytes), expected, "{bytes:?}");
    }

    #[test]
    fn keys_edit_the_line() {
        check("hxllo\x1b[D\x1b[D\x1b[D\x7fe", "he|llo");
        check("ab\x1b[H\x1b[3~", "|b");
        check("ab\x01\x04c", "c|b");
        check("one two\x17", "one |");
        check("one two\x1bb\x0b", "one |");
        check("one two\x15\x19\x19", "one twoone two|");
        check("one two\x1b[1;5D\x1b[1;5D\x1b[1;5C", "one| two");
        check("\x7f\x1b[3~\x1b[D\x1b[C\x1b[A\x1b[B\x17", "|");
    }

    #[test]
    fn a_tab_and_a_paste_are_inserted_as_they_are() {
        check("a\tb", "a\tb|");
        check("\x1b[200~one\ntwo\x1b[31m\x03\x1b[201~", "one\ntwo\x1b[31m\x03|");
    }

    #[test]
    fn the_cursor_and_backspace_treat_joined_characters_as_one() {
        for joined in ["e\u{301}", "世", "👩\u{200d}👩\u{200d}👧", "🇩🇪", "👋🏿"] {
            check(&format!("a{joined}\x7f"), "a|");
            check(&format!("a{joined}b\x1b[D\x1b[D"), &format!("a|{joined}b"));
            check(&format!("a{joined}b\x01\x1b[C\x1b[C"), &format!("a{joined}|b"));
            check(&format!("a{joined}b\x01\x1b[C\x1b[3~"), "a|b");
        }
    }

    #[test]
    fn earlier_lines_come_back_and_so_does_the_line_that_was_left() {
        let mut editor = Editor::default();
        for line in ["one", "two", "two", ""] {
            typed(&mut editor, line);
            assert_eq!(editor.press(Key::Enter), Some(Request::Send(line.into())));
        }
        assert_eq!(typed(&mut editor, "three\x1b[A"), "two|");
        assert_eq!(typed(&mut editor, "\x1b[A\x1b[A"), "one|");
        assert_eq!(typed(&mut editor, "\x1b[B"), "two|");
        assert_eq!(typed(&mut editor, "\x1b[B"), "three|");
        assert_eq!(typed(&mut editor, "\x1b[B!"), "three!|");
    }

    #[test]
    fn enter_drops_a_line_that_is_not_utf_8_and_the_next_line_is_whole() {
        let mut editor = Editor::default();
        typed(&mut editor, "caf");
        assert_eq!(editor.press(Key::NotUtf8), None);
        assert_eq!(editor.press(Key::Enter), Some(Request::NotUtf8));
        assert_eq!(typed(&mut editor, "ok"), "ok|");
        assert_eq!(editor.press(Key::Enter), Some(Request::Send("ok".into())));
    }

    #[test]
    fn ctrl_d_ends_only_on_an_empty_line() {
        let mut editor = Editor::default();
        assert_eq!(editor.press(Key::Ctrl('D')), Some(Request::End));
        typed(&mut editor, "a");
        assert_eq!(editor.press(Key::Ctrl('D')), None);
        assert_eq!(editor.press(Key::Ctrl('C')), Some(Request::Interrupt));
    }
}
