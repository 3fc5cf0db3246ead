//! Text that people read: numbers with their units, plurals, and what others sent, made safe to print.

pub(crate) mod escape;
pub(crate) mod format;
pub(crate) mod plural;

pub(crate) use escape::{Escaped, Excerpt};
pub(crate) use plural::Plural;
