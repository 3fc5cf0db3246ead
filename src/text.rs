//! Text for people: numbers with their units, plurals, lines that fit a terminal, and texts of other programs and
//! peers, made safe to print.

pub(crate) mod escape;
pub(crate) mod format;
pub(crate) mod plural;
pub(crate) mod shell;
#[cfg(feature = "clients")]
pub(crate) mod wrap;

pub(crate) use escape::{Escaped, Excerpt};
pub(crate) use plural::Plural;
#[cfg(feature = "clients")]
pub(crate) use wrap::wrapped;
