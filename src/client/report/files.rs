//! The files that a run's reports go to. They are opened before the run, so that no run is wasted.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::conditions::Conditions;
use super::hdr::HdrLog;
use super::json::Report;
use super::page;
use super::run_data::RunData;
use crate::client::latency::Latency;
use crate::client::load::{Interval, Options, Outcome, Search};
use crate::net::cannot;
use crate::output::{Identity, Output, is_written_directly};

/// The paths of the reports that the user asked for.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    /// For the JSON; `-` is standard output.
    pub json: Option<PathBuf>,
    /// For the HdrHistogram log.
    pub hdr: Option<PathBuf>,
    /// For the page.
    pub page: Option<PathBuf>,
    /// The JSON of an earlier run, which the page compares with.
    pub baseline: Option<PathBuf>,
}

/// The open files of a run's reports. A regular file keeps its old content until the report is complete.
pub struct Files {
    json: Option<Output>,
    hdr: Option<HdrFile>,
    page: Option<Output>,
    baseline: Option<RunData>,
}

impl Files {
    /// Opens all of them.
    ///
    /// # Errors
    ///
    /// If one cannot be written, or the baseline cannot be read; the error says so in a line. It is
    /// [`ErrorKind::InvalidInput`] if a report would replace another report, the baseline, standard output or
    /// standard error.
    pub fn open(paths: &Paths) -> io::Result<Self> {
        let baseline = paths.baseline.as_deref().map(RunData::read).transpose()?;
        let [json, hdr, page] = open_all([&paths.json, &paths.hdr, &paths.page])?;
        refuse_shared(&[&json, &hdr, &page])?;
        // Only the new JSON may replace the baseline.
        [&hdr, &page].into_iter().flatten().try_for_each(|output| {
            paths.baseline.as_deref().map_or(Ok(()), |path| refuse_baseline(output, path))
        })?;
        Ok(Self { json, hdr: hdr.map(HdrFile::new), page, baseline })
    }

    /// The measured part begins.
    pub fn start(&mut self, began: SystemTime) {
        if let Some(hdr) = &mut self.hdr {
            hdr.began = Some(began);
        }
    }

    /// An interval of the measured part has ended. [`finish`](Self::finish) reports an error of this.
    pub fn interval(&mut self, interval: &Interval, responses: &Latency) {
        if let Some(hdr) = &mut self.hdr {
            hdr.interval(interval, responses);
        }
    }

    /// Writes the reports of a run that `command` began, and of the search that it was a part of, if any.
    /// Regular files come first: they must be complete even if the reader of a pipe never comes.
    ///
    /// # Errors
    ///
    /// If a report cannot be written. The others are written all the same.
    pub fn finish(
        self,
        outcome: &Outcome,
        options: &Options,
        search: Option<&Search>,
        command: Vec<String>,
    ) -> io::Result<()> {
        let report = Report::new(outcome, options, search, command, Conditions::here());
        let mut outputs = Vec::new();
        let mut errors = Vec::new();
        let mut add = |output: Option<io::Result<Output>>| match output {
            Some(Ok(output)) => outputs.push(output),
            Some(Err(e)) => errors.push(e),
            None => {}
        };
        add(self.json.map(|output| {
            let json = report.to_json().map_err(|e| cannot("make", &"the JSON", &e))?;
            with(output, json.as_bytes())
        }));
        add(self.hdr.map(|hdr| hdr.into_output(outcome.began)));
        add(self.page.map(|output| {
            let page = page::render(&report, self.baseline.as_ref())
                .map_err(|e| cannot("make", &"the page", &e))?;
            with(output, page.as_bytes())
        }));
        let (files, others): (Vec<_>, Vec<_>) = outputs.into_iter().partition(Output::is_file);
        let done = files.into_iter().chain(others).map(Output::finish);
        errors.extend(done.filter_map(Result::err));
        joined(errors)
    }
}

/// Opens regular files last. Opening a pipe waits for its reader, and a program that is killed meanwhile must
/// leave no file behind. And `/dev/fd/N` cannot mean a file that was opened here.
fn open_all<const N: usize>(paths: [&Option<PathBuf>; N]) -> io::Result<[Option<Output>; N]> {
    let mut outputs = [const { None }; N];
    for is_direct in [true, false] {
        for (output, path) in outputs.iter_mut().zip(paths) {
            if let Some(path) =
                path.as_deref().filter(|path| is_written_directly(path) == is_direct)
            {
                *output = Some(Output::open(path)?);
            }
        }
    }
    Ok(outputs)
}

fn with(mut output: Output, bytes: &[u8]) -> io::Result<Output> {
    output.append(bytes)?;
    Ok(output)
}

/// All errors in one line.
fn joined(errors: Vec<io::Error>) -> io::Result<()> {
    let Some(first) = errors.first() else { return Ok(()) };
    let all: Vec<_> = errors.iter().map(ToString::to_string).collect();
    Err(io::Error::new(first.kind(), all.join("; ")))
}

/// Refuses two reports in one file.
fn refuse_shared(outputs: &[&Option<Output>]) -> io::Result<()> {
    let outputs: Vec<_> = outputs.iter().copied().flatten().collect();
    for (n, output) in outputs.iter().enumerate() {
        if outputs[..n].iter().any(|other| other.is_same(output)) {
            return refuse(output, "another report goes there already: name another file");
        }
    }
    Ok(())
}

fn refuse_baseline(output: &Output, baseline: &Path) -> io::Result<()> {
    let baseline = fs::metadata(baseline).map(|metadata| Identity::of(&metadata));
    match baseline {
        Ok(baseline) if output.is(&baseline) => {
            refuse(output, "it is the baseline: name another file")
        }
        _ => Ok(()),
    }
}

fn refuse(output: &Output, why: &str) -> io::Result<()> {
    Err(output.failed(&io::Error::new(ErrorKind::InvalidInput, why)))
}

/// The file of the log, which is written during the run.
struct HdrFile {
    out: Output,
    /// When the measured part began.
    began: Option<SystemTime>,
    /// The log, which begins with the first interval.
    log: Option<HdrLog>,
    /// The first error.
    error: Option<io::Error>,
}

impl HdrFile {
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
            none => none.insert(HdrLog::begin(&mut text, began)?),
        };
        log.interval(&mut text, interval, responses)?;
        self.out.append(&text)
    }

    /// Its complete file.
    fn into_output(mut self, began: SystemTime) -> io::Result<Output> {
        if let Some(e) = self.error {
            return Err(e);
        }
        if self.log.is_none() {
            let mut text = Vec::new();
            HdrLog::begin(&mut text, began)?;
            self.out.append(&text)?;
        }
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests;
