//! Who may connect, before the limits are asked.

use super::config::Config;
use crate::net::{Access, Endpoint};
use crate::observe::{Refusal, Refused};

/// Judges clients by their addresses. The permissions of a Unix socket's file judge those that have none.
#[derive(Debug)]
pub(super) struct Gate {
    access: Access,
}

impl Gate {
    pub(super) fn new(config: &Config) -> Self {
        Self { access: config.access.clone() }
    }

    /// Lets a client in, or says why not.
    pub(super) fn judge(&self, client: &Endpoint) -> Result<(), Refused> {
        let is_allowed = client.ip().is_none_or(|ip| self.access.is_allowed(ip));
        if is_allowed { Ok(()) } else { Err(Refusal::Denied.into()) }
    }
}
