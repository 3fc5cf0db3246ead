//! One direction of a stream, without its ends: bytes taken in from a source and passed on to a sink.

use std::io::{self, ErrorKind, Read, Write};

use crate::client::attempt;

/// The one buffer of a pump. As much as a pipe holds by default (pipe(7)), so that a larger one would
/// seldom be filled.
const BUFFER_BYTES: usize = 64 * 1024;

/// Holds what was taken in until it is passed on, and takes in nothing more before that is done: so a
/// slow sink holds the source back.
pub struct Pump {
    buffer: Box<[u8]>,
    filled: usize,
    passed: usize,
    taken_bytes: u64,
    passed_bytes: u64,
    sum: crc32fast::Hasher,
    has_ended: bool,
}

/// What became of an attempt to take bytes in.
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
            filled: 0,
            passed: 0,
            taken_bytes: 0,
            passed_bytes: 0,
            sum: crc32fast::Hasher::new(),
            has_ended: false,
        }
    }

    /// Takes bytes in, by one successful read. Everything taken in before must have been passed on.
    pub fn fill(&mut self, source: &mut impl Read) -> io::Result<Filled> {
        debug_assert!(self.is_empty(), "what is in the buffer would be lost");
        let n = match attempt(|| source.read(&mut self.buffer))? {
            None => return Ok(Filled::Nothing),
            Some(0) => {
                self.has_ended = true;
                return Ok(Filled::Ended);
            }
            Some(n) => n,
        };
        self.sum.update(&self.buffer[..n]);
        self.taken_bytes += n as u64;
        (self.filled, self.passed) = (n, 0);
        Ok(Filled::Bytes)
    }

    /// Passes on as much as the sink takes, and says whether that was all.
    pub fn flush(&mut self, sink: &mut impl Write) -> io::Result<bool> {
        while !self.is_empty() {
            match attempt(|| sink.write(&self.buffer[self.passed..self.filled]))? {
                None => return Ok(false),
                Some(0) => return Err(ErrorKind::WriteZero.into()),
                Some(n) => {
                    self.passed += n;
                    self.passed_bytes += n as u64;
                }
            }
        }
        Ok(true)
    }

    /// Whether everything taken in has been passed on.
    pub fn is_empty(&self) -> bool {
        self.passed == self.filled
    }

    /// Whether the source is at its end.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// How many bytes were taken in.
    pub fn taken_bytes(&self) -> u64 {
        self.taken_bytes
    }

    /// How many of them were passed on.
    pub fn passed_bytes(&self) -> u64 {
        self.passed_bytes
    }

    /// A checksum over all that was taken in. Where an accident changed the bytes, one in 2³² escapes it;
    /// it is no seal against somebody who means to deceive.
    pub fn sum(&self) -> u32 {
        self.sum.clone().finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Gives, Scripted, Takes, byte, every};
    use super::*;

    #[test]
    fn every_short_script_passes_on_what_was_taken_in_and_stops_only_when_blocked() {
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

    /// As the stream drives it, with both ends in one.
    fn pump_dry(pump: &mut Pump, io: &mut Scripted) -> io::Result<()> {
        while pump.flush(io)? && pump.fill(io)? == Filled::Bytes {}
        Ok(())
    }

    #[test]
    fn the_sum_does_not_depend_on_how_the_bytes_were_cut() {
        let sum_of = |gives: &[Gives]| {
            let mut pump = Pump::new();
            pump_dry(&mut pump, &mut Scripted::new(gives, &[Takes::Bytes(9); 9])).unwrap();
            pump.sum()
        };
        let whole = sum_of(&[Gives::Bytes(6)]);
        assert_eq!(sum_of(&[Gives::Bytes(1), Gives::Bytes(2), Gives::Bytes(3)]), whole);
        assert_ne!(sum_of(&[Gives::Bytes(5)]), whole);
    }
}
