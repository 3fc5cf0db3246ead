//! Long lines, broken to fit a terminal.

use textwrap::{Options, WordSplitter};

/// Breaks a line between words so that no part is wider than `columns`, if words allow. Parts after the first
/// are indented.
pub(crate) fn wrapped(line: &str, indent: usize, columns: usize) -> String {
    // On a narrow terminal, a deep indent would leave no room for text.
    let indent = " ".repeat(indent.min(columns / 3));
    let options = Options::new(columns).subsequent_indent(&indent);
    textwrap::fill(line, options.word_splitter(WordSplitter::NoHyphenation))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_lines_break_between_words_and_hang() {
        let line = "warning     late by 3.60 ms, and --spin may lessen it";
        assert_eq!(wrapped(line, 12, usize::MAX), line);
        assert_eq!(
            wrapped(line, 12, 30),
            "warning     late by 3.60 ms,\n          and --spin may\n          lessen it"
        );
        assert_eq!(wrapped("  closed   1", 12, 30), "  closed   1", "spaces stay");
    }

    proptest! {
        #[test]
        fn no_part_is_too_wide(line in "[a-z]{1,9}( [a-z]{1,9}){0,30}", columns in 30usize..200) {
            let text = wrapped(&line, 14, columns);
            prop_assert!(text.lines().all(|part| part.len() <= columns), "{text}");
            prop_assert_eq!(text.split_whitespace().collect::<Vec<_>>().join(" "), line);
        }
    }
}
