//! From the arguments of `resound ping` to lines on standard output.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;

use super::Failure;
use super::units::{count, size, timeout, within};
use crate::client::ping::{self, Json, Notice, Options, Summary, Tally};
use crate::net::Addr;
use crate::stdio::say;

/// What `resound ping` can be told.
#[derive(Args, Debug)]
pub struct Ping {
    #[arg(value_name = "ADDR", help = "The server: HOST:PORT, [IPV6]:PORT or unix:PATH")]
    server: Addr,

    /// Stop after this many messages [default: only when told to]
    #[arg(short, long, value_name = "COUNT", value_parser = messages)]
    count: Option<u64>,

    /// Send a message every so often, 1ms at the least
    #[arg(short, long, value_name = "DURATION", value_parser = timeout, default_value = "1s")]
    interval: Duration,

    /// The size of a message
    #[arg(short, long, value_name = "SIZE", value_parser = message_size, default_value = "56")]
    size: usize,

    /// Count an echo as lost that has not come back whole after this long; likewise a connection
    #[arg(short = 'W', long, value_name = "DURATION", value_parser = timeout, default_value = "10s")]
    timeout: Duration,

    /// Print only the first line and the summary
    // The global flag's name, so that it can stand before `ping` too, and then means this.
    #[arg(short, long)]
    quiet: bool,

    /// Print only one JSON object, in the end
    #[arg(long)]
    json: bool,
}

fn messages(text: &str) -> Result<u64, String> {
    within(count(text)?, (1, "1"), (1_000_000_000, "1000000000")).map(|n| n as u64)
}

fn message_size(text: &str) -> Result<usize, String> {
    const MOST: usize = 64 << 20;
    match size(text)? {
        n if n > MOST => {
            Err("write something from 1 to 64m: the time of a larger message tells how much \
                              passes, and not how fast"
                .into())
        }
        n => within(n, (1, "1"), (MOST, "64m")),
    }
}

impl Ping {
    /// Pings until all is sent, or a signal ends it.
    ///
    /// # Errors
    ///
    /// Where the server cannot be reached, or an echo was lost or wrong, or there was none.
    pub fn run(self) -> Result<(), Failure> {
        let Self { server, count, interval, size, timeout, quiet, json } = self;
        let options = Options { server, count, interval, size, timeout };
        let show = match (json, quiet) {
            (true, _) => Show::Json,
            (false, true) => Show::FirstAndLast,
            (false, false) => Show::All,
        };
        let tally = ping::run(&options, |notice| show.step(notice))?;
        show.end(&options, &tally)?;
        tally.verdict().map_err(|e| Failure::run(&e))
    }
}

/// What standard output gets.
#[derive(Clone, Copy)]
enum Show {
    All,
    FirstAndLast,
    Json,
}

impl Show {
    fn step(self, notice: &Notice<'_>) -> io::Result<()> {
        match (self, notice) {
            (Self::Json, Notice::Interim(_)) => {
                // Whoever asks for it looks at a terminal, but standard output is a program's.
                let _ = writeln!(io::stderr(), "{notice}");
                Ok(())
            }
            (Self::All, _) | (Self::FirstAndLast, Notice::Start { .. } | Notice::Interim(_)) => {
                say(notice)
            }
            (Self::FirstAndLast | Self::Json, _) => Ok(()),
        }
    }

    fn end(self, options: &Options, tally: &Tally) -> io::Result<()> {
        match self {
            Self::All | Self::FirstAndLast => {
                let summary = Summary { server: &options.server, tally };
                say(&format_args!("\n{summary}"))
            }
            Self::Json => {
                let json = serde_json::to_string_pretty(&Json::new(options, tally))?;
                say(&json)
            }
        }
    }
}
