//! `resound load`: its arguments, the run, the reports and the exit code.

use std::env;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::Failure;
use super::send_proxy::SendProxy;
use crate::client::load::{self, End, Found, Objective, Options, Outcome, Search, Threshold};
use crate::client::report::{Files, Paths, Summary, header};
use crate::net::Addr;
use crate::output::is_stdout;
use crate::stdio::say;
use crate::units::{duration, per_second, timeout};

use rate::Rate;
use screen::{Printer, Screen, Show};
use sources::source;
use terminal::{columns, fitted};
use values::{connections, depth, file, interval, messages, sizes, spin};

mod values;
mod rate;
mod sources;
mod options;
mod checks;
mod terminal;
mod bar;
mod screen;

/// The end of `--help`, which `-h` leaves out.
const AFTER_LONG_HELP: &str = "\
The response time of a message runs from when it was due to the last byte of its echo: that is what a user waits \
for. The service time runs from when its first byte was sent.
In a closed loop (the default), a message is due when the one before has come back, so a slow server gets fewer \
messages. In an open loop (--rate), messages are due at fixed times, however slow the server is.

Ctrl-\\ prints a status line, and the run goes on. Ctrl-C, SIGTERM or SIGHUP end the run early: it waits up to a \
second for the last echoes and reports what it measured, and the exit code is 130. A second Ctrl-C ends that wait.

Examples:
  As fast as 50 connections can, for 10 s:
    resound load 127.0.0.1:7007
  1,000 messages a second for 30 s, and exit code 1 if one in 100 takes longer than 5 ms:
    resound load -r 1k -d 30s --fail-if 'p99>5ms' HOST:7007
  The highest rate at which 99 of 100 take no longer than 1 ms, with a page of plots:
    resound load -r max@p99=1ms --report run.html HOST:7007

";

/// Options of `resound load`.
#[derive(Args, Debug)]
#[command(after_long_help = format!("{AFTER_LONG_HELP}{}", super::AFTER_HELP))]
pub struct Load {
    #[arg(
        value_name = "ADDR",
        help = "The server: HOST:PORT, [IPV6]:PORT, udp:HOST:PORT, unix:PATH or unix:@NAME"
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
    /// How long to measure [default: 10s, unless --count is given]
    #[arg(short, long, value_name = "DURATION", value_parser = timeout, conflicts_with = "count")]
    duration: Option<Duration>,

    /// How many messages to send and measure, over all connections
    ///
    /// With --keep-going, messages that are lost with a connection count too.
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = messages)]
    count: Option<u64>,

    /// Messages a second over all connections [default: as fast as echoes come back]
    ///
    /// Each message is due at its own time, however slow the server is. Write 500, 10k, 0.5 or 30/m. Or write
    /// max@p99=1ms to search, in runs of --duration each, for the highest rate that keeps to that limit and can be
    /// sent in full.
    #[arg(short, long, value_name = "RATE", value_parser = rate::rate)]
    rate: Option<Rate>,

    /// Bytes in a message, or a range for random sizes, such as 64-4k; over UDP, from 8 to 65507
    #[arg(short, long, value_name = "SIZE", value_parser = sizes, default_value = "64")]
    size: RangeInclusive<usize>,

    /// Messages that a connection may have in flight [default: 1]
    ///
    /// Over UDP with --rate, the default is so high that messages that are lost hold up no others.
    #[arg(short, long, value_name = "DEPTH", value_parser = depth)]
    pipeline: Option<usize>,

    /// How long to send messages before the measurement begins
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    warmup: Duration,

    /// With --rate, busy-wait for this long before each message is due
    ///
    /// 1ms or more keeps a processor busy, and gives the most exact times.
    #[arg(long, value_name = "DURATION", value_parser = spin, default_value = "50us", requires = "rate")]
    spin: Duration,
}

/// How to connect.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connections")]
struct Connecting {
    /// How many connections to open, all at once
    #[arg(short, long, value_name = "N", value_parser = connections, default_value = "50")]
    connections: usize,

    /// How many connections to begin a second [default: as many as possible]
    #[arg(long, value_name = "RATE", value_parser = per_second)]
    connect_rate: Option<f64>,

    /// Fail if an echo or a connection takes this long [default: 10s; over UDP: 1s]
    ///
    /// Over UDP, an echo that takes longer is lost, or late if it comes after all. The run goes on.
    #[arg(short = 'W', long, value_name = "DURATION", value_parser = timeout)]
    timeout: Option<Duration>,

    /// Wait up to this long until the server is up
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    wait: Duration,

    /// Addresses of this machine to connect from, in turn
    ///
    /// One address has about 28000 ports for each address of the server. Separate several addresses by commas, or
    /// repeat --source-ip. Write a link-local address with its interface: fe80::1%eth0.
    #[arg(long, value_name = "IP", value_delimiter = ',', value_parser = source)]
    source_ip: Vec<SocketAddr>,

    #[command(flatten)]
    send_proxy: SendProxy,

    /// Replace each connection with a new one after this many messages
    #[arg(long, value_name = "N", value_parser = messages)]
    reconnect_every: Option<u64>,

    /// Replace a connection that has died, and go on
    ///
    /// Messages that it had in flight count as lost, and are not sent again. The run still ends at a wrong byte, or
    /// if the server cannot be reached at the start, or cannot be reached for --timeout at the end.
    #[arg(long)]
    keep_going: bool,
}

/// When the run counts as failed.
#[derive(Args, Debug)]
#[command(next_help_heading = "Verdict")]
struct FailIf {
    /// Fail if a figure is more (>) or less (<) than this: p99>1ms, max>20ms, rate<10k, errors>0
    ///
    /// Or mean>1ms; lost>0.1%, the part of the messages that were sent and lost; or, with --rate, lag>1ms: the p99 of how
    /// late this client itself was. May be given several times. All times but lag are response times. A message that was
    /// never answered counts with the time that it waited.
    #[arg(long, value_name = "CONDITION", value_parser = Threshold::parse)]
    fail_if: Vec<Threshold>,
}

/// The reports to write, and where.
#[derive(Args, Debug)]
#[command(next_help_heading = "Reports")]
struct Reports {
    /// Print a line for each interval of this length, as it ends
    ///
    /// The lines go to standard error if the JSON goes to standard output.
    #[arg(short, long, value_name = "DURATION", value_parser = interval)]
    interval: Option<Duration>,

    /// Write all results as JSON to this file; - is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the response times of each interval as an HdrHistogram log, in nanoseconds
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(file))]
    hdr: Option<PathBuf>,

    /// Write a page with plots, as one self-contained file
    #[arg(long, value_name = "FILE.html", value_parser = OsStringValueParser::new().try_map(file))]
    report: Option<PathBuf>,

    /// Compare with an earlier run on the page: a file that --json wrote
    #[arg(long, value_name = "FILE.json", requires = "report")]
    #[arg(value_parser = OsStringValueParser::new().try_map(file))]
    baseline: Option<PathBuf>,
}

impl Load {
    /// Runs the load, writes the reports and judges the outcome.
    ///
    /// # Errors
    ///
    /// If the run failed or was interrupted, or a condition of --fail-if is true.
    pub fn run(self, is_quiet: bool) -> Result<(), Failure> {
        let mut options = self.options();
        self.check(&options)?;
        // Before the run, so that no run is wasted.
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
        // The files come first: standard output may fail, or its reader may have left.
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
                let Found { outcome, search } = load::search(options, objective, screen);
                (outcome, Some(search))
            }
            None => (load::run(options, screen), None),
        }
    }

    /// Prints the plan. A run that writes files goes on without a reader of standard output, unless that reader
    /// expects interval lines.
    fn announce(&self, options: &Options, is_quiet: bool) -> io::Result<Printer> {
        let needs_reader = self.reports.interval.is_some() || !self.has_files();
        let mut printer = Printer::new(self.is_json_on_stdout(), needs_reader)?;
        if !(self.is_json_on_stdout() && is_quiet) {
            printer.print(&header(options, self.objective()));
        }
        Ok(printer)
    }

    fn judge(&self, outcome: &Outcome, search: Option<&Search>) -> Result<(), Failure> {
        // A failed trial of a search only means that its rate was missed.
        let is_tried = search.is_some_and(|search| !search.trials.is_empty());
        if let Some(failure) =
            outcome.fatal_failure().filter(|_| !is_tried || outcome.has_wrong_bytes)
        {
            return Err(Failure::run(&failure.to_string()));
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

/// The command line, for the reports. Bytes that are not UTF-8 are replaced, since JSON cannot hold them.
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

/// Prints the outcome. After a search, prints its result first, and then the run that shows it.
fn summarize(outcome: &Outcome, options: &Options, search: Option<&Search>) -> io::Result<()> {
    if let Some(search) = search.filter(|search| !search.trials.is_empty()) {
        let of = if search.highest().is_some() { "at that rate" } else { "the last one tried" };
        say(&fitted(&format!("{search}; {of}:"), io::stdout()))?;
    }
    // Without a measurement there are no figures. The last line says why.
    if outcome.measured.is_zero() {
        return Ok(());
    }
    let columns = columns(io::stdout()).unwrap_or(usize::MAX);
    say(&Summary { outcome, options, columns })
}
