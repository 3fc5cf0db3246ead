//! The command line: what can be said, and what is then done.

use std::io;
use std::net::Ipv6Addr;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use log::LevelFilter;

use crate::net::{Addr, Escaped};
use crate::stdio::complain;

pub use connect::Connect;
pub use load::Load;
pub use ping::Ping;
pub use serve::Serve;

pub mod connect;
pub mod load;
pub mod logging;
pub mod ping;
pub mod serve;
pub mod units;

mod descriptors;

/// An echo server (RFC 862) and the client to try it with, on one thread
///
/// `resound serve` sends back whatever it is sent, byte for byte, to everyone who connects. `resound
/// connect` talks to it, or to any other echo server, from a terminal or a pipe; `resound ping` sees how
/// long an echo takes; `resound load` sends from many connections at once, checks every byte, and reports
/// how many echoes came back in a second, and how long they took.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    verbosity: Verbosity,
}

const AFTER_HELP: &str = "\
Durations are written 50us, 250ms, 1.5s, 2m or 1h.
Sizes are written 64, 16k or 1.5m, where 1k is 1024 bytes; counts 500 or 10k, where 1k is 1000.
Exit codes: 0 all went well; 1 it ran and failed; 2 the command line made no sense.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Echo to everyone who connects, until told to stop by Ctrl-C, SIGTERM or SIGHUP
    Serve(Serve),
    /// Talk to an echo server: line by line from a terminal, or by streaming standard input to it
    ///
    /// From a terminal, each line is a message: it is sent, and its echo waited for, shown and compared;
    /// bye, Ctrl-D or Ctrl-C ends, and Ctrl-\ shows how things stand. What the server does meanwhile is
    /// shown above the prompt. From a pipe or a file, standard input is streamed to the server and
    /// its echo to standard output, until all has come back.
    Connect(Connect),
    /// See how long an echo takes: one small message after the other, as ping(8) does
    ///
    /// Messages are due at fixed times, an interval apart. One that is due while an echo is outstanding
    /// waits for it, or for its time-out, and is then sent at once; of several such, only one is sent.
    /// After a lost or wrong echo the next message gets a new connection. Ctrl-C ends it with the summary;
    /// Ctrl-\ shows how things stand.
    ///
    /// The time to connect is told apart from the echoes' times, which go from just before a message is
    /// written to just after the last byte of its echo is read. mdev is their standard deviation; jitter is
    /// the mean of how far each is from the one before.
    Ping(Ping),
    /// Load an echo server from many connections, check every byte, and measure how long echoes take
    Load(Box<Load>),
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Logging, to standard error")]
struct Verbosity {
    /// Log more: connections; given twice, each read and write of the server too
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,

    /// Log warnings and errors only
    #[arg(short, long, global = true, conflicts_with_all = ["verbose", "log_level"])]
    quiet: bool,

    /// Log what is at least so severe: off, error, warn, info, debug or trace [default: info]
    #[arg(long, global = true, value_name = "LEVEL", value_parser = log_level)]
    #[arg(conflicts_with = "verbose")]
    log_level: Option<LevelFilter>,
}

fn log_level(text: &str) -> Result<LevelFilter, &'static str> {
    text.parse().map_err(|_| "write off, error, warn, info, debug or trace")
}

impl Verbosity {
    fn level(&self) -> LevelFilter {
        match (self.log_level, self.quiet, self.verbose) {
            (Some(level), _, _) => level,
            (None, true, _) => LevelFilter::Warn,
            (None, false, 0) => LevelFilter::Info,
            (None, false, 1) => LevelFilter::Debug,
            (None, false, _) => LevelFilter::Trace,
        }
    }
}

/// Why a command failed, as a line for people, and the exit code that goes with it.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// It ran, and failed.
    fn run(message: &str) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// The arguments made no sense.
    fn usage(message: &str) -> Self {
        Self { message: message.into(), code: 2 }
    }
}

/// What a shell makes of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // A signal ended it before it was done. No call reports that it was interrupted as its failure:
        // all of them are repeated.
        let code = if error.kind() == io::ErrorKind::Interrupted { INTERRUPTED } else { 1 };
        Self { message: error.to_string(), code }
    }
}

impl Cli {
    /// Reads this process's arguments. Where they ask for help, or make no sense, prints that and
    /// returns the exit code instead.
    ///
    /// # Errors
    ///
    /// The exit code, where there is nothing more to do.
    pub fn from_env() -> Result<Self, ExitCode> {
        Self::parse_strictly().map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                let _ = error.print();
                ExitCode::SUCCESS
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                let _ = error.print();
                ExitCode::from(2)
            }
            _ => Failure::usage(&one_line(&error, std::env::args())).report(),
        })
    }

    fn parse_strictly() -> Result<Self, clap::Error> {
        let mut grammar =
            Self::command().mut_subcommands(|c| c.after_help(AFTER_HELP).mut_args(tell));
        let matches = grammar.try_get_matches_from_mut(std::env::args_os())?;
        Self::from_arg_matches(&matches).map_err(|e| e.format(&mut grammar))
    }

    /// Does what the arguments say.
    pub fn run(self) -> ExitCode {
        let done = logging::init(self.verbosity.level())
            .map_err(|e| Failure::run(&e.to_string()))
            .and_then(|()| match self.command {
                Command::Serve(serve) => serve.run(),
                Command::Connect(connect) => connect.run(),
                Command::Ping(ping) => ping.run(),
                Command::Load(load) => load.run(self.verbosity.quiet),
            });
        done.map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS)
    }
}

impl Failure {
    /// Says why on standard error, if that can be had, and gives the exit code.
    fn report(&self) -> ExitCode {
        complain(&format_args!("resound: {}", self.message));
        ExitCode::from(self.code)
    }
}

/// Lets whoever reads an argument say what would be right.
fn tell(arg: Arg) -> Arg {
    if arg.get_id() == "server" {
        arg.value_parser(Addr::of_server)
    } else if arg.get_action().takes_values() && !arg.is_positional() {
        // Otherwise clap takes -1 for an option that it does not know.
        arg.allow_negative_numbers(true)
    } else {
        arg
    }
}

/// What clap has to say, without its usage and in one line, so that it reads well in a log too.
fn one_line(error: &clap::Error, args: impl Iterator<Item = String>) -> String {
    if let Some((apart, together)) = host_and_port(error, args) {
        return format!("write {together} instead of {apart}; try --help");
    }
    let text = error.render().to_string();
    // The tip to write -- before what looks like an option is clap's, and seldom what was meant.
    let noise = ["Usage:", "For more information", "tip: to pass "];
    let says_something =
        |line: &&str| !line.is_empty() && !noise.iter().any(|start| line.starts_with(start));
    let lines: Vec<_> = text.lines().map(str::trim).filter(says_something).collect();
    let text = lines.join("; ").replace(":; ", ": ");
    format!("{}; try --help", text.strip_prefix("error: ").unwrap_or(&text))
}

/// A host and a port that were given apart, as nc(1) takes them, and how they are written together.
fn host_and_port(
    error: &clap::Error,
    args: impl Iterator<Item = String>,
) -> Option<(String, String)> {
    let wrong = match error.kind() {
        ErrorKind::ValueValidation => error.get(ContextKind::InvalidValue),
        ErrorKind::UnknownArgument => error.get(ContextKind::InvalidArg),
        _ => None,
    };
    let Some(ContextValue::String(wrong)) = wrong else { return None };
    let args: Vec<_> = args.skip(1).collect();
    let pair = args.windows(2).find(|pair| pair.contains(wrong))?;
    let [host, port] = pair else { return None };
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if host.starts_with('-') || is_number(host) || !is_number(port) {
        return None;
    }
    let is_ipv6 = host.parse::<Ipv6Addr>().is_ok();
    let together = if is_ipv6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let addr = Addr::of_server(&together).ok().filter(|_| Addr::of_server(host).is_err())?;
    Some((format!("{} {port}", Escaped(host)), addr.to_string()))
}
