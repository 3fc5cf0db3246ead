//! One message and its echo, without a socket and without a clock.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use crate::client::drive::Timeout;
use crate::client::idle_timer::IdleTimer;
use crate::client::{attempt, write_rest};

/// A message on its way to the server and back.
#[derive(Debug)]
pub struct Exchange {
    message: Vec<u8>,
    sent: usize,
    /// As long as the message. The rest of an echo that is longer stays in the socket.
    echo: Box<[u8]>,
    received: usize,
    /// When the message had a connection.
    began: Instant,
    /// Each byte renews it, in either direction.
    timer: IdleTimer,
    is_second_try: bool,
}

/// The first byte of an echo that is not what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    pub offset: u64,
    pub sent: u8,
    pub received: u8,
}

impl Exchange {
    /// A message that expires if no byte moves for `timeout`.
    pub fn new(message: Vec<u8>, timeout: Duration, now: Instant) -> Self {
        Self {
            sent: 0,
            echo: vec![0; message.len()].into(),
            message,
            received: 0,
            began: now,
            timer: IdleTimer::new(timeout, now),
            is_second_try: false,
        }
    }

    /// Starts its time anew, because it has a connection now.
    pub fn restart(&mut self, now: Instant) {
        self.began = now;
        self.timer.renew(now);
    }

    /// Whether it makes sense to send the message again, on another connection. It does once, if none of the echo has
    /// come: probably the server left before the message reached it.
    pub fn may_retry(&self) -> bool {
        !self.is_second_try && self.received == 0
    }

    /// Prepares to send the message again, for the second and last time.
    pub fn begin_again(&mut self) {
        (self.sent, self.is_second_try) = (0, true);
    }

    /// Leaves out a time in which the program did not run. It counts against no server.
    pub fn discount(&mut self, standstill: Duration) {
        self.began += standstill;
        self.timer.discount(standstill);
    }

    /// How long the server has for the next byte.
    pub fn poll_timeout(&self, now: Instant) -> Timeout {
        Timeout::Owed(self.timer.left(now))
    }

    /// Whether the server let its time pass.
    pub fn has_expired(&self, now: Instant) -> bool {
        self.timer.has_expired(now)
    }

    /// Receives and sends until both would block. Returns how long the exchange took, if it is complete.
    ///
    /// # Errors
    ///
    /// The connection ended before the exchange was complete. `UnexpectedEof` if the server closed it.
    pub fn drive(
        &mut self,
        io: &mut (impl Read + Write),
        now: Instant,
    ) -> io::Result<Option<Duration>> {
        let before = self.moved_bytes();
        // It receives before it sends: an echo must not come in the turn that sent its message, or it took no time.
        self.receive(io)?;
        // If sending fails, the bytes that came meanwhile count.
        write_rest(io, &self.message, &mut self.sent)
            .or_else(|error| self.receive(io).and(Err(error)))?;
        if self.moved_bytes() != before {
            self.timer.renew(now);
        }
        Ok(self.is_complete().then(|| now.saturating_duration_since(self.began)))
    }

    fn receive(&mut self, io: &mut impl Read) -> io::Result<()> {
        while self.received < self.echo.len() {
            match attempt(|| io.read(&mut self.echo[self.received..]))? {
                Some(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Some(n) => self.received += n,
                None => break,
            }
        }
        Ok(())
    }

    /// Whether the whole message is sent.
    pub fn is_sent(&self) -> bool {
        self.sent == self.message.len()
    }

    /// Whether the whole message is sent, and as many bytes have come back.
    pub fn is_complete(&self) -> bool {
        self.is_sent() && self.received == self.echo.len()
    }

    pub fn sent_bytes(&self) -> usize {
        self.sent
    }

    fn moved_bytes(&self) -> usize {
        self.sent + self.received
    }

    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// What has come back so far.
    pub fn echo(&self) -> &[u8] {
        &self.echo[..self.received]
    }

    /// The first byte that has come back and is not what was sent.
    pub fn difference(&self) -> Option<Difference> {
        let mut pairs = self.message.iter().zip(self.echo()).enumerate();
        let (offset, (&sent, &received)) = pairs.find(|(_, (sent, received))| sent != received)?;
        Some(Difference { offset: offset as u64, sent, received })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::scripted::{Gives, Scripted, Takes, every};
    use super::*;

    const MESSAGE: &[u8] = &[0, 1, 2];
    const LIMIT: Duration = Duration::from_secs(10);
    const S: Duration = Duration::from_secs(1);

    fn exchange(message: &[u8], now: Instant) -> Exchange {
        Exchange::new(message.to_vec(), LIMIT, now)
    }

    /// An exchange after one drive, a second after it began.
    fn driven(
        gives: &[Gives],
        takes: &[Takes],
    ) -> (Exchange, Scripted, io::Result<Option<Duration>>) {
        let start = Instant::now();
        let mut exchange = exchange(MESSAGE, start);
        let mut io = Scripted::new(gives, takes);
        let result = exchange.drive(&mut io, start + S);
        (exchange, io, result)
    }

    /// A server that is infinitely fast.
    #[derive(Default)]
    struct InstantEcho(VecDeque<u8>);

    impl Write for InstantEcho {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for InstantEcho {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { self.0.read(bytes) }
        }
    }

    #[test]
    fn an_echo_in_pieces_is_complete_only_with_its_last_byte() {
        let mut io = Scripted::new(
            &[Gives::Blocks, Gives::Bytes(1), Gives::Blocks, Gives::Bytes(2)],
            &[Takes::Bytes(2), Takes::Blocks, Takes::Bytes(1)],
        );
        let start = Instant::now();
        let mut exchange = exchange(MESSAGE, start);
        assert_eq!(exchange.drive(&mut io, start).unwrap(), None);
        assert_eq!((exchange.is_sent(), exchange.echo()), (false, &[][..]));
        assert_eq!(exchange.drive(&mut io, start + S).unwrap(), None);
        assert_eq!((exchange.is_sent(), exchange.echo()), (true, &MESSAGE[..1]));
        assert_eq!(exchange.drive(&mut io, start + S * 2).unwrap(), Some(S * 2));
        assert_eq!((exchange.echo(), &io.taken[..]), (MESSAGE, MESSAGE));
        assert_eq!(exchange.difference(), None);
    }

    /// Failed when a drive sent first: an echo that was back at once took no time.
    #[test]
    fn an_echo_that_is_back_at_once_counts_in_the_next_turn() {
        let mut io = InstantEcho::default();
        let start = Instant::now();
        let mut exchange = exchange(MESSAGE, start);
        assert_eq!(exchange.drive(&mut io, start).unwrap(), None);
        assert_eq!(exchange.drive(&mut io, start + S).unwrap(), Some(S));
    }

    #[test]
    fn what_comes_after_the_echo_stays_in_the_socket() {
        let (exchange, io, result) = driven(&[Gives::Bytes(9)], &[Takes::Bytes(3)]);
        assert_eq!((result.unwrap(), exchange.is_complete()), (Some(S), true));
        assert_eq!(io.given, MESSAGE.len());
    }

    #[test]
    fn bytes_that_came_before_a_failed_send_count() {
        for gives in [&[Gives::Bytes(2)][..], &[Gives::Blocks, Gives::Bytes(2)]] {
            let (exchange, _, result) = driven(gives, &[Takes::Bytes(2), Takes::Broken]);
            assert_eq!(result.unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert_eq!(exchange.echo(), &MESSAGE[..2]);
        }
    }

    #[test]
    fn the_first_different_byte_is_found_in_what_has_come() {
        let now = Instant::now();
        let mut exchange = exchange(&[0, 7, 8], now);
        assert_eq!(exchange.difference(), None);
        exchange.drive(&mut Scripted::new(&[Gives::Bytes(2)], &[]), now).unwrap();
        let expected = Difference { offset: 1, sent: 7, received: 1 };
        assert_eq!(exchange.difference(), Some(expected));
    }

    /// An exchange that stops before `WouldBlock`, with something still to do, gets no further event.
    #[test]
    fn after_every_short_script_it_is_complete_or_over_or_blocked_in_each_direction() {
        for gives in every(Gives::ALL, 3) {
            for takes in every(Takes::ALL, 3) {
                let (exchange, io, result) = driven(&gives, &takes);
                let wants_read = exchange.echo().len() < MESSAGE.len();
                let is_settled = result.is_err()
                    || ((exchange.is_sent() || io.write_blocked)
                        && (!wants_read || io.read_blocked));
                assert!(is_settled, "{gives:?} {takes:?}");
                assert_eq!(io.taken, MESSAGE[..exchange.sent_bytes()]);
                assert_eq!(exchange.echo(), &MESSAGE[..io.given], "{gives:?} {takes:?}");
            }
        }
    }

    #[test]
    fn a_message_is_sent_again_once_and_only_if_nothing_came_back() {
        let now = Instant::now();
        let mut exchange = exchange(MESSAGE, now);
        let mut cut = Scripted::new(&[Gives::Blocks], &[Takes::Bytes(3)]);
        exchange.drive(&mut cut, now).unwrap();
        assert!(exchange.may_retry());
        exchange.begin_again();
        exchange.restart(now + S);
        let mut io = Scripted::new(&[Gives::Blocks], &[Takes::Bytes(3)]);
        exchange.drive(&mut io, now + S).unwrap();
        assert_eq!(io.taken, MESSAGE);
        assert!(!exchange.may_retry(), "a second time");
        let (begun, ..) = driven(&[Gives::Bytes(1)], &[Takes::Bytes(3)]);
        assert!(!begun.may_retry(), "some of the echo came");
    }

    #[test]
    fn each_byte_renews_its_time_and_a_standstill_does_not_count() {
        let start = Instant::now();
        let after = |s| start + S * s;
        let mut exchange = exchange(MESSAGE, start);
        let mut io = Scripted::new(&[Gives::Blocks, Gives::Bytes(1)], &[Takes::Bytes(3)]);
        exchange.drive(&mut io, after(4)).unwrap();
        assert_eq!(exchange.poll_timeout(after(5)), Timeout::Owed(S * 9));
        exchange.drive(&mut io, after(9)).unwrap();
        exchange.drive(&mut io, after(12)).unwrap();
        assert!(!exchange.has_expired(after(18)) && exchange.has_expired(after(19)));
        exchange.discount(S * 100);
        assert!(!exchange.has_expired(after(118)) && exchange.has_expired(after(119)));
    }
}
