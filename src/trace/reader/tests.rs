use std::fmt::Write;

use super::*;
use crate::trace::record::{Outcome, Vantage, write_line};

const HEADER: &str =
    r#"{"schema":"resound-trace","version":1,"vantage":"server","program":"resound"}"#;

/// What is read of a trace: the names of its records, the error, and the ending.
fn read(text: &[u8]) -> (Vec<String>, Option<String>, Ending) {
    let mut reader = Reader::new(text).unwrap();
    let (mut names, mut error) = (Vec::new(), None);
    for record in &mut reader {
        match record {
            Ok(record) => names.push(record.name),
            Err(e) => error = Some(e.to_string()),
        }
    }
    (names, error, reader.ending().clone())
}

#[track_caller]
fn refusal(text: &[u8]) -> String {
    let error = Reader::new(text).map(|_| ()).unwrap_err().to_string();
    assert!(!error.contains('\n') && error.len() < 600, "{error}");
    error
}

#[test]
fn what_is_written_is_read_again() {
    let mut header = Header::new(Vantage::SystemCalls, "a \"server\"\n");
    header.title = Some("<script>alert(1)</script>".into());
    header.options.insert("listen".into(), "127.0.0.1:7007".into());
    let mut record = Record::new(12.345, name::READ);
    record.group_id = Some("#3".into());
    record.place = Some("src/conn.rs:42".into());
    record.data.insert("asked".into(), 65536.into());
    record.data.insert("result".into(), 64.into());
    let mut text = Vec::new();
    write_line(&mut text, &header).unwrap();
    write_line(&mut text, &record).unwrap();
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 2);
    let mut reader = Reader::new(&text[..]).unwrap();
    assert_eq!(reader.header, header);
    assert_eq!(reader.next().unwrap().unwrap(), record);
    assert!(reader.next().is_none());
}

#[test]
fn a_trace_that_breaks_off_at_any_byte_gives_what_came_before() {
    let records = r#"{"time":1.5,"name":"reactor:waits","turn":0,"data":{"timeout":null}}
{"time":2,"name":"reactor:woke","turn":1,"data":{"events":1,"queued":0,"waited":0.5}}
{"time":3,"name":"trace:end","turn":1,"data":{"why":"stopped"}}"#;
    let whole = format!("{HEADER}\n{records}\n");
    for end in HEADER.len()..whole.len() {
        let (names, error, ending) = read(&whole.as_bytes()[..end]);
        let cut = &whole[HEADER.len()..end];
        let lines = cut.lines().filter(|line| line.ends_with("}}")).count();
        assert_eq!(names.len(), lines, "{cut}");
        assert_eq!(ending == Ending::Truncated, lines < 3, "{cut}");
        if let Some(error) = error {
            assert!(error.ends_with("breaks off"), "{error}");
        }
    }
    assert_eq!(read(whole.as_bytes()).2, Ending::Complete { why: "stopped".into() });
}

#[test]
fn a_line_that_makes_no_sense_ends_a_trace_and_is_named() {
    let good = r#"{"time":1,"name":"reactor:waits"}"#;
    for (bad, expected) in [
        ("oops", "line 3 is no record"),
        ("{}", "missing field `name`"),
        ("[]", "line 3 is no record"),
        (r#"{"name":7}"#, "line 3 is no record"),
        (r#"{"time":1e999,"name":"x"}"#, "out of range"),
        (r#"{"time":"1","name":"x"}"#, "line 3 is no record"),
        (r#"{"name":"x","data":[]}"#, "line 3 is no record"),
        (r#"{"name":"x","turn":-1}"#, "line 3 is no record"),
        (&"[".repeat(100_000), "line 3 is no record"),
        (&"x".repeat(MAX_LINE_BYTES + 1), "line 3 is longer than 4 MiB"),
    ] {
        let (names, error, ending) = read(format!("{HEADER}\n{good}\n{bad}\n{good}\n").as_bytes());
        let error = error.unwrap();
        assert_eq!((names.len(), ending), (1, Ending::Truncated), "{error}");
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    }
    let (names, error, _) = read(format!("{HEADER}\n{good}\n\u{0}\x7f\n").as_bytes());
    assert!(names.len() == 1 && error.is_some());
    let (names, error, _) = read(&[HEADER.as_bytes(), b"\n{\"name\":\"\xff\"}\n"].concat());
    assert!(names.is_empty() && error.is_some());
}

#[test]
fn a_file_that_is_no_trace_is_refused_with_what_is_wrong() {
    for (text, expected) in [
        (&b""[..], "it is empty"),
        (b"\n\n", "it is empty"),
        (b"\x7fELF\x02\x01\0\0", "its first line is not JSON"),
        (b"GET / HTTP/1.1\r\n\r\n", "its first line is not JSON"),
        (b"{}", "its first line names no schema"),
        (b"[1]\n", "its first line names no schema"),
        (b"{\"schema\":\"resound-load/2\"}", "its schema is \"resound-load/2\""),
        (b"{\"schema\":\"\\u001b[2J\"}", "its schema is \"\\u{1b}[2J\""),
        (b"{\"schema\":\"resound-trace\",\"version\":\"1\"}", "its version is no number"),
        (b"{\"schema\":\"resound-trace\",\"version\":1}", "its header is wrong: missing field"),
        (
            b"{\"schema\":\"resound-trace\",\"version\":1,\"vantage\":\"moon\"}",
            "unknown variant `moon`",
        ),
        (
            b"{\"schema\":\"resound-trace\",\"version\":1,\"vantage\":\"\\u001b[2J\\n\"}",
            "unknown variant `\\u{1b}[2J\\n`",
        ),
        (
            b"{\"schema\":\"resound-trace\",\"version\":2,\"vantage\":7}",
            "it is a trace of version 2, and this resound reads version 1: use the resound that wrote it",
        ),
    ] {
        let error = refusal(text);
        assert!(error.contains(expected), "{error}");
    }
    let long = format!("{{\"schema\":\"{}\"}}", "x".repeat(MAX_LINE_BYTES));
    assert!(refusal(long.as_bytes()).contains("line 1 is longer than 4 MiB"));
    refusal(&long.as_bytes()[..100_000]);
    refusal(format!("{{\"schema\":\"{}\"}}", "y".repeat(1000)).as_bytes());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path(), &directory.path().join("none")] {
        let Err(error) = Reader::open(path) else { panic!("{path:?} is a trace") };
        let expected = format!("cannot read {}: ", path.display());
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

#[test]
fn time_does_not_go_back_and_a_mark_needs_none() {
    let mut text = format!("{HEADER}\n");
    for line in [
        r#"{"time":5,"name":"reactor:waits"}"#,
        r#"{"name":"mark","data":{"title":"here"}}"#,
        r#"{"time":4,"name":"reactor:woke"}"#,
        "\r",
        r#"{"time":6,"name":"new:name","new_key":[1,{"a":null}]}"#,
    ] {
        writeln!(text, "{line}").unwrap();
    }
    let times = Reader::new(text.as_bytes()).unwrap().map(|record| record.unwrap().time);
    assert_eq!(times.collect::<Vec<_>>(), [5.0, 5.0, 5.0, 6.0]);
}

#[test]
fn the_data_of_a_record_is_what_its_types_allow() {
    let record = |data: &str| -> Record {
        serde_json::from_str(&format!(r#"{{"name":"x","data":{data}}}"#)).unwrap()
    };
    for (data, expected) in [
        (r#"{"result":7}"#, Some(Outcome::Bytes(7))),
        (r#"{"result":"would_block"}"#, Some(Outcome::WouldBlock)),
        (r#"{"result":"end"}"#, Some(Outcome::End)),
        (r#"{"result":"connection"}"#, Some(Outcome::Connection)),
        (r#"{"result":"broken pipe"}"#, Some(Outcome::Failed("broken pipe"))),
        (r#"{"result":-1}"#, None),
        (r#"{"result":{"a":1}}"#, None),
        ("{}", None),
    ] {
        assert_eq!(record(data).outcome(), expected, "{data}");
    }
    let all = record(r#"{"asked":5,"why":"x","error":true,"kernel":{"send_queue":9},"n":"5"}"#);
    assert_eq!((all.number("asked"), all.number("n"), all.number("why")), (Some(5), None, None));
    assert_eq!((all.text("why"), all.text("asked")), (Some("x"), None));
    assert!(all.flag("error") && !all.flag("why") && !all.flag("none"));
    assert_eq!((all.kernel("send_queue"), all.kernel("receive_queue")), (Some(9), None));
}
