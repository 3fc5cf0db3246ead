//! `resound trace view`: from one trace, or two, to a page.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::Failure;
use crate::output::{Identity, Output};
use crate::stdio::complain;
use crate::text::Escaped;
use crate::trace::reader::Reader;
use crate::trace::view::{Shown, write};

/// The arguments of `resound trace view`.
#[derive(Args, Debug)]
pub struct View {
    /// A trace, from serve --trace, check --trace or trace import
    #[arg(value_name = "FILE")]
    trace: PathBuf,

    /// Another trace, to show beside it
    #[arg(value_name = "FILE2")]
    other: Option<PathBuf>,

    /// Write the page to this file; - is standard output
    #[arg(short, long, value_name = "PAGE.html")]
    output: PathBuf,
}

impl View {
    pub(super) fn run(self) -> Result<(), Failure> {
        let traces = [Some(&self.trace), self.other.as_ref()].into_iter().flatten();
        let shown = traces.clone().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
        let mut output = Output::open(&self.output)?;
        traces.clone().try_for_each(|path| refuse_trace(&output, path))?;
        let mut page = BufWriter::new(Appending(&mut output));
        let notes = write(shown, &mut page)?;
        page.flush()?;
        drop(page);
        output.finish()?;
        notes.iter().for_each(|note| complain(&format!("resound: {note}")));
        Ok(())
    }
}

fn open(path: &Path) -> Result<Shown<io::BufReader<fs::File>>, Failure> {
    let reader = Reader::open(path).map_err(|e| Failure::usage(&e.to_string()))?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(Shown { name, reader })
}

/// Refuses to replace a trace by its page.
fn refuse_trace(output: &Output, trace: &Path) -> Result<(), Failure> {
    let is_same = fs::metadata(trace).is_ok_and(|metadata| output.is(&Identity::of(&metadata)));
    if !is_same {
        return Ok(());
    }
    let name = trace.to_string_lossy();
    Err(Failure::usage(&format!(
        "{} is the trace itself: name another file for its page",
        Escaped(&name)
    )))
}

/// Adds to an output what is written.
struct Appending<'a>(&'a mut Output);

impl Write for Appending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const TRACE: &str = "{\"schema\":\"resound-trace\",\"version\":1,\"vantage\":\"server\"}\n{\"name\":\"trace:end\"}\n";

    fn view(dir: &TempDir, traces: &[&str], page: &str) -> Result<String, Failure> {
        let at = |name: &str| dir.path().join(name);
        let mut traces = traces.iter().map(|name| at(name));
        let trace = traces.next().unwrap();
        View { trace, other: traces.next(), output: at(page) }.run()?;
        Ok(fs::read_to_string(at(page)).unwrap())
    }

    fn dir() -> TempDir {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("a"), TRACE).unwrap();
        fs::write(
            dir.path().join("b"),
            [TRACE, "{\"na"].concat().replace("{\"name\":\"trace:end\"}\n", ""),
        )
        .unwrap();
        fs::write(dir.path().join("binary"), [0xff, 0, 0x80, b'\n']).unwrap();
        dir
    }

    #[test]
    fn one_trace_or_two_become_a_page() {
        let dir = dir();
        assert!(view(&dir, &["a"], "page").unwrap().contains("\"file\":\"a\""));
        let both = view(&dir, &["a", "b"], "page").unwrap();
        assert!(both.contains("\"file\":\"a\"") && both.contains("\"file\":\"b\""), "both traces");
    }

    #[test]
    fn a_trace_is_not_replaced_by_its_page() {
        let dir = dir();
        let failure = view(&dir, &["b", "a"], "a").unwrap_err();
        assert!(
            failure.message.ends_with("/a is the trace itself: name another file for its page"),
            "{failure:?}"
        );
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), TRACE);
    }

    #[test]
    fn a_file_that_is_no_trace_is_refused_and_an_old_page_stays() {
        let dir = dir();
        fs::write(dir.path().join("page"), "old").unwrap();
        for (trace, expected) in
            [("binary", "it is no trace"), ("missing", "cannot read"), (".", "cannot read")]
        {
            let failure = view(&dir, &["a", trace], "page").unwrap_err();
            assert!(
                failure.message.contains(expected) && failure.code == 2,
                "{trace}: {failure:?}"
            );
        }
        assert_eq!(fs::read_to_string(dir.path().join("page")).unwrap(), "old");
    }
}
