//! The command line: what can be said, and what is then done.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use log::LevelFilter;

use crate::net::Addr;
use crate::stdio::{complain, say};
use crate::text::Escaped;

use connect::Connect;
use load::Load;
use ping::Ping;
use serve::Serve;

mod connect;
mod load;
mod logging;
mod ping;
mod serve;

mod advice;
mod descriptors;
mod refusal;

/// An echo server (RFC 862) and the client to try it with, on one thread
///
/// `resound serve` sends every byte that it receives back on the same connection. `resound connect` talks
/// to it, or to any other echo server, from a terminal or a pipe. `resound ping` measures how long an echo
/// takes. `resound load` sends from many connections at once, checks every byte, and reports how many echoes
/// came back in a second, and how long they took.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, args_override_self = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    verbosity: Verbosity,
}

const AFTER_HELP: &str = "\
Durations are written 50us, 250ms, 1.5s, 2m, 1h or 1d. Sizes are written 64, 16k or 1.5m, where 1k (or 1K, 1kB, \
1KiB) is 1024 bytes; counts 500 or 10k, where 1k is 1000. If an option is given twice, the last counts.
Exit codes: 0 all went well; 1 it ran and failed; 2 the command line made no sense; 130 a signal interrupted it \
before it was done.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Echo on every connection, until Ctrl-C, SIGTERM or SIGHUP stops it
    Serve(Serve),
    /// Talk to an echo server: line by line from a terminal, or by streaming standard input to it
    ///
    /// From a terminal, each line is a message: it is sent, and its echo waited for, shown and compared;
    /// bye, Ctrl-D or Ctrl-C ends, and Ctrl-\ shows how things stand. What the server does meanwhile is
    /// shown above the prompt. From a pipe or a file, standard input is streamed to the server and
    /// its echo to standard output, until all has come back. Ctrl-C, SIGTERM or SIGHUP end a stream early,
    /// with what was sent and received, and exit code 130; Ctrl-\ shows the same and goes on.
    Connect(Connect),
    /// Measure how long an echo takes: one small message after the other, as ping(8) does
    ///
    /// Messages are due at fixed times, an interval apart. One that is due while an echo is outstanding
    /// waits for it, or for its time-out, and is then sent at once; of several such messages, only one is sent.
    /// After a lost or wrong echo the next message gets a new connection. Ctrl-C ends it with the summary;
    /// Ctrl-\ prints a status line.
    ///
    /// The time to connect is shown apart from the echoes' times, which go from just before a message is
    /// written to just after the last byte of its echo is read. mdev is their standard deviation; jitter is
    /// the mean of how far each is from the one before.
    Ping(Ping),
    /// Load an echo server from many connections, check every byte, and measure how long echoes take
    Load(Box<Load>),
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Logging, to standard error")]
struct Verbosity {
    /// Log each connection too; if given twice, also each read and write of the server
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,

    /// Log warnings and errors only
    #[arg(short, long, global = true, conflicts_with_all = ["verbose", "log_level"])]
    quiet: bool,

    /// Log messages of this level and more severe ones: off, error, warn, info, debug or trace [default: info]
    #[arg(long, global = true, value_name = "LEVEL", value_parser = log_level)]
    #[arg(conflicts_with = "verbose")]
    log_level: Option<LevelFilter>,
}

fn log_level(text: &str) -> Result<LevelFilter, &'static str> {
    text.parse().map_err(|_| "write off, error, warn, info, debug or trace")
}

impl Verbosity {
    /// `ping` has a --quiet of its own. clap sees a contradiction only if both flags stand on the same side
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
    /// Reads this process's arguments. If they ask for help, or make no sense, prints that and returns the
    /// exit code instead.
    ///
    /// # Errors
    ///
    /// The exit code, if there is nothing more to do.
    pub fn from_env() -> Result<Self, ExitCode> {
        let args: Vec<_> = env::args_os().collect();
        let mut grammar = grammar();
        let parsed = Self::parse(&mut grammar, &args);
        parsed.map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => print(&error),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                complain(&error.render().to_string().trim_end());
                ExitCode::from(2)
            }
            _ => Failure::usage(&refusal::line(error, &grammar, &args)).report(),
        })
    }

    fn parse(grammar: &mut clap::Command, args: &[OsString]) -> Result<Self, clap::Error> {
        let matches = grammar.try_get_matches_from_mut(args)?;
        Self::from_arg_matches(&matches).map_err(|e| e.format(grammar))
    }

    /// Does what the arguments say.
    pub fn run(self) -> ExitCode {
        let level = self.verbosity.level(matches!(self.command, Command::Ping(_)));
        let done = level
            .and_then(|level| logging::init(level).map_err(|e| Failure::run(&e.to_string())))
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
    /// Says why on standard error, and gives the exit code.
    fn report(&self) -> ExitCode {
        complain(&self.line());
        ExitCode::from(self.code)
    }

    /// One line, whatever the message quotes.
    fn line(&self) -> String {
        format!("resound: {}", shortened(&Escaped(&self.message).to_string()))
    }
}

/// A line without its middle if it is too long to be read. Its end says why.
fn shortened(line: &str) -> String {
    const MOST_CHARS: usize = 1000;
    let (n, half) = (line.chars().count(), MOST_CHARS / 2);
    if n <= MOST_CHARS {
        return line.into();
    }
    let chars = || line.chars();
    chars().take(half).chain(" … ".chars()).chain(chars().skip(n - half)).collect()
}

/// What can be said on the command line.
fn grammar() -> clap::Command {
    let command = |command: clap::Command| {
        // Otherwise it calls itself resound-serve.
        command.display_name("resound").after_help(AFTER_HELP).mut_args(patch_arg)
    };
    Cli::command().mut_subcommands(command)
}

/// Prints help, or the version.
fn print(text: &clap::Error) -> ExitCode {
    let text = text.render();
    let is_plain = !io::stdout().is_terminal()
        || env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || env::var_os("TERM").is_some_and(|term| term == "dumb");
    let text = if is_plain { text.to_string() } else { text.ansi().to_string() };
    let said = say(&text.trim_end());
    said.map_or_else(|e| Failure::from(e).report(), |()| ExitCode::SUCCESS)
}

/// Reads each argument so that an error can say what would be right.
fn patch_arg(arg: Arg) -> Arg {
    if arg.get_id() == "server" {
        arg.value_parser(OsStringValueParser::new().try_map(Addr::of_server))
    } else if arg.get_action().takes_values() && !arg.is_positional() {
        // Otherwise clap takes -1 for an option that it does not know.
        arg.allow_negative_numbers(true)
    } else {
        arg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_that_can_be_read() {
        assert_eq!(Failure::run("a\n\u{1b}b").line(), "resound: a\\n\\u{1b}b");
        let line = Failure::usage(&format!("ö{}z", "y".repeat(5000))).line();
        assert!(line.starts_with("resound: öyyy") && line.ends_with("yyyz"), "{line}");
        assert_eq!(line.chars().count(), "resound: ".len() + 1003);
        let just = "x".repeat(1000);
        assert_eq!(Failure::run(&just).line(), format!("resound: {just}"));
    }
}
