//! A refusal, and the limit behind it.

use std::fmt;

use super::Refusal;

/// Why a connection was refused, and the limit that was reached if that is the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The reason.
    pub why: Refusal,
    /// The limit that was reached.
    pub limit: Option<Limit>,
}

/// A limit of connections that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The connections that count for this limit.
    pub count: usize,
    /// The most that there may be.
    pub limit: usize,
}

impl Refused {
    /// A refusal because there are already `count` connections, and may be no more than `limit`.
    pub(crate) fn at_limit(why: Refusal, count: usize, limit: usize) -> Self {
        Self { why, limit: Some(Limit { count, limit }) }
    }
}

impl From<Refusal> for Refused {
    fn from(why: Refusal) -> Self {
        Self { why, limit: None }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            Some(Limit { count, limit }) => write!(f, "{} ({count} of {limit})", self.why),
            None => self.why.fmt(f),
        }
    }
}
