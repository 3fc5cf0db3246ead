//! Bytes in hexadecimal, with their offsets, and with their text beside them.

use std::fmt;

/// Rows of 16, 8 or 4 bytes, depending on the width of the terminal.
pub struct Dump<'a> {
    pub bytes: &'a [u8],
    /// The width of the terminal.
    pub columns: usize,
}

/// The columns of the offset, and of the space around it and around the text.
const COLUMNS_BESIDE_BYTES: usize = 2 + 8 + 2 + 1 + 2;
/// The columns of a byte: two digits, a space, and its character.
const COLUMNS_OF_BYTE: usize = 3 + 1;

impl Dump<'_> {
    fn bytes_in_row(&self) -> usize {
        let fits = |n: &usize| n * COLUMNS_OF_BYTE + COLUMNS_BESIDE_BYTES <= self.columns;
        [16, 8].into_iter().find(fits).unwrap_or(4)
    }
}

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.bytes_in_row();
        for (i, row) in self.bytes.chunks(n).enumerate() {
            let line_break = if i == 0 { "" } else { "\n" };
            write!(f, "{line_break}  {:08x}  ", i * n)?;
            row.iter().try_for_each(|byte| write!(f, "{byte:02x} "))?;
            let text = row.iter().map(|&byte| match byte {
                b' '..=b'~' => char::from(byte),
                _ => '.',
            });
            write!(f, "{:gap$}|{}|", "", text.collect::<String>(), gap = 3 * (n - row.len()) + 1)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], columns: usize, expected: &str) {
        let dump = Dump { bytes, columns }.to_string();
        assert_eq!(dump, expected);
        let widest = dump.lines().map(str::len).max().unwrap_or(0);
        assert!(widest <= columns.max(31), "{widest} of {columns} columns");
    }

    #[test]
    fn rows_are_as_wide_as_the_terminal_allows() {
        let bytes = b"0123456789abcdef\n";
        check(
            bytes,
            80,
            "  00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  |0123456789abcdef|\n  \
             00000010  0a                                               |.|",
        );
        check(b"\x1b[\xff\x7f~ hi", 50, "  00000000  1b 5b ff 7f 7e 20 68 69  |.[..~ hi|");
        check(b"hello\n", 40, "  00000000  68 65 6c 6c  |hell|\n  00000004  6f 0a        |o.|");
        check(b"hello\n", 8, "  00000000  68 65 6c 6c  |hell|\n  00000004  6f 0a        |o.|");
        check(b"", 80, "");
    }
}
