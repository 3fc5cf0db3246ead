//! Words as a shell takes them.

/// Whether a shell takes `word` as it is. A bracket can begin a pattern, but an IPv6 address in brackets is the name of no
/// file.
pub(crate) fn is_plain(word: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || "-_=+./:,@%[]".contains(c);
    !word.is_empty() && word.chars().all(is_plain)
}

/// The word in quotes, if it needs any.
pub(crate) fn quoted(word: &str) -> String {
    if is_plain(word) { word.into() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}
