//! The cases, by what they need and what they say of a server.

use super::bench::Bench;
use super::problem::Problem;

/// A trial that a server passes or fails.
pub(super) struct Case {
    /// Its name, for ever: `bytes/all-values`.
    pub(super) id: &'static str,
    /// From 1 to 6.
    pub(super) level: u8,
    pub(super) severity: Severity,
    /// What a server must do, in a sentence.
    pub(super) expectation: &'static str,
    /// Why that matters.
    pub(super) rationale: &'static str,
    pub(super) needs: Need,
    pub(super) run: fn(&mut Bench<'_>) -> Result<Finding, Problem>,
}

/// Where an expectation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// RFC 862: what comes in is sent back.
    Rfc862,
    /// What TCP promises to each program, or asks of it: RFC 9293.
    Tcp,
    /// What a good server does.
    Good,
    /// For information only: nobody fails by it.
    Info,
}

impl Severity {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rfc862 => "RFC 862",
            Self::Tcp => "TCP",
            Self::Good => "GOOD",
            Self::Info => "INFO",
        }
    }
}

/// What a case cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    /// The server's process, which --pid or a command names.
    Process,
    /// A command that starts the server.
    Command,
}

/// What a case found, if it found no problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Fine,
    /// Something to know.
    Note(String),
    /// It could not find out, for this reason.
    Inconclusive(String),
}
