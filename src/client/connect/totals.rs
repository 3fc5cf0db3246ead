//! What a client did so far, as it reports it at the end or on request.

use std::fmt;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use super::exchange::{Difference, Exchange};
use crate::text::Plural;
use crate::text::format::counted;

/// Counts connections, messages and bytes.
#[derive(Debug, Default)]
pub struct Totals {
    pub connections: usize,
    pub messages: usize,
    /// Messages whose echo differed or was not complete.
    pub wrong: usize,
    pub sent_bytes: usize,
    pub received_bytes: usize,
    /// Messages that the client sent a second time, since their first connection ended.
    pub again: usize,
    /// Bytes that came although the server owed nothing. They are no echo, and there may have been more.
    pub surplus_bytes: usize,
}

impl Totals {
    /// [Drives](Exchange::drive) an exchange, and counts the bytes that moved.
    ///
    /// # Errors
    ///
    /// As [`Exchange::drive`].
    pub fn drive(
        &mut self,
        exchange: &mut Exchange,
        io: &mut (impl Read + Write),
        now: Instant,
    ) -> io::Result<Option<Duration>> {
        let (sent, received) = (exchange.sent_bytes(), exchange.echo().len());
        let driven = exchange.drive(io, now);
        self.sent_bytes += exchange.sent_bytes() - sent;
        self.received_bytes += exchange.echo().len() - received;
        driven
    }

    /// Counts the result of an exchange that is over. Returns where its echo differs, if it does.
    pub fn judge(&mut self, exchange: &Exchange) -> Option<Difference> {
        let difference = exchange.difference();
        if difference.is_some() || !exchange.is_complete() {
            self.wrong += 1;
        }
        difference
    }

    /// # Errors
    ///
    /// What was wrong with the echoes, if anything.
    pub fn verdict(&self) -> io::Result<()> {
        let wrong =
            format!("{} of {} came back wrong or not at all", self.wrong, messages(self.messages));
        let surplus = format!("the server sent {} too many", bytes(self.surplus_bytes));
        match (self.wrong, self.surplus_bytes) {
            (0, 0) => Ok(()),
            (_, 0) => Err(io::Error::other(wrong)),
            (0, _) => Err(io::Error::other(surplus)),
            (_, _) => Err(io::Error::other(format!("{wrong}, and {surplus}"))),
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = counted(self.connections as u64, "connection", "connections");
        let (sent, received) = (bytes(self.sent_bytes), bytes(self.received_bytes));
        write!(
            f,
            "{} on {connections}: {sent} sent, {received} received",
            messages(self.messages)
        )?;
        if self.again > 0 { write!(f, ", {} sent again", messages(self.again)) } else { Ok(()) }
    }
}

/// The bytes that went each way.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByteTotals {
    pub sent: u64,
    pub received: u64,
}

impl fmt::Display for ByteTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |n| Plural(n, "byte");
        write!(f, "{} sent, {} received", bytes(self.sent), bytes(self.received))
    }
}

/// A number of bytes, in words.
pub fn bytes(n: usize) -> String {
    counted(n as u64, "byte", "bytes")
}

fn messages(n: usize) -> String {
    counted(n as u64, "message", "messages")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_names_everything_that_was_wrong() {
        let verdict = |wrong, surplus_bytes| {
            let totals = Totals { messages: 3, wrong, surplus_bytes, ..Totals::default() };
            totals.verdict().map_err(|e| e.to_string())
        };
        assert_eq!(verdict(0, 0), Ok(()));
        assert_eq!(verdict(1, 0), Err("1 of 3 messages came back wrong or not at all".into()));
        assert_eq!(verdict(0, 1), Err("the server sent 1 byte too many".into()));
        let both =
            "2 of 3 messages came back wrong or not at all, and the server sent 4 bytes too many";
        assert_eq!(verdict(2, 4), Err(both.into()));
    }
}
