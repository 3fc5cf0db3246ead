use super::*;

/// One connection and one message of 64 bytes at a time.
pub(super) fn options() -> Options {
    Options {
        server: "127.0.0.1:7".parse().unwrap(),
        connections: 1,
        length: Length::Messages(1),
        rate: None,
        sizes: 64..=64,
        depth: 1,
        connect_rate: None,
        warmup: Duration::ZERO,
        timeout: Duration::from_secs(10),
        sources: Vec::new(),
        reconnect_every: None,
        keep_going: false,
        interval: Duration::from_secs(1),
    }
}
