//! Connections that echo rightly, in the most awkward way that TCP allows. They are for testing clients.
//!
//! What a client wrote in one piece comes back in single bytes, in two halves of a character, late, or in a burst with
//! what came before. All of that happens on real networks, and rarely on loopback.
//!
//! A server does not know of it: [`Awkward`] is a listener like any other, and its streams take less than they are given.
//! If a stream rests, it says `WouldBlock`, and an alarm beside its socket makes the event that ends the rest.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};

use crate::client::alarm::Alarm;
use crate::client::rng::xorshift;
use crate::net::{Endpoint, Listen, Stream};

/// A listener whose streams are awkward.
#[derive(Debug)]
pub struct Awkward<L> {
    listener: L,
    /// What the next stream's moods follow from.
    seed: u64,
}

impl<L> Awkward<L> {
    /// What happens follows from the seed, and from the order in which clients come.
    pub fn new(listener: L, seed: u64) -> Self {
        Self { listener, seed: seed.max(1) }
    }
}

impl<L: Listen> Listen for Awkward<L> {
    type Stream = AwkwardStream<L::Stream>;

    fn accept(&mut self) -> io::Result<(Self::Stream, Endpoint)> {
        let (stream, peer) = self.listener.accept()?;
        self.seed = xorshift(self.seed);
        Ok((AwkwardStream::new(stream, self.seed)?, peer))
    }

    fn fills_silently(&self) -> bool {
        self.listener.fills_silently()
    }

    fn has_successor(&self) -> bool {
        self.listener.has_successor()
    }
}

impl<L: Source> Source for Awkward<L> {
    fn register(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        self.listener.register(r, t, i)
    }

    fn reregister(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        self.listener.reregister(r, t, i)
    }

    fn deregister(&mut self, r: &Registry) -> io::Result<()> {
        self.listener.deregister(r)
    }
}

/// How a stream takes what is written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// One byte at a time, with a short rest after each.
    Bytes,
    /// Up to the middle of a character, or a few bytes.
    Pieces,
    /// After a long rest, whatever there is.
    Late,
    /// Whatever there is.
    Burst,
}

/// A stream that takes less than it is given, and rests.
#[derive(Debug)]
pub struct AwkwardStream<S> {
    stream: S,
    alarm: Alarm,
    random: u64,
    mood: Mood,
    /// How many bytes it takes in this mood.
    left: usize,
    rests_until: Option<Instant>,
}

impl<S> AwkwardStream<S> {
    /// # Errors
    ///
    /// If the system gives no timer: timerfd_create(2).
    fn new(stream: S, seed: u64) -> io::Result<Self> {
        let alarm = Alarm::new()?;
        let (mood, left, rests_until) = (Mood::Burst, 0, None);
        Ok(Self { stream, alarm, random: seed, mood, left, rests_until })
    }

    fn below(&mut self, n: usize) -> usize {
        self.random = xorshift(self.random);
        (self.random >> 16) as usize % n
    }

    fn rest(&mut self, time: Duration, now: Instant) {
        self.rests_until = Some(now + time);
    }

    /// Whether it rests at `now`. If so, an event ends that.
    fn is_resting(&mut self, now: Instant) -> io::Result<bool> {
        match self.rests_until {
            Some(until) if now < until => self.alarm.set(until).map(|()| true),
            _ => {
                self.rests_until = None;
                Ok(false)
            }
        }
    }

    /// Falls into another mood, if this one is over.
    fn change_mood(&mut self, now: Instant) {
        if self.left > 0 {
            return;
        }
        (self.mood, self.left) = match self.below(4) {
            0 => (Mood::Bytes, 1 + self.below(20)),
            1 => (Mood::Pieces, 1 + self.below(100)),
            2 => (Mood::Late, 1 + self.below(1 << 20)),
            _ => (Mood::Burst, 1 + self.below(1 << 20)),
        };
        if self.mood == Mood::Late {
            let rest = Duration::from_millis(20 + self.below(200) as u64);
            self.rest(rest, now);
        }
    }

    /// How many of these bytes it takes. At least one.
    fn portion(&mut self, bytes: &[u8]) -> usize {
        let most = match self.mood {
            Mood::Bytes => 1,
            Mood::Pieces => middle_of_character(bytes).unwrap_or(1 + self.below(7)),
            Mood::Late | Mood::Burst => self.left,
        };
        most.min(bytes.len()).min(self.left).max(1)
    }
}

/// The number of bytes up to the middle of the first character that has several.
fn middle_of_character(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte >= 0xc0).map(|at| at + 1)
}

impl<S: Write> Write for AwkwardStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = Instant::now();
        if !self.is_resting(now)? {
            self.change_mood(now);
        }
        if self.is_resting(now)? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let portion = self.portion(bytes);
        let taken = self.stream.write(&bytes[..portion])?;
        self.left = self.left.saturating_sub(taken);
        if matches!(self.mood, Mood::Bytes | Mood::Pieces) {
            let rest = Duration::from_micros(200 + self.below(3000) as u64);
            self.rest(rest, now);
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl<S: Read> Read for AwkwardStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl<S: AsFd> AsFd for AwkwardStream<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl<S: Stream> Stream for AwkwardStream<S> {
    fn short_read_drains(&self) -> bool {
        self.stream.short_read_drains()
    }

    fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.peek(buffer)
    }

    fn is_read_closed(&self) -> bool {
        self.stream.is_read_closed()
    }

    fn reset_on_close(&self) {
        self.stream.reset_on_close();
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.stream.shutdown_write()
    }

    fn unacknowledged(&self) -> Option<u32> {
        self.stream.unacknowledged()
    }
}

/// The alarm has the token of the socket: its event is one of the connection.
impl<S: Source> Source for AwkwardStream<S> {
    fn register(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        self.stream.register(r, t, i)?;
        self.alarm.register(r, t, Interest::READABLE)
    }

    fn reregister(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        self.stream.reregister(r, t, i)?;
        self.alarm.reregister(r, t, Interest::READABLE)
    }

    fn deregister(&mut self, r: &Registry) -> io::Result<()> {
        let done = self.stream.deregister(r);
        self.alarm.deregister(r)?;
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes until all is taken, and sleeps through no rest. Returns the pieces that arrive, and how often it rested.
    fn pieces(seed: u64, bytes: &[u8]) -> (Vec<usize>, usize) {
        let mut stream = AwkwardStream::new(Vec::new(), seed).unwrap();
        let (mut at, mut rests, mut pieces) = (0, 0, Vec::new());
        while at < bytes.len() {
            match stream.write(&bytes[at..]) {
                Ok(n) => {
                    pieces.push(n);
                    at += n;
                }
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::WouldBlock);
                    (stream.rests_until, rests) = (None, rests + 1);
                }
            }
        }
        assert!(stream.stream == bytes);
        (pieces, rests)
    }

    #[test]
    fn everything_arrives_in_each_mood_and_the_seed_decides_how() {
        let bytes: Vec<u8> = (0..=255).cycle().take(5 << 20).collect();
        let (mut all, mut rested) = (Vec::new(), 0);
        for seed in 1..20 {
            let (one, rests) = pieces(seed, &bytes);
            assert_eq!(pieces(seed, &bytes).0, one);
            rested += rests;
            all.extend(one);
        }
        assert!(all.contains(&1) && all.iter().any(|n| (2..8).contains(n)));
        assert!(all.iter().any(|n| *n > 10_000) && rested > 50, "{rested}");
    }

    #[test]
    fn a_character_is_cut_in_its_middle() {
        assert_eq!(middle_of_character("ab\u{e9}".as_bytes()), Some(3));
        assert_eq!(middle_of_character(b"abc"), None);
        let mut stream = AwkwardStream::new(Vec::<u8>::new(), 1).unwrap();
        (stream.mood, stream.left) = (Mood::Pieces, 50);
        assert_eq!(stream.portion("x\u{1f600}y".as_bytes()), 2);
    }
}
