//! What a ping says, step by step and in the end: all of its wording is here.

use std::fmt;
use std::io;
use std::time::Duration;

use super::tally::{MessageFailure, Tally};
use crate::client::dial::Progress;
use crate::client::failure::Failure;
use crate::client::running_stats::RunningStats;
use crate::net::{Addr, Endpoint, reason};
use crate::text::Plural;
use crate::text::format::{count, counted, setting};

/// A step. Nothing in it that the server sent can act on a terminal: bytes are shown in hexadecimal.
#[derive(Debug)]
pub enum Notice<'a> {
    /// It begins.
    Start {
        /// The server, as it was named.
        server: &'a Addr,
        /// The first of its addresses.
        peer: &'a Endpoint,
        /// The size of a message.
        bytes: usize,
    },
    /// An address failed, or the server is not up.
    Dialing(&'a Progress),
    /// There is a connection.
    Connected {
        /// The server's end.
        peer: &'a Endpoint,
        /// This end.
        local: &'a Endpoint,
        /// How long that took.
        took: Duration,
        /// Whether there was one before.
        again: bool,
    },
    /// An echo is complete, and right.
    Echo {
        /// The number of the message, from 1.
        sequence: u64,
        /// How many bytes it has.
        bytes: usize,
        /// Who sent it.
        peer: &'a Endpoint,
        /// How long it took.
        took: Duration,
    },
    /// A message failed.
    Failed(&'a MessageFailure),
    /// The server ended the connection while nothing was owed.
    ServerClosed {
        /// What the system says, if it was no orderly end.
        error: Option<&'a io::Error>,
        /// The message for which there will be another.
        next: u64,
    },
    /// How things stand: the user has asked.
    Status {
        /// What was found so far.
        tally: &'a Tally,
        /// What it waits for.
        activity: Activity<'a>,
    },
}

/// What a ping waits for.
#[derive(Debug)]
pub enum Activity<'a> {
    /// Nothing but the next message's time.
    None,
    /// The addresses of the server.
    LookingUp(&'a Addr),
    /// A connection to the server.
    Connecting(&'a Addr),
    /// An echo.
    Waiting {
        /// The number of its message.
        sequence: u64,
        /// How long it has been waiting.
        waited: Duration,
    },
}

impl fmt::Display for Activity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::LookingUp(server) => write!(f, "; looking up {server}"),
            Self::Connecting(server) => write!(f, "; connecting to {server}"),
            Self::Waiting { sequence, waited } => {
                write!(f, "; waiting for seq={sequence} since {} ms", Ms(*waited))
            }
        }
    }
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { server, peer, bytes } => {
                write!(
                    f,
                    "PING {server} ({peer}) {} over {}",
                    Plural(*bytes as u64, "byte"),
                    way(peer)
                )
            }
            Self::Dialing(progress) => progress.fmt(f),
            Self::Connected { peer, local, took, again } => {
                let connected = if *again { "reconnected" } else { "connected" };
                write!(f, "{connected} to {peer} from {local} in {} ms", Ms(*took))
            }
            Self::Echo { sequence, bytes, peer, took } => {
                let bytes = Plural(*bytes as u64, "byte");
                write!(f, "{bytes} from {peer}: seq={sequence} time={} ms", Ms(*took))
            }
            Self::Failed(failed) => failed.fmt(f),
            Self::ServerClosed { error: None, next } => {
                write!(f, "the server closed the connection; reconnecting for seq={next}")
            }
            Self::ServerClosed { error: Some(e), next } => {
                write!(f, "the connection broke: {}; reconnecting for seq={next}", reason(e))
            }
            Self::Status { tally, activity } => {
                Counts(tally).fmt(f)?;
                activity.fmt(f)?;
                if tally.received > 0 {
                    write!(f, "; echo {}", Times(&tally.echo))?;
                }
                Ok(())
            }
        }
    }
}

fn way(peer: &Endpoint) -> &'static str {
    match peer {
        Endpoint::Inet(_) => "TCP",
        Endpoint::Unix(_) | Endpoint::Abstract(_) => "a Unix socket",
    }
}

impl fmt::Display for MessageFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, offsets: (first, last), failure } = self;
        match failure {
            Failure::TimedOut { timeout, received, expected } => write!(
                f,
                "no echo for seq={sequence} within {}: {} of {} came back",
                setting(*timeout),
                count(*received),
                counted(*expected, "byte", "bytes")
            ),
            _ if failure.is_wrong() => {
                write!(f, "seq={sequence} (offsets {first} to {last}): {failure}")
            }
            _ => write!(f, "seq={sequence}: {failure}"),
        }
    }
}

/// What was found, as ping(8) shows it.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// The server, as it was named.
    pub server: &'a Addr,
    /// What was found.
    pub tally: &'a Tally,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, tally } = self;
        writeln!(f, "--- {server} ping statistics ---")?;
        write!(f, "{}, time {} ms", Counts(tally), tally.elapsed.as_millis())?;
        if !tally.stood_still.is_zero() {
            let stood_still = tally.stood_still.as_millis();
            write!(
                f,
                "\nthis program was stopped for {stood_still} ms, which counts against no echo"
            )?;
        }
        if !tally.failure_counts.is_empty() {
            write!(f, "\nfailures: {}", FailureCounts(tally))?;
        }
        if tally.connect.count() > 0 {
            let connect = &tally.connect;
            let [min, avg, max] = [connect.min(), connect.mean(), connect.max()].map(Ms);
            write!(f, "\nconnect min/avg/max = {min}/{avg}/{max} ms")?;
        }
        if tally.received > 0 {
            write!(f, "\necho {}", Times(&tally.echo))?;
        }
        if tally.received > 1 {
            write!(f, "\necho {}, jitter {} ms", Percentiles(tally), Ms(tally.echo.jitter()))?;
        }
        Ok(())
    }
}

/// The number of failures of each kind.
struct FailureCounts<'a>(&'a Tally);

impl fmt::Display for FailureCounts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.failure_counts.iter();
        let phrases: Vec<_> = counts.map(|(kind, n)| format!("{n} {kind}")).collect();
        f.write_str(&phrases.join(", "))
    }
}

/// The percentiles that the number of echoes can give.
struct Percentiles<'a>(&'a Tally);

impl fmt::Display for Percentiles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];
        let known =
            |(name, percentile)| Some((name, Ms(self.0.percentile(percentile)?).to_string()));
        let (names, times): (Vec<_>, Vec<_>) = all.into_iter().filter_map(known).unzip();
        write!(f, "{} = {} ms", names.join("/"), times.join("/"))
    }
}

/// How many messages had which outcome.
struct Counts<'a>(&'a Tally);

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { sent, received, lost, wrong, skipped, is_under_way, .. } = self.0;
        let settled = sent - u64::from(*is_under_way);
        write!(f, "{sent} sent, {received} received, {lost} lost ({})", Percent(*lost, settled))?;
        write!(f, ", {wrong} wrong, {}", Plural(self.0.reconnects(), "reconnect"))?;
        if *is_under_way {
            f.write_str(", 1 still under way")?;
        }
        if *skipped > 0 {
            write!(f, ", {} skipped", Plural(*skipped, "due time"))?;
        }
        Ok(())
    }
}

struct Times<'a>(&'a RunningStats);

impl fmt::Display for Times<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(times) = self;
        let [min, avg, max] = [times.min(), times.mean(), times.max()].map(Ms);
        write!(f, "min/avg/max/mdev = {min}/{avg}/{max}/{} ms", Ms(times.stdev()))
    }
}

/// In milliseconds.
struct Ms(Duration);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0.as_secs_f64() * 1e3)
    }
}

/// A part of a whole, which is nothing only where it is nothing, and all only where it is all.
struct Percent(u64, u64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(part, whole) = *self;
        let percent = part as f64 / whole.max(1) as f64 * 100.0;
        match percent {
            _ if part > 0 && percent < 0.05 => f.write_str("<0.1 %"),
            _ if part < whole && percent >= 99.95 => f.write_str(">99.9 %"),
            _ if (percent - percent.round()).abs() < 0.05 => write!(f, "{percent:.0} %"),
            _ => write!(f, "{percent:.1} %"),
        }
    }
}

#[cfg(test)]
mod tests;
