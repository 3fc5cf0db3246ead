//! From the arguments of `resound load` to a verdict.

use std::env;
use std::io::{self, ErrorKind, Write};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use log::info;

use super::Failure;
use super::descriptors::raise_descriptor_limit;
use super::units::{count, duration, size, timeout, within};
use crate::client::load::{self, Length, Objective, Options, Outcome, Search, Threshold, Trial};
use crate::client::report::{Files, Paths, Summary, header};
use crate::net::Addr;
use crate::stdio::say;

use screen::{Lines, Screen};

mod screen;
mod sources;

/// How long to measure where nobody says.
const DURATION: Duration = Duration::from_secs(10);

/// How long an interval is where nobody says.
const INTERVAL: Duration = Duration::from_secs(1);

/// Descriptors kept for other things than connections.
const RESERVED_DESCRIPTORS: usize = 32;

/// What `resound load` can be told.
#[derive(Args, Debug)]
pub struct Load {
    #[arg(value_name = "ADDR", help = "The server: HOST:PORT, [IPV6]:PORT or unix:PATH")]
    server: Addr,

    /// Connections, all open at once
    #[arg(short, long, value_name = "N", value_parser = connections, default_value = "50")]
    connections: usize,

    /// How long to measure [default: 10s, unless --count says how much]
    #[arg(short, long, value_name = "DURATION", value_parser = timeout, conflicts_with = "count")]
    duration: Option<Duration>,

    /// How many messages to send and measure, over all connections; with --keep-going, those that are lost
    /// with a connection are among them
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = messages)]
    count: Option<u64>,

    /// Messages a second over all connections, each due at its own time, however slow the server is; or
    /// max@p99=1ms, to search for the highest rate that keeps to that and can be sent in full, in runs of
    /// --duration each
    /// [default: as fast as echoes come back]
    #[arg(short, long, value_name = "RATE", value_parser = rate)]
    rate: Option<Rate>,

    /// Bytes of a message, or a range to choose from at random, such as 64-4k
    #[arg(short, long, value_name = "SIZE", value_parser = sizes, default_value = "64")]
    size: RangeInclusive<usize>,

    /// Messages that a connection may have in flight
    #[arg(short, long, value_name = "DEPTH", value_parser = depth, default_value = "1")]
    pipeline: usize,

    /// With --rate, cease to sleep so long before each message is due, and ask for the time instead: 1ms or
    /// more keeps a processor busy, and times the messages as well as can be
    #[arg(long, value_name = "DURATION", value_parser = spin, default_value = "50us", requires = "rate")]
    spin: Duration,

    /// Connections to begin a second [default: as fast as they are made]
    #[arg(long, value_name = "RATE", value_parser = per_second)]
    connect_rate: Option<f64>,

    /// How long to go on before anything is measured
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    warmup: Duration,

    /// Fail when an echo, or a connection, takes this long
    #[arg(short = 'W', long, value_name = "DURATION", value_parser = timeout, default_value = "10s")]
    timeout: Duration,

    /// This machine's addresses to connect from, in turn: each has some 28000 ports. Several are separated by
    /// commas, or given each with its own --source-ip
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    source_ip: Vec<IpAddr>,

    /// Replace each connection by a new one after so many messages
    #[arg(long, value_name = "N", value_parser = messages)]
    reconnect_every: Option<u64>,

    /// Replace a connection that has died, and go on; what it had in flight is counted as lost, and not sent
    /// again. A wrong byte ends the run all the same, and so does a server that cannot be reached at the
    /// start, or at the end for as long as --timeout
    #[arg(long)]
    keep_going: bool,

    /// Fail where a figure is more (>) or less (<) than this: p99>1ms, max>20ms, mean>1ms, rate<10k,
    /// errors>0; or, with --rate, lag>1ms, the p99 of how late this client itself was. May be given several
    /// times. Other times than lag are those of responses
    #[arg(long, value_name = "CONDITION", value_parser = threshold)]
    fail_if: Vec<Threshold>,

    /// Print a line for each such interval, as it ends; to standard error where the JSON goes to standard output
    #[arg(short, long, value_name = "DURATION", value_parser = interval)]
    interval: Option<Duration>,

    #[command(flatten)]
    reports: Reports,
}

/// What to write, and where.
#[derive(Args, Debug)]
#[command(next_help_heading = "Reports")]
struct Reports {
    /// Write everything as JSON to this file, or to standard output if it is -
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the responses of each interval as an HdrHistogram log, in nanoseconds
    #[arg(long, value_name = "FILE", value_parser = file)]
    hdr: Option<PathBuf>,

    /// Write a page with plots, in one file that needs no other
    #[arg(long, value_name = "FILE.html", value_parser = file)]
    report: Option<PathBuf>,

    /// Draw an earlier run beside this one in the page: a file that --json wrote
    #[arg(long, value_name = "FILE.json", requires = "report", value_parser = file)]
    baseline: Option<PathBuf>,
}

/// What `--rate` can be.
#[derive(Clone, Copy, Debug)]
enum Rate {
    Fixed(f64),
    Highest(Objective),
}

fn connections(text: &str) -> Result<usize, String> {
    within(count(text)?, (1, "1"), (1_000_000, "1m"))
}

fn messages(text: &str) -> Result<u64, String> {
    match count(text)? {
        0 => Err("write 1 or more".into()),
        n => Ok(n as u64),
    }
}

fn depth(text: &str) -> Result<usize, String> {
    within(count(text)?, (1, "1"), (100_000, "100k"))
}

fn rate(text: &str) -> Result<Rate, String> {
    match text.strip_prefix("max@") {
        Some(objective) => Objective::parse(objective, duration).map(Rate::Highest),
        None => per_second(text).map(Rate::Fixed),
    }
}

fn per_second(text: &str) -> Result<f64, String> {
    within(count(text)?, (1, "1"), (100_000_000, "100m")).map(|n| n as f64)
}

fn file(text: &str) -> Result<PathBuf, &'static str> {
    match text {
        "-" => Err("write the name of a file: - stands for standard output in --json only"),
        name => Ok(name.into()),
    }
}

fn threshold(text: &str) -> Result<Threshold, String> {
    Threshold::parse(text, duration, count)
}

fn interval(text: &str) -> Result<Duration, String> {
    within(duration(text)?, (Duration::from_millis(10), "10ms"), (Duration::from_secs(3600), "1h"))
}

fn spin(text: &str) -> Result<Duration, String> {
    within(duration(text)?, (Duration::ZERO, "0"), (Duration::from_secs(1), "1s"))
}

fn sizes(text: &str) -> Result<RangeInclusive<usize>, String> {
    let one = |text| within(size(text)?, (1, "1"), (1 << 30, "1g"));
    let (least, most) = match text.split_once('-') {
        Some((least, most)) => (one(least)?, one(most)?),
        None => (one(text)?, one(text)?),
    };
    if least > most {
        return Err("the smaller size comes first, such as 64-4k".into());
    }
    Ok(least..=most)
}

impl Load {
    /// Loads, reports and judges.
    ///
    /// # Errors
    ///
    /// Where the run failed, or a threshold was missed.
    pub fn run(self, is_quiet: bool) -> Result<(), Failure> {
        let mut options = self.options()?;
        // Before the run: it is a pity to have measured for nothing.
        let mut files = Files::open(&self.paths()).map_err(|e| match e.kind() {
            ErrorKind::InvalidInput => Failure::usage(&e.to_string()),
            _ => e.into(),
        })?;
        self.announce(&options, is_quiet);
        let mut screen = Screen::new(&mut files, self.lines(), is_quiet);
        let (outcome, search) = match self.objective() {
            Some(objective) => {
                let found = load::search(&options, objective, &mut screen, say_trial)?;
                (found.outcome, Some(found.search))
            }
            None => (load::run(&options, &mut screen)?, None),
        };
        drop(screen);
        options.rate = outcome.rate_target;
        // Before anything is said: standard output may be full.
        let command = env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let written = files.finish(&outcome, &options, search.as_ref(), command);
        if !self.is_json_on_stdout() {
            summarize(&outcome, &options, search.as_ref())?;
        }
        written?;
        self.judge(&outcome, search.as_ref())
    }

    /// Says what is about to be done.
    fn announce(&self, options: &Options, is_quiet: bool) {
        let header = header(options, self.objective());
        // Whoever has closed standard output does not want it, and is told so by the summary.
        let _ = match (self.is_json_on_stdout(), is_quiet) {
            (false, _) => say(&header),
            (true, false) => writeln!(io::stderr(), "{header}"),
            (true, true) => Ok(()),
        };
    }

    fn judge(&self, outcome: &Outcome, search: Option<&Search>) -> Result<(), Failure> {
        // What went wrong in the trials of a search is known of their rates.
        let is_tried = search.is_some_and(|search| !search.trials.is_empty());
        if let Some(trouble) = outcome.fatal_trouble().filter(|_| !is_tried || outcome.is_wrong) {
            return Err(Failure::run(&trouble.to_string()));
        }
        if let Some(search) = search.filter(|search| search.highest().is_none()) {
            return Err(Failure::run(&search.to_string()));
        }
        if outcome.messages == 0 {
            return Err(Failure::run("no echo came back"));
        }
        let missed = self.fail_if.iter().filter_map(|threshold| threshold.missed_by(outcome));
        let missed: Vec<_> = missed.collect();
        if missed.is_empty() {
            return Ok(());
        }
        Err(Failure::run(&format!("failed: {}", missed.join("; "))))
    }

    fn objective(&self) -> Option<Objective> {
        match self.rate {
            Some(Rate::Highest(objective)) => Some(objective),
            Some(Rate::Fixed(_)) | None => None,
        }
    }

    /// Where a line for each interval goes, if anywhere: standard output, unless that is the JSON's.
    fn lines(&self) -> Option<Lines> {
        self.interval.map(|_| Lines::new(self.is_json_on_stdout()))
    }

    fn is_json_on_stdout(&self) -> bool {
        self.reports.json.as_deref().is_some_and(|path| path.as_os_str() == "-")
    }

    fn paths(&self) -> Paths {
        let Reports { json, hdr, report, baseline } = &self.reports;
        Paths {
            json: json.clone(),
            hdr: hdr.clone(),
            page: report.clone(),
            baseline: baseline.clone(),
        }
    }

    fn refuse_contradictions(&self) -> Result<(), Failure> {
        if let (Some(Rate::Highest(_)), true) =
            (self.rate, self.count.is_some() || self.reports.hdr.is_some())
        {
            return Err(Failure::usage(
                "--rate max@… is a search in runs of --duration each: leave out --count and --hdr",
            ));
        }
        if let (None, Some(lag)) = (self.rate, self.fail_if.iter().find(|fail| fail.is_about_lag()))
        {
            return Err(Failure::usage(&format!(
                "--fail-if '{lag}' needs --rate: without, no message is due at any time to be late for"
            )));
        }
        Ok(())
    }

    fn check_descriptors(&self) -> Result<(), Failure> {
        let descriptors = raise_descriptor_limit();
        // One that is replaced has its successor beside it for a while.
        let each = 1 + usize::from(self.reconnect_every.is_some());
        let room = descriptors.saturating_sub(RESERVED_DESCRIPTORS) / each;
        if self.connections > room {
            return Err(Failure::usage(&format!(
                "--connections {} are more than the {room} that the limit of {descriptors} descriptors \
                 leaves room for: raise ulimit -n, or give fewer",
                self.connections
            )));
        }
        Ok(())
    }

    fn options(&self) -> Result<Options, Failure> {
        self.refuse_contradictions()?;
        sources::check(&self.source_ip, &self.server)?;
        self.check_descriptors()?;
        let length = match (self.count, self.duration) {
            (Some(n), _) => Length::Messages(n),
            (None, time) => Length::Time(time.unwrap_or(DURATION)),
        };
        Ok(Options {
            server: self.server.clone(),
            connections: self.connections,
            length,
            rate: match self.rate {
                Some(Rate::Fixed(rate)) => Some(rate),
                Some(Rate::Highest(_)) | None => None,
            },
            sizes: self.size.clone(),
            depth: self.pipeline,
            connect_rate: self.connect_rate,
            warmup: self.warmup,
            timeout: self.timeout,
            sources: self.source_ip.clone(),
            reconnect_every: self.reconnect_every,
            keep_going: self.keep_going,
            interval: self.interval.unwrap_or(INTERVAL),
            spin: self.spin,
        })
    }
}

/// Says what was found; of a search, what it has come to, and the run that shows it.
fn summarize(outcome: &Outcome, options: &Options, search: Option<&Search>) -> io::Result<()> {
    if let Some(search) = search.filter(|search| !search.trials.is_empty()) {
        let of = if search.highest().is_some() { "at that rate" } else { "the last one tried" };
        say(&format_args!("{search}; {of}:"))?;
    }
    // Where nothing was measured there are no figures, and what was in the way is said in the end.
    if outcome.measured.is_zero() { Ok(()) } else { say(&Summary(outcome, options)) }
}

fn say_trial(trial: &Trial) {
    info!("{trial}");
}
