//! The guide, `docs/guide`: its code is that of the files it names, and its pages are those of its table of contents.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{expect_none, files, root};
use crate::blocks::blocks;

/// The chapters, in their order. `resound check` names them.
const CHAPTERS: [&str; 7] =
    ["blocking", "threads", "readiness", "partial-writes", "half-close", "accept", "fairness"];

const GUIDE: &str = "docs/guide/src";

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn chapter(name: &str) -> PathBuf {
    Path::new(GUIDE).join(name).with_extension("md")
}

#[test]
fn the_guide_has_seven_chapters_in_their_order() {
    let summary = read(&chapter("SUMMARY"));
    let entries = summary.lines().filter_map(|line| line.strip_prefix("- [")?.split_once("]("));
    let listed: Vec<_> = entries.map(|(_, target)| target.trim_end_matches(".md)")).collect();
    assert_eq!(listed, CHAPTERS);
    assert_eq!(
        files(GUIDE, "md").len(),
        CHAPTERS.len() + 2,
        "README.md and SUMMARY.md are no chapters"
    );
}

#[test]
fn each_chapter_leads_from_a_prediction_to_exercises_and_on_to_the_next() {
    for (at, name) in CHAPTERS.iter().enumerate() {
        let text = read(&chapter(name));
        let parts = ["> **Predict.**", "```rust", "## Step through it", "## Exercises"];
        let places =
            parts.map(|part| text.find(part).unwrap_or_else(|| panic!("{name}: no {part}")));
        assert_eq!(places[0], text.find('>').unwrap(), "{name}: the prediction comes first");
        assert!(places[1..].iter().all(|place| *place < text.find("## Exercises").unwrap() + 1));
        if let Some(next) = CHAPTERS.get(at + 1) {
            assert!(text.trim_end().ends_with(&format!("]({next}.md)")), "{name}: {next} is next");
        }
    }
}

/// So that the code cannot rot: each block of Rust is a part of the file that was linked last above it.
#[test]
fn the_code_of_the_guide_is_that_of_the_files_it_names() {
    let mut count = 0;
    let mut faults = Vec::new();
    for page in files(GUIDE, "md") {
        for block in blocks(&read(&page)).iter().filter(|block| block.language == "rust") {
            let place = format!("{}:{}", page.display(), block.line);
            let source =
                block.source.as_ref().unwrap_or_else(|| panic!("{place}: from which file?"));
            let source = read(&page.parent().unwrap().join(source));
            let code: String = block.lines.iter().map(|line| format!("{line}\n")).collect();
            count += 1;
            if !format!("\n{source}").contains(&format!("\n{code}")) {
                faults.push(format!("{place} is not in {}", block.source.as_deref().unwrap()));
            }
        }
    }
    assert!(count >= 15, "only {count} blocks were found");
    expect_none(faults.into_iter());
}

/// A tour is short, so that a reader takes it to its end. No trace names a folder of the machine that recorded it.
#[test]
fn the_traces_of_the_guide_have_short_tours_and_are_shown_in_a_chapter() {
    const MAX_STOPS: usize = 12;
    let pages: String = files(GUIDE, "md").iter().map(|page| read(page)).collect();
    let traces = files("docs/guide/traces", "jsonl");
    assert!(traces.len() >= CHAPTERS.len(), "{traces:?}");
    for trace in traces {
        let (name, text) = (trace.display().to_string(), read(&trace));
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect(&name));
        let records: Vec<_> = records.collect();
        assert_eq!(records[0]["schema"], "resound-trace", "{name}");
        assert!(records[0]["title"].is_string(), "{name} needs a title");
        let stops = records.iter().filter(|record| record["name"] == "mark").count();
        assert!((1..=MAX_STOPS).contains(&stops), "{name} has {stops} stops");
        let places = records.iter().filter_map(|record| record["place"].as_str());
        assert!(places.clone().count() > 5 && !places.clone().any(|place| place.starts_with('/')));
        assert!(pages.contains(&name), "no chapter shows {name}");
    }
}

/// `tests/real/guide.rs` runs what is `console`. What is `text` must not look like a command that runs.
#[test]
fn each_block_of_the_guide_is_code_a_session_or_plain_text() {
    let pages = files(GUIDE, "md").into_iter();
    let wrong = pages.flat_map(|page| {
        let blocks = blocks(&read(&page)).into_iter();
        let is_fine = |language: &str, lines: &[String]| match language {
            "rust" => true,
            "console" => lines.first().is_some_and(|line| line.starts_with("$ ")),
            "text" => !lines.iter().any(|line| line.starts_with("$ ")),
            _ => false,
        };
        let wrong = blocks.filter(move |block| !is_fine(&block.language, &block.lines));
        wrong.map(move |block| format!("{}:{}", page.display(), block.line)).collect::<Vec<_>>()
    });
    expect_none(wrong);
}
