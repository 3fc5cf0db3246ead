//! `resound trace lint`: the report and the exit code.

use std::fmt;
use std::path::PathBuf;

use clap::Args;

use crate::cli::Failure;
use crate::stdio::say;
use crate::text::Escaped;
use crate::text::format::{count, counted};
use crate::text::wrapped;
use crate::trace::lint::{Finding, Report, lint};
use crate::trace::reader::Reader;

/// The width of a line, and how far the lines of a finding are indented.
const COLUMNS: usize = 100;
const INDENT: usize = 2;

/// The arguments of `resound trace lint`.
#[derive(Args, Debug)]
pub struct Lint {
    /// A trace, from serve --trace or trace import
    #[arg(value_name = "FILE")]
    trace: PathBuf,
}

impl Lint {
    pub(super) fn run(self) -> Result<(), Failure> {
        let reader = Reader::open(&self.trace).map_err(|e| Failure::usage(&e.to_string()))?;
        let name = self.trace.to_string_lossy();
        let report =
            lint(reader).map_err(|e| Failure::usage(&format!("cannot read {name}: {e}")))?;
        say(&Text(&report).to_string().trim_end())?;
        match report.findings.len() {
            0 => Ok(()),
            n => Err(Failure::run(&format!(
                "the trace shows {}",
                counted(n as u64, "mistake", "mistakes")
            ))),
        }
    }
}

/// A report for people.
struct Text<'a>(&'a Report);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { findings, records, connections, breaks_off } = self.0;
        for finding in findings {
            self.finding(f, finding)?;
        }
        let of = format!(
            "{}, {}",
            counted(*records, "record", "records"),
            counted(*connections, "connection", "connections")
        );
        writeln!(
            f,
            "{of}: {}",
            if findings.is_empty() {
                "no mistake found".into()
            } else {
                counted(findings.len() as u64, "mistake", "mistakes")
            }
        )?;
        if let Some(how) = breaks_off {
            writeln!(f, "The trace breaks off: {how}. What comes before that was read.")?;
        }
        Ok(())
    }
}

impl Text<'_> {
    fn finding(&self, f: &mut fmt::Formatter<'_>, finding: &Finding) -> fmt::Result {
        let Finding { mistake, confidence, record, time, group, because, others, times, .. } =
            finding;
        let of = if group.is_empty() { String::new() } else { format!(", {}", Escaped(group)) };
        writeln!(f, "record {} at {:.6} s{of}: {}", count(*record), time / 1e6, mistake.what)?;
        paragraph(f, &format!("{because}."))?;
        if *times > 1 {
            let others: Vec<_> = others.iter().map(|number| count(*number)).collect();
            paragraph(
                f,
                &format!("In all {} times, also at record {}.", count(*times), others.join(", ")),
            )?;
        }
        let hint = mistake.specimen.map(|name| format!("resound zoo hint {name}; "));
        let (how, hint) = (capital(confidence.name()), hint.unwrap_or_default());
        let more = format!("{how}. See: {hint}docs/guide/src/{}.md", mistake.chapter);
        paragraph(f, &more)?;
        writeln!(f)
    }
}

fn paragraph(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    writeln!(f, "{:INDENT$}{}", "", wrapped(&capital(text), INDENT, COLUMNS - INDENT))
}

/// With a capital letter at the beginning.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
