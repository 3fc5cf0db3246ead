//! From the arguments of `resound ping` to lines on standard output.

use std::io;
use std::time::Duration;

use clap::Args;

use super::Failure;
use super::address::{NO_HEADER_OVER_UDP, NO_WAIT_OVER_UDP, check_datagram_sizes};
use super::failure::INTERRUPTED;
use super::send_proxy::SendProxy;
use crate::client::dial::DialProgress::Waiting;
use crate::client::ping::{self, End, Json, Notice, Options, Summary, Tally};
use crate::net::Addr;
use crate::stdio::{complain, say};
use crate::units::{count, size, timeout, within};

/// The arguments of `resound ping`.
#[derive(Args, Debug)]
pub struct Ping {
    #[arg(
        value_name = "ADDR",
        help = "The server: HOST:PORT, [IPV6]:PORT, udp:HOST:PORT, unix:PATH or unix:@NAME"
    )]
    server: Addr,

    /// Stop after this many messages [default: ping until a signal comes]
    #[arg(short, long, value_name = "COUNT", value_parser = message_count)]
    count: Option<u64>,

    /// The time from one message to the next, at least 1ms
    #[arg(short, long, value_name = "DURATION", value_parser = timeout, default_value = "1s")]
    interval: Duration,

    /// The size of a message
    #[arg(short, long, value_name = "SIZE", value_parser = message_size, default_value = "56")]
    size: usize,

    /// How long to wait for a whole echo before it counts as lost, and for a connection, including the look-up
    /// of the server's name
    #[arg(short = 'W', long, value_name = "DURATION", value_parser = timeout, default_value = "10s")]
    timeout: Duration,

    /// If the server is not up yet, retry for this long
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    wait: Option<Duration>,

    #[command(flatten)]
    send_proxy: SendProxy,

    /// Print only the first line and the summary
    // It has the name of the global flag, so it can stand before `ping` too, and then means this.
    #[arg(short, long)]
    quiet: bool,

    /// Print only one JSON object, at the end
    #[arg(long)]
    json: bool,
}

fn message_count(text: &str) -> Result<u64, String> {
    within(count(text)?, (1, "1"), (1_000_000_000, "1000000000")).map(|n| n as u64)
}

fn message_size(text: &str) -> Result<usize, String> {
    const MOST: usize = 64 << 20;
    match size(text)? {
        n if n > MOST => Err(format!("write something from 1 to 64m: {LARGER}")),
        n => within(n, (1, "1"), (MOST, "64m")),
    }
}

/// Why the size of a message has an upper bound.
const LARGER: &str = "the time of a larger message shows the bandwidth and not the delay";

impl Ping {
    /// Pings until all messages are sent, or a signal ends it.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached, an echo was lost or wrong, or no echo came.
    pub fn run(self) -> Result<(), Failure> {
        let Self { server, count, interval, size, timeout, wait, send_proxy, quiet, json } = self;
        let send_proxy = send_proxy.version;
        let options = Options { server, count, interval, size, timeout, wait, send_proxy };
        if let Addr::Udp { .. } = options.server {
            check_datagrams(&options)?;
        }
        let show = match (json, quiet) {
            (true, _) => Show::Json,
            (false, true) => Show::FirstAndLast,
            (false, false) => Show::All,
        };
        let (tally, end) = ping::run(&options, |notice| show.step(notice));
        let verdict = verdict(&tally, &end);
        show.end(&options, &tally, &end, verdict.as_ref().err())?;
        verdict
    }
}

/// Checks what only a ping over UDP does not allow.
fn check_datagrams(options: &Options) -> Result<(), Failure> {
    check_datagram_sizes(&(options.size..=options.size))?;
    if options.wait.is_some() {
        return Err(Failure::usage(NO_WAIT_OVER_UDP));
    }
    if options.send_proxy.is_some() {
        return Err(Failure::usage(NO_HEADER_OVER_UDP));
    }
    Ok(())
}

/// What the exit code and the last line say of how the ping ended.
fn verdict(tally: &Tally, end: &End) -> Result<(), Failure> {
    match end {
        End::Failed(error) => Err(Failure::run(&error.to_string())),
        End::Interrupted if tally.received == 0 && tally.wrong == 0 => {
            let message = "interrupted before any echo came back".into();
            Err(Failure { message, code: INTERRUPTED })
        }
        End::Complete | End::Interrupted => tally.verdict().map_err(|e| Failure::run(&e)),
    }
}

/// What goes to standard output.
#[derive(Clone, Copy)]
enum Show {
    All,
    FirstAndLast,
    Json,
}

impl Show {
    fn step(self, notice: &Notice<'_>) -> io::Result<()> {
        use Notice::{Dialing, Start, Status};
        match (self, notice) {
            // Ctrl-\ may be pressed while standard output feeds a program. ping(8) prints its status there too.
            (_, Status { .. }) | (Self::Json, Dialing(Waiting { .. })) => complain(notice),
            (Self::All, _) | (Self::FirstAndLast, Start { .. } | Dialing(Waiting { .. })) => {
                say(notice)?;
            }
            (Self::FirstAndLast | Self::Json, _) => {}
        }
        Ok(())
    }

    fn end(
        self,
        options: &Options,
        tally: &Tally,
        end: &End,
        failure: Option<&Failure>,
    ) -> io::Result<()> {
        match (self, end) {
            (Self::Json, _) => {
                let error = failure.map(|failure| &*failure.message);
                say(&serde_json::to_string_pretty(&Json::new(options, tally, end, error))?)
            }
            (Self::All | Self::FirstAndLast, End::Failed(_)) => Ok(()),
            (Self::All | Self::FirstAndLast, End::Complete | End::Interrupted) => {
                let summary = Summary { server: &options.server, tally };
                say(&format_args!("\n{summary}"))
            }
        }
    }
}
