//! From the arguments of `resound load` to a verdict.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use clap::Args;

use super::Failure;
use super::units::{count, duration, size, timeout, within};
use crate::client::load::{self, Length, Options};
use crate::net::Addr;

/// What `resound load` can be told.
#[derive(Args, Debug)]
pub struct Load {
    #[arg(value_name = "ADDR", help = "The server: HOST:PORT, [IPV6]:PORT or unix:PATH")]
    server: Addr,

    /// Connections, all open at once
    #[arg(short, long, value_name = "N", value_parser = connections, default_value = "50")]
    connections: usize,

    /// How long to measure [default: 10s, unless --count says how much]
    #[arg(short, long, value_name = "DURATION", value_parser = timeout, conflicts_with = "count")]
    duration: Option<Duration>,

    /// How many messages to measure, over all connections
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = messages)]
    count: Option<u64>,

    /// Messages a second over all connections, each due at its own time, however slow the server is
    /// [default: as fast as echoes come back]
    #[arg(short, long, value_name = "RATE", value_parser = rate)]
    rate: Option<f64>,

    /// Bytes of a message, or a range to choose from at random, such as 64-4k
    #[arg(short, long, value_name = "SIZE", value_parser = sizes, default_value = "64")]
    size: RangeInclusive<usize>,

    /// Messages that a connection may have in flight
    #[arg(short, long, value_name = "DEPTH", value_parser = depth, default_value = "1")]
    pipeline: usize,

    /// Connections to begin a second [default: as fast as they are made]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    connect_rate: Option<f64>,

    /// How long to go on before anything is measured
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    warmup: Duration,

    /// Fail when an echo, or a connection, takes this long
    #[arg(short = 'W', long, value_name = "DURATION", value_parser = timeout, default_value = "10s")]
    timeout: Duration,

    /// This machine's addresses to connect from, in turn: each has some 28000 ports
    #[arg(long, value_name = "IP", num_args = 1.., value_delimiter = ',')]
    source_ip: Vec<IpAddr>,

    /// Replace each connection by a new one after so many messages
    #[arg(long, value_name = "N", value_parser = messages)]
    reconnect_every: Option<u64>,

    /// Replace a connection that has died, and go on; the run fails in the end all the same only where
    /// bytes were wrong
    #[arg(long)]
    keep_going: bool,
}

fn connections(text: &str) -> Result<usize, String> {
    within(count(text)?, (1, "1"), (1_000_000, "1m"))
}

fn messages(text: &str) -> Result<u64, String> {
    within(count(text)? as u64, (1, "1"), (u64::MAX, "as many as there are"))
}

fn depth(text: &str) -> Result<usize, String> {
    within(count(text)?, (1, "1"), (100_000, "100k"))
}

fn rate(text: &str) -> Result<f64, String> {
    within(count(text)?, (1, "1"), (100_000_000, "100m")).map(|n| n as f64)
}

fn sizes(text: &str) -> Result<RangeInclusive<usize>, String> {
    let one = |text| within(size(text)?, (1, "1"), (1 << 30, "1g"));
    let (least, most) = match text.split_once('-') {
        Some((least, most)) => (one(least)?, one(most)?),
        None => (one(text)?, one(text)?),
    };
    if least > most {
        return Err("the smaller size comes first, such as 64-4k".into());
    }
    Ok(least..=most)
}

impl Load {
    /// Loads, reports and judges.
    ///
    /// # Errors
    ///
    /// Where the run failed, or a threshold was missed.
    pub fn run(self) -> Result<(), Failure> {
        let options = self.options();
        let outcome = load::run(&options, &mut ())?;
        println!("{outcome:#?}");
        Ok(())
    }

    fn options(&self) -> Options {
        let length = match (self.count, self.duration) {
            (Some(n), _) => Length::Messages(n),
            (None, time) => Length::Time(time.unwrap_or(Duration::from_secs(10))),
        };
        Options {
            server: self.server.clone(),
            connections: self.connections,
            length,
            rate: self.rate,
            sizes: self.size.clone(),
            depth: self.pipeline,
            connect_rate: self.connect_rate,
            warmup: self.warmup,
            timeout: self.timeout,
            sources: self.source_ip.clone(),
            reconnect_every: self.reconnect_every,
            keep_going: self.keep_going,
            interval: Duration::from_secs(1),
        }
    }
}
