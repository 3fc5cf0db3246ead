//! The lines that a ping prints: one for each step, and the summary.

use std::fmt;
use std::io;
use std::time::Duration;

use super::tally::{Datagrams, MessageFailure, Tally};
use crate::client::dial::DialProgress;
use crate::client::failure::Failure;
use crate::client::running_stats::RunningStats;
use crate::net::{Addr, Endpoint, reason};
use crate::text::Plural;
use crate::text::format::{count, counted, setting};

/// A step of a ping. It shows the server's bytes in hexadecimal, so they cannot act on a terminal.
#[derive(Debug)]
pub enum Notice<'a> {
    /// The ping begins.
    Start {
        server: &'a Addr,
        /// The first of the server's addresses.
        peer: &'a Endpoint,
        /// The size of a message.
        bytes: usize,
    },
    /// An address failed, or the server is not up and is retried.
    Dialing(&'a DialProgress),
    /// There is a connection.
    Connected {
        peer: &'a Endpoint,
        local: &'a Endpoint,
        took: Duration,
        /// Whether there was a connection before.
        again: bool,
    },
    /// An echo is complete and right.
    Echo { sequence: u64, bytes: usize, peer: &'a Endpoint, took: Duration },
    /// An echo came after its timeout. Only UDP has such ones.
    LateEcho { sequence: u64, bytes: usize, peer: &'a Endpoint, took: Duration },
    /// An echo came again. Only UDP has such ones.
    Duplicate { sequence: u64, bytes: usize, peer: &'a Endpoint },
    /// A message failed.
    Failed(&'a MessageFailure),
    /// The server ended the connection while no echo was outstanding.
    ServerClosed {
        /// The error of the system, or `None` if the server closed the connection cleanly.
        error: Option<&'a io::Error>,
        /// The number of the next message, which gets a new connection.
        next: u64,
    },
    /// The status, because the user asked for it.
    Status { tally: &'a Tally, activity: Activity<'a> },
}

/// What a ping waits for at the moment.
#[derive(Debug)]
pub enum Activity<'a> {
    /// The due time of the next message.
    None,
    /// The addresses of the server.
    LookingUp(&'a Addr),
    /// A connection to the server.
    Connecting(&'a Addr),
    /// An echo.
    Waiting { sequence: u64, waited: Duration },
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
                let (bytes, over) = (Plural(*bytes as u64, "byte"), transport(peer));
                write!(f, "PING {server} ({peer}) {bytes} over {over}")
            }
            Self::Dialing(progress) => progress.fmt(f),
            Self::Connected { peer, local, took, again } => {
                let connected = if *again { "reconnected" } else { "connected" };
                write!(f, "{connected} to {peer} from {local} in {} ms", Ms(*took))
            }
            Self::Echo { sequence, bytes, peer, took } => {
                write!(f, "{} time={} ms", Came(*bytes, peer, *sequence), Ms(*took))
            }
            Self::LateEcho { sequence, bytes, peer, took } => {
                write!(f, "{} time={} ms (late)", Came(*bytes, peer, *sequence), Ms(*took))
            }
            Self::Duplicate { sequence, bytes, peer } => {
                write!(f, "{} (duplicate)", Came(*bytes, peer, *sequence))
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
                    write!(f, "; echo {}", Times(&tally.echo_times))?;
                }
                Ok(())
            }
        }
    }
}

/// An echo that came: its bytes, the server, and the number of its message.
struct Came<'a>(usize, &'a Endpoint, u64);

impl fmt::Display for Came<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes, peer, sequence) = self;
        write!(f, "{} from {peer}: seq={sequence}", Plural(*bytes as u64, "byte"))
    }
}

fn transport(peer: &Endpoint) -> &'static str {
    match peer {
        Endpoint::Inet(_) => "TCP",
        Endpoint::Udp(_) => "UDP",
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
            Failure::Datagram(bad) => write!(f, "seq={sequence}: {bad}"),
            _ if failure.is_wrong() => {
                write!(f, "seq={sequence} (offsets {first} to {last}): {failure}")
            }
            _ => write!(f, "seq={sequence}: {failure}"),
        }
    }
}

/// The summary, in the form of ping(8).
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    pub server: &'a Addr,
    pub tally: &'a Tally,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, tally } = self;
        writeln!(f, "--- {server} ping statistics ---")?;
        write!(f, "{}, time {} ms", Counts(tally), tally.elapsed.as_millis())?;
        if !tally.standstill.is_zero() {
            let stood_still = tally.standstill.as_millis();
            write!(
                f,
                "\nthis program was stopped for {stood_still} ms, which counts against no echo"
            )?;
        }
        if !tally.failure_counts.is_empty() {
            write!(f, "\nfailures: {}", FailureCounts(tally))?;
        }
        if tally.connect_times.count() > 0 {
            let connect = &tally.connect_times;
            let [min, avg, max] = [connect.min(), connect.mean(), connect.max()].map(Ms);
            write!(f, "\nconnect min/avg/max = {min}/{avg}/{max} ms")?;
        }
        if tally.received > 0 {
            write!(f, "\necho {}", Times(&tally.echo_times))?;
        }
        if tally.received > 1 {
            write!(
                f,
                "\necho {}, jitter {} ms",
                Percentiles(tally),
                Ms(tally.echo_times.jitter())
            )?;
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

/// The percentiles that are known from this number of echoes.
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

/// The number of messages by their outcome.
struct Counts<'a>(&'a Tally);

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { sent, received, lost, wrong, skipped, datagrams, .. } = self.0;
        let under_way = self.0.under_way();
        write!(
            f,
            "{sent} sent, {received} received, {lost} lost ({})",
            Percent(*lost, sent - under_way)
        )?;
        match datagrams {
            None => write!(f, ", {wrong} wrong, {}", Plural(self.0.reconnects(), "reconnect"))?,
            Some(Datagrams { late, duplicates, reordered, .. }) => write!(
                f,
                ", {late} late, {wrong} wrong, {}, {reordered} reordered",
                Plural(*duplicates, "duplicate")
            )?,
        }
        if under_way > 0 {
            write!(f, ", {under_way} still under way")?;
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

/// A time in milliseconds.
struct Ms(Duration);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0.as_secs_f64() * 1e3)
    }
}

/// A share in percent. It is shown as 0 % only if the part is zero, and as 100 % only if it is the whole.
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
