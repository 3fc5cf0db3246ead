//! Errors as lines that people can read.

use std::fmt;
use std::io::{self, ErrorKind};

/// Turns an error of the system into a line for people: what failed and why.
pub(crate) fn cannot(what: &str, whom: &dyn fmt::Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {whom}: {}", reason(error)))
}

/// Adds what might help to a line for people.
pub(crate) fn with_help(
    error: io::Error,
    help: impl Fn(ErrorKind) -> Option<&'static str>,
) -> io::Error {
    match help(error.kind()) {
        Some(help) => io::Error::new(error.kind(), format!("{error}; {help}")),
        None => error,
    }
}

/// An error's cause as a phrase, without the number that the standard library puts behind it.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let Some((phrase, _)) = text.split_once(" (os error ") else { return text };
    let mut phrase = phrase.to_string();
    if let Some(first) = phrase.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    phrase
}
