//! The command line: reads the arguments, and runs the command that they name.

use std::env;
use std::ffi::OsString;
#[cfg(feature = "clients")]
use std::io::{IsTerminal, stdout};
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, StyledStr, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use log::LevelFilter;

use crate::stdio::{complain, say};
use crate::version::VERSION;
use address::server_addr;
#[cfg(feature = "clients")]
use check::Check;
#[cfg(feature = "clients")]
use connect::Connect;
#[cfg(feature = "manual")]
use generated::{Completions, Manual};
#[cfg(any(feature = "clients", feature = "manual"))]
use later::Later;
#[cfg(feature = "clients")]
use load::Load;
use logging::Format;
#[cfg(feature = "clients")]
use ping::Ping;
use serve::Serve;
#[cfg(feature = "clients")]
use trace::Trace;
#[cfg(feature = "clients")]
use zoo::Zoo;

pub use failure::Failure;

mod address;
mod descriptors;
mod logging;
mod failure;

mod serve;
#[cfg(feature = "clients")]
mod send_proxy;
#[cfg(feature = "clients")]
mod connect;
#[cfg(feature = "clients")]
mod ping;
#[cfg(feature = "clients")]
mod load;
#[cfg(feature = "clients")]
mod check;
#[cfg(feature = "clients")]
mod zoo;
#[cfg(feature = "clients")]
mod trace;

#[cfg(feature = "manual")]
mod generated;

#[cfg(any(feature = "clients", feature = "manual"))]
mod later;
mod advice;
mod refusal;
mod environment;

/// The command line of the program.
#[derive(Debug, Parser)]
#[command(about = ABOUT, long_about = LONG_ABOUT)]
#[command(version = VERSION, propagate_version = true, args_override_self = true, after_long_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    verbosity: Verbosity,
}

const ABOUT: &str = match cfg!(feature = "clients") {
    true => "An echo server (RFC 862) on one thread, and the clients to try and measure it with",
    false => "An echo server (RFC 862) on one thread; built without the clients",
};

const LONG_ABOUT: &str = match cfg!(feature = "clients") {
    true => {
        "An echo server (RFC 862) on one thread, and the clients to try and measure it with

`resound serve` sends every byte back on the connection that it came from. `resound connect` talks to it, or to any \
other echo server, from a terminal or a pipe. `resound ping` measures how long an echo takes. `resound load` sends \
from many connections at once, checks every byte, and reports the rate and the times of the echoes."
    }
    false => {
        "An echo server (RFC 862) on one thread; built without the clients

`resound serve` sends every byte back on the connection that it came from."
    }
};

const AFTER_HELP: &str = "\
Durations are written 50us, 250ms, 1.5s, 2m, 1h or 1d. Sizes are written 64, 16k or 1.5m, where 1k (or 1K, 1kB, \
1KiB) is 1024 bytes; counts 500 or 10k, where 1k is 1000. If an option is given twice, the last counts, unless it can be repeated.
Exit codes: 0 success; 1 it ran and failed; 2 the arguments are wrong; 130 a signal interrupted it before it had \
finished.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Echo on every connection until a signal stops it
    ///
    /// Ctrl-C, SIGTERM or SIGHUP stops it: after --drain-delay it accepts no more connections, finishes what is pending
    /// within --drain-timeout, and exits with code 0. A second signal stops it at once, with exit code 1.
    /// SIGUSR1 or Ctrl-\ logs how it is doing.
    ///
    /// It logs to standard error, and never waits for the reader of its log. If the reader does not keep up, the
    /// server drops log lines, and later logs how many.
    ///
    /// The environment can give each option too: RESOUND_MAX_CONNECTIONS=500 stands for --max-connections 500,
    /// RESOUND_ONCE=true for --once, RESOUND_LISTEN=0.0.0.0:7,unix:/run/echo for two --listen, and RESOUND_LOG_LEVEL for
    /// --log-level. The command line overrides the environment. An empty variable counts as unset.
    Serve(Box<Serve>),
    /// Talk to an echo server, from a terminal or a pipe
    ///
    /// In a terminal, each line is a message. The client sends it, waits for its echo, shows the echo and compares
    /// it. bye, Ctrl-D or Ctrl-C ends; Ctrl-\ shows the state. What the server does meanwhile appears above the
    /// prompt.
    ///
    /// From a pipe or a file, the client streams standard input to the server, and the echo to standard output,
    /// until all of it has come back. Ctrl-C, SIGTERM or SIGHUP ends a stream early: the client reports what it sent
    /// and received, and exits with code 130. Ctrl-\ reports the same and continues.
    #[cfg(feature = "clients")]
    Connect(Later<Connect>),
    /// Measure how long an echo takes, one message at a time
    ///
    /// Messages are due at fixed times, an interval apart. If the last echo is still outstanding, a due message waits
    /// for that echo or its timeout; of several messages that are due by then, the client sends one. After a
    /// lost or wrong echo, the client makes a new connection. Ctrl-C ends with the summary, Ctrl-\ prints a status
    /// line.
    ///
    /// The time of an echo runs from just before the write of its message to just after the read of its last
    /// byte. The time to connect is not part of it, and is shown apart. mdev is the standard deviation of the times,
    /// jitter the mean difference between one time and the next.
    #[cfg(feature = "clients")]
    Ping(Ping),
    /// Load an echo server from many connections, and measure it
    #[cfg(feature = "clients")]
    Load(Later<Box<Load>>),
    /// Grade an echo server, whoever wrote it, and name the mistake that it makes
    ///
    /// Give the address of a server that runs, or a command that starts one: resound check -- ./server {port}. With a
    /// command, or with --pid, the cases that need the server's process are tried too.
    #[cfg(feature = "clients")]
    Check(Later<Box<Check>>),
    /// Small servers with one classic mistake each, to learn from
    ///
    /// They stand in examples/zoo. cargo run -p resound-zoo -- undrained-edge 7007 runs one of them.
    #[cfg(feature = "clients")]
    Zoo(Later<Zoo>),
    /// Traces: import what strace recorded, and name the mistakes that a trace shows
    #[cfg(feature = "clients")]
    Trace(Later<Trace>),
    /// Print the completions of the command line for a shell
    ///
    /// In bash: source <(resound completions bash). In zsh, write them to a file _resound in a folder of $fpath. In
    /// fish: resound completions fish | source.
    #[cfg(feature = "manual")]
    Completions(Later<Completions>),
    /// Print a page of the manual
    ///
    /// Without a command, the page is about the program. man(1) shows it: resound man serve | man -l -
    #[cfg(feature = "manual")]
    Man(Later<Manual>),
}

impl Command {
    /// Whether it has a --quiet of its own, beside that of the log.
    fn has_own_quiet(&self) -> bool {
        match self {
            #[cfg(feature = "clients")]
            Self::Ping(_) => true,
            _ => false,
        }
    }

    /// How its log is written.
    fn log_format(&self) -> Format {
        match self {
            Self::Serve(serve) => serve.log_format,
            #[cfg(any(feature = "clients", feature = "manual"))]
            _ => Format::Text,
        }
    }
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Logging, to standard error")]
struct Verbosity {
    /// Log connections too; twice: reads and writes too
    ///
    /// Once, it logs each connection. Twice, it also logs each read and write of the server.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,

    /// Log warnings and errors only
    #[arg(short, long, global = true, conflicts_with_all = ["verbose", "log_level"])]
    quiet: bool,

    /// Log this level and above [default: info]
    ///
    /// The levels are off, error, warn, info, debug and trace. The first logs nothing, the last logs all.
    #[arg(long, global = true, value_name = "LEVEL", value_parser = log_level)]
    #[arg(conflicts_with = "verbose")]
    log_level: Option<LevelFilter>,
}

fn log_level(text: &str) -> Result<LevelFilter, &'static str> {
    text.parse().map_err(|_| "write off, error, warn, info, debug or trace")
}

impl Verbosity {
    /// `ping` has a --quiet of its own. clap finds a contradiction only if both flags stand on the same side
    /// of the command.
    fn level(&self, is_ping: bool) -> Result<LevelFilter, Failure> {
        let refuse = |other| {
            let line =
                format!("the argument '{other}' cannot be used with '--verbose...'; try --help");
            Err(Failure::usage(&line))
        };
        Ok(match (self.log_level, self.quiet, self.verbose) {
            (_, true, 1..) if !is_ping => return refuse("--quiet"),
            (Some(_), _, 1..) => return refuse("--log-level <LEVEL>"),
            (Some(level), _, _) => level,
            (None, true, 0) => LevelFilter::Warn,
            (None, _, 0) => LevelFilter::Info,
            (None, _, 1) => LevelFilter::Debug,
            (None, _, _) => LevelFilter::Trace,
        })
    }
}

impl Cli {
    /// Reads the arguments of this process, and its environment. If they ask for help or are wrong, prints the help or the
    /// error.
    ///
    /// # Errors
    ///
    /// The exit code, if it printed help or an error.
    pub fn from_env() -> Result<Self, ExitCode> {
        let args: Vec<_> = env::args_os().collect();
        let mut grammar = grammar();
        let given = grammar.try_get_matches_from_mut(&args);
        let given = given.map_err(|error| {
            // The advice may be about any command.
            grammar.build();
            refuse(error, &grammar, &args)
        })?;
        environment::complete(given, &mut grammar, args, |name| env::var_os(name))
            .and_then(|matches| {
                Self::from_arg_matches(&matches).map_err(|e| Failure::usage(&e.to_string()))
            })
            .map_err(|failure| failure.report())
    }

    /// Runs the command.
    pub fn run(self) -> ExitCode {
        let level = self.verbosity.level(self.command.has_own_quiet());
        let format = self.command.log_format();
        let init = |level| logging::init(level, format).map_err(|e| Failure::run(&e.to_string()));
        let done = level.and_then(init).and_then(|()| match self.command {
            Command::Serve(serve) => serve.run(),
            #[cfg(feature = "clients")]
            Command::Connect(Later(connect)) => connect.run(),
            #[cfg(feature = "clients")]
            Command::Ping(ping) => ping.run(),
            #[cfg(feature = "clients")]
            Command::Load(Later(load)) => load.run(self.verbosity.quiet),
            #[cfg(feature = "clients")]
            Command::Check(Later(check)) => check.run(self.verbosity.quiet),
            #[cfg(feature = "clients")]
            Command::Zoo(Later(zoo)) => zoo.run(),
            #[cfg(feature = "clients")]
            Command::Trace(Later(trace)) => trace.run(),
            #[cfg(feature = "manual")]
            Command::Completions(Later(completions)) => completions.run(),
            #[cfg(feature = "manual")]
            Command::Man(Later(manual)) => manual.run(),
        });
        done.map_or_else(|failure| failure.report_as(format), |()| ExitCode::SUCCESS)
    }
}

/// The arguments that clap accepts.
fn grammar() -> clap::Command {
    let command = |command: clap::Command| {
        // Without this, the version of a command says resound-serve.
        command.display_name("resound").after_long_help(AFTER_HELP).mut_args(patch_arg)
    };
    Cli::command().mut_subcommands(command)
}

/// Prints why there is nothing to run, and returns the exit code: help was asked for, or the arguments are wrong.
fn refuse(error: clap::Error, grammar: &clap::Command, args: &[OsString]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => print(&error),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            complain(&error.render().to_string().trim_end());
            ExitCode::from(2)
        }
        _ => Failure::usage(&refusal::line(error, grammar, args)).report(),
    }
}

/// Prints the help or the version.
fn print(text: &clap::Error) -> ExitCode {
    let text = styled(&text.render());
    let said = say(&text.trim_end());
    said.map_or_else(|e| Failure::from(e).report(), |()| ExitCode::SUCCESS)
}

/// With bold and underlined parts, if standard output is a terminal that can show them.
#[cfg(feature = "clients")]
fn styled(text: &StyledStr) -> String {
    let is_plain = !stdout().is_terminal()
        || env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || env::var_os("TERM").is_some_and(|term| term == "dumb");
    if is_plain { text.to_string() } else { text.ansi().to_string() }
}

/// The server alone does without, to stay small.
#[cfg(not(feature = "clients"))]
fn styled(text: &StyledStr) -> String {
    text.to_string()
}

/// Lets a server have a path that is not UTF-8, and an option a negative number: their parsers report what is wrong.
fn patch_arg(arg: Arg) -> Arg {
    if arg.get_id() == "server" {
        arg.value_parser(OsStringValueParser::new().try_map(server_addr))
    } else if arg.get_action().takes_values() && !arg.is_positional() {
        // Without this, clap takes the value -1 for an unknown option.
        arg.allow_negative_numbers(true)
    } else {
        arg
    }
}
