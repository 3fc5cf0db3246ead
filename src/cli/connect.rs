//! From the arguments of `resound connect` to a conversation.

use std::time::Duration;

use clap::Args;

use super::Failure;
use super::units::timeout;
use crate::client::connect::{self, Options};
use crate::net::Addr;

/// What `resound connect` can be told.
#[derive(Args, Debug)]
pub struct Connect {
    #[arg(value_name = "ADDR", help = "The server: HOST:PORT, [IPV6]:PORT or unix:PATH")]
    server: Addr,

    /// Open a new connection for each message; from a pipe, each line is one
    #[arg(long)]
    reconnect: bool,

    /// Give up when nothing has come for this long although an echo is due, or while connecting
    #[arg(short = 'W', long, value_name = "DURATION", value_parser = timeout, default_value = "10s")]
    timeout: Duration,
}

impl Connect {
    /// Talks until there is no more to say.
    ///
    /// # Errors
    ///
    /// Where the server cannot be reached, or is no faithful echo.
    pub fn run(self) -> Result<(), Failure> {
        let Self { server, reconnect, timeout } = self;
        Ok(connect::run(&Options { server, reconnect, timeout })?)
    }
}
