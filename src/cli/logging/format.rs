//! Log records as lines: as text for people, or as JSON objects for programs.

use std::fmt::{Display, Write as _};
use std::str::FromStr;

use log::kv::{Error, Key, Value, VisitSource, VisitValue};
use log::{Level, Record};
use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

use crate::text::escape::must_be_escaped;

/// The longest line, with its end. A pipe takes this much whole, so the lines of several servers do not mix:
/// `PIPE_BUF`, pipe(7).
pub(super) const MAX_LINE_BYTES: usize = 4096;

/// The longest text in a field of a JSON object. An address is shorter, even that of a Unix socket, unless most of it
/// must be escaped.
const MAX_FIELD_BYTES: usize = 512;

/// The most that all fields of a JSON object take. The rest is for the message.
const MAX_FIELDS_BYTES: usize = 2048;

/// Ends a text that was too long.
const CUT: char = '…';

/// For people: milliseconds.
const SHORT: &[FormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// For programs: microseconds, as RFC 3339 says.
const LONG: &[FormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people: time, level and message, and where the record was made if that is of interest.
    #[default]
    Text,
    /// One JSON object in each line, with the message and all fields of the record.
    Json,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("write text or json"),
        }
    }
}

impl Format {
    /// A record as a line with its end, no longer than [`MAX_LINE_BYTES`].
    pub(super) fn line(self, record: &Record<'_>, time: OffsetDateTime) -> String {
        match self {
            Self::Text => text(record, time),
            Self::Json => json(record, time),
        }
    }
}

fn text(record: &Record<'_>, time: OffsetDateTime) -> String {
    let (time, level, message) = (stamp(time, SHORT), record.level(), record.args());
    let mut line = if level >= Level::Debug {
        format!("{time} {level:<5} [{}] {message}\n", record.target())
    } else {
        format!("{time} {level:<5} {message}\n")
    };
    if line.len() > MAX_LINE_BYTES {
        let room = MAX_LINE_BYTES - CUT.len_utf8() - 1;
        let end = (0..=room).rev().find(|end| line.is_char_boundary(*end));
        line.truncate(end.unwrap_or_default());
        line.extend([CUT, '\n']);
    }
    line
}

fn stamp(time: OffsetDateTime, format: &[FormatItem<'_>]) -> String {
    time.format(format).unwrap_or_default()
}

fn json(record: &Record<'_>, time: OffsetDateTime) -> String {
    let (time, level) = (stamp(time, LONG), record.level().as_str().to_ascii_lowercase());
    let mut fields = Fields::default();
    let _ = record.key_values().visit(&mut fields);
    let end = format!("{}}}\n", fields.0);
    let mut line = format!(r#"{{"time":"{time}","level":"{level}","message":"#);
    let room = MAX_LINE_BYTES - line.len() - end.len();
    push_string(&mut line, &record.args().to_string(), room);
    line + &end
}

/// The fields of a record as members of a JSON object, each with a comma before it.
#[derive(Default)]
struct Fields(String);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        // The keys are short, and names in the source.
        if self.0.len() + MAX_FIELD_BYTES + 64 > MAX_FIELDS_BYTES {
            return Ok(());
        }
        value.visit(Member { key: key.as_str(), fields: &mut self.0 })
    }
}

/// One member of a JSON object.
struct Member<'a> {
    key: &'a str,
    fields: &'a mut String,
}

impl Member<'_> {
    fn plain(&mut self, value: impl Display) -> Result<(), Error> {
        Ok(write!(self.fields, r#","{}":{value}"#, self.key)?)
    }
}

impl<'v> VisitValue<'v> for Member<'_> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), Error> {
        self.visit_str(&value.to_string())
    }

    /// A field that does not apply is left out.
    fn visit_null(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), Error> {
        self.plain(value)
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), Error> {
        self.plain(value)
    }

    /// JSON has no infinity.
    fn visit_f64(&mut self, value: f64) -> Result<(), Error> {
        if value.is_finite() { self.plain(value) } else { Ok(()) }
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), Error> {
        self.plain(value)
    }

    fn visit_str(&mut self, value: &str) -> Result<(), Error> {
        write!(self.fields, r#","{}":"#, self.key)?;
        push_string(self.fields, value, MAX_FIELD_BYTES);
        Ok(())
    }
}

/// Adds a JSON string of up to `room` bytes, which is safe to show on a terminal.
fn push_string(to: &mut String, text: &str, room: usize) {
    // The last place where the mark of a cut and the quote have room.
    let most = to.len() + room - 1;
    to.push('"');
    let mut cut = to.len();
    for c in text.chars() {
        if to.len() + CUT.len_utf8() <= most {
            cut = to.len();
        }
        push_char(to, c);
        if to.len() > most {
            to.truncate(cut);
            to.push(CUT);
            break;
        }
    }
    to.push('"');
}

/// Adds a character of a JSON string: RFC 8259, section 7.
fn push_char(to: &mut String, c: char) {
    match c {
        '"' | '\\' => to.extend(['\\', c]),
        '\n' => to.push_str("\\n"),
        '\r' => to.push_str("\\r"),
        '\t' => to.push_str("\\t"),
        // All of them have four digits.
        c if must_be_escaped(c) => to.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => to.push(c),
    }
}

#[cfg(test)]
mod tests;
