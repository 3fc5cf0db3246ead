//! The prompt and the line on a terminal: what to write to show and to erase them.
//!
//! Terminals disagree about the width of a joined character. So this module breaks the rows itself, by the largest
//! width that a terminal can give a character. To place the cursor, it writes the row again up to the cursor.

use std::fmt::Write;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::text::escape::must_be_escaped;

pub const PROMPT: &str = "> ";

/// From one tab stop to the next.
const TAB_COLUMNS: usize = 8;

/// Columns and rows of a terminal.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub columns: usize,
    pub rows: usize,
}

/// Which part of the prompt and the line is on the terminal.
#[derive(Debug, Default)]
pub struct PromptArea {
    /// The widths of the rows from the prompt down to the cursor. The last one ends at the cursor. Empty if there is no
    /// prompt.
    above: Vec<usize>,
}

impl PromptArea {
    /// Draws the prompt and the line again, with the cursor in its place.
    pub fn draw(&mut self, line: &str, cursor: usize, size: Size) -> String {
        let mut text = self.erase(size);
        let rows = rows(line, cursor, size.columns);
        let at = rows.iter().position(|row| row.cursor.is_some()).unwrap_or(0);
        // If the terminal has too few rows, it shows those around the cursor.
        let first = rows.len().saturating_sub(size.rows).min(at);
        let last = rows.len().min(first + size.rows);
        for row in &rows[first..last] {
            text.push_str(&row.text);
            text.push('\n');
        }
        text.pop();
        if let Some((bytes, column)) = rows[at].cursor {
            if last - 1 > at {
                let _ = write!(text, "\x1b[{}A", last - 1 - at);
            }
            if last - 1 > at || bytes < rows[at].text.len() {
                let _ = write!(text, "\r{}", &rows[at].text[..bytes]);
            }
            self.above = rows[first..at].iter().map(|row| row.columns).chain([column]).collect();
        }
        text
    }

    /// Removes the prompt and the line, and leaves the cursor where the prompt was.
    pub fn erase(&mut self, size: Size) -> String {
        // A terminal that became narrower has broken the rows again.
        let height = |columns: &usize| columns.saturating_sub(1) / size.columns + 1;
        let up = self.above.iter().map(height).sum::<usize>();
        let text = match up {
            0 => String::new(),
            1 => "\r\x1b[J".into(),
            _ => format!("\x1b[{}A\r\x1b[J", up - 1),
        };
        self.above.clear();
        text
    }

    /// Leaves the prompt and the line on the terminal. The cursor must be at their end.
    pub fn leave(&mut self) {
        self.above.clear();
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    text: String,
    columns: usize,
    /// If the cursor is in this row: how many bytes and columns are before it.
    cursor: Option<(usize, usize)>,
}

impl Row {
    fn push(&mut self, text: &str, columns: usize) {
        self.text.push_str(text);
        self.columns += columns;
    }

    fn put_cursor(&mut self) {
        self.cursor = Some((self.text.len(), self.columns));
    }
}

/// Breaks the prompt and the line into rows.
fn rows(line: &str, cursor: usize, columns: usize) -> Vec<Row> {
    let mut row = Row::default();
    row.push(PROMPT, PROMPT.len());
    let mut rows = Vec::new();
    for (at, cluster) in line.grapheme_indices(true) {
        let (shown, width) = shown(cluster, row.columns);
        if row.columns + width > columns {
            rows.push(std::mem::take(&mut row));
        }
        if at == cursor {
            row.put_cursor();
        }
        row.push(&shown, width.min(columns));
        if cluster.ends_with('\n') {
            rows.push(std::mem::take(&mut row));
        }
    }
    if row.columns >= columns {
        rows.push(std::mem::take(&mut row));
    }
    if cursor == line.len() {
        row.put_cursor();
    }
    rows.push(row);
    rows
}

/// What to write for a character at a column, and the most columns that it takes.
fn shown(cluster: &str, column: usize) -> (String, usize) {
    match cluster {
        "\n" => (String::new(), 0),
        "\r\n" => ("^M".into(), 2),
        "\t" => {
            let width = TAB_COLUMNS - column % TAB_COLUMNS;
            (" ".repeat(width), width)
        }
        _ => {
            let text = cluster.chars().map(visible).collect::<String>();
            let apart = text.chars().map(|c| c.width().unwrap_or(0)).sum::<usize>();
            let width = apart.max(text.width());
            (text, width)
        }
    }
}

/// A character as the terminal may get it. One that could act on the terminal becomes `^[` or `\u{9b}`.
fn visible(c: char) -> String {
    match c {
        '\x7f' => "^?".into(),
        '\0'..' ' => format!("^{}", char::from(c as u8 + b'@')),
        _ if must_be_escaped(c) => c.escape_unicode().to_string(),
        _ => c.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { columns: 10, rows: 4 };

    /// A terminal, as far as this test needs one. Each character is as wide as wcwidth(3) says.
    struct Paper {
        cells: Vec<Vec<String>>,
        at: (usize, usize),
    }

    impl Paper {
        fn new() -> Self {
            Self { cells: vec![Vec::new()], at: (0, 0) }
        }

        fn write(&mut self, text: &str) {
            let mut rest = text.chars();
            while let Some(c) = rest.next() {
                match c {
                    '\x1b' => {
                        let sequence = rest.by_ref().skip(1);
                        let mut number = String::new();
                        for c in sequence {
                            match c {
                                'A' => self.at.0 -= number.parse::<usize>().unwrap(),
                                'J' => {
                                    self.cells.truncate(self.at.0 + 1);
                                    self.cells[self.at.0].truncate(self.at.1);
                                }
                                digit => {
                                    number.push(digit);
                                    continue;
                                }
                            }
                            break;
                        }
                    }
                    '\r' => self.at.1 = 0,
                    '\n' => {
                        self.at = (self.at.0 + 1, 0);
                        if self.at.0 == self.cells.len() {
                            self.cells.push(Vec::new());
                        }
                    }
                    c => self.put(c),
                }
            }
        }

        fn put(&mut self, c: char) {
            let width = c.width().unwrap();
            let (row, column) = self.at;
            let cells = &mut self.cells[row];
            if width == 0 {
                let before = &mut cells[column - 1];
                if !before.contains(c) {
                    before.push(c);
                }
                return;
            }
            assert!(column + width <= SIZE.columns, "the terminal must not break the row itself");
            cells.resize(cells.len().max(column + width), String::new());
            cells[column] = c.into();
            cells[column + 1..column + width].fill(String::new());
            self.at.1 += width;
        }

        fn rows(&self) -> Vec<String> {
            self.cells.iter().map(|row| row.concat()).collect()
        }
    }

    /// Checks what is on the terminal, and the cursor's place.
    #[track_caller]
    fn check(line: &str, cursor: usize, expected: &[&str], at: (usize, usize)) {
        let (mut screen, mut paper) = (PromptArea::default(), Paper::new());
        // What was there before must leave nothing behind.
        for (line, cursor) in [("something else", 3), (line, cursor)] {
            paper.write(&screen.draw(line, cursor, SIZE));
        }
        assert_eq!(
            (paper.rows(), paper.at),
            (expected.iter().map(|&row| row.into()).collect(), at)
        );
        paper.write(&screen.erase(SIZE));
        assert_eq!((paper.rows(), paper.at), (vec![String::new()], (0, 0)));
    }

    #[test]
    fn a_line_breaks_at_the_width_of_the_terminal() {
        check("abc", 3, &["> abc"], (0, 5));
        check("abc", 0, &["> abc"], (0, 2));
        check("abcdefghij", 10, &["> abcdefgh", "ij"], (1, 2));
        check("abcdefghij", 1, &["> abcdefgh", "ij"], (0, 3));
        check("abcdefgh", 8, &["> abcdefgh", ""], (1, 0));
        check("abcdefgh", 7, &["> abcdefgh", ""], (0, 9));
    }

    #[test]
    fn the_cursor_stands_right_beside_wide_and_joined_characters() {
        check("世界x", 6, &["> 世界x"], (0, 6));
        check("世界x", 3, &["> 世界x"], (0, 4));
        check("abcdefg世", 7, &["> abcdefg", "世"], (1, 0));
        check("e\u{301}x", 3, &["> e\u{301}x"], (0, 3));
        check("👩\u{200d}👧x", 11, &["> 👩\u{200d}👧x"], (0, 6));
    }

    #[test]
    fn characters_that_could_act_on_the_terminal_are_shown_as_text() {
        check("\x1b[1m\x7f", 1, &["> ^[[1m^?"], (0, 4));
        check("\u{9b}", 2, &["> \\u{9b}"], (0, 8));
        check("\r\nx", 3, &["> ^M", "x"], (1, 1));
    }

    #[test]
    fn tabs_and_line_breaks_keep_their_meaning() {
        check("a\tb", 3, &["> a     b"], (0, 9));
        check("one\ntwo", 2, &["> one", "two"], (0, 4));
        check("one\n", 4, &["> one", ""], (1, 0));
    }

    #[test]
    fn if_the_terminal_has_too_few_rows_it_shows_those_around_the_cursor() {
        check("1\n2\n3\n4\n5\n6", 11, &["3", "4", "5", "6"], (3, 1));
        check("1\n2\n3\n4\n5\n6", 1, &["> 1", "2", "3", "4"], (0, 3));
        check("1\n2\n3\n4\n5\n6", 3, &["2", "3", "4", "5"], (0, 1));
    }

    #[test]
    fn rows_that_a_narrower_terminal_broke_again_are_erased_too() {
        let mut screen = PromptArea::default();
        screen.draw("abcdefgh", 7, SIZE);
        assert_eq!(screen.erase(Size { columns: 5, ..SIZE }), "\x1b[1A\r\x1b[J");
    }
}
