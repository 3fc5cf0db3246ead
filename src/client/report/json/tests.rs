use std::io::Write;

use super::*;
use crate::client::report::sample;

fn keys(value: &Value) -> Vec<String> {
    let Value::Object(map) = value else { return Vec::new() };
    let nested = |(key, value): (&String, &Value)| {
        let first = if let Value::Array(items) = value { items.first() } else { Some(value) };
        [vec![key.clone()], first.map(keys).unwrap_or_default()].concat()
    };
    // Its keys are values.
    map.iter().filter(|(key, _)| *key != "trouble_counts").flat_map(nested).collect()
}

fn in_trouble() -> Report {
    let outcome = Outcome {
        troubles: sample::troubles(),
        trouble_count: 3,
        is_wrong: true,
        lost: 2,
        trouble_counts: [("altered", 1), ("timeout", 2)].into(),
        ..sample::run(3, 1.0)
    };
    let search = Some((&sample::search()).into());
    Report { search, ..sample::report(&outcome, &sample::options()) }
}

#[test]
fn a_report_reads_back_as_what_was_written() {
    let nothing = sample::report(&sample::nothing(), &sample::closed_loop());
    for report in [in_trouble(), nothing] {
        let text = report.to_json().unwrap();
        assert_eq!(parse(&text), Ok(report), "{text}");
    }
}

#[test]
fn every_key_is_in_the_documentation() {
    let documentation = include_str!("../../../../docs/load-json.md");
    let value = serde_json::to_value(in_trouble()).unwrap();
    let keys = keys(&value);
    assert!(keys.len() > 60, "{keys:?}");
    for key in keys {
        assert!(documentation.contains(&format!("`{key}`")), "{key} is not documented");
    }
    assert!(documentation.contains(SCHEMA), "the schema is not named");
}

#[test]
fn troubles_say_where_in_the_returned_stream_they_are() {
    let [altered, refused, late] = &in_trouble().troubles[..] else { panic!("three") };
    assert_eq!((altered.connection, altered.kind.as_str()), (Some(7), "altered"));
    assert_eq!((altered.local.as_deref(), altered.offset), (Some("127.0.0.1:40001"), Some(5)));
    assert_eq!(altered.expected_byte.map(|byte| !byte), altered.got_byte);
    assert_eq!((refused.kind.as_str(), refused.offset), ("connect", None));
    assert_eq!((late.kind.as_str(), late.offset, late.got_byte), ("timeout", Some(64), None));
}

#[test]
fn a_client_that_was_the_bottleneck_says_so() {
    let mut outcome = sample::run(3, 1.0);
    assert_eq!(Generator::from(&outcome).why, None);
    outcome.cpu = outcome.measured;
    let generator = Generator::from(&outcome);
    assert!(generator.was_bottleneck);
    assert!(generator.why.is_some_and(|why| why.contains("busy 100 %")));
}

/// Of the version before, which had fewer keys.
#[test]
fn an_older_report_can_still_be_a_baseline() {
    let mut older = serde_json::to_value(in_trouble()).unwrap();
    older["schema"] = OLDER_SCHEMA.into();
    let object = older.as_object_mut().unwrap();
    object.remove("unanswered_messages");
    object.remove("unanswered_wait_nanoseconds");
    object["options"].as_object_mut().unwrap().remove("wait_seconds");
    object["generator"].as_object_mut().unwrap().remove("spin_cpu_seconds");
    object["generator"].as_object_mut().unwrap().remove("standstill_seconds");
    assert_eq!(parse(&older.to_string()).unwrap().messages, in_trouble().messages);
}

/// Whichever of its runs is the one that is reported.
#[test]
fn a_search_that_was_interrupted_is_not_complete() {
    let mut report = sample::report(&sample::run(3, 1.0), &sample::options());
    report.set_search(Some(&sample::search()));
    assert_eq!(report.end, End::Complete);
    report.set_search(Some(&load::Search { is_interrupted: true, ..sample::search() }));
    assert_eq!(report.end, End::Interrupted);
}

#[test]
fn what_is_no_report_is_refused_in_a_line() {
    let mut other = serde_json::to_value(in_trouble()).unwrap();
    other["schema"] = "resound-load/3\n".into();
    let mut lacking = serde_json::to_value(in_trouble()).unwrap();
    lacking.as_object_mut().unwrap().remove("messages");
    for (text, why) in [
        ("", "it is no report of resound load --json: EOF"),
        ("[1]", "it has no schema"),
        ("{\"schema\":1}", "it has no schema"),
        (&other.to_string(), "its schema is resound-load/3\\n, and resound "),
        (&lacking.to_string(), "missing field `messages`"),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let error = Report::read(file.path()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(error.starts_with("cannot compare with /") && !error.contains('\n'), "{error:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_said_to_be_missing() {
    let error = Report::read(Path::new("/nowhere\n/report.json")).unwrap_err().to_string();
    assert_eq!(error, "cannot compare with /nowhere\\n/report.json: no such file or directory");
}
