//! Traces: what a server saw and did, one JSON line for each step, for people who want to look at a run afterwards.
//!
//! docs/trace.md describes the format. [`record`] has its types and the names of all steps, [`reader`] reads files of any
//! origin, also those that break off.

pub mod record;
pub mod reader;
pub mod import;
pub(crate) mod lint;
