//! A command line that makes no sense, in one line that says what would.

use std::error::Error as _;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::advice::{self, Advice, Line};
use crate::text::Excerpt;

/// What is wrong with the arguments, without clap's usage, and what to write instead.
pub(super) fn line(error: &clap::Error, grammar: &clap::Command, args: &[OsString]) -> String {
    let line = Line::new(grammar, args);
    let text = match advice::advice(error, &line) {
        Some(Advice::Whole(advice)) => advice,
        Some(Advice::Instead(advice)) => format!("{}; {advice}", what(error, args)),
        None => what(error, args),
    };
    format!("{text}; try --help")
}

/// What is wrong. Whatever was typed is escaped and quoted in part.
fn what(error: &clap::Error, args: &[OsString]) -> String {
    let named = |kind| quoted(&listed(error, kind));
    let (arg, value) = (named(ContextKind::InvalidArg), named(ContextKind::InvalidValue));
    match error.kind() {
        ErrorKind::InvalidUtf8 => not_utf8(args),
        ErrorKind::UnknownArgument => format!("unexpected argument {arg} found"),
        ErrorKind::InvalidSubcommand => {
            format!("there is no command {}", named(ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingSubcommand => "there is no command".into(),
        ErrorKind::ValueValidation => {
            let why = error.source().map_or_else(String::new, |why| format!(": {why}"));
            format!("invalid value {value} for {arg}{why}")
        }
        ErrorKind::InvalidValue if listed(error, ContextKind::InvalidValue).is_empty() => {
            format!("a value is required for {arg} but none was supplied")
        }
        ErrorKind::InvalidValue => {
            let right = listed(error, ContextKind::ValidValue);
            format!("invalid value {value} for {arg}: write one of {right}")
        }
        ErrorKind::TooManyValues => format!("{arg} takes no value, so leave out {value}"),
        ErrorKind::ArgumentConflict => {
            format!("the argument {arg} cannot be used with {}", named(ContextKind::PriorArg))
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = listed(error, ContextKind::InvalidArg);
            format!("the following required arguments were not provided: {missing}")
        }
        _ => error.kind().to_string(),
    }
}

/// The one or several texts that clap names, as a list.
pub(super) fn listed(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", Excerpt(text))
}

/// clap does not say which it is.
fn not_utf8(args: &[OsString]) -> String {
    let bytes =
        args.iter().find(|arg| arg.to_str().is_none()).map_or(&[][..], |arg| arg.as_bytes());
    let shown = quoted(&bytes.escape_ascii().to_string());
    format!("{shown} is not UTF-8, which only the name of a file may be")
}
