//! How an [`Outcome`](super::Outcome) and its parts are written as JSON. docs/load-json.md describes each key.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};

use super::{ConnectionFailure, Length, Search, Trial, Verdict, source_name};
use crate::client::failure::Failure;
use crate::client::probe::Fault;
use crate::client::probe::datagrams::BadDatagram;
use crate::net::proxy::HeaderVersion;
use crate::text::Escaped;

/// A length of time as a number of seconds with a fraction.
pub(super) mod seconds {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        time.as_secs_f64().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// A length of time as a whole number of nanoseconds.
pub(super) mod nanoseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        (time.as_nanos() as u64).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }
}

/// A time as seconds since 1970.
pub(super) fn unix_seconds<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64().serialize(to)
}

/// A key for each of the two ways to give a length. One of them is null.
pub(super) fn length<S: Serializer>(length: &Length, to: S) -> Result<S::Ok, S::Error> {
    let (seconds, messages) = match length {
        Length::Time(time) => (Some(time.as_secs_f64()), None),
        Length::Messages(n) => (None, Some(n)),
    };
    let mut map = to.serialize_map(Some(2))?;
    map.serialize_entry("length_seconds", &seconds)?;
    map.serialize_entry("length_messages", &messages)?;
    map.end()
}

pub(super) fn sizes<S: Serializer>(
    sizes: &RangeInclusive<usize>,
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(2))?;
    map.serialize_entry("message_bytes_min", sizes.start())?;
    map.serialize_entry("message_bytes_max", sizes.end())?;
    map.end()
}

pub(super) fn sources<S: Serializer>(sources: &[SocketAddr], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(sources.iter().map(source_name))
}

pub(super) fn header_version<S: Serializer>(
    version: &Option<HeaderVersion>,
    to: S,
) -> Result<S::Ok, S::Error> {
    version.map(HeaderVersion::number).serialize(to)
}

impl Serialize for ConnectionFailure {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let FaultPosition { offset, expected_byte, got_byte } = FaultPosition::of(&self.failure);
        let mut object = to.serialize_struct("ConnectionFailure", 8)?;
        object.serialize_field("connection", &self.connection)?;
        object.serialize_field("local", &self.local.as_ref().map(ToString::to_string))?;
        object.serialize_field("kind", self.failure.kind())?;
        object.serialize_field("message", &Escaped(&self.failure.to_string()).to_string())?;
        object.serialize_field("offset", &offset)?;
        object.serialize_field("expected_byte", &expected_byte)?;
        object.serialize_field("got_byte", &got_byte)?;
        object.serialize_field("is_fatal", &self.is_fatal)?;
        object.end()
    }
}

/// The place at which the returned stream is wrong, and the bytes there.
#[derive(Default)]
struct FaultPosition {
    offset: Option<u64>,
    expected_byte: Option<u8>,
    got_byte: Option<u8>,
}

impl FaultPosition {
    fn of(failure: &Failure) -> Self {
        let at = |offset| Self { offset: Some(offset), ..Self::default() };
        match failure {
            Failure::Fault(Fault::Wrong(wrong)) => Self {
                expected_byte: Some(wrong.expected),
                got_byte: Some(wrong.got),
                ..at(wrong.offset)
            },
            Failure::Fault(Fault::Surplus { offset, bytes }) => {
                Self { got_byte: bytes.first().copied(), ..at(*offset) }
            }
            Failure::Fault(Fault::Ended { received, .. }) | Failure::TimedOut { received, .. } => {
                at(*received)
            }
            Failure::Datagram(BadDatagram::Altered { offset, expected, got }) => {
                let (expected_byte, got_byte) = (Some(*expected), Some(*got));
                Self { expected_byte, got_byte, ..at(*offset as u64) }
            }
            Failure::Connect(_)
            | Failure::Datagram(BadDatagram::Length { .. } | BadDatagram::Unknown)
            | Failure::Late { .. }
            | Failure::Closed
            | Failure::System(_) => Self::default(),
        }
    }
}

impl Serialize for Search {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_struct("Search", 7)?;
        object.serialize_field("objective_percentile", &self.objective.percentile)?;
        object.serialize_field("objective_nanoseconds", &self.objective.limit.as_nanos())?;
        object.serialize_field("trials", &self.trials)?;
        object
            .serialize_field("highest_rate_per_second", &self.highest().map(|trial| trial.rate))?;
        object.serialize_field("missed_rate_per_second", &self.missed().map(|trial| trial.rate))?;
        object.serialize_field("was_interrupted", &self.is_interrupted)?;
        object.serialize_field("result", &self.to_string())?;
        object.end()
    }
}

impl Serialize for Trial {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let unsent = match self.verdict {
            Verdict::Unsent(_, n) => n,
            Verdict::Kept(_) | Verdict::Slow(_) | Verdict::Failed(_) => 0,
        };
        let mut object = to.serialize_struct("Trial", 5)?;
        object.serialize_field("rate_per_second", &self.rate)?;
        object.serialize_field("was_kept", &self.is_kept())?;
        let found = self.found().map(|time| time.as_nanos());
        object.serialize_field("percentile_nanoseconds", &found)?;
        object.serialize_field("unsent_messages", &unsent)?;
        object.serialize_field("finding", &self.finding())?;
        object.end()
    }
}
