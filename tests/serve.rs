//! `resound serve` as a whole, on real sockets.

#![allow(clippy::unwrap_used, reason = "clippy allows it in tests, but not in their helpers")]

#[path = "support/passing.rs"]
mod passing;
#[path = "support/bystander.rs"]
mod bystander;
#[path = "support/command.rs"]
mod command;
#[path = "support/deadline.rs"]
mod deadline;
#[allow(dead_code, reason = "each user of the kit needs a part of it")]
#[path = "kit/mod.rs"]
mod kit;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "support/passed.rs"]
mod passed;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "support/pty.rs"]
mod pty;
#[path = "support/scraped.rs"]
mod scraped;
#[path = "support/server.rs"]
mod server;
#[path = "support/unix.rs"]
mod unix;
#[path = "support/wire.rs"]
mod wire;

#[path = "serve/echo.rs"]
mod echo;
#[path = "serve/faults.rs"]
mod faults;
#[path = "serve/limits.rs"]
mod limits;
#[path = "serve/access.rs"]
mod access;
#[path = "serve/proxy.rs"]
mod proxy;
#[cfg(feature = "clients")]
#[path = "serve/send_proxy.rs"]
mod send_proxy;
#[cfg(feature = "clients")]
#[path = "serve/traced.rs"]
mod traced;
#[path = "serve/shutdown.rs"]
mod shutdown;
#[path = "serve/log.rs"]
mod log;
#[path = "serve/addresses.rs"]
mod addresses;
#[path = "serve/start.rs"]
mod start;
#[path = "serve/metrics.rs"]
mod metrics;
#[path = "serve/status.rs"]
mod status;
#[path = "serve/activation.rs"]
mod activation;
#[path = "serve/notify.rs"]
mod notify;
#[path = "serve/messages.rs"]
mod messages;
#[path = "serve/environment.rs"]
mod environment;
#[path = "serve/udp.rs"]
mod udp;
