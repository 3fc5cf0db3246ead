//! The documents name only tests and files that exist.

use std::fs;
use std::path::Path;

const DOCUMENTS: [&str; 1] = ["docs/reliability.md"];

/// The texts between backticks, in their order.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_source(text: &str) -> bool {
    text.contains('/') && text.ends_with(".rs") && !text.contains([' ', '*'])
}

/// Whether a quoted text is the name of a test: a sentence in lower case.
fn is_test(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.chars().all(is_allowed) && text.matches('_').count() >= 3
}

/// Documents write the name of a test before its file: `name` in `path`. Failed when a test was renamed, and when its
/// file was moved.
#[test]
fn each_test_that_a_document_names_is_in_the_file_that_it_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in DOCUMENTS {
        let text = fs::read_to_string(root.join(document)).expect(document);
        let mut checked = 0;
        for line in text.lines() {
            let mut tests = Vec::new();
            for quoted in quoted(line) {
                if is_test(quoted) {
                    tests.push(quoted);
                } else if is_source(quoted) {
                    let source = fs::read_to_string(root.join(quoted));
                    let source = source.unwrap_or_else(|e| panic!("{document}: {quoted}: {e}"));
                    for test in tests.drain(..) {
                        let is_there = source.contains(&format!("fn {test}("));
                        assert!(is_there, "{document}: {test} is not in {quoted}");
                        checked += 1;
                    }
                }
            }
            assert!(tests.is_empty(), "{document}: no file for {tests:?}");
        }
        assert!(checked > 0, "{document} names no test");
    }
}
