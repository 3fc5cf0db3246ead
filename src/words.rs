//! Numbers of things, in words.

use std::fmt;

use figures::count;

pub(crate) mod figures;

/// So many of something, in the singular or the plural.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plural(pub u64, pub &'static str);

impl fmt::Display for Plural {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(n, what) = self;
        write!(f, "{} {what}{}", count(*n), if *n == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_the_singular() {
        for (n, expected) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (2, "2 bytes"),
            (11, "11 bytes"),
            (1_000, "1,000 bytes"),
        ] {
            assert_eq!(Plural(n, "byte").to_string(), expected);
        }
    }
}
