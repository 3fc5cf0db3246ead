//! The arguments of `resound connect`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Failure;
use super::address::expect_stream;
use super::send_proxy::SendProxy;
use crate::client::connect::{self, Options};
use crate::net::Addr;
use crate::units::timeout;

/// The arguments of `resound connect`.
#[derive(Args, Debug)]
pub struct Connect {
    #[arg(
        value_name = "ADDR",
        help = "The server: HOST:PORT, [IPV6]:PORT, unix:PATH or unix:@NAME"
    )]
    server: Addr,

    /// Open a new connection for each message; in a pipe, each line is a message
    #[arg(long)]
    reconnect: bool,

    /// Give up if no byte of an echo, or no connection, comes within this time
    #[arg(short = 'W', long, value_name = "DURATION", value_parser = timeout, default_value = "10s")]
    timeout: Duration,

    /// Retry for up to this long while the server is not up
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    wait: Option<Duration>,

    #[command(flatten)]
    send_proxy: SendProxy,

    /// On a terminal: show sent and received bytes in hexadecimal too
    #[arg(short = 'x', long)]
    hex: bool,

    /// On a terminal: append each step, with its time, to this file
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

impl Connect {
    /// Talks to the server until the input ends.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached, or does not echo faithfully.
    pub fn run(self) -> Result<(), Failure> {
        let Self { server, reconnect, timeout, wait, send_proxy, hex, log } = self;
        if (hex || log.is_some()) && !io::stdin().is_terminal() {
            return Err(Failure::usage(
                "--hex and --log show a conversation: leave them out, or let standard input be a terminal",
            ));
        }
        expect_stream(&server)?;
        let send_proxy = send_proxy.version;
        let options = Options { server, reconnect, timeout, wait, send_proxy, hex, log };
        connect::run(&options).map_err(|e| match e.kind() {
            io::ErrorKind::InvalidInput => Failure::usage(&e.to_string()),
            _ => e.into(),
        })
    }
}
