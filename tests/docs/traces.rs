//! `docs/trace.md` and its schema have each name of a record, and the examples are what this program reads.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use resound::trace::reader::Reader;
use resound::trace::record::{Record, name};

use super::{Document, expect_none, root};

/// The lines of JSON in the document.
fn examples() -> Vec<String> {
    let text = fs::read_to_string(root().join("docs/trace.md")).unwrap();
    let blocks = text.split("```json\n").skip(1).filter_map(|block| block.split("```").next());
    blocks.flat_map(|block| block.lines().map(str::to_owned)).collect()
}

#[test]
fn each_name_of_a_record_is_in_the_document_and_in_the_schema() {
    let document = Document::read(Path::new("docs/trace.md"));
    let code: BTreeSet<_> = document.code().map(|(code, _)| code).collect();
    let schema = fs::read_to_string(root().join("docs/trace.schema.json")).unwrap();
    let is_missing = |name: &&&str| {
        // Readers derive this one.
        let is_in_files = **name != name::SLEPT;
        !code.contains(**name)
            || is_in_files != schema.contains(&format!("{{\"const\": \"{name}\"}}"))
    };
    assert!(name::ALL.len() > 30);
    expect_none(name::ALL.iter().filter(is_missing).map(|name| (*name).to_owned()));
}

#[test]
fn the_examples_are_a_header_and_records_that_this_program_reads() {
    let examples = examples();
    let reader = Reader::new(examples[0].as_bytes()).unwrap();
    assert_eq!(reader.header.options["listen"], "127.0.0.1:7107");
    let record = |line: &String| serde_json::from_str::<Record>(line).unwrap();
    let records: Vec<_> = examples[1..].iter().map(record).collect();
    let files = records.iter().filter_map(|record| record.place.as_ref()?.split(':').next());
    expect_none(files.filter(|file| !root().join(file).is_file()).map(str::to_owned));
    // Those of clients, and those that are too long or too rare.
    let without = [name::SOURCE, name::SERVER_FAILED, name::SLEPT];
    let of_clients = name::ALL.iter().skip_while(|name| **name != name::CONNECTING);
    let shown: BTreeSet<_> = records.iter().map(|record| &*record.name).chain(without).collect();
    let shown: BTreeSet<_> = shown.into_iter().chain(of_clients.copied()).collect();
    expect_none(name::ALL.iter().filter(|name| !shown.contains(**name)).map(|name| (*name).into()));
}
