//! `resound check`: its arguments, the report and the exit code.

use std::ffi::OsString;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use clap::Args;
use rustix::process::getpid;

use super::Failure;
use super::address::{expect_stream, server_addr};
use super::failure::INTERRUPTED;
use crate::client::check::{self, LEVELS, Options, Report, Target, Text, Verdict};
use crate::stdio::say;
use crate::text::shell::quoted;
use crate::units::timeout;

/// The arguments of `resound check`.
#[derive(Args, Debug)]
pub struct Check {
    /// The server: HOST:PORT, [IPV6]:PORT, unix:PATH or unix:@NAME
    #[arg(value_name = "ADDR", required_unless_present_any = ["command", "list"], conflicts_with = "command")]
    server: Option<String>,

    /// A command that starts the server. {port} in it, and $PORT, stand for the port to listen at
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    /// List the cases, and try none
    #[arg(long)]
    list: bool,

    /// Try only this case, or those that begin with this; repeatable
    #[arg(long, value_name = "ID")]
    only: Vec<String>,

    /// Do not try this case, or those that begin with this; repeatable
    #[arg(long, value_name = "ID")]
    skip: Vec<String>,

    /// Try only the cases up to this level, from 1 to 6
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(LEVELS)))]
    level: Option<u8>,

    /// Expect that this case fails: it is wrong if it passes; repeatable
    #[arg(long, value_name = "ID")]
    expect_fail: Vec<String>,

    /// Take a case that found nothing out for one that failed
    #[arg(long)]
    strict: bool,

    /// What the random bytes follow from [default: another number each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// The server's process, for what only that shows
    #[arg(long, value_name = "PID", conflicts_with = "command", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,

    /// How long the server may be silent while it owes something
    #[arg(long, value_name = "DURATION", value_parser = timeout, default_value = "2s")]
    timeout: Duration,

    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Checks the server, and prints the report.
    ///
    /// # Errors
    ///
    /// If a case failed that was not expected to, or there is no server to check.
    pub fn run(self, is_quiet: bool) -> Result<(), Failure> {
        if self.list {
            return Ok(say(&list().trim_end())?);
        }
        let options = self.options()?;
        let shows_progress = stderr().is_terminal() && !is_quiet;
        let report = check::run(&options, |id, n, all| {
            if shows_progress {
                let _ = write!(stderr(), "\r\x1b[K{n}/{all} {id}");
            }
        });
        if shows_progress {
            let _ = write!(stderr(), "\r\x1b[K");
        }
        let report = report.map_err(|e| Failure::run(&e.to_string()))?;
        match self.json {
            true => say(&serde_json::to_string_pretty(&check::json(&report)).unwrap_or_default())?,
            false => say(&Text { report: &report, command: &self.again(&report) })?,
        }
        self.judge(&report)
    }

    fn options(&self) -> Result<Options, Failure> {
        let target = match &self.server {
            Some(server) => {
                let server = server_addr(server).map_err(|why| Failure::usage(&why))?;
                expect_stream(&server)?;
                Target::Address(server, self.pid)
            }
            None => Target::Command(self.command.clone()),
        };
        // Any number will do, as long as it differs from run to run.
        let seed = self.seed.unwrap_or_else(|| u64::from(getpid().as_raw_nonzero().get() as u32));
        Ok(Options { target, ids: self.ids()?, patience: self.timeout, seed: seed.max(1) })
    }

    /// The cases to try.
    fn ids(&self) -> Result<Vec<&'static str>, Failure> {
        for id in self.only.iter().chain(&self.skip).chain(&self.expect_fail) {
            if !check::list().any(|case| is_among(case.id, std::slice::from_ref(id))) {
                return Err(unknown(id));
            }
        }
        let is_wanted = |case: &check::Listed| {
            (self.only.is_empty() || is_among(case.id, &self.only))
                && !is_among(case.id, &self.skip)
                && self.level.is_none_or(|level| case.level <= level)
        };
        let ids: Vec<_> = check::list().filter(is_wanted).map(|case| case.id).collect();
        if ids.is_empty() {
            return Err(Failure::usage("no case is left: see resound check --list"));
        }
        Ok(ids)
    }

    /// The words that run this check again, without its cases.
    fn again(&self, report: &Report) -> String {
        let seed = report.seed;
        match &self.server {
            Some(server) => format!("resound check {} --seed {seed}", quoted(server)),
            None => {
                let words =
                    self.command.iter().map(|word| quoted(&word.to_string_lossy()).to_string());
                format!("resound check --seed {seed} -- {} #", words.collect::<Vec<_>>().join(" "))
            }
        }
    }

    fn judge(&self, report: &Report) -> Result<(), Failure> {
        if report.is_interrupted {
            return Err(Failure {
                message: "interrupted before it was done".into(),
                code: INTERRUPTED,
            });
        }
        let is_expected = |id: &str| is_among(id, &self.expect_fail);
        let is_wrong = |verdict: Verdict, id: &str| match verdict {
            Verdict::Fail => !is_expected(id),
            Verdict::Pass => is_expected(id),
            Verdict::Inconclusive => self.strict,
            Verdict::NotRun => false,
        };
        let wrong: Vec<_> = report
            .cases
            .iter()
            .filter(|case| is_wrong(case.verdict, case.id))
            .map(|case| case.id)
            .collect();
        match wrong.len() {
            0 => Ok(()),
            _ => Err(Failure::run(&format!("not as expected: {}", wrong.join(", ")))),
        }
    }
}

/// Whether a case is one of these, or begins with one of them.
fn is_among(id: &str, ids: &[String]) -> bool {
    let begins = |start: &String| {
        id == start
            || id
                .strip_prefix(start.trim_end_matches('/'))
                .is_some_and(|rest| rest.starts_with('/'))
    };
    ids.iter().any(begins)
}

fn unknown(id: &str) -> Failure {
    let nearest = check::list().map(|case| case.id).max_by_key(|known| likeness(known, id));
    Failure::usage(&format!(
        "there is no case \"{id}\"; perhaps {}: see resound check --list",
        nearest.unwrap_or("none")
    ))
}

/// How alike two ids are: the pairs of characters that they share.
fn likeness(one: &str, other: &str) -> usize {
    let pairs = |text: &str| text.as_bytes().windows(2).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let others = pairs(other);
    pairs(one).iter().filter(|pair| others.contains(pair)).count()
}

fn list() -> String {
    let line = |case: check::Listed| {
        let check::Listed { id, level, severity, expectation } = case;
        format!("{level}  {id:<26} {severity:<7}  {expectation}\n")
    };
    check::list().map(line).collect()
}
