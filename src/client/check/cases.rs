//! All cases, in the order in which they are tried.

use super::case::Case;

mod bytes;
mod many;
mod ends;
mod pressure;
mod hostile;
mod process;

/// All cases for a stream, from the easiest to the hardest.
pub(super) fn all() -> impl Iterator<Item = &'static Case> {
    let parts =
        [bytes::CASES, many::CASES, ends::CASES, pressure::CASES, hostile::CASES, process::CASES];
    parts.into_iter().flatten()
}
