//! What a client of the metrics sends, and the answer that is due.

use crate::kit::rng::Rng;

/// A head that is longer than this is refused.
const MAX_HEAD_BYTES: usize = 8 << 10;

/// What must be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The figures.
    Figures,
    /// Whether the server is ready: 200, or 503 once it was asked to stop.
    Readiness,
    /// A response with this status.
    Status(u16),
}

#[derive(Clone, Debug)]
pub struct Request {
    pub bytes: Vec<u8>,
    pub due: Due,
    /// With this many bytes, the answer is due.
    pub decided_at: usize,
}

impl Request {
    /// A request of any kind.
    pub fn new(rng: &mut Rng) -> Self {
        match rng.below(12) {
            0..=3 => whole("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", Due::Figures),
            4 => whole("GET /metrics?x=1 HTTP/1.0\r\n\r\n", Due::Figures),
            5 => whole("GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n", Due::Readiness),
            6 => whole("HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n", Due::Status(200)),
            7 => whole("GET /metric HTTP/1.1\r\nHost: a\r\n\r\n", Due::Status(404)),
            8 => whole("POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n", Due::Status(405)),
            9 => whole("GET /metrics HTTP/1.1\r\n\r\n", Due::Status(400)),
            10 => whole("GET / HTTP/1.1\r\nHost: a\r\nX\0\r\n", Due::Status(400)),
            _ => oversized(rng),
        }
    }
}

/// The answer is due with the last byte, at the latest.
fn whole(text: &str, due: Due) -> Request {
    Request { bytes: text.into(), due, decided_at: text.len() }
}

/// Never ends, as far as the server can see.
fn oversized(rng: &mut Rng) -> Request {
    let mut bytes = b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    bytes.resize(MAX_HEAD_BYTES + rng.size(1, 1 << 15) as usize, b'x');
    Request { bytes, due: Due::Status(431), decided_at: MAX_HEAD_BYTES }
}
