//! Any bytes as an strace: the import refuses it in a line, or makes a trace that can be read to its end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resound::trace::import::import_bytes;
use resound::trace::reader::{Ending, Reader};

fuzz_target!(|bytes: &[u8]| {
    let mut trace = Vec::new();
    let done = import_bytes(bytes, &mut |line| {
        trace.extend_from_slice(line);
        Ok(())
    });
    match done {
        Ok(imported) => check(&trace, imported.records),
        Err(error) => is_a_line(&error.to_string()),
    }
});

fn check(trace: &[u8], expected: u64) {
    let mut reader = Reader::new(trace).expect("a header");
    let (mut records, mut time) = (0, 0.0);
    for record in &mut reader {
        let record = record.expect("a record");
        assert!(record.time >= time, "time went back");
        time = record.time;
        records += 1;
    }
    assert_eq!(records, expected);
    assert!(matches!(reader.ending(), Ending::Complete { .. }));
}

fn is_a_line(error: &str) {
    assert!(
        !error.is_empty() && error.len() < 4096 && !error.contains(char::is_control),
        "{error:?}"
    );
}
