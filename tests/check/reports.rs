//! Reports for programs.

use std::fs;

use resound::trace::reader::{Ending, Reader};
use resound::trace::record::{Outcome, Record, Vantage, name};
use serde_json::Value;

use crate::checker::{case, check, serving};
use crate::command::resound;

fn echo(stream: std::net::TcpStream) {
    let mut reader = stream.try_clone().unwrap();
    let _ = std::io::copy(&mut reader, &mut &stream);
}

#[test]
fn gradescope_gets_the_points_of_each_case() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let (points, results, junit) = (path("points"), path("results.json"), path("junit.xml"));
    fs::write(&points, "bytes/ 2\nbytes/word 5\n").unwrap();
    let addr = serving(echo);
    let files = ["--gradescope", &results, "--points", &points, "--junit", &junit];
    let output = resound(&[&["check", &addr, "--level", "1"], &files[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let results: Value = serde_json::from_slice(&fs::read(results).unwrap()).unwrap();
    let scores: Vec<_> =
        results["tests"].as_array().unwrap().iter().map(|t| t["score"].as_f64().unwrap()).collect();
    assert_eq!(scores, [1.0, 2.0, 5.0, 2.0, 1.0]);
    let junit = fs::read_to_string(junit).unwrap();
    assert!(junit.contains("tests=\"5\"") && junit.contains("name=\"bytes/word\""), "{junit}");
}

/// A case that is expected to fail and passes is as wrong as the other way round.
#[test]
fn expectations_decide_the_exit_code() {
    let addr = serving(echo);
    let code = |args: &[&str]| check(&[&[&*addr, "--only", "bytes/one"], args].concat()).0;
    assert_eq!(code(&[]), Some(0));
    assert_eq!(code(&["--expect-fail", "bytes/one"]), Some(1));
    let upper = serving(|mut stream| {
        use std::io::{Read, Write};
        let mut byte = [0];
        while let Ok(1..) = stream.read(&mut byte) {
            let kept = if byte[0] == b'x' { b'X' } else { byte[0] };
            stream.write_all(&[kept]).unwrap();
        }
    });
    let only = ["--only", "bytes/one", "--expect-fail", "bytes/one"];
    let (code, report) = check(&[&[&*upper], &only[..]].concat());
    assert_eq!((code, &case(&report, "bytes/one")["verdict"]), (Some(0), &"fail".into()));
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_each_failure_says_how_to_try_it_again() {
    let addr = serving(|mut stream| {
        use std::io::{Read, Write};
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            buffer[n - 1] ^= u8::from(n > 100);
            let _ = stream.write_all(&buffer[..n]);
        }
    });
    let difference = || {
        let (_, report) = check(&[&addr, "--only", "bytes/sizes"]);
        case(&report, "bytes/sizes")["cause"]["difference"].clone()
    };
    assert_eq!(difference(), difference());
    let output = resound(&["check", &addr, "--seed", "7", "--only", "bytes/sizes"]);
    let said = String::from_utf8(output.stdout).unwrap();
    let again = format!("Again: resound check {addr} --seed 7 --only bytes/sizes\n");
    assert!(said.contains(&again) && said.contains("Our end was 127.0.0.1:"), "{said}");
    assert!(
        said.ends_with("next: bytes/sizes (Messages of 1 byte to 64 KiB come back whole)\n"),
        "{said}"
    );
}

#[test]
fn the_keys_are_those_of_the_documentation() {
    let addr = serving(|mut stream| {
        use std::io::Write;
        let _ = stream.write_all(b"hello");
    });
    let (_, report) = check(&[&addr, "--only", "bytes/one"]);
    let documented = include_str!("../../docs/check-json.md");
    let first = &report["cases"][0];
    for object in
        [&report, first, &first["cause"], &first["diagnosis"], &first["cause"]["difference"]]
    {
        for key in object.as_object().unwrap().keys() {
            assert!(documented.contains(&format!("`{key}`")), "{key} is not documented");
        }
    }
}

#[test]
fn a_trace_has_what_the_connections_of_a_failed_case_did_and_nothing_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.jsonl");
    // It ends after a part of a message that is longer than eight bytes.
    let addr = serving(|mut stream| {
        use std::io::{Read, Write};
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).unwrap();
        let _ = stream.write_all(&buffer[..n.min(8)]);
        if n <= 8 {
            let _ = std::io::copy(&mut stream.try_clone().unwrap(), &mut stream);
        }
    });
    let only = ["--only", "bytes/all-values", "--only", "bytes/one", "--seed", "7", "--trace"];
    let output = resound(&[&["check", &addr], &only[..], &[path.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let mut reader = Reader::open(&path).unwrap();
    assert_eq!((reader.header.vantage, &*reader.header.options["seed"]), (Vantage::Client, "7"));
    let records: Vec<Record> = (&mut reader).map(Result::unwrap).collect();
    assert_eq!(*reader.ending(), Ending::Complete { why: "stopped".into() });
    assert!(records.windows(2).all(|pair| pair[0].time <= pair[1].time));
    let names: Vec<_> = records.iter().map(|record| &*record.name).collect();
    let (first, last) = (&records[0], &records[records.len() - 2]);
    assert_eq!(
        (names[0], first.text("id")),
        (name::CASE_BEGAN, Some("bytes/all-values")),
        "{names:?}"
    );
    assert_eq!((&*last.name, last.text("verdict")), (name::CASE_ENDED, Some("fail")));
    assert!(last.text("actual").is_some_and(|actual| actual.contains("8 of")), "{last:?}");
    assert_eq!(names[1..3], [name::CONNECTING, name::CONNECTED]);
    let moved = |name: &str| {
        let of_name = records.iter().filter(|record| record.name == name);
        of_name.filter_map(Record::outcome).collect::<Vec<_>>()
    };
    assert_eq!(moved(name::RECEIVED), [Outcome::Bytes(8), Outcome::End]);
    assert!(matches!(moved(name::SENT)[..], [Outcome::Bytes(9..)]));
    assert_eq!(names.iter().filter(|name| **name == name::CASE_BEGAN).count(), 1);
}
