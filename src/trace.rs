//! Traces: what a server saw and did, one JSON line for each step, for people who want to look at a run afterwards.
//!
//! docs/trace.md describes the format. [`record`] has its types and the names of all steps, [`reader`] reads files of any
//! origin, also those that break off, and [`view`] makes a page of one or two.
//!
//! A server is traced from outside. [`Traced`] stands around a listener, and its streams around the streams, so they see
//! each system call, and from which line of the server it comes. A [`Recorder`] is an observer, which sees the rest: what
//! woke the server, and what it decided. A server that is not traced is compiled without all that.
//!
//! Any other server is traced by strace(1), and [`import`] makes a trace of what that wrote. `lint` names the mistakes
//! that a trace shows.

pub mod record;
pub mod reader;
mod sources;
mod data;
mod file;
mod recorder;
mod observer;
mod streams;
pub mod import;
pub(crate) mod lint;
pub mod view;

pub use recorder::{Options, Recorder};
pub use streams::{Traced, TracedStream};
