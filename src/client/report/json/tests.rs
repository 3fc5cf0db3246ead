use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::client::load::Length;
use crate::client::report::sample;

/// The names of all keys, at all depths. The keys of `trouble_counts` are values, and not among them.
fn keys(value: &Value) -> BTreeSet<String> {
    let Value::Object(map) = value else { return BTreeSet::new() };
    let nested = |(key, value): (&String, &Value)| {
        let first = if let Value::Array(items) = value { items.first() } else { Some(value) };
        let inner = first.filter(|_| key != "trouble_counts").map(keys).unwrap_or_default();
        inner.into_iter().chain([key.clone()]).collect::<Vec<_>>()
    };
    map.iter().flat_map(nested).collect()
}

/// The keys that the tables of a document describe.
fn described(document: &str) -> BTreeSet<String> {
    let cells = document.lines().filter_map(|line| line.strip_prefix("| `")?.split('|').next());
    cells.flat_map(|cell| cell.trim_end_matches("` ").split("`, `")).map(Into::into).collect()
}

fn json(outcome: &Outcome) -> Value {
    let (options, search) = (sample::options(), sample::search());
    let report = Report { search: Some(&search), ..sample::report(outcome, &options) };
    serde_json::from_str(&report.to_json().unwrap()).unwrap()
}

#[test]
fn the_keys_are_those_of_the_documentation() {
    let documentation = include_str!("../../../../docs/load-json.md");
    let keys = keys(&json(&sample::with_failures()));
    assert!(keys.len() > 60, "{keys:?}");
    assert_eq!(keys, described(documentation));
    assert!(documentation.contains(SCHEMA), "the schema is not named");
}

#[test]
fn failures_say_where_in_the_returned_stream_they_are() {
    let report = json(&sample::with_failures());
    let [altered, refused, late] = &report["troubles"].as_array().unwrap()[..] else {
        panic!("{report:#}")
    };
    assert_eq!((&altered["connection"], &altered["kind"]), (&7.into(), &"altered".into()));
    assert_eq!((&altered["local"], &altered["offset"]), (&"127.0.0.1:40001".into(), &5.into()));
    let [expected, got] = ["expected_byte", "got_byte"].map(|key| altered[key].as_u64().unwrap());
    assert_eq!(expected ^ 0xff, got);
    assert_eq!((&refused["kind"], &refused["offset"]), (&"connect".into(), &Value::Null));
    assert_eq!((&late["kind"], &late["offset"]), (&"timeout".into(), &64.into()));
    assert_eq!(late["got_byte"], Value::Null);
}

#[test]
fn a_client_that_was_the_bottleneck_says_so() {
    let mut outcome = sample::run(3, 1.0);
    assert_eq!(json(&outcome)["generator"]["why"], Value::Null);
    outcome.cpu = outcome.measured;
    let generator = &json(&outcome)["generator"];
    assert_eq!(generator["was_bottleneck"], true);
    assert!(generator["why"].as_str().unwrap().contains("busy 100 %"));
}

#[test]
fn a_length_is_given_in_seconds_or_in_messages() {
    for (length, seconds, messages) in [
        (Length::Time(Duration::from_millis(1_500)), 1.5.into(), Value::Null),
        (Length::Messages(7), Value::Null, 7.into()),
    ] {
        let options = serde_json::to_value(Options { length, ..sample::options() }).unwrap();
        let keys = ["length_seconds", "length_messages"].map(|key| &options[key]);
        assert_eq!(keys, [&seconds, &messages]);
    }
}

#[test]
fn a_search_that_was_interrupted_is_not_complete() {
    let (outcome, options) = (sample::run(3, 1.0), sample::options());
    for (is_interrupted, expected) in [(false, End::Complete), (true, End::Interrupted)] {
        let search = Search { is_interrupted, ..sample::search() };
        let report =
            Report::new(&outcome, &options, Some(&search), Vec::new(), sample::conditions());
        assert_eq!(report.end, expected);
    }
}
