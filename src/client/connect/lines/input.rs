//! Reads lines from an input that does not block.

use std::io::{self, BufRead, ErrorKind, Read};

use crate::net::cannot;
use crate::stdio::INPUT;

/// The longest line in bytes. The client holds it in memory twice, as sent and as received, to compare the two.
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// What a read of a line came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineRead {
    Whole,
    /// The rest of the line has not come yet.
    Partial,
    /// There is no further line.
    End,
}

/// Reads a line with its line break, which only the last line may lack.
///
/// # Errors
///
/// That the input cannot be read, or that the line is too long.
pub fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<LineRead> {
    let room = MAX_LINE_BYTES - line.len() as u64;
    match input.take(room).read_until(b'\n', line) {
        Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(LineRead::Partial),
        Err(e) => return Err(cannot("read from", &INPUT, &e)),
        Ok(_) => {}
    }
    if line.len() as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n") {
        let line = format!(
            "a line of the input is longer than {MAX_LINE_BYTES} bytes; break it up, or leave out \
             --reconnect to stream the input whole"
        );
        return Err(io::Error::other(line));
    }
    Ok(if line.is_empty() { LineRead::End } else { LineRead::Whole })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::connect::scripted::{Gives, Scripted};

    #[test]
    fn lines_come_with_their_line_breaks_and_the_last_as_it_is() {
        let mut input = &b"one\n\ntwo"[..];
        for expected in ["one\n", "\n", "two"] {
            let mut line = Vec::new();
            assert_eq!(read_line(&mut input, &mut line).unwrap(), LineRead::Whole);
            assert_eq!(line, expected.as_bytes());
        }
        assert_eq!(read_line(&mut input, &mut Vec::new()).unwrap(), LineRead::End);
    }

    #[test]
    fn a_line_that_comes_in_pieces_is_read_on() {
        let gives = [Gives::Bytes(2), Gives::Blocks, Gives::Bytes(3), Gives::End];
        let mut input = io::BufReader::new(Scripted::new(&gives, &[]));
        let mut line = Vec::new();
        assert_eq!(read_line(&mut input, &mut line).unwrap(), LineRead::Partial);
        assert_eq!(read_line(&mut input, &mut line).unwrap(), LineRead::Whole);
        assert_eq!(line, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let error = read_line(&mut io::BufReader::new(io::repeat(b'x')), &mut Vec::new());
        assert!(error.unwrap_err().to_string().contains("longer than 16777216 bytes"));
    }
}
