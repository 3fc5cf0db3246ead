//! The width of a terminal, and lines that fit it.

use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;

use crate::text::wrapped;

/// The columns of a terminal, if `output` is one.
pub(super) fn columns(output: impl AsFd) -> Option<usize> {
    let size = tcgetwinsize(output).ok()?;
    Some(size.ws_col.into()).filter(|columns| *columns > 0)
}

/// A line for `output`, broken into several if it is wider than that terminal.
pub(super) fn fitted(line: &str, output: impl AsFd) -> String {
    const INDENT: usize = 2;
    wrapped(line, INDENT, columns(output).unwrap_or(usize::MAX))
}
