//! What a load run found, for those who want to know: as text, as JSON, as an HdrHistogram log, and as a
//! page with plots.
//!
//! All but the log are made from one [`Report`], which holds every figure with its unit in its name. It is
//! what the JSON is, so a run can be compared with one of last week.

pub use files::{Files, Paths};
pub use json::Report;
pub use outbox::Outbox;
pub use output::is_stdout;
pub use text::{INTERVAL_HEADER, Summary, header, interval_line};

mod times;
mod search;
mod conditions;

mod json;
mod text;
mod hdr;
mod page;

mod outbox;
mod output;
mod files;

#[cfg(test)]
mod sample;
