//! What the client reports, step by step, and the words for it.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use super::exchange::Difference;
use super::totals::{Totals, bytes};
use crate::client::dial::DialProgress;
use crate::net::{Endpoint, reason};
use crate::text::Escaped;
use crate::text::format::{count, elapsed, setting};

/// A step of the conversation. It shows what the server sent escaped, so that nothing acts on the terminal.
#[derive(Debug)]
pub enum Notice<'a> {
    Dialing {
        progress: DialProgress,
        /// Whether there was a connection before.
        again: bool,
    },
    Connected {
        peer: &'a Endpoint,
        local: &'a Endpoint,
    },
    /// There was no connection to send a message on.
    NotSent(&'a io::Error),
    /// The client looked for the server while it had no message to send. It takes no connection.
    Down(&'a io::Error),
    /// The client looked for the server while it had no message to send. It takes a connection.
    Back {
        peer: &'a Endpoint,
        local: &'a Endpoint,
        /// Whether [`Self::Down`] was reported before.
        is_down: bool,
    },
    Sent {
        message: &'a [u8],
    },
    Received {
        echo: &'a [u8],
        took: Duration,
    },
    Differs(Difference),
    /// No further byte of an echo came in time.
    Late(&'a io::Error),
    /// The server sent this although it owed nothing. More bytes can follow.
    Surplus(&'a [u8]),
    /// The connection ended while the server owed nothing.
    ServerLeft(&'a io::Error),
    /// The connection ended before the echo was complete.
    CutShort {
        echo: &'a [u8],
        of: usize,
        why: &'a io::Error,
    },
    SendingAgain,
    Closed,
    /// How things stand, on request.
    Status {
        totals: &'a Totals,
        is_connected: bool,
        /// While an echo is due: how many of its bytes have come, and how many it has.
        waits_for: Option<(usize, usize)>,
    },
    Ended(&'a Totals),
}

impl Notice<'_> {
    /// Whether to report it even to a user who did not ask for every step.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Dialing { progress, .. } => !matches!(progress, DialProgress::Connecting(_)),
            Self::Differs(_)
            | Self::NotSent(_)
            | Self::Down(_)
            | Self::Late(_)
            | Self::Surplus(_)
            | Self::CutShort { .. }
            | Self::SendingAgain => true,
            Self::Connected { .. }
            | Self::Back { .. }
            | Self::Sent { .. }
            | Self::Received { .. }
            | Self::ServerLeft(_)
            | Self::Closed
            | Self::Status { .. }
            | Self::Ended(_) => false,
        }
    }

    /// The bytes that were sent or received, if any.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Sent { message } => message,
            Self::Received { echo, .. } | Self::CutShort { echo, .. } => echo,
            Self::Surplus(surplus) => surplus,
            _ => &[],
        }
    }

    /// A line for a file. It has the message too, which a terminal shows already.
    pub fn in_full(&self) -> String {
        match self {
            Self::Sent { message } => format!("{}: {}", Head(self), Shown(message)),
            _ => self.to_string(),
        }
    }

    /// The line without the [bytes](Self::bytes).
    pub fn head(&self) -> impl fmt::Display {
        Head(self)
    }
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Head(self).fmt(f)?;
        match self {
            Self::Received { echo, .. } => write!(f, ": {}", Shown(echo)),
            Self::CutShort { echo, .. } if !echo.is_empty() => write!(f, ": {}", Shown(echo)),
            Self::Surplus(surplus) => {
                write!(f, ": {}", Escaped(&String::from_utf8_lossy(surplus)))
            }
            _ => Ok(()),
        }
    }
}

/// A notice without its bytes.
struct Head<'a>(&'a Notice<'a>);

impl fmt::Display for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Notice as N;
        match self.0 {
            N::Dialing { progress: DialProgress::Connecting(peer), again: true } => {
                write!(f, "reconnecting to {peer}")
            }
            N::Dialing { progress, .. } => progress.fmt(f),
            N::Connected { peer, local } => write!(f, "connected to {peer} from {local}"),
            N::NotSent(error) => write!(f, "{error}; the message was not sent"),
            N::Down(error) => write!(f, "the server is down: {error}"),
            N::Back { peer, local, is_down } => {
                let back = if *is_down { "the server is back: " } else { "re" };
                write!(f, "{back}connected to {peer} from {local}")
            }
            N::Sent { message } => write!(f, "sent {}", bytes(message.len())),
            N::Received { echo, took } => {
                write!(f, "received {} in {}", bytes(echo.len()), elapsed(*took))
            }
            N::Differs(difference) => difference.fmt(f),
            N::Late(late) => late.fmt(f),
            N::Surplus(surplus) => {
                write!(f, "the server sent {} too many", bytes(surplus.len()))
            }
            N::ServerLeft(why) => write!(f, "the server {}", Left(why)),
            N::CutShort { echo, of, why } => {
                write!(f, "the server {} after {} of {}", Left(why), echo.len(), bytes(*of))
            }
            N::SendingAgain => f.write_str("sending it again, on a new connection"),
            N::Closed => f.write_str("closed the connection"),
            N::Status { totals, is_connected, waits_for } => {
                let connected = if *is_connected { "connected" } else { "not connected" };
                write!(f, "{connected}; {totals}")?;
                waits_for.map_or(Ok(()), |(received, of)| {
                    write!(f, "; waiting for an echo: {received} of {} came back", bytes(of))
                })
            }
            N::Ended(totals) => totals.fmt(f),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sent, received) = (Byte(self.sent), Byte(self.received));
        write!(
            f,
            "the echo is wrong, first at offset {}: sent {sent}, received {received}",
            self.offset
        )
    }
}

/// The error if no further byte of an echo came within `limit`.
pub fn timed_out(limit: Duration, received: u64, of: u64) -> io::Error {
    let more = if received == 0 { "no echo" } else { "no more of the echo" };
    let (limit, received, of) = (setting(limit), count(received), count(of));
    let line = format!("{more} within {limit}: {received} of {of} bytes came back; giving up");
    io::Error::new(ErrorKind::TimedOut, line)
}

/// How a server ended a connection, by the error of a read or write.
#[derive(Debug)]
pub struct Left<'a>(pub &'a io::Error);

impl fmt::Display for Left<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            ErrorKind::UnexpectedEof => f.write_str("closed the connection"),
            _ => write!(f, "broke the connection ({})", reason(self.0)),
        }
    }
}

/// Bytes from the server as text on one line, without the line break at the end.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.0.strip_suffix(b"\n").unwrap_or(self.0);
        // All at once, because a character may have come in pieces.
        Escaped(&String::from_utf8_lossy(line)).fmt(f)
    }
}

/// A byte in hexadecimal, and as a character if that is visible.
struct Byte(u8);

impl fmt::Display for Byte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02x}", self.0)?;
        if self.0.is_ascii_graphic() { write!(f, " ({})", char::from(self.0)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(notice: &Notice<'_>, expected: &str) {
        assert_eq!(notice.to_string(), expected);
    }

    #[test]
    fn an_echo_is_shown_without_its_last_line_break() {
        let took = Duration::from_micros(85);
        let received = |echo| Notice::Received { echo, took };
        check(&received(b"hello\n"), "received 6 bytes in 85.0 µs: hello");
        check(&received(b"\n"), "received 1 byte in 85.0 µs: ");
        check(&received(b"a\n\n"), r"received 3 bytes in 85.0 µs: a\n");
        check(
            &received("grüß \"dich\" 世界\n".as_bytes()),
            "received 21 bytes in 85.0 µs: grüß \"dich\" 世界",
        );
    }

    #[test]
    fn what_the_server_sent_does_not_act_on_the_terminal() {
        let hostile = b"\x1b]0;pwned\x07\r\x9b31m\n";
        check(
            &Notice::Surplus(hostile),
            "the server sent 16 bytes too many: \\u{1b}]0;pwned\\u{7}\\r\u{fffd}31m\\n",
        );
    }

    /// Failed when the line showed fewer bytes than it counted: it left out the last line break.
    #[test]
    fn each_surplus_byte_is_shown() {
        check(&Notice::Surplus(b"ab\n"), r"the server sent 3 bytes too many: ab\n");
        check(&Notice::Surplus(b"\n"), r"the server sent 1 byte too many: \n");
    }

    #[test]
    fn the_line_about_a_wrong_byte_names_its_offset() {
        let differs = |sent, received| Notice::Differs(Difference { offset: 3, sent, received });
        let expected = "the echo is wrong, first at offset 3: sent 0x6c (l), received 0x4c (L)";
        check(&differs(b'l', b'L'), expected);
        check(
            &differs(b'l', 0x1b),
            "the echo is wrong, first at offset 3: sent 0x6c (l), received 0x1b",
        );
    }

    #[test]
    fn an_echo_that_is_cut_short_is_reported_with_the_cause() {
        let eof = ErrorKind::UnexpectedEof.into();
        let reset = io::Error::from_raw_os_error(rustix::io::Errno::CONNRESET.raw_os_error());
        let cut = |echo, why| Notice::CutShort { echo, of: 6, why };
        check(&cut(b"", &eof), "the server closed the connection after 0 of 6 bytes");
        check(
            &cut(b"hel", &reset),
            "the server broke the connection (connection reset by peer) after 3 of 6 bytes: hel",
        );
    }

    /// On a terminal, the message stands in the line above, as the user typed it.
    #[test]
    fn only_a_transcript_repeats_the_message() {
        let sent = Notice::Sent { message: b"a\x1b[b\n" };
        check(&sent, "sent 5 bytes");
        assert_eq!(sent.in_full(), "sent 5 bytes: a\\u{1b}[b");
        let received = Notice::Received { echo: b"a\n", took: Duration::from_millis(1) };
        assert_eq!(received.in_full(), "received 2 bytes in 1.00 ms: a");
        assert_eq!(received.head().to_string(), "received 2 bytes in 1.00 ms");
    }

    #[test]
    fn the_status_says_whether_an_echo_is_due() {
        let totals = Totals { messages: 1, connections: 1, sent_bytes: 6, ..Totals::default() };
        let status =
            |is_connected, waits_for| Notice::Status { totals: &totals, is_connected, waits_for };
        check(
            &status(false, None),
            "not connected; 1 message on 1 connection: 6 bytes sent, 0 bytes received",
        );
        check(
            &status(true, Some((2, 6))),
            "connected; 1 message on 1 connection: 6 bytes sent, 0 bytes received; waiting for an echo: \
             2 of 6 bytes came back",
        );
    }
}
