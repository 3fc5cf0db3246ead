//! Errors as lines for people.

use std::fmt;
use std::io::{self, ErrorKind};

/// An error of the system as a line for people, which says what failed and why.
pub(crate) fn cannot(what: &str, whom: &dyn fmt::Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {whom}: {}", reason(error)))
}

/// Adds what might help, if `help` knows that for this kind of error.
pub(crate) fn with_help(
    error: io::Error,
    help: impl Fn(ErrorKind) -> Option<&'static str>,
) -> io::Error {
    match help(error.kind()) {
        Some(help) => io::Error::new(error.kind(), format!("{error}; {help}")),
        None => error,
    }
}

/// The cause of an error as a phrase, without the number that the standard library adds.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let Some((phrase, _)) = text.split_once(" (os error ") else { return text };
    let mut phrase = phrase.to_string();
    if let Some(first) = phrase.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    phrase
}
