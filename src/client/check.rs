//! `resound check`: grades an echo server, whoever wrote it, and names the mistake that it makes.
//!
//! A [`Case`](case) is a conversation with the server that can go wrong in one way. The runner tries one after the
//! other, on the same reactor as the other clients, and after each it finds out whether the server still answers. If a
//! case fails, `diagnosis` asks the server a few questions more, and names the mistake if the answers show it.
//!
//! # Time
//!
//! A server that is silent is waited for with less and less patience, and all cases together have a limit. What they have
//! no time for is not run, and the report says so.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::net::{Addr, Endpoint};
use crate::signals;

use bench::{Bench, Settings};
use case::Case;
use process::ProcessTree;
use recording::Recording;
use runner::Runner;
use server::{Started, Subject};

pub(crate) use gradescope::{Points, gradescope};
pub(crate) use json::json;
pub(crate) use junit::junit;
pub(crate) use profile::Profile;
pub(crate) use report::{Report, Verdict};
pub(crate) use text::Text;
pub(crate) use trace::trace;

mod timeline;
mod recording;
mod peer;
mod letterbox;
mod process;
mod affinity;
mod tail;
mod server;
mod problem;
mod profile;
mod bench;
mod case;
mod steps;
mod cases;
mod diagnosis;
mod report;
mod runner;
mod text;
mod json;
mod junit;
mod gradescope;
mod trace;
pub(crate) mod zoo;

/// The levels are 1 to this.
pub(crate) const LEVELS: u8 = 6;

/// What to check.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A server that runs, and its process if the user names it.
    Address(Addr, Option<i32>),
    /// A command that starts one.
    Command(Vec<OsString>),
}

/// What `resound check` was asked to do.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) target: Target,
    /// The cases to try, by their ids.
    pub(crate) ids: Vec<&'static str>,
    pub(crate) profile: Profile,
    /// How long a server may be silent.
    pub(crate) patience: Duration,
    /// What the random bytes follow from. Not 0.
    pub(crate) seed: u64,
    /// Whether to record what the connections do.
    pub(crate) with_records: bool,
}

/// A case, for a list of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    pub(crate) id: &'static str,
    pub(crate) level: u8,
    pub(crate) severity: &'static str,
    pub(crate) expectation: &'static str,
}

/// All cases, in the order in which they are tried.
pub(crate) fn list() -> impl Iterator<Item = Listed> {
    cases::all().map(|case: &Case| Listed {
        id: case.id,
        level: case.level,
        severity: case.severity.name(),
        expectation: case.expectation,
    })
}

/// Checks a server. Calls `progress` before each case, with its id, its number and the number of all.
///
/// # Errors
///
/// That there is no server to check: its name is unknown, its command does not start it, or there is no such process.
pub(crate) fn run(
    options: &Options,
    progress: impl FnMut(&'static str, usize, usize),
) -> io::Result<Report> {
    let began = Instant::now();
    // Before a command is started: a signal must end what it has started too.
    let mut signals = signals::watch(&[])?;
    let subject = subject(&options.target)?;
    let server = match &options.target {
        Target::Address(addr, _) => addr.to_string(),
        Target::Command(_) => subject.server.to_string(),
    };
    let Options { patience, profile, seed, .. } = *options;
    let recording = Recording::new(options.with_records, began);
    let settings = Settings { patience, profile, seed, recording };
    let mut bench = Bench::new(subject, &mut signals, settings)?;
    let mut cases = cases::for_server(&bench.server, profile);
    let left_out = cases.iter().filter(|case| !options.ids.contains(&case.id));
    let first_left_out = left_out.map(|case| case.level).min();
    cases.retain(|case| options.ids.contains(&case.id));
    let cases = Runner::new(&mut bench, began).run(&cases, progress);
    let is_interrupted = bench.is_interrupted;
    let took = began.elapsed();
    Ok(Report { server, seed, took, cases, is_interrupted, first_left_out })
}

/// The report of a check that did not come to a server, for those who wait for one.
pub(crate) fn not_started(options: &Options, error: &io::Error) -> Report {
    let server = match &options.target {
        Target::Address(addr, _) => addr.to_string(),
        Target::Command(command) => command.join(OsStr::new(" ")).to_string_lossy().into(),
    };
    let wanted = cases::of_streams().filter(|case| options.ids.contains(&case.id));
    let cases = runner::not_started(wanted, error);
    let (seed, took) = (options.seed, Duration::ZERO);
    Report { server, seed, took, cases, is_interrupted: false, first_left_out: None }
}

fn subject(target: &Target) -> io::Result<Subject> {
    match target {
        Target::Command(command) => {
            let started = Started::new(command.clone())?;
            Ok(Subject { server: started.endpoint(), started: Some(started), process: None })
        }
        Target::Address(addr, pid) => {
            let no_process = |pid| io::Error::other(format!("there is no process {pid}"));
            let process = pid.map(|pid| ProcessTree::of(pid).map_err(|_| no_process(pid)));
            let process = process.transpose()?;
            let server = reachable(addr.resolve()?).ok_or(io::ErrorKind::NotFound)?;
            Ok(Subject { server, started: None, process })
        }
    }
}

/// How long an address of a name with several has to answer.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(1);

/// The first of a name's addresses that can be connected to, or the first of all if there is none: "localhost" means
/// ::1 too, where many servers do not listen.
fn reachable(all: Vec<Endpoint>) -> Option<Endpoint> {
    let answers = |endpoint: &&Endpoint| match endpoint {
        Endpoint::Inet(addr) => TcpStream::connect_timeout(addr, ADDRESS_PATIENCE).is_ok(),
        _ => true,
    };
    let found = if all.len() > 1 { all.iter().find(answers).cloned() } else { None };
    found.or_else(|| all.into_iter().next())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

    use super::*;

    #[test]
    fn the_address_that_answers_is_taken_or_the_first() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let closed = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        let addrs = [closed, (Ipv4Addr::LOCALHOST, port).into()].map(Endpoint::from);
        assert_eq!(reachable(addrs.to_vec()), Some(addrs[1].clone()));
        drop(listener);
        assert_eq!(reachable(addrs.to_vec()), Some(addrs[0].clone()));
    }
}
