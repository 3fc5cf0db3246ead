//! Text that people read: numbers with their units, plurals, long lines, and what others sent, made safe to print.

pub(crate) mod escape;
pub(crate) mod format;
pub(crate) mod plural;
pub(crate) mod wrap;

pub(crate) use escape::{Escaped, Excerpt};
pub(crate) use plural::Plural;
pub(crate) use wrap::wrapped;
