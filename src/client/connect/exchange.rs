//! One message and its echo, without a socket.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read, Write};

use crate::client::attempt;

/// A message on its way to the server and back.
#[derive(Debug)]
pub struct Exchange<'a> {
    message: Cow<'a, [u8]>,
    sent: usize,
    /// As long as the message from the start: an echo that is longer is not read further.
    echo: Box<[u8]>,
    received: usize,
}

/// The first byte in which an echo is not what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    pub offset: usize,
    pub sent: u8,
    pub received: u8,
}

impl<'a> Exchange<'a> {
    pub fn new(message: impl Into<Cow<'a, [u8]>>) -> Self {
        let message = message.into();
        Self { echo: vec![0; message.len()].into(), message, sent: 0, received: 0 }
    }

    /// Sends and receives as much as goes without waiting.
    ///
    /// # Errors
    ///
    /// The connection is over before the exchange is; `UnexpectedEof` where the server closed it.
    pub fn drive(&mut self, io: &mut (impl Read + Write)) -> io::Result<()> {
        // Where sending fails there may still be bytes to receive, and how many came back matters.
        let sending = self.send(io);
        self.receive(io)?;
        sending
    }

    fn send(&mut self, io: &mut impl Write) -> io::Result<()> {
        while !self.is_sent() {
            match attempt(|| io.write(&self.message[self.sent..]))? {
                Some(0) => return Err(ErrorKind::WriteZero.into()),
                Some(n) => self.sent += n,
                None => break,
            }
        }
        Ok(())
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

    /// Whether the message is on its way.
    pub fn is_sent(&self) -> bool {
        self.sent == self.message.len()
    }

    /// Whether the message is on its way and as many bytes have come back.
    pub fn is_complete(&self) -> bool {
        self.is_sent() && self.received == self.echo.len()
    }

    /// How many bytes were sent.
    pub fn sent_bytes(&self) -> usize {
        self.sent
    }

    /// How many bytes went either way: it grows while the exchange is alive.
    pub fn moved_bytes(&self) -> usize {
        self.sent + self.received
    }

    /// What is sent.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// How many bytes the message has.
    pub fn message_bytes(&self) -> usize {
        self.message.len()
    }

    /// What has come back so far.
    pub fn echo(&self) -> &[u8] {
        &self.echo[..self.received]
    }

    /// Where what has come back so far is first not what was sent.
    pub fn difference(&self) -> Option<Difference> {
        let mut pairs = self.message.iter().zip(self.echo()).enumerate();
        let (offset, (&sent, &received)) = pairs.find(|(_, (sent, received))| sent != received)?;
        Some(Difference { offset, sent, received })
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Gives, Scripted, Takes, every};
    use super::*;

    const MESSAGE: &[u8] = &[0, 1, 2];

    fn driven(gives: &[Gives], takes: &[Takes]) -> (Exchange<'static>, Scripted, io::Result<()>) {
        let mut exchange = Exchange::new(MESSAGE);
        let mut io = Scripted::new(gives, takes);
        let result = exchange.drive(&mut io);
        (exchange, io, result)
    }

    #[test]
    fn an_echo_in_pieces_is_complete_only_with_its_last_byte() {
        let mut io = Scripted::new(
            &[Gives::Bytes(1), Gives::Blocks, Gives::Bytes(2)],
            &[Takes::Bytes(2), Takes::Blocks, Takes::Bytes(1)],
        );
        let mut exchange = Exchange::new(MESSAGE);
        exchange.drive(&mut io).unwrap();
        assert_eq!((exchange.is_sent(), exchange.echo()), (false, &MESSAGE[..1]));
        exchange.drive(&mut io).unwrap();
        assert!(exchange.is_complete());
        assert_eq!((exchange.echo(), &io.taken[..]), (MESSAGE, MESSAGE));
        assert_eq!(exchange.difference(), None);
    }

    #[test]
    fn what_comes_after_the_echo_is_left_in_the_socket() {
        let (exchange, io, result) = driven(&[Gives::Bytes(9)], &[Takes::Bytes(3)]);
        assert!(result.is_ok() && exchange.is_complete());
        assert_eq!(io.given, MESSAGE.len());
    }

    #[test]
    fn bytes_that_came_before_a_failed_send_are_counted() {
        let (exchange, _, result) = driven(&[Gives::Bytes(2)], &[Takes::Bytes(2), Takes::Broken]);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(exchange.echo(), &MESSAGE[..2]);
    }

    #[test]
    fn the_first_different_byte_is_found_in_what_has_come() {
        let mut exchange = Exchange::new(&[0, 7, 8][..]);
        assert_eq!(exchange.difference(), None);
        exchange.drive(&mut Scripted::new(&[Gives::Bytes(2)], &[])).unwrap();
        let expected = Difference { offset: 1, sent: 7, received: 1 };
        assert_eq!(exchange.difference(), Some(expected));
    }

    /// Whoever stops before `WouldBlock`, with something still to do, is never woken again.
    #[test]
    fn after_every_short_script_it_is_complete_or_over_or_blocked_in_each_direction() {
        for gives in every(Gives::ALL, 3) {
            for takes in every(Takes::ALL, 3) {
                let (exchange, io, result) = driven(&gives, &takes);
                let wants_read = exchange.echo().len() < MESSAGE.len();
                let settled = result.is_err()
                    || ((exchange.is_sent() || io.write_blocked)
                        && (!wants_read || io.read_blocked));
                assert!(settled, "{gives:?} {takes:?}");
                assert_eq!(io.taken, MESSAGE[..exchange.sent_bytes()]);
                assert_eq!(exchange.echo(), &MESSAGE[..io.given], "{gives:?} {takes:?}");
            }
        }
    }
}
