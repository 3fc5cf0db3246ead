//! From the arguments to the options of a run.

use std::time::Duration;

use super::Load;
use super::rate::Rate;
use crate::client::load::{Length, Options};

/// How long to measure by default.
const DURATION: Duration = Duration::from_secs(10);

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
        Options {
            server: server.clone(),
            connections: connecting.connections,
            length,
            rate: match traffic.rate {
                Some(Rate::Fixed(rate)) => Some(rate),
                Some(Rate::Highest(_)) | None => None,
            },
            sizes: traffic.size.clone(),
            depth: traffic.pipeline,
            connect_rate: connecting.connect_rate,
            warmup: traffic.warmup,
            timeout: connecting.timeout,
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
