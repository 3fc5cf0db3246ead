//! From the arguments of `resound load` to a verdict.

use std::env;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use log::info;

use super::Failure;
use crate::client::load::{
    self, End, Found, Objective, Options, Outcome, Search, Threshold, Trial,
};
use crate::client::report::{Files, Paths, Summary, header, is_stdout};
use crate::net::Addr;
use crate::stdio::say;
use crate::units::{duration, per_second, timeout};

use rate::Rate;
use screen::{Printer, Screen, Show};
use sources::source;
use values::{connections, depth, file, interval, messages, sizes, spin};

mod checks;
mod bar;
mod options;
mod rate;
mod screen;
mod sources;
mod values;

/// What `--help` says after the options, and `-h` does not.
const AFTER_LONG_HELP: &str = "\
Response time runs from when a message was due to the last byte of its echo, and service time from its first byte \
sent: what a user waits for is the response.
In a closed loop (the default) each message is due when the one before has come back, so a slow server is sent less; \
in an open loop (--rate) messages are due at fixed times, whatever the server does.

Examples:
  As fast as 50 connections go, for 10 s:
    resound load 127.0.0.1:7007
  1,000 messages a second for half a minute, and exit code 1 if they take too long:
    resound load -r 1k -d 30s --fail-if 'p99>5ms' HOST:7007
  The highest rate at which 99 of 100 take no longer than 1 ms, as a page with plots:
    resound load -r max@p99=1ms --report run.html HOST:7007

";

/// Options of `resound load`.
#[derive(Args, Debug)]
#[command(after_long_help = format!("{AFTER_LONG_HELP}{}", super::AFTER_HELP))]
pub struct Load {
    #[arg(
        value_name = "ADDR",
        help = "The server: HOST:PORT, [IPV6]:PORT, unix:PATH or unix:@NAME"
    )]
    server: Addr,

    #[command(flatten)]
    traffic: Traffic,

    #[command(flatten)]
    connecting: Connecting,

    #[command(flatten)]
    fail_if: FailIf,

    #[command(flatten)]
    reports: Reports,
}

/// What to send, how much of it and how fast.
#[derive(Args, Debug)]
#[command(next_help_heading = "Messages")]
struct Traffic {
    /// How long to measure [default: 10s, unless --count says how much]
    #[arg(short, long, value_name = "DURATION", value_parser = timeout, conflicts_with = "count")]
    duration: Option<Duration>,

    /// How many messages to send and measure, over all connections
    ///
    /// With --keep-going, those that are lost with a connection are among them.
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = messages)]
    count: Option<u64>,

    /// Messages a second over all connections [default: as fast as echoes come back]
    ///
    /// Each is due at its own time, however slow the server is. Write 500, 10k, 0.5 or 30/m; or max@p99=1ms, to
    /// search for the highest rate that keeps to that and can be sent in full, in runs of --duration each.
    #[arg(short, long, value_name = "RATE", value_parser = rate::rate)]
    rate: Option<Rate>,

    /// Bytes of a message, or a range to choose from at random, such as 64-4k
    #[arg(short, long, value_name = "SIZE", value_parser = sizes, default_value = "64")]
    size: RangeInclusive<usize>,

    /// Messages that a connection may have in flight
    #[arg(short, long, value_name = "DEPTH", value_parser = depth, default_value = "1")]
    pipeline: usize,

    /// How long to go on before anything is measured
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    warmup: Duration,

    /// With --rate, busy-wait for this long before each message is due
    ///
    /// 1ms or more keeps a processor busy, and times the messages as well as can be.
    #[arg(long, value_name = "DURATION", value_parser = spin, default_value = "50us", requires = "rate")]
    spin: Duration,
}

/// How to connect.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connections")]
struct Connecting {
    /// Connections, all open at once
    #[arg(short, long, value_name = "N", value_parser = connections, default_value = "50")]
    connections: usize,

    /// Connections to begin a second [default: as fast as they are made]
    #[arg(long, value_name = "RATE", value_parser = per_second)]
    connect_rate: Option<f64>,

    /// Fail when an echo, or a connection, takes this long
    #[arg(short = 'W', long, value_name = "DURATION", value_parser = timeout, default_value = "10s")]
    timeout: Duration,

    /// Wait for this long until the server is up
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    wait: Duration,

    /// This machine's addresses to connect from, in turn
    ///
    /// Each has some 28000 ports for each address of the server. Several are separated by commas, or given each
    /// with its own --source-ip. A link-local address has its interface after it: fe80::1%eth0.
    #[arg(long, value_name = "IP", value_delimiter = ',', value_parser = source)]
    source_ip: Vec<SocketAddr>,

    /// Replace each connection by a new one after this many messages
    #[arg(long, value_name = "N", value_parser = messages)]
    reconnect_every: Option<u64>,

    /// Replace a connection that has died, and go on
    ///
    /// What it had in flight is counted as lost, and not sent again. A wrong byte ends the run all the same, and
    /// so does a server that cannot be reached at the start, or at the end for as long as --timeout.
    #[arg(long)]
    keep_going: bool,
}

/// When the run has failed.
#[derive(Args, Debug)]
#[command(next_help_heading = "Verdict")]
struct FailIf {
    /// Fail if a figure is more (>) or less (<) than this: p99>1ms, max>20ms, rate<10k, errors>0
    ///
    /// Or mean>1ms; or, with --rate, lag>1ms, the p99 of how late this client itself was. May be given several
    /// times. Other times than lag are those of responses, where a message that was never answered counts with
    /// the time that it waited.
    #[arg(long, value_name = "CONDITION", value_parser = Threshold::parse)]
    fail_if: Vec<Threshold>,
}

/// What to write, and where.
#[derive(Args, Debug)]
#[command(next_help_heading = "Reports")]
struct Reports {
    /// Print a line for each such interval, as it ends
    ///
    /// To standard error, if the JSON goes to standard output.
    #[arg(short, long, value_name = "DURATION", value_parser = interval)]
    interval: Option<Duration>,

    /// Write everything as JSON to this file, or to standard output if it is -
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the responses of each interval as an HdrHistogram log, in nanoseconds
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(file))]
    hdr: Option<PathBuf>,

    /// Write a page with plots, in one file that needs no other
    #[arg(long, value_name = "FILE.html", value_parser = OsStringValueParser::new().try_map(file))]
    report: Option<PathBuf>,

    /// Draw an earlier run beside this one in the page: a file that --json wrote
    #[arg(long, value_name = "FILE.json", requires = "report")]
    #[arg(value_parser = OsStringValueParser::new().try_map(file))]
    baseline: Option<PathBuf>,
}

impl Load {
    /// Loads, reports and judges.
    ///
    /// # Errors
    ///
    /// If the run failed or was interrupted, or a threshold was missed.
    pub fn run(self, is_quiet: bool) -> Result<(), Failure> {
        let mut options = self.options();
        self.check(&options)?;
        // Before the run: it is a pity to have measured for nothing.
        let mut files = Files::open(&self.paths()).map_err(|e| match e.kind() {
            ErrorKind::InvalidInput => Failure::usage(&e.to_string()),
            _ => e.into(),
        })?;
        let printer = self.announce(&options, is_quiet)?;
        let show = Show::new(self.reports.interval.is_some(), is_quiet);
        let mut screen = Screen::new(&mut files, printer, show)?;
        let (outcome, search) = self.measure(&options, &mut screen);
        let printer = screen.finish();
        options.rate = outcome.rate_target;
        // Before anything is said: standard output may be full, or its reader have left.
        let written = files.finish(&outcome, &options, search.as_ref(), command());
        printer.finish()?;
        if !self.is_json_on_stdout() {
            summarize(&outcome, &options, search.as_ref())?;
        }
        written?;
        self.judge(&outcome, search.as_ref())
    }

    fn measure(&self, options: &Options, screen: &mut Screen<'_>) -> (Outcome, Option<Search>) {
        match self.objective() {
            Some(objective) => {
                let Found { outcome, search } = load::search(options, objective, screen, say_trial);
                (outcome, Some(search))
            }
            None => (load::run(options, screen), None),
        }
    }

    /// Says what is about to be done. The run goes on without a reader if there are files to write, and no one
    /// expects lines meanwhile.
    fn announce(&self, options: &Options, is_quiet: bool) -> io::Result<Printer> {
        let needs_reader = self.reports.interval.is_some() || !self.has_files();
        let mut printer = Printer::new(self.is_json_on_stdout(), needs_reader)?;
        if !(self.is_json_on_stdout() && is_quiet) {
            printer.print(&header(options, self.objective()));
        }
        Ok(printer)
    }

    fn judge(&self, outcome: &Outcome, search: Option<&Search>) -> Result<(), Failure> {
        // What went wrong in the trials of a search is known of their rates.
        let is_tried = search.is_some_and(|search| !search.trials.is_empty());
        if let Some(trouble) = outcome.fatal_trouble().filter(|_| !is_tried || outcome.is_wrong) {
            return Err(Failure::run(&trouble.to_string()));
        }
        let missed = self.fail_if.fail_if.iter().filter_map(|limit| limit.missed_by(outcome));
        let missed: Vec<_> = missed.collect();
        let is_search_interrupted = search.is_some_and(|search| search.is_interrupted);
        if outcome.end == End::Interrupted || is_search_interrupted {
            return Err(interrupted(&missed));
        }
        if let Some(search) = search.filter(|search| search.highest().is_none()) {
            return Err(Failure::run(&search.to_string()));
        }
        if outcome.messages == 0 {
            return Err(Failure::run("no echo came back"));
        }
        if missed.is_empty() {
            return Ok(());
        }
        Err(Failure::run(&format!("failed: {}", missed.join("; "))))
    }

    fn objective(&self) -> Option<Objective> {
        match self.traffic.rate {
            Some(Rate::Highest(objective)) => Some(objective),
            Some(Rate::Fixed(_)) | None => None,
        }
    }

    fn is_json_on_stdout(&self) -> bool {
        self.reports.json.as_deref().is_some_and(is_stdout)
    }

    fn has_files(&self) -> bool {
        let Reports { json, hdr, report, .. } = &self.reports;
        [json, hdr, report].into_iter().any(Option::is_some)
    }

    fn paths(&self) -> Paths {
        let Reports { json, hdr, report, baseline, .. } = &self.reports;
        Paths {
            json: json.clone(),
            hdr: hdr.clone(),
            page: report.clone(),
            baseline: baseline.clone(),
        }
    }
}

/// The command line, for the reports. What is not UTF-8 is replaced: JSON has no other text.
fn command() -> Vec<String> {
    env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect()
}

fn interrupted(missed: &[String]) -> Failure {
    let mut line = "interrupted before it was done".to_string();
    if !missed.is_empty() {
        line += &format!("; failed: {}", missed.join("; "));
    }
    io::Error::new(ErrorKind::Interrupted, line).into()
}

/// Says what was found; of a search, what it has come to, and the run that shows it.
fn summarize(outcome: &Outcome, options: &Options, search: Option<&Search>) -> io::Result<()> {
    if let Some(search) = search.filter(|search| !search.trials.is_empty()) {
        let of = if search.highest().is_some() { "at that rate" } else { "the last one tried" };
        say(&format_args!("{search}; {of}:"))?;
    }
    // If nothing was measured there are no figures, and the last line says why.
    if outcome.measured.is_zero() { Ok(()) } else { say(&Summary(outcome, options)) }
}

fn say_trial(trial: &Trial) {
    info!("{trial}");
}
