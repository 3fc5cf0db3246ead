//! An echo server (RFC 862) and its clients on one hand-written mio reactor, without an async runtime. The server is a
//! single thread.
//!
//! The modules stand in reading order. Each knows only those above it: a connection without a socket, a reactor that
//! knows nothing of echoing, sockets, observers, and the server that puts them together. The clients come
//! after the server, and the command line comes last.
//!
//! Without the feature `clients`, it is the server alone, and needs fewer crates.
//!
//! Public is what tests, benches and fuzz targets use. There is no promise that it stays as it is.

#![cfg_attr(
    not(feature = "clients"),
    allow(dead_code, reason = "the clients use more of the shared modules than the server does")
)]

mod version;
mod text;
mod memory;

pub mod units;

pub mod conn;
pub mod reactor;
pub mod net;
pub mod http;
mod signals;
mod stdio;
#[cfg(feature = "clients")]
mod output;
pub mod observe;
pub mod server;
#[cfg(feature = "clients")]
mod mistake;
#[cfg(feature = "clients")]
pub mod trace;
#[cfg(feature = "clients")]
pub mod client;
#[cfg(feature = "clients")]
mod awkward;
pub mod cli;

/// So that the test kit means the same crate here as in the integration tests.
#[cfg(test)]
extern crate self as resound;

#[cfg(test)]
#[allow(dead_code, reason = "each user of the kit needs a part of it")]
#[path = "../tests/kit/mod.rs"]
mod kit;
