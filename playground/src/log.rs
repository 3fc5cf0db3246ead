//! The records of what happened, as the lines of a trace: docs/trace.md describes the format.

use std::fmt::{Display, Write};
use std::panic::Location;

/// The only connection of a playground.
const CONNECTION: &str = "#1";

/// The new lines, and the clock that stamps them.
#[derive(Default)]
pub(crate) struct Log {
    lines: String,
    /// Of the model, in microseconds.
    time: u64,
    /// The number of the server's turn, from 1.
    turn: u64,
}

impl Log {
    /// The lines since the last call.
    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.lines)
    }

    pub(crate) fn time(&self) -> u64 {
        self.time
    }

    pub(crate) fn turn(&self) -> u64 {
        self.turn
    }

    pub(crate) fn begin_turn(&mut self) {
        self.turn += 1;
    }

    /// Lets the clock go on, in microseconds.
    pub(crate) fn advance(&mut self, time: u64) {
        self.time += time;
    }

    /// A line that is no record, such as the header.
    pub(crate) fn line(&mut self, json: &str) {
        self.lines.push_str(json);
        self.lines.push('\n');
    }

    /// What the server did to its connection. `data` is a JSON object; the place is the caller's.
    #[track_caller]
    pub(crate) fn connection(&mut self, name: &str, trigger: &str, data: &str) {
        let place = Location::caller();
        self.write(
            name,
            CONNECTION,
            trigger,
            &format_args!("{}:{}", file(place), place.line()),
            data,
        );
    }

    /// What the reactor did. `data` is a JSON object; the place is the caller's.
    #[track_caller]
    pub(crate) fn reactor(&mut self, name: &str, trigger: &str, data: &str) {
        let place = Location::caller();
        self.write(name, "", trigger, &format_args!("{}:{}", file(place), place.line()), data);
    }

    /// What the peer did, at the other end of the wire.
    pub(crate) fn peer(&mut self, name: &str, data: &str) {
        self.write(name, CONNECTION, "", &"", data);
    }

    fn write(&mut self, name: &str, group: &str, trigger: &str, place: &dyn Display, data: &str) {
        let (time, turn) = (self.time, self.turn);
        let mut line = format!("{{\"time\":{time},\"name\":\"{name}\"");
        let place = place.to_string();
        for (key, value) in [("group_id", group), ("trigger", trigger), ("place", &place)] {
            if !value.is_empty() {
                // Writing to a string cannot fail.
                let _ = write!(line, ",\"{key}\":\"{value}\"");
            }
        }
        let _ = write!(line, ",\"turn\":{turn}");
        if data != "{}" {
            let _ = write!(line, ",\"data\":{data}");
        }
        self.line(&(line + "}"));
        self.advance(1);
    }
}

/// The file of a place from the root of the repository. The compiler knows those of resound by the way to them.
fn file<'a>(place: &'a Location) -> &'a str {
    place.file().rsplit("../").next().unwrap_or_default()
}
