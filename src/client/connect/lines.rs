//! Lines of standard input, each echoed over a connection of its own.

use std::io::{self, BufRead, Read, Write};

use super::Options;
use super::notice::Notice;
use super::session::{Report, Session};
use super::standard::{self, INPUT, OUTPUT};
use crate::net::cannot;

/// The longest line, in bytes: it is held in memory twice, as sent and as received, to be compared.
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// Sends each line of standard input on a new connection, and writes what comes back to standard output.
pub fn run(options: &Options) -> io::Result<()> {
    let mut input = io::stdin().lock();
    // Not by `io::stdout()`, which would search every echo for line breaks.
    let mut session = Session::open(options, Log { output: standard::output()? })?;
    let mut line = Vec::new();
    while !session.is_over() {
        if !session.is_idle() {
            session.turn()?;
        } else if next_line(&mut input, &mut line)? {
            session.send(line.clone())?;
        } else {
            session.end()?;
        }
    }
    session.finish()
}

struct Log {
    output: std::fs::File,
}

impl Report for Log {
    fn report(&mut self, notice: &Notice<'_>) -> io::Result<()> {
        log(notice);
        match notice {
            Notice::Received { echo, .. } | Notice::CutShort { echo, .. } => {
                self.output.write_all(echo).map_err(|e| cannot("write to", &OUTPUT, &e))
            }
            _ => Ok(()),
        }
    }
}

/// Reads a line with its line break, which only the last may lack, and says whether there was one.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let read = input.take(MAX_LINE_BYTES).read_until(b'\n', line);
    read.map_err(|e| cannot("read from", &INPUT, &e))?;
    if line.len() as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n") {
        let line = format!(
            "a line of the input is longer than {MAX_LINE_BYTES} bytes; break it up, or leave out \
             --reconnect to stream the input whole"
        );
        return Err(io::Error::other(line));
    }
    Ok(!line.is_empty())
}

fn log(notice: &Notice<'_>) {
    if notice.is_trouble() { log::warn!("{notice}") } else { log::debug!("{notice}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_with_their_line_breaks_and_the_last_as_it_is() {
        let mut input = &b"one\n\ntwo"[..];
        let mut line = Vec::new();
        for expected in ["one\n", "\n", "two"] {
            assert!(next_line(&mut input, &mut line).unwrap());
            assert_eq!(line, expected.as_bytes());
        }
        assert!(!next_line(&mut input, &mut line).unwrap());
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let error = next_line(&mut io::BufReader::new(io::repeat(b'x')), &mut Vec::new());
        assert!(error.unwrap_err().to_string().contains("longer than 16777216 bytes"));
    }
}
