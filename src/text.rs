//! Text for people: numbers with their units, plurals, and texts of other programs and peers, made safe to print.

pub(crate) mod escape;
pub(crate) mod format;
pub(crate) mod plural;

pub(crate) use escape::{Escaped, Excerpt};
pub(crate) use plural::Plural;
