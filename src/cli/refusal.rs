//! clap's errors, each in one line.

use std::ffi::OsString;

use clap::error::ContextValue;

use super::advice::{self, Line};
use crate::text::Excerpt;

/// What clap finds wrong with the arguments, without its usage, and what to write instead.
pub(super) fn line(error: clap::Error, grammar: &clap::Command, args: &[OsString]) -> String {
    let line = Line::new(grammar, args);
    if let Some(address) = advice::address(&error, &line) {
        return format!("{address}; try --help");
    }
    let advice = advice::advice(&error, &line);
    let said = with_safe_quotes(error).render().to_string();
    let (what, rest) = said.split_once("\n\n").unwrap_or((&said, ""));
    // A list stands on lines of its own.
    let what = what.trim_start_matches("error: ").trim_end().replace("\n  ", " ");
    match advice.or_else(|| tip(rest)) {
        Some(advice) => format!("{what}; {advice}; try --help"),
        None => format!("{what}; try --help"),
    }
}

/// clap quotes the arguments as they are. They can be of any length, and act on a terminal.
fn with_safe_quotes(mut error: clap::Error) -> clap::Error {
    let quotes = error.context().filter_map(|(kind, value)| match value {
        ContextValue::String(text) => Some((kind, Excerpt(text).to_string())),
        _ => None,
    });
    for (kind, text) in quotes.collect::<Vec<_>>() {
        error.insert(kind, ContextValue::String(text));
    }
    error
}

/// What clap suggests. It also explains how to pass an unknown option as a value, which helps no user.
fn tip(text: &str) -> Option<String> {
    let tip = text.lines().find_map(|line| line.trim_start().strip_prefix("tip: "))?;
    (!tip.starts_with("to pass ")).then(|| tip.to_string())
}
