//! `resound check`: its arguments, the report and the exit code.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, IsTerminal, Write, stderr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use rustix::process::getpid;

use super::Failure;
use super::failure::INTERRUPTED;
use crate::client::check::{self, LEVELS, Options, Points, Profile, Report, Target, Text, Verdict};
use crate::net::{Addr, reason};
use crate::stdio::{complain, say};
use crate::text::shell::quoted;
use crate::units::timeout;

use watched::Watched;

mod watched;

/// The default of `--timeout`.
const TIMEOUT: &str = "2s";

/// The arguments of `resound check`.
#[derive(Args, Debug)]
pub struct Check {
    #[arg(help = "The server: HOST:PORT, [IPV6]:PORT, udp:HOST:PORT, unix:PATH or unix:@NAME")]
    #[arg(value_name = "ADDR", required_unless_present_any = ["command", "list"], conflicts_with = "command")]
    server: Option<Addr>,

    /// A command that starts the server. {port} in it, and $PORT, stand for the port to listen at
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    /// List the cases, and try none
    #[arg(long)]
    list: bool,

    /// Try only this case, or a group of them such as bytes/; repeatable
    #[arg(long, value_name = "ID")]
    only: Vec<String>,

    /// Do not try this case, or a group of them such as bytes/; repeatable
    #[arg(long, value_name = "ID")]
    skip: Vec<String>,

    /// Try only the cases up to this level, from 1 to 6
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(LEVELS)))]
    level: Option<u8>,

    /// Expect that this case fails: it is wrong if it passes; repeatable
    #[arg(long, value_name = "ID")]
    expect_fail: Vec<String>,

    /// Take an inconclusive case for one that failed
    #[arg(long)]
    strict: bool,

    /// What the random bytes follow from [default: another number each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// The server's process, for what only that shows
    #[arg(long, value_name = "PID", conflicts_with = "command", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,

    /// How long the server may be silent while it owes something
    #[arg(long, value_name = "DURATION", value_parser = timeout, default_value = TIMEOUT)]
    timeout: Duration,

    /// What the class takes for an echo: all bytes, or each line of text
    #[arg(long, value_name = "PROFILE", value_enum, default_value_t = Kind::Bytes)]
    profile: Kind,

    /// Check again each time the command's program changes, until a signal ends it
    #[arg(long, conflicts_with = "server")]
    watch: bool,

    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,

    /// Write the report for a build server, as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Write the report for Gradescope, as its results.json
    #[arg(long, value_name = "FILE")]
    gradescope: Option<PathBuf>,

    /// Write what the connections of each failed case did, as a trace
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// With --gradescope: what each case is worth, in lines such as "bytes/ 2" [default: 1 each]
    #[arg(long, value_name = "FILE", requires = "gradescope")]
    points: Option<PathBuf>,
}

/// A [`Profile`] on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Bytes,
    Line,
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
        let points = self.points.as_deref().map(Points::read).transpose()?.unwrap_or_default();
        if !self.watch {
            return self.check(&options, &points, is_quiet);
        }
        let watched = Watched::new(&self.command)?;
        loop {
            let seen = watched.changed();
            if let Err(failure) = self.check(&options, &points, is_quiet) {
                if failure.code == INTERRUPTED {
                    return Err(failure);
                }
                complain(&failure.message);
            }
            watched.await_change(&seen)?;
        }
    }

    fn check(&self, options: &Options, points: &Points, is_quiet: bool) -> Result<(), Failure> {
        let shows_progress = stderr().is_terminal() && !is_quiet;
        let show = |text: fmt::Arguments<'_>| {
            if shows_progress {
                // If nobody sees it, nothing is lost.
                let _ = write!(stderr(), "\r\x1b[K{text}");
            }
        };
        let report = check::run(options, |id, n, all| show(format_args!("{n}/{all} {id}")));
        show(format_args!(""));
        match report {
            Ok(report) => {
                self.write(&report, points)?;
                self.judge(&report)
            }
            Err(e) => {
                // Whoever grades by a file or by JSON waits for it.
                if e.kind() != io::ErrorKind::Interrupted && self.is_for_programs() {
                    self.write(&check::not_started(options, &e), points)?;
                }
                Err(e.into())
            }
        }
    }

    fn is_for_programs(&self) -> bool {
        self.json || self.junit.is_some() || self.gradescope.is_some()
    }

    /// Prints the report, and writes the files.
    fn write(&self, report: &Report, points: &Points) -> Result<(), Failure> {
        match self.json {
            true => say(&pretty(&check::json(report))?)?,
            false if report.is_unstarted() => {}
            false => say(&Text { report, again: &|id| self.again(report, id) })?,
        }
        if let Some(path) = &self.junit {
            write_file(path, &check::junit(report)?)?;
        }
        if let Some(path) = &self.gradescope {
            write_file(path, &pretty(&check::gradescope(report, points))?)?;
        }
        if let Some(path) = &self.trace {
            write_file(path, &check::trace(report)?)?;
        }
        Ok(())
    }

    fn options(&self) -> Result<Options, Failure> {
        let target = match &self.server {
            Some(server) => Target::Address(server.clone(), self.pid),
            None => Target::Command(self.command.clone()),
        };
        // Any number will do, as long as it differs from run to run.
        let seed = self.seed.unwrap_or_else(|| u64::from(getpid().as_raw_nonzero().get() as u32));
        let profile = match self.profile {
            Kind::Bytes => Profile::Bytes,
            Kind::Line => Profile::Line,
        };
        let patience = self.timeout;
        let (ids, with_records) = (self.ids()?, self.trace.is_some());
        Ok(Options { target, ids, profile, patience, seed: seed.max(1), with_records })
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
        let is_tried = |wanted: &&String| ids.iter().any(|id| is_among(id, &[wanted.to_string()]));
        if let Some(id) = self.expect_fail.iter().find(|id| !is_tried(id)) {
            return Err(Failure::usage(&format!(
                "--expect-fail {id}: no such case is tried, as --only, --skip and --level say"
            )));
        }
        Ok(ids)
    }

    /// The words that run one case of this check again.
    fn again(&self, report: &Report, id: &str) -> String {
        let (seed, mut words) = (report.seed, vec!["resound check".to_string()]);
        words.extend(self.server.as_ref().map(|server| quoted(&server.to_string()).to_string()));
        words.push(format!("--seed {seed}"));
        // The cases of sanity are always tried.
        words.extend((!id.starts_with("sanity/")).then(|| format!("--only {id}")));
        words.extend(self.pid.map(|pid| format!("--pid {pid}")));
        if timeout(TIMEOUT) != Ok(self.timeout) {
            words.push(format!("--timeout {}us", self.timeout.as_micros()));
        }
        if matches!(self.profile, Kind::Line) {
            words.push("--profile line".into());
        }
        if !self.command.is_empty() {
            words.push("--".into());
            words.extend(self.command.iter().map(|w| quoted(&w.to_string_lossy()).to_string()));
        }
        words.join(" ")
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
    let known: Vec<_> = check::list().map(|case| (likeness(case.id, id), case.id)).collect();
    let most = known.iter().map(|(likeness, _)| *likeness).max().unwrap_or_default();
    let nearest = known.iter().filter(|(likeness, _)| *likeness == most);
    let nearest: Vec<_> = nearest.take(MOST_NEAREST).map(|(_, id)| *id).collect();
    let hint = match most {
        0 => String::new(),
        _ => format!(" did you mean {}?", nearest.join(" or ")),
    };
    Failure::usage(&format!("there is no case \"{id}\":{hint} see resound check --list"))
}

/// How many ids are proposed for one that is unknown.
const MOST_NEAREST: usize = 3;

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

/// JSON, with the control characters escaped that JSON allows as they are: a terminal can obey U+009B as it does ESC [.
fn pretty(value: &serde_json::Value) -> io::Result<String> {
    let text = serde_json::to_string_pretty(value)?;
    let is_control = |c: char| c.is_control() && c != '\n';
    if !text.contains(is_control) {
        return Ok(text);
    }
    let escaped = |c: char| match is_control(c) {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    Ok(text.chars().map(escaped).collect())
}

fn write_file(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text).map_err(|e| {
        io::Error::new(e.kind(), format!("cannot write {}: {}", path.display(), reason(&e)))
    })
}
