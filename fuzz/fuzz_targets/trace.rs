//! Any bytes as a trace: the reader gives records or one error in a line, and what it gives can be written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resound::trace::reader::{Ending, Reader};
use resound::trace::record::{Record, name, write_line};

/// So that most inputs get beyond the first line.
const HEADER: &[u8] = b"{\"schema\":\"resound-trace\",\"version\":1,\"vantage\":\"server\"}\n";

fuzz_target!(|bytes: &[u8]| {
    for text in [bytes.to_vec(), [HEADER, bytes].concat()] {
        match Reader::new(&text[..]) {
            Ok(reader) => check(reader),
            Err(error) => is_a_line(&error.to_string()),
        }
    }
});

fn check(mut reader: Reader<&[u8]>) {
    let (mut records, mut is_over, mut time) = (Vec::new(), false, 0.0);
    for record in &mut reader {
        assert!(!is_over, "something came after the end");
        match record {
            Ok(record) => {
                assert!(record.time >= time, "time went back");
                time = record.time;
                is_over = record.name == name::END;
                records.push(record);
            }
            Err(error) => {
                is_a_line(&error.to_string());
                is_over = true;
            }
        }
    }
    assert!(reader.next().is_none());
    let has_end = records.last().is_some_and(|record| record.name == name::END);
    assert_eq!(has_end, matches!(reader.ending(), Ending::Complete { .. }));
    records.iter().for_each(look);
    let again = read_again(&reader, &records);
    assert!(again.iter().map(shape).eq(records.iter().map(shape)));
}

/// A record without its numbers: reading a fraction again can change its last digit.
fn shape(record: &Record) -> impl PartialEq {
    let keys: Vec<_> = record.data.keys().cloned().collect();
    let texts = [&record.group_id, &record.trigger, &record.place, &record.call].map(Clone::clone);
    (record.name.clone(), texts, record.turn, record.thread, keys)
}

/// None of these panics, whatever the data are.
fn look(record: &Record) {
    let _ = (record.outcome(), record.kernel("receive_queue"));
    let _ = (record.number("asked"), record.text("why"), record.flag("error"));
}

fn read_again(reader: &Reader<&[u8]>, records: &[Record]) -> Vec<Record> {
    let mut text = Vec::new();
    write_line(&mut text, &reader.header).expect("a vector takes it");
    for record in records {
        write_line(&mut text, record).expect("a vector takes it");
    }
    let again = Reader::new(&text[..]).expect("a header");
    again.map(|record| record.expect("a record")).collect()
}

fn is_a_line(error: &str) {
    assert!(
        !error.is_empty() && error.len() < 4096 && !error.contains(char::is_control),
        "{error:?}"
    );
}
