//! What a case found wrong, with what shows it.

use std::fmt;

use super::peer::{Ending, Peer, PeerId};
use crate::text::format::{count, counted};

/// An excerpt shows this many bytes before the first wrong one...
const BEFORE: usize = 8;
/// ...and this many in all.
const SHOWN: usize = 24;

/// What a connection did that it must not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Symptom {
    /// There is no connection.
    NotConnected(String),
    /// A byte is not the one that was sent there.
    Wrong { offset: usize },
    /// More came than was sent.
    Surplus { offset: usize },
    /// Nothing more came.
    Silent { received: usize, expected: usize },
    /// The server closed, or the connection broke, before everything had come back.
    Ended { received: usize, expected: usize, how: Ending },
    /// The server did not close after this end had.
    NotEnded,
    /// The server took all of this without any of it being read.
    Unbounded { taken: usize },
    /// The server's process has ended.
    Died(String),
    /// What only the process shows: it uses the processor while nothing moves, for example.
    Process(&'static str),
    /// Something else, as a sentence.
    Other(String),
}

/// What a case found wrong.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) symptom: Symptom,
    /// The connection that showed it.
    pub(super) peer: Option<PeerId>,
    pub(super) evidence: Box<Evidence>,
}

/// What a connection saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    /// This end's address.
    pub(super) local: Option<String>,
    /// What was sent and what came around the first difference, if there is one.
    pub(super) difference: Option<Difference>,
    pub(super) timeline: Vec<String>,
}

/// The bytes around the first that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// The offset of the first byte that differs.
    pub(super) offset: usize,
    /// The offset at which the excerpts begin.
    pub(super) from: usize,
    pub(super) expected: Vec<u8>,
    pub(super) actual: Vec<u8>,
}

impl Problem {
    /// A problem that no single connection shows.
    pub(super) fn of(symptom: Symptom) -> Self {
        Self { symptom, peer: None, evidence: Box::default() }
    }

    pub(super) fn other(what: impl Into<String>) -> Self {
        Self::of(Symptom::Other(what.into()))
    }

    /// A problem that a connection shows.
    pub(super) fn on(id: PeerId, peer: &Peer, symptom: Symptom) -> Self {
        Self { symptom, peer: Some(id), evidence: Box::new(Evidence::of(peer)) }
    }
}

impl Evidence {
    fn of(peer: &Peer) -> Self {
        let offset = peer.first_wrong().or_else(|| {
            let is_short = peer.received().len() < peer.message().len();
            is_short.then_some(peer.received().len())
        });
        Self {
            local: peer.local.as_ref().map(ToString::to_string),
            difference: offset.map(|offset| Difference::at(offset, peer)),
            timeline: peer.timeline.lines(),
        }
    }
}

impl Difference {
    fn at(offset: usize, peer: &Peer) -> Self {
        let from = offset.saturating_sub(BEFORE);
        let excerpt =
            |bytes: &[u8]| bytes[from.min(bytes.len())..(from + SHOWN).min(bytes.len())].to_vec();
        Self { offset, from, expected: excerpt(peer.message()), actual: excerpt(peer.received()) }
    }
}

impl fmt::Display for Symptom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |n: &usize| counted(*n as u64, "byte", "bytes");
        match self {
            Self::NotConnected(why) => write!(f, "no connection could be made: {why}"),
            Self::Wrong { offset } => write!(f, "the byte at offset {offset} is not the one sent"),
            Self::Surplus { offset } => {
                write!(f, "more came back than was sent, from offset {offset} on")
            }
            Self::Silent { received: 0, expected } => {
                write!(f, "nothing came back of {}", bytes(expected))
            }
            Self::Silent { received, expected } => {
                write!(
                    f,
                    "{} of {} came back, and then nothing",
                    count(*received as u64),
                    bytes(expected)
                )
            }
            Self::Ended { received, expected, how: Ending::Closed } => {
                let received = count(*received as u64);
                write!(f, "the server closed after {received} of {}", bytes(expected))
            }
            Self::Ended { received, expected, how: Ending::Broken(why) } => {
                let received = count(*received as u64);
                write!(f, "the connection broke after {received} of {}: {why}", bytes(expected))
            }
            Self::NotEnded => f.write_str("the server did not close after our end"),
            Self::Unbounded { taken } => {
                write!(f, "the server took {} although none of its echo was read", bytes(taken))
            }
            Self::Died(how) => write!(f, "the server died: {how}"),
            Self::Process(what) => f.write_str(what),
            Self::Other(what) => f.write_str(what),
        }
    }
}
