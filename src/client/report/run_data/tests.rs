use std::io::Write;

use super::*;
use crate::client::report::sample;

fn json() -> Value {
    let (outcome, options) = (sample::with_failures(), sample::options());
    serde_json::to_value(sample::report(&outcome, &options)).unwrap()
}

#[test]
fn a_run_reads_back_as_what_was_written() {
    for outcome in [sample::with_failures(), sample::nothing()] {
        let options = sample::closed_loop();
        let report = sample::report(&outcome, &options);
        let data = RunData::parse(&report.to_json().unwrap()).unwrap();
        assert_eq!(data, RunData::of(&report).unwrap());
        assert_eq!(data.server, options.server.to_string());
        assert_eq!((data.rate, data.byte_rate), (outcome.rate(), outcome.byte_rate()));
        assert_eq!(data.response, LatencySummary::of(&outcome.response));
        assert_eq!(data.service_curve, outcome.service.percentile_curve());
        assert_eq!(data.intervals, outcome.intervals);
        assert_eq!(data.options["connections"], 50);
        assert!(data.has_one_latency());
    }
}

/// The version before has fewer keys.
#[test]
fn an_older_report_can_still_be_a_baseline() {
    let mut older = json();
    older["schema"] = OLDER_SCHEMA.into();
    let object = older.as_object_mut().unwrap();
    object.remove("unanswered_messages");
    object.remove("unanswered_wait_nanoseconds");
    for key in ["wait_seconds", "send_proxy_version"] {
        object["options"].as_object_mut().unwrap().remove(key);
    }
    object["generator"].as_object_mut().unwrap().remove("spin_cpu_seconds");
    object["generator"].as_object_mut().unwrap().remove("standstill_seconds");
    object["intervals"][0].as_object_mut().unwrap().remove("responses");
    let data = RunData::parse(&older.to_string()).unwrap();
    assert_eq!(data.options, RunData::parse(&json().to_string()).unwrap().options);
}

#[test]
fn a_file_that_is_no_report_is_refused_in_a_line() {
    let mut other = json();
    other["schema"] = "resound-load/3\n".into();
    let mut lacking = json();
    lacking.as_object_mut().unwrap().remove("rate_messages_per_second");
    let mut backwards = json();
    backwards["intervals"][0]["length_seconds"] = (-1.0).into();
    for (text, why) in [
        ("", "it is no report of resound load --json: EOF"),
        ("[1]", "it has no schema"),
        ("{\"schema\":1}", "it has no schema"),
        (&other.to_string(), "its schema is resound-load/3\\n, and resound "),
        (&lacking.to_string(), "missing field `rate_messages_per_second`"),
        (&backwards.to_string(), "negative"),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let error = RunData::read(file.path()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(error.starts_with("cannot compare with /") && !error.contains('\n'), "{error:?}");
    }
}

#[test]
fn a_missing_file_is_reported_as_missing() {
    let error = RunData::read(Path::new("/nowhere\n/report.json")).unwrap_err().to_string();
    assert_eq!(error, "cannot compare with /nowhere\\n/report.json: no such file or directory");
}
