//! An echo server (RFC 862) and its client on one hand-written mio reactor: a single thread, no async
//! runtime.
//!
//! The modules stand in reading order, and each knows only those above it: a connection without a
//! socket, a reactor that knows nothing of echoing, sockets, a seam to watch through, and the server
//! that puts them together. The clients come after it, and the command line after everything.

mod text;
mod signals;

pub mod units;

pub mod conn;
pub mod reactor;
pub mod net;
mod stdio;
pub mod observe;
pub mod server;
pub mod client;
pub mod cli;
