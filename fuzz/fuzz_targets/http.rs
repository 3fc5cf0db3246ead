//! Any bytes as a request of HTTP: the response is whole, does not depend on how the bytes come, and only a GET or a HEAD
//! of the path that is served gets what is there.

#![no_main]

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use resound::http::{Request, Response, StatusCode, answer_to};
use resound::net::Stream;

use kit::source::unpolled;

#[allow(dead_code, reason = "each user of the kit needs a part of it")]
#[path = "../../tests/kit/mod.rs"]
mod kit;

const BODY: &str = "here\n";

fuzz_target!(|request: &[u8]| {
    let whole = response_to(request, usize::MAX);
    for piece_bytes in [1, 7, 1000] {
        assert_eq!(response_to(request, piece_bytes), whole, "in pieces of {piece_bytes}");
    }
    if request.is_empty() {
        return assert_eq!(whole, "");
    }
    let (head, body) = whole.split_once("\r\n\r\n").expect("a whole head");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let length: usize = length.and_then(|length| length.parse().ok()).expect("a length");
    let start = String::from_utf8_lossy(request);
    let start = start.trim_start_matches(['\r', '\n']);
    assert!(body.len() == length || body.is_empty() && start.starts_with("HEAD "), "{whole}");
    match head.get(..12) {
        Some("HTTP/1.1 200") => {
            assert!(start.starts_with("GET ") || start.starts_with("HEAD "), "{start}");
            assert!(start.contains("/here") && length == BODY.len(), "{start}");
        }
        Some("HTTP/1.1 405") => assert!(head.contains("\r\nAllow: GET, HEAD\r\n"), "{head}"),
        Some("HTTP/1.1 400" | "HTTP/1.1 404" | "HTTP/1.1 431" | "HTTP/1.1 505") => {}
        other => panic!("{other:?}"),
    }
});

/// The response, without its date, to a request that comes in pieces of this size and then ends.
fn response_to(request: &[u8], piece_bytes: usize) -> String {
    let sent = Rc::default();
    let peer = Peer { request: request.into(), piece_bytes, sent: Rc::clone(&sent) };
    let mut answers = 0;
    let is_closed = answer_to(peer, &mut |request: &Request<'_>| {
        answers += 1;
        (request.path == "/here").then(|| Response::text(StatusCode::Ok, BODY))
    });
    assert!(is_closed && answers <= 1);
    let sent = String::from_utf8(sent.take()).expect("text");
    sent.split_inclusive('\n').filter(|line| !line.starts_with("Date: ")).collect()
}

/// A peer that takes a few bytes at a time.
struct Peer {
    request: Vec<u8>,
    piece_bytes: usize,
    sent: Rc<RefCell<Vec<u8>>>,
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty(), "it would look like an end of file");
        let n = self.request.len().min(buffer.len()).min(self.piece_bytes);
        buffer[..n].copy_from_slice(&self.request[..n]);
        self.request.drain(..n);
        Ok(n)
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.piece_bytes);
        self.sent.borrow_mut().extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Peer {
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
        Ok(())
    }

    fn unacknowledged(&self) -> Option<u32> {
        None
    }
}

unpolled!(Peer);
