//! A number of things, in the singular or the plural.

use std::fmt;

/// A number of things, in the singular or the plural. It has no commas, since programs read it too: in logs, and in
/// lines that look like those of ping(8). [`counted`](super::format::counted) is for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plural(pub u64, pub &'static str);

impl fmt::Display for Plural {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(n, what) = self;
        write!(f, "{n} {what}{}", if *n == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        for (n, expected) in [(0, "0 bytes"), (1, "1 byte"), (2, "2 bytes"), (11, "11 bytes")] {
            assert_eq!(Plural(n, "byte").to_string(), expected);
        }
    }
}
