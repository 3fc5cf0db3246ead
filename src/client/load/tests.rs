use super::*;

/// One connection and one message of 64 bytes at a time.
pub(in crate::client) fn options() -> Options {
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
        wait: Duration::ZERO,
        sources: Vec::new(),
        send_proxy: None,
        reconnect_every: None,
        keep_going: false,
        interval: Duration::from_secs(1),
        spin: Duration::from_micros(50),
    }
}

/// Ten seconds, in which 1000 responses took from 1 ms to 1000 ms.
pub(super) fn outcome() -> Outcome {
    let mut outcome = Outcome::nothing(SystemTime::UNIX_EPOCH);
    (1..=1000).for_each(|ms| outcome.response.record(Duration::from_millis(ms)));
    outcome.service = outcome.response.clone();
    (outcome.messages, outcome.messages_in_time) = (1000, 1000);
    outcome.measured = Duration::from_secs(10);
    outcome
}
