//! A trace, or two side by side, as a page: one file with the traces and all that shows them. It needs no network.
//!
//! The parts of the page are the files in `src/trace/page/`, in the order of `SCRIPTS`. Nothing of a trace becomes
//! markup: it stands in the page as JSON in which no `<` is left, and the scripts put it on the page as text. Should that
//! ever fail, the page's policy runs no script without the nonce, and loads nothing.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, BufRead, Write};

use maud::{DOCTYPE, PreEscaped, html};

use super::reader::Reader;
use super::record::Header;
use crate::text::Escaped;
use crate::text::format::counted;

/// How much of a trace goes into a page, in bytes: twice the default of `serve --trace-limit`. A browser cannot work with
/// much more.
const MAX_TRACE_BYTES: u64 = 128 << 20;

const STYLES: [&str; 2] = [include_str!("page/slots.css"), include_str!("page/page.css")];
const BODY: &str = include_str!("page/body.html");

/// In reading order: each script knows only those above it.
const SCRIPTS: [&str; 14] = [
    include_str!("page/text.js"),
    include_str!("page/trace.js"),
    include_str!("page/state.js"),
    include_str!("page/why.js"),
    include_str!("page/words.js"),
    include_str!("page/landmarks.js"),
    include_str!("page/predict.js"),
    include_str!("page/draw.js"),
    include_str!("page/glyphs.js"),
    include_str!("page/paint.js"),
    include_str!("page/lanes.js"),
    include_str!("page/details.js"),
    include_str!("page/run.js"),
    include_str!("page/page.js"),
];

/// Stands for the traces in the frame of a page. The template escapes a title that contains it.
const TRACES: &str = "<!-- traces -->";

/// A trace to show, and the name of its file.
pub struct Shown<R> {
    /// As the user named it.
    pub name: String,
    /// Its records.
    pub reader: Reader<R>,
}

/// Writes the page of these traces to `out`. Returns what of them it does not show, in a line for each trace that is not
/// there in full.
///
/// # Errors
///
/// Those of `out`.
pub fn write<R: BufRead>(shown: Vec<Shown<R>>, out: &mut impl Write) -> io::Result<Vec<String>> {
    write_within(MAX_TRACE_BYTES, shown, out)
}

fn write_within<R: BufRead>(
    most: u64,
    shown: Vec<Shown<R>>,
    out: &mut impl Write,
) -> io::Result<Vec<String>> {
    let frame = frame(&title(&shown), &nonce());
    let (before, after) = frame.split_once(TRACES).unwrap_or((&frame, ""));
    out.write_all(before.as_bytes())?;
    let mut notes = Vec::new();
    for Shown { name, reader } in shown {
        out.write_all(b"<script type=\"application/json\" class=\"trace\">")?;
        let note = write_trace(most, &name, reader, &mut WithoutMarkup(&mut *out))?;
        out.write_all(b"</script>\n")?;
        notes.extend(note.map(|note| format!("{}: {note}", Escaped(&name))));
    }
    out.write_all(after.as_bytes())?;
    Ok(notes)
}

/// All of the page but the traces.
fn frame(title: &str, nonce: &str) -> String {
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; base-uri 'none'; \
         form-action 'none'"
    );
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(policy);
                title { (title) }
                style nonce=(nonce) { @for style in STYLES { (PreEscaped(style)) } }
            }
            body {
                (PreEscaped(BODY))
                (PreEscaped(TRACES))
                @for script in SCRIPTS { script nonce=(nonce) { (PreEscaped(script)) } }
            }
        }
    }
    .into_string()
}

fn title<R>(shown: &[Shown<R>]) -> String {
    let names =
        shown.iter().map(|Shown { name, reader }| reader.header.title.as_ref().unwrap_or(name));
    let names: Vec<_> = names.map(|name| Escaped(name).to_string()).collect();
    format!("Trace: {}", names.join(" | "))
}

/// 128 bits that no trace can know, since they are drawn after it was written. The standard library gets its keys from
/// the system, and each hasher has another one.
fn nonce() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}

/// Writes `{"file", "header", "records", "note"}`. Returns the note, if some records are left out.
fn write_trace<R: BufRead>(
    most: u64,
    name: &str,
    reader: Reader<R>,
    out: &mut impl Write,
) -> io::Result<Option<String>> {
    begin_trace(name, &reader.header, out)?;
    let (mut written, mut n) = (0, 0_u64);
    let mut note = None;
    for record in reader {
        let line = match record {
            Ok(record) => serde_json::to_vec(&record)?,
            Err(e) => {
                note = Some(format!("{e}; the page shows what comes before it"));
                break;
            }
        };
        written += line.len() as u64;
        if written > most {
            let shown = counted(n, "record", "records");
            note =
                Some(format!("it is larger than a page can be: the page shows the first {shown}"));
            break;
        }
        let separator: &[u8] = if n == 0 { b"\n" } else { b",\n" };
        out.write_all(separator)?;
        out.write_all(&line)?;
        n += 1;
    }
    write!(out, "],\"note\":{}}}", serde_json::to_string(&note)?)?;
    Ok(note)
}

fn begin_trace(name: &str, header: &Header, out: &mut impl Write) -> io::Result<()> {
    let (name, header) = (serde_json::to_string(name)?, serde_json::to_string(header)?);
    write!(out, "{{\"file\":{name},\"header\":{header},\"records\":[")
}

/// Writes JSON without any `<`, so that nothing in it ends the script that holds it. In JSON, `<` stands only in strings.
struct WithoutMarkup<W>(W);

impl<W: Write> Write for WithoutMarkup<W> {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        for (i, part) in json.split(|&byte| byte == b'<').enumerate() {
            if i > 0 {
                self.0.write_all(b"\\u003c")?;
            }
            self.0.write_all(part)?;
        }
        Ok(json.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const HEADER: &str = r#"{"schema":"resound-trace","version":1,"vantage":"server"}"#;

    fn page_within(most: u64, traces: &[&str]) -> (String, Vec<String>) {
        let shown = traces.iter().map(|lines| Shown {
            name: "run.jsonl".into(),
            reader: Reader::new(lines.as_bytes()).unwrap(),
        });
        let mut page = Vec::new();
        let notes = write_within(most, shown.collect(), &mut page).unwrap();
        (String::from_utf8(page).unwrap(), notes)
    }

    fn page(records: &str) -> (String, Vec<String>) {
        page_within(MAX_TRACE_BYTES, &[&format!("{HEADER}\n{records}")])
    }

    /// What the page holds of its traces.
    fn held(page: &str) -> Vec<serde_json::Value> {
        let begins = "<script type=\"application/json\" class=\"trace\">";
        let parts = page.split(begins).skip(1);
        parts
            .map(|part| serde_json::from_str(part.split_once("</script>").unwrap().0).unwrap())
            .collect()
    }

    #[test]
    fn a_page_holds_its_traces() {
        let one = format!(
            "{HEADER}\n{{\"name\":\"reactor:waits\",\"time\":1.5}}\n{{\"name\":\"trace:end\"}}\n"
        );
        let (page, notes) = page_within(MAX_TRACE_BYTES, &[&one, HEADER]);
        let held = held(&page);
        assert_eq!(held.len(), 2);
        assert_eq!(held[0]["records"][0]["name"], "reactor:waits");
        assert_eq!(held[0]["records"].as_array().unwrap().len(), 2);
        assert_eq!(held[1]["records"].as_array().unwrap().len(), 0);
        assert_eq!((&held[0]["note"], notes.len()), (&serde_json::Value::Null, 0));
    }

    #[test]
    fn nothing_of_a_trace_becomes_markup() {
        let evil = "</script><script>alert(1)</script><!-- traces --><img src=x onerror=alert(2)>";
        let header = format!(
            r#"{{"schema":"resound-trace","version":1,"vantage":"server","title":"{evil}"}}"#
        );
        let lines =
            format!("{header}\n{{\"name\":\"{evil}\",\"data\":{{\"{evil}\":\"{evil}\"}}}}\n");
        let (page, _) = page_within(MAX_TRACE_BYTES, &[&lines]);
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
        assert_eq!(held(&page)[0]["records"][0]["data"][evil], evil);
        assert_eq!(page.matches("<script").count(), SCRIPTS.len() + 1);
    }

    #[test]
    fn only_what_has_the_nonce_runs() {
        let (first, _) = page("");
        let nonce = first.split_once("'nonce-").unwrap().1.split_once('\'').unwrap().0.to_string();
        assert_eq!(nonce.len(), 32);
        assert_eq!(first.matches(&format!("<script nonce=\"{nonce}\">")).count(), SCRIPTS.len());
        assert!(
            first.contains(&format!("style-src 'nonce-{nonce}'"))
                && !first.contains("unsafe-inline")
        );
        assert!(!page("").0.contains(&nonce), "two pages have the same nonce");
    }

    #[test]
    fn what_cannot_be_read_is_named_on_the_page_and_returned() {
        let (page, notes) = page("{\"name\":\"reactor:waits\"}\n{\"name\":\"react");
        assert_eq!(notes, ["run.jsonl: line 3 breaks off; the page shows what comes before it"]);
        assert_eq!(
            held(&page)[0]["note"],
            "line 3 breaks off; the page shows what comes before it"
        );
        assert_eq!(held(&page)[0]["records"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn a_trace_that_is_too_large_is_shown_in_part() {
        let records = "{\"name\":\"reactor:waits\"}\n".repeat(100);
        let (page, notes) = page_within(200, &[&format!("{HEADER}\n{records}")]);
        let n = held(&page)[0]["records"].as_array().unwrap().len();
        assert!((1..10).contains(&n), "{n}");
        let note = format!("it is larger than a page can be: the page shows the first {n} records");
        assert_eq!(notes, [format!("run.jsonl: {note}")]);
    }

    #[test]
    fn each_script_of_the_page_is_in_it_and_none_ends_early() {
        let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/trace/page")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.ends_with(".js")).count(), SCRIPTS.len());
        assert!(SCRIPTS.iter().all(|script| !script.contains("</") && !script.contains("<!--")));
    }
}
