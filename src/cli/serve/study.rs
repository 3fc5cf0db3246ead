//! `serve --trace` and `serve --awkward`: a server that records what it sees and does, and one that is hard on clients.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use rustix::system::uname;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Serve;
use crate::awkward::Awkward;
use crate::cli::Failure;
use crate::net::Passed;
use crate::observe::Observer;
use crate::server::Outcome;
use crate::trace::record::{Header, Vantage};
use crate::trace::{Options, Recorder, Traced};
use crate::units::{size, within};
use crate::version::COMMIT;

/// Options for who studies a server, or a client.
#[derive(Args, Debug)]
pub(super) struct StudyArgs {
    /// Echo in awkward pieces, to test a client
    ///
    /// The echo is right, and comes in the most awkward way that TCP allows: single bytes, characters in two parts, late,
    /// or in a burst. What happens follows from this number. It is about streams, and costs each connection a timer.
    #[arg(long, value_name = "SEED")]
    awkward: Option<u64>,

    /// Write what the server sees and does to FILE
    ///
    /// One JSON line for each step, with the line of source that did it: each wait, event, accept, read and write, what
    /// is pending, and why a connection waits or ends. docs/trace.md describes the format. Each step costs a microsecond
    /// or less. If FILE cannot be written any more, the trace ends, and the server goes on.
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    trace: Option<PathBuf>,

    /// Size limit of the trace
    ///
    /// The trace ends before it becomes longer, and the server goes on.
    #[arg(long, value_name = "SIZE", value_parser = limit, default_value = "64m", requires = "trace")]
    trace_limit: usize,

    /// Record what the sockets hold
    ///
    /// Before each read and write: the bytes that are not read yet, and those that the peer has not acknowledged. To ask
    /// costs five system calls, so the server is slower.
    #[arg(long, requires = "trace")]
    trace_kernel: bool,
}

fn limit(text: &str) -> Result<usize, String> {
    within(size(text)?, (256 << 10, "256k"), (1 << 40, "1024g"))
}

impl StudyArgs {
    /// Whether one of them is given.
    pub(super) fn is_given(&self) -> bool {
        self.awkward.is_some() || self.trace.is_some()
    }

    fn trace(&self) -> Option<Options> {
        let path = self.trace.clone()?;
        Some(Options { path, limit_bytes: self.trace_limit, with_kernel: self.trace_kernel })
    }
}

impl Serve {
    /// Serves as these options want it.
    ///
    /// # Errors
    ///
    /// If the trace cannot be written, and those of an ordinary server.
    pub(super) fn serve_for_study(
        &self,
        passed: Passed,
        observer: impl Observer,
    ) -> Result<io::Result<Outcome>, Failure> {
        match (self.study.trace(), self.study.awkward) {
            (Some(options), _) => self.serve_traced(passed, observer, &options),
            (None, Some(seed)) => {
                self.serve(passed, observer, |listener, _| Awkward::new(listener, seed))
            }
            (None, None) => self.serve(passed, observer, |listener, _| listener),
        }
    }

    fn serve_traced(
        &self,
        passed: Passed,
        observer: impl Observer,
        options: &Options,
    ) -> Result<io::Result<Outcome>, Failure> {
        let recorder = Recorder::begin(options, &self.header(), Instant::now())?;
        let observer = (observer, recorder.clone());
        let end = match self.study.awkward {
            Some(seed) => self.serve(passed, observer, |listener, at| {
                Traced::new(Awkward::new(listener, seed), at.clone(), recorder.clone())
            }),
            None => self.serve(passed, observer, |listener, at| {
                Traced::new(listener, at.clone(), recorder.clone())
            }),
        }?;
        recorder.finish(end.as_ref().err());
        Ok(end)
    }

    /// The header of a trace that begins now.
    fn header(&self) -> Header {
        let kernel = uname();
        let names = [kernel.sysname(), kernel.release(), kernel.machine()];
        let names: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
        Header {
            commit: Some(COMMIT).filter(|commit| !commit.is_empty()).map(Into::into),
            kernel: Some(names.join(" ")),
            began: OffsetDateTime::now_utc().format(&Rfc3339).ok(),
            options: self.shown_options(),
            ..Header::new(Vantage::Server, "resound")
        }
    }

    /// The options that a run depends on most, by name.
    fn shown_options(&self) -> BTreeMap<String, String> {
        let listen: Vec<_> = self.listen.iter().map(ToString::to_string).collect();
        let time = |time: Duration| format!("{time:?}");
        let given = [
            ("listen", Some(listen.join(" ")).filter(|listen| !listen.is_empty())),
            ("max-connections", self.max_connections.map(|n| n.to_string())),
            ("max-per-ip", self.max_per_ip.map(|n| n.to_string())),
            ("idle-timeout", self.idle_timeout.map(time)),
            ("stall-timeout", Some(time(self.stall_timeout))),
            ("drain-timeout", Some(time(self.drain_timeout))),
            ("buffer", Some(self.buffer.to_string())),
            ("pending-limit", Some(self.pending_limit.to_string())),
            ("spin", self.spin.map(time)),
            ("once", self.once.then(|| "true".into())),
            ("awkward", self.study.awkward.map(|seed| seed.to_string())),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect()
    }
}
