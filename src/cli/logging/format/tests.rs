//! Lines of every kind of text and field: whole, safe to print, and short enough.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use time::macros::datetime;

use super::*;

const TIME: OffsetDateTime = datetime!(2026-11-28 13:07:09.012_345_678 UTC);

fn line(format: Format, level: Level, text: &str, fields: &[(&str, Value<'_>)]) -> String {
    let mut record = Record::builder();
    record.level(level).target("resound::observe").key_values(&fields);
    format.line(&record.args(format_args!("{text}")).build(), TIME)
}

/// A JSON line, read by another program.
#[track_caller]
fn read(line: &str) -> Json {
    assert!(line.len() <= MAX_LINE_BYTES && line.ends_with("}\n"), "{} {line}", line.len());
    assert!(!line.trim_end().chars().any(must_be_escaped), "{line:?}");
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
}

#[test]
fn text_names_its_source_only_for_those_who_look_for_it() {
    let fields = [("conn", Value::from(17))];
    for (level, expected) in [
        (Level::Error, "2026-11-28T13:07:09.012Z ERROR it is\n"),
        (Level::Warn, "2026-11-28T13:07:09.012Z WARN  it is\n"),
        (Level::Info, "2026-11-28T13:07:09.012Z INFO  it is\n"),
        (Level::Debug, "2026-11-28T13:07:09.012Z DEBUG [resound::observe] it is\n"),
        (Level::Trace, "2026-11-28T13:07:09.012Z TRACE [resound::observe] it is\n"),
    ] {
        assert_eq!(line(Format::Text, level, "it is", &fields), expected);
    }
}

#[test]
fn json_has_the_message_and_each_field_with_its_type() {
    let fields = [
        ("event", Value::from("closed")),
        ("conn", Value::from(u64::MAX)),
        ("delta", Value::from(-7)),
        ("seconds", Value::from(0.25)),
        ("is_cut", Value::from(true)),
        ("peer", Value::from_display(&"127.0.0.1:7")),
        ("limit", Value::null()),
        ("rate", Value::from(f64::INFINITY)),
    ];
    let made = line(Format::Json, Level::Warn, "it is", &fields);
    let expected = r#"{"time":"2026-11-28T13:07:09.012345Z","level":"warn","message":"it is","event":"closed""#;
    assert!(made.starts_with(expected), "{made}");
    let read = read(&made);
    assert_eq!((&read["conn"], &read["delta"]), (&json!(u64::MAX), &json!(-7)));
    assert_eq!((&read["seconds"], &read["is_cut"]), (&json!(0.25), &json!(true)));
    assert_eq!(read["peer"], "127.0.0.1:7");
    assert_eq!(read.as_object().unwrap().len(), 9, "a field without a value is left out: {made}");
}

#[test]
fn json_escapes_what_would_break_it_and_what_acts_on_a_terminal() {
    let text = "\"\\\n\r\t\0\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{2028} ö🦀";
    let made = line(Format::Json, Level::Info, text, &[("peer", Value::from(text))]);
    let read = read(&made);
    assert_eq!((read["message"].as_str(), read["peer"].as_str()), (Some(text), Some(text)));
}

#[test]
fn a_text_line_is_never_longer_than_a_pipe_takes_whole() {
    for more in 0..4 {
        let made = line(Format::Text, Level::Info, &("x".repeat(more) + &"é".repeat(4096)), &[]);
        assert!((4090..=4096).contains(&made.len()) && made.ends_with("é…\n"), "{}", made.len());
    }
}

/// The longest message that fits is whole; one that is a byte longer is cut, and the object stays an object.
#[test]
fn a_json_line_is_cut_within_its_message() {
    let fields = [("peer", Value::from("unix:x"))];
    let room = MAX_LINE_BYTES - line(Format::Json, Level::Info, "", &fields).len();
    let whole = "x".repeat(room);
    assert_eq!(read(&line(Format::Json, Level::Info, &whole, &fields))["message"], *whole);
    for text in [whole + "y", "é".repeat(9999), "\u{1b}".repeat(9999), "\\".repeat(9999)] {
        let made = line(Format::Json, Level::Info, &text, &fields);
        let read = read(&made);
        let message = read["message"].as_str().unwrap();
        let kept = message.strip_suffix(CUT).unwrap();
        assert!(made.len() > MAX_LINE_BYTES - 12 && text.starts_with(kept), "{}", made.len());
        assert_eq!(read["peer"], "unix:x");
    }
}

#[test]
fn fields_leave_room_for_the_message() {
    let long = "\u{1b}".repeat(5000);
    let keys: Vec<_> = (0..99).map(|i| format!("key_{i}")).collect();
    let fields: Vec<_> = keys.iter().map(|key| (key.as_str(), Value::from(&*long))).collect();
    let read = read(&line(Format::Json, Level::Info, &"m".repeat(1800), &fields));
    assert_eq!(read["message"].as_str().unwrap().len(), 1800);
    assert!(read["key_0"].as_str().unwrap().ends_with(CUT) && read["key_99"].is_null());
}

proptest! {
    #[test]
    fn every_record_is_one_valid_line(
        text in "\\PC{0,80}|(?s).{0,80}|[\"\\\\\u{1b}]{0,3000}",
        values in prop::collection::btree_map("[a-z_]{4,20}", "(?s).{0,20}|[\u{0}\"]{0,900}", 0..8),
    ) {
        let values: BTreeMap<_, _> = values;
        let fields: Vec<_> = values.iter().map(|(key, value)| (key.as_str(), Value::from(&**value))).collect();
        let read = read(&line(Format::Json, Level::Info, &text, &fields));
        let is_kept = |found: &Json, text: &str| {
            let found = found.as_str().unwrap();
            found == text || found.strip_suffix(CUT).is_some_and(|kept| text.starts_with(kept))
        };
        prop_assert!(is_kept(&read["message"], &text));
        for (key, value) in values.iter().filter(|(key, _)| !read[key.as_str()].is_null()) {
            prop_assert!(["time", "level", "message"].contains(&key.as_str()) || is_kept(&read[key.as_str()], value));
        }
    }
}
