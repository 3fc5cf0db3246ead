//! From the arguments to the options of a run.

use std::time::Duration;

use super::Load;
use super::rate::Rate;
use crate::client::load::{Length, Options};
use crate::net::Addr;

/// How long to measure by default.
const DURATION: Duration = Duration::from_secs(10);

/// How long an echo may take by default...
const TIMEOUT: Duration = Duration::from_secs(10);
/// ...and over UDP, where one that is lost never comes.
const DATAGRAM_TIMEOUT: Duration = Duration::from_secs(1);

/// The default length of an interval...
const INTERVAL: Duration = Duration::from_secs(1);
/// ...unless a run would have more intervals than this: their memory is bounded.
const MAX_INTERVALS: u32 = 100_000;

impl Load {
    /// The options that the arguments give.
    pub(super) fn options(&self) -> Options {
        let Self { server, traffic, connecting, .. } = self;
        let length = match (traffic.count, traffic.duration) {
            (Some(n), _) => Length::Messages(n),
            (None, time) => Length::Time(time.unwrap_or(DURATION)),
        };
        let default_interval = match length {
            Length::Time(time) => INTERVAL.max(time / MAX_INTERVALS),
            Length::Messages(_) => INTERVAL,
        };
        let is_udp = matches!(server, Addr::Udp { .. });
        let usual = if is_udp { DATAGRAM_TIMEOUT } else { TIMEOUT };
        let timeout = connecting.timeout.unwrap_or(usual);
        Options {
            server: server.clone(),
            connections: connecting.connections,
            length,
            rate: match traffic.rate {
                Some(Rate::Fixed(rate)) => Some(rate),
                Some(Rate::Highest(_)) | None => None,
            },
            sizes: traffic.size.clone(),
            depth: traffic.pipeline.unwrap_or(match traffic.rate {
                Some(rate) if is_udp => datagrams_in_flight(rate, timeout, connecting.connections),
                _ => 1,
            }),
            connect_rate: connecting.connect_rate,
            warmup: traffic.warmup,
            timeout,
            wait: connecting.wait,
            sources: connecting.source_ip.clone(),
            send_proxy: connecting.send_proxy.version,
            reconnect_every: connecting.reconnect_every,
            keep_going: connecting.keep_going,
            interval: self.reports.interval.unwrap_or(default_interval),
            spin: traffic.spin,
        }
    }
}

/// How many messages of an open loop a connection over UDP may have in flight by default: twice as many as fall due within
/// the timeout, so that those that are lost hold up no other.
fn datagrams_in_flight(rate: Rate, timeout: Duration, connections: usize) -> usize {
    const FEW: f64 = 64.0;
    const MANY: f64 = 100_000.0;
    match rate {
        Rate::Fixed(rate) => {
            (2.0 * rate * timeout.as_secs_f64() / connections as f64).clamp(FEW, MANY) as usize
        }
        // The search begins with a closed loop, which fills all that there is room for.
        Rate::Highest(_) => 64,
    }
}
