//! The files that a run's figures go to, opened before it begins.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::SystemTime;

use super::conditions::Conditions;
use super::hdr::Log;
use super::output::Output;
use super::{Report, page};
use crate::client::latency::Latency;
use crate::client::load::{Interval, Options, Outcome, Search};

/// Where figures are wanted.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    /// For the JSON; `-` is standard output.
    pub json: Option<PathBuf>,
    /// For the HdrHistogram log.
    pub hdr: Option<PathBuf>,
    /// For the page.
    pub page: Option<PathBuf>,
    /// An earlier run's JSON, to compare with on the page.
    pub baseline: Option<PathBuf>,
}

/// The files that a run's figures go to. What was in them stays there until there is something to
/// replace it with, and one that was not there before is gone again if there never is.
pub struct Files {
    json: Option<Output>,
    hdr: Option<Hdr>,
    page: Option<Output>,
    baseline: Option<Report>,
}

impl Files {
    /// Opens all of them.
    ///
    /// # Errors
    ///
    /// Where one cannot be written, or the baseline not be read; the error says so in a line. It is
    /// [`ErrorKind::InvalidInput`] where two of them would be one.
    pub fn open(paths: &Paths) -> io::Result<Self> {
        let baseline = paths.baseline.as_deref().map(Report::read).transpose()?;
        let open = |path: &Option<PathBuf>| path.as_deref().map(Output::open).transpose();
        let json = match &paths.json {
            Some(path) if path.as_os_str() == "-" => Some(Output::stdout()?),
            path => open(path)?,
        };
        let (hdr, page) = (open(&paths.hdr)?, open(&paths.page)?);
        apart(&[&json, &hdr, &page])?;
        Ok(Self { json, hdr: hdr.map(Hdr::new), page, baseline })
    }

    /// The measured part begins.
    pub fn start(&mut self, began: SystemTime) {
        if let Some(hdr) = &mut self.hdr {
            hdr.began = Some(began);
        }
    }

    /// An interval of the measured part is over. What goes wrong here is told at the [end](Self::finish).
    pub fn interval(&mut self, interval: &Interval, responses: &Latency) {
        if let Some(hdr) = &mut self.hdr {
            hdr.interval(interval, responses);
        }
    }

    /// Writes all that is not written yet, about a run that `command` began, and the search that it was a part
    /// of, if any.
    ///
    /// # Errors
    ///
    /// Where that fails. The other files are written all the same.
    pub fn finish(
        self,
        outcome: &Outcome,
        options: &Options,
        search: Option<&Search>,
        command: Vec<String>,
    ) -> io::Result<()> {
        let mut report = Report::of(outcome, options, command, Conditions::here());
        report.search = search.map(Into::into);
        let done = [
            self.json.map_or(Ok(()), |mut out| out.append(report.to_json()?.as_bytes())),
            self.hdr.map_or(Ok(()), |hdr| hdr.finish(outcome.began)),
            self.page.map_or(Ok(()), |mut out| {
                out.append(page::render(&report, self.baseline.as_ref()).as_bytes())
            }),
        ];
        done.into_iter().collect()
    }
}

/// Refuses to have two reports in one file.
fn apart(outputs: &[&Option<Output>]) -> io::Result<()> {
    let mut seen = Vec::new();
    for output in outputs.iter().copied().flatten() {
        let identity = output.identity()?;
        if identity.is_some() && seen.contains(&identity) {
            let why = "another report goes there already: name another file";
            return Err(output.failed(&io::Error::new(ErrorKind::InvalidInput, why)));
        }
        seen.push(identity);
    }
    Ok(())
}

/// The log, which is written as the run goes on.
struct Hdr {
    out: Output,
    /// When the measured part did.
    began: Option<SystemTime>,
    /// Begun with the first interval.
    log: Option<Log>,
    /// The first thing that went wrong.
    error: Option<io::Error>,
}

impl Hdr {
    fn new(out: Output) -> Self {
        Self { out, began: None, log: None, error: None }
    }

    fn interval(&mut self, interval: &Interval, responses: &Latency) {
        if self.error.is_none() {
            self.error = self.append(interval, responses).err();
        }
    }

    fn append(&mut self, interval: &Interval, responses: &Latency) -> io::Result<()> {
        let mut text = Vec::new();
        let began = self.began.unwrap_or(SystemTime::UNIX_EPOCH);
        let log = match &mut self.log {
            Some(log) => log,
            none => none.insert(Log::begin(&mut text, began)?),
        };
        log.interval(&mut text, interval, responses)?;
        self.out.append(&text)
    }

    fn finish(mut self, began: SystemTime) -> io::Result<()> {
        match self.error {
            Some(e) => Err(e),
            None if self.log.is_some() => Ok(()),
            None => {
                let mut text = Vec::new();
                Log::begin(&mut text, began)?;
                self.out.append(&text)
            }
        }
    }
}

#[cfg(test)]
mod tests;
