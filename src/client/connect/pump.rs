//! One direction of a stream, without its ends: takes bytes in from a source, and passes them on to a sink.

use std::io::{self, Read, Write};

use super::ledger::BLOCK_BYTES;
use crate::client::{attempt, write_rest};

/// The size of a pump's buffer. A read from a pipe would seldom fill a larger one. A smaller one could not hold a whole
/// block.
const BUFFER_BYTES: usize = BLOCK_BYTES;

/// Takes in more only after it has passed on what it holds. So a slow sink holds the source back.
pub struct Pump {
    buffer: Box<[u8]>,
    /// The buffer is divided: `passed <= cleared <= filled`. The pump passes on what is cleared.
    passed: usize,
    cleared: usize,
    filled: usize,
    taken_bytes: u64,
    passed_bytes: u64,
    has_ended: bool,
}

/// The result of an attempt to take bytes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    Bytes,
    Nothing,
    Ended,
}

impl Pump {
    pub fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER_BYTES].into(),
            passed: 0,
            cleared: 0,
            filled: 0,
            taken_bytes: 0,
            passed_bytes: 0,
            has_ended: false,
        }
    }

    /// Takes bytes in by one successful read. `clear` gets all that the pump holds, and returns how many bytes from the
    /// front it clears. It gets the others again, with what follows them. The pump [must be empty](Self::is_empty).
    pub fn fill(
        &mut self,
        source: &mut impl Read,
        clear: impl FnOnce(&[u8]) -> usize,
    ) -> io::Result<Filled> {
        debug_assert!(self.is_empty(), "the bytes in the buffer would be lost");
        self.buffer.copy_within(self.cleared..self.filled, 0);
        self.filled -= self.cleared;
        (self.passed, self.cleared) = (0, 0);
        let n = match attempt(|| source.read(&mut self.buffer[self.filled..]))? {
            None => return Ok(Filled::Nothing),
            Some(0) => {
                self.has_ended = true;
                return Ok(Filled::Ended);
            }
            Some(n) => n,
        };
        self.filled += n;
        self.taken_bytes += n as u64;
        self.cleared = clear(&self.buffer[..self.filled]);
        Ok(Filled::Bytes)
    }

    /// Passes on as many cleared bytes as the sink takes. Returns whether that was all of them.
    pub fn flush(&mut self, sink: &mut impl Write) -> io::Result<bool> {
        let before = self.passed;
        let flushed = write_rest(sink, &self.buffer[..self.cleared], &mut self.passed);
        self.passed_bytes += (self.passed - before) as u64;
        flushed
    }

    /// Whether it has passed on everything that was cleared.
    pub fn is_empty(&self) -> bool {
        self.passed == self.cleared
    }

    /// Whether the source is at its end.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// How many bytes it has taken in.
    pub fn taken_bytes(&self) -> u64 {
        self.taken_bytes
    }

    /// How many bytes it has passed on.
    pub fn passed_bytes(&self) -> u64 {
        self.passed_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Gives, Scripted, Takes, byte, every};
    use super::*;

    #[test]
    fn after_every_short_script_what_came_in_went_out_and_the_pump_is_blocked_or_over() {
        for gives in every(Gives::ALL, 3) {
            for takes in every(Takes::ALL, 3) {
                let mut io = Scripted::new(&gives, &takes);
                let mut pump = Pump::new();
                let result = pump_dry(&mut pump, &mut io);
                let case = format!("{gives:?} {takes:?}");
                let settled = result.is_err()
                    || if pump.is_empty() {
                        io.read_blocked || pump.has_ended()
                    } else {
                        io.write_blocked
                    };
                assert!(settled, "{case}");
                assert_eq!(io.taken, (0..io.taken.len()).map(byte).collect::<Vec<_>>(), "{case}");
                assert_eq!(pump.taken_bytes(), io.given as u64, "{case}");
                assert_eq!(pump.passed_bytes(), io.taken.len() as u64, "{case}");
            }
        }
    }

    /// Drives it as a stream does, with one socket as both ends.
    fn pump_dry(pump: &mut Pump, io: &mut Scripted) -> io::Result<()> {
        while pump.flush(io)? && pump.fill(io, <[u8]>::len)? == Filled::Bytes {}
        Ok(())
    }

    /// A block that is not whole yet is such a case.
    #[test]
    fn what_is_not_cleared_comes_again_with_what_follows_it() {
        let mut io = Scripted::new(&[Gives::Bytes(2); 3], &[Takes::Bytes(9); 9]);
        let mut pump = Pump::new();
        let mut shown = Vec::new();
        for clear in [0, 3, 1] {
            assert!(pump.flush(&mut io).unwrap());
            let filled = pump.fill(&mut io, |bytes| {
                shown.push(bytes.to_vec());
                clear
            });
            assert_eq!(filled.unwrap(), Filled::Bytes);
        }
        assert!(pump.flush(&mut io).unwrap());
        assert_eq!(shown, [&[0, 1][..], &[0, 1, 2, 3], &[3, 4, 5]]);
        assert_eq!(
            (pump.taken_bytes(), pump.passed_bytes(), &io.taken[..]),
            (6, 4, &[0, 1, 2, 3][..])
        );
    }
}
