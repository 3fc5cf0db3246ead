//! Requests on a scripted socket.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{Read, Write};

use super::*;
use crate::http::{MAX_HEAD_BYTES, Request};
use crate::kit::source::unpolled;

/// A socket whose peer has sent some pieces. An empty piece is a `WouldBlock`.
#[derive(Debug, Default)]
struct Scripted {
    pieces: VecDeque<Vec<u8>>,
    /// What follows the last piece.
    end: Option<ErrorKind>,
    /// A write takes this many bytes or fewer, and every second write would block. Without it, a write takes all.
    room: Option<usize>,
    writes: usize,
    sent: Vec<u8>,
    is_shut: Cell<bool>,
}

impl Scripted {
    /// A peer that sends `pieces` and then its end of file.
    fn new(pieces: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        Self { pieces: pieces.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

impl Read for Scripted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty(), "a read without room would look like an end of file");
        let Some(mut piece) = self.pieces.pop_front() else {
            return self.end.map_or(Ok(0), |kind| Err(kind.into()));
        };
        if piece.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let n = piece.len().min(buffer.len());
        buffer[..n].copy_from_slice(&piece[..n]);
        if n < piece.len() {
            self.pieces.push_front(piece.split_off(n));
        }
        Ok(n)
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.is_shut.get(), "a write after the end");
        self.writes += 1;
        if self.room.is_some() && self.writes.is_multiple_of(2) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let n = bytes.len().min(self.room.unwrap_or(usize::MAX));
        self.sent.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Scripted {
    fn short_read_drains(&self) -> bool {
        false
    }

    fn peek(&self, _: &mut [u8]) -> io::Result<usize> {
        unreachable!("a request is read")
    }

    fn is_read_closed(&self) -> bool {
        unreachable!("a read finds the end of file")
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.is_shut.set(true);
        Ok(())
    }

    fn unacknowledged(&self) -> Option<u32> {
        None
    }
}

unpolled!(Scripted);

fn hello(request: &Request<'_>) -> Option<Response> {
    (request.path == "/hello").then(|| Response::text(StatusCode::Ok, "hello\n"))
}

/// Drives a client until it must be closed, and returns what it was sent, without the date.
#[track_caller]
fn response_to(stream: Scripted) -> String {
    let mut client = Client::new(stream);
    // Each drive reads a byte or writes one.
    for _ in 0..100_000 {
        if client.drive(&mut hello) == Next::Close {
            let is_answered = !client.stream.sent.is_empty();
            assert_eq!(client.stream.is_shut.get(), is_answered, "the end follows the response");
            let sent = String::from_utf8(client.stream.sent).unwrap();
            let lines = sent.split_inclusive('\n').filter(|line| !line.starts_with("Date: "));
            return lines.collect();
        }
    }
    panic!("it never ends: {client:?}");
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 6\r\n\
                     Cache-Control: no-store\r\nConnection: close\r\n\r\nhello\n";

/// The status of a response, and whether it has the body that its length says.
#[track_caller]
fn status_of(response: &str) -> &str {
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{response:?}"));
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    assert_eq!(length.parse(), Ok(body.len()), "{response:?}");
    response[..12].strip_prefix("HTTP/1.1 ").unwrap()
}

const REQUESTS: [(&str, &str); 24] = [
    ("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", "200"),
    ("GET /hello?x=/y HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", "200"),
    ("GET http://a/hello HTTP/1.1\r\nHost: a\r\n\r\n", "200"),
    ("GET /hello HTTP/1.0\r\n\r\n", "200"),
    ("GET /hello HTTP/1.0\n\n", "200"),
    ("\r\nGET /hello HTTP/1.1\r\nhost:a\r\n\r\n", "200"),
    ("GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n", "200"),
    ("GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nsomething", "200"),
    ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
    ("GET /hello/ HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
    ("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", "405"),
    ("OPTIONS /hello HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
    ("get /hello HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
    ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
    // RFC 9112, section 3.2.
    ("GET /hello HTTP/1.1\r\n\r\n", "400"),
    ("GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
    ("GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", "505"),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
    ("GET /hello\r\n\r\n", "400"),
    ("GET /hello HTTP/1.1\r\nHost : a\r\n\r\n", "400"),
    ("GET /hello HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", "400"),
    ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}", "400"),
    ("hello?\r\n\r\n", "400"),
    ("GET /hello HTTP/1.1\r\nHost: a\r\n", "400"),
];

#[test]
fn each_request_gets_its_status() {
    for (request, status) in REQUESTS {
        let response = response_to(Scripted::new([request]));
        assert_eq!(status_of(&response), status, "{request:?}");
    }
    let (request, _) = REQUESTS[0];
    assert_eq!(response_to(Scripted::new([request])), HELLO);
}

/// Also if the socket takes a byte at a time.
#[test]
fn the_pieces_of_a_request_make_no_difference() {
    for (request, _) in REQUESTS {
        let whole = response_to(Scripted::new([request]));
        for at in 0..request.len() {
            let (first, rest) = request.as_bytes().split_at(at);
            let pieces = [first, b"", rest];
            assert_eq!(response_to(Scripted::new(pieces)), whole, "{request:?} split at {at}");
        }
        let bytes = request.bytes().flat_map(|byte| [vec![byte], vec![]]);
        let slow = Scripted { room: Some(1), ..Scripted::new(bytes) };
        assert_eq!(response_to(slow), whole, "{request:?} byte by byte");
    }
}

#[test]
fn head_gets_all_but_the_body() {
    let response = response_to(Scripted::new(["HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n"]));
    assert_eq!(response, HELLO.strip_suffix("hello\n").unwrap());
    let response = response_to(Scripted::new(["HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n"]));
    assert!(response.starts_with("HTTP/1.1 404 ") && response.ends_with("\r\n\r\n"), "{response}");
}

#[test]
fn a_method_that_is_not_allowed_learns_which_are() {
    let response = response_to(Scripted::new(["PUT /hello HTTP/1.1\r\nHost: a\r\n\r\n"]));
    assert!(response.contains("\r\nAllow: GET, HEAD\r\n"), "{response}");
}

#[test]
fn a_head_may_have_the_limit_and_not_a_byte_more() {
    let request = |len: usize| {
        let (start, end) = ("GET /hello HTTP/1.1\r\nHost: a\r\nX: ", "\r\n\r\n");
        format!("{start}{}{end}", "x".repeat(len - start.len() - end.len()))
    };
    for (len, status) in [(MAX_HEAD_BYTES, "200"), (MAX_HEAD_BYTES + 1, "431"), (100_000, "431")] {
        let request = request(len);
        let (first, rest) = request.split_at(MAX_HEAD_BYTES - 1);
        for pieces in [vec![&*request], vec![first, "", rest]] {
            assert_eq!(status_of(&response_to(Scripted::new(pieces))), status, "{len}");
        }
    }
    let many = format!("GET /hello HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(64));
    assert_eq!(status_of(&response_to(Scripted::new([many]))), "431");
}

#[test]
fn a_client_that_sends_nothing_gets_nothing() {
    assert_eq!(response_to(Scripted::new([""])), "");
    let reset = Scripted { end: Some(ErrorKind::ConnectionReset), ..Scripted::new(["GET /"]) };
    assert_eq!(response_to(reset), "");
}

/// A close with unread bytes would be a reset, which can destroy the response.
#[test]
fn what_follows_a_request_is_read_up_to_a_limit() {
    let (request, _) = REQUESTS[0];
    for (after, is_closed) in
        [(0, false), (MAX_DISCARDED_BYTES - 1, false), (MAX_DISCARDED_BYTES, true)]
    {
        let end = Some(ErrorKind::WouldBlock);
        let pieces = [request.into(), "x".repeat(after)].into_iter().filter(|it| !it.is_empty());
        let mut client = Client::new(Scripted { end, ..Scripted::new(pieces) });
        let next = client.drive(&mut hello);
        assert_eq!(next == Next::Close, is_closed, "{after}");
        assert!(client.stream.pieces.is_empty(), "{after}");
    }
}

#[test]
fn only_a_client_that_sent_a_part_hears_that_its_time_is_over() {
    for (sent, expected) in [("", ""), ("GET /he", "408"), (REQUESTS[0].0, "200")] {
        let end = Some(ErrorKind::WouldBlock);
        let pieces = Some(sent).filter(|sent| !sent.is_empty());
        let mut client = Client::new(Scripted { end, ..Scripted::new(pieces) });
        assert_eq!(client.drive(&mut hello), Next::Wait);
        client.time_out();
        let sent = String::from_utf8(client.stream.sent).unwrap();
        let status = sent.get(9..12).unwrap_or_default();
        assert_eq!(status, expected);
        assert_eq!(sent.matches("HTTP/1.1 ").count(), usize::from(!expected.is_empty()));
    }
}
