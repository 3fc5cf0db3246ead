//! From the arguments of `resound connect` to a conversation.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Failure;
use crate::client::connect::{self, Options};
use crate::net::Addr;
use crate::units::timeout;

/// What `resound connect` can be told.
#[derive(Args, Debug)]
pub struct Connect {
    #[arg(
        value_name = "ADDR",
        help = "The server: HOST:PORT, [IPV6]:PORT, unix:PATH or unix:@NAME"
    )]
    server: Addr,

    /// Open a new connection for each message; from a pipe, each line is one
    #[arg(long)]
    reconnect: bool,

    /// Give up on an echo, or on connecting, when nothing has come for this long
    #[arg(short = 'W', long, value_name = "DURATION", value_parser = timeout, default_value = "10s")]
    timeout: Duration,

    /// Try to connect again and again, for this long at most, until the server is up
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    wait: Option<Duration>,

    /// On a terminal: show what is sent and received in hexadecimal too
    #[arg(short = 'x', long)]
    hex: bool,

    /// On a terminal: add each step, with its time, to this file; what is in it stays
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

impl Connect {
    /// Talks until there is no more to say.
    ///
    /// # Errors
    ///
    /// Where the server cannot be reached, or is no faithful echo.
    pub fn run(self) -> Result<(), Failure> {
        let Self { server, reconnect, timeout, wait, hex, log } = self;
        if (hex || log.is_some()) && !io::stdin().is_terminal() {
            return Err(Failure::usage(
                "--hex and --log show a conversation: leave them out, or let standard input be a terminal",
            ));
        }
        let options = Options { server, reconnect, timeout, wait, hex, log };
        connect::run(&options).map_err(|e| match e.kind() {
            io::ErrorKind::InvalidInput => Failure::usage(&e.to_string()),
            _ => e.into(),
        })
    }
}
