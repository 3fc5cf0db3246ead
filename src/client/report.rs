//! What a load run found: as text, as JSON, as an HdrHistogram log, and as a page with plots.
//!
//! Text and JSON are made from the [outcome](crate::client::load::Outcome) itself. The page is too, and reads
//! its plots from the JSON, so a run can be compared with one of last week.

pub use files::{Files, Paths};
pub use text::{INTERVAL_HEADER, Summary, header, interval_line};

mod conditions;
mod json;
mod run_data;

mod table;
mod text;
mod hdr;
mod page;

mod files;

#[cfg(test)]
mod sample;
