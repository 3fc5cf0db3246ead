//! What went wrong with a connection of a run.

use std::fmt;

use crate::client::failure::Failure;
use crate::net::Endpoint;

/// A failure, and the connection that it happened to.
#[derive(Debug)]
pub struct ConnectionFailure {
    /// The number of the connection, from 0. `None` if the run failed as a whole.
    pub connection: Option<usize>,
    /// The address of this end, if it had one.
    pub local: Option<Endpoint>,
    /// What went wrong.
    pub failure: Failure,
    /// Whether it ended the run.
    pub is_fatal: bool,
}

impl ConnectionFailure {
    /// A failure that ends the run, and is no connection's fault.
    pub(super) fn of_run(failure: Failure) -> Self {
        Self { connection: None, local: None, failure, is_fatal: true }
    }
}

impl fmt::Display for ConnectionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(connection) = self.connection {
            write!(f, "connection {connection}")?;
            if let Some(local) = &self.local {
                write!(f, " (from {local})")?;
            }
            f.write_str(": ")?;
        }
        self.failure.fmt(f)
    }
}
