//! Servers with a mistake are convicted, and the mistake is named.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::checker::{case, check, serving};

/// Echoes what `change` makes of each read.
fn echo_changed(mut stream: TcpStream, change: impl Fn(&[u8]) -> Vec<u8>) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&change(&buffer[..n])).is_err() {
            return;
        }
    }
}

/// Expects that this case fails, and the mistake that is named.
#[track_caller]
fn expect(act: impl Fn(TcpStream) + Copy + Send + 'static, id: &str, mistake: &str, how: &str) {
    let addr = serving(act);
    let (code, report) = check(&[
        &addr,
        "--only",
        id.trim_start_matches("sanity/").replace("first", "bytes/one").as_str(),
        "--timeout",
        "500ms",
    ]);
    let case = case(&report, id);
    assert_eq!((code, &case["verdict"]), (Some(1), &"fail".into()), "{report:#}");
    let found = &case["diagnosis"];
    assert!(found["mistake"].as_str().is_some_and(|found| found.contains(mistake)), "{case:#}");
    assert_eq!(found["confidence"], how, "{case:#}");
}

#[test]
fn a_server_that_waits_for_lines() {
    let lines = |stream: TcpStream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = Vec::new();
        while let Ok(1..) = reader.read_until(b'\n', &mut line) {
            let _ = (&stream).write_all(&line);
            line.clear();
        }
    };
    expect(lines, "bytes/one", "waits for a line end", "sure");
}

#[test]
fn a_server_that_changes_letters_or_bits() {
    let upper = |stream| echo_changed(stream, <[u8]>::to_ascii_uppercase);
    expect(upper, "sanity/first", "changes the case", "sure");
    let seven = |stream| echo_changed(stream, |bytes| bytes.iter().map(|b| b & 0x7f).collect());
    expect(seven, "bytes/all-values", "eighth bit", "sure");
    let text = |stream| {
        echo_changed(stream, |bytes| String::from_utf8_lossy(bytes).into_owned().into_bytes());
    };
    expect(text, "bytes/invalid-utf8", "takes bytes for text", "sure");
}

#[test]
fn a_server_that_changes_line_ends() {
    let stripped = |stream| echo_changed(stream, |bytes| bytes.trim_ascii_end().to_vec());
    expect(stripped, "sanity/first", "line ends", "sure");
    let added = |stream| echo_changed(stream, |bytes| [bytes, b"\n"].concat());
    expect(added, "sanity/first", "line ends", "sure");
}

#[test]
fn a_server_that_ends_a_text_at_a_zero_byte() {
    let string = |stream| {
        echo_changed(stream, |bytes| bytes.split(|byte| *byte == 0).next().unwrap().to_vec());
    };
    expect(string, "bytes/nul", "zero byte", "likely");
}

#[test]
fn a_server_that_greets() {
    let greeting = |mut stream: TcpStream| {
        stream.write_all(b"welcome to this echo server\r\n").unwrap();
        echo_changed(stream, <[u8]>::to_vec);
    };
    expect(greeting, "sanity/first", "was not sent to it", "likely");
}

#[test]
fn a_server_that_sends_its_whole_buffer() {
    let whole = |mut stream: TcpStream| {
        let mut buffer = [0; 1024];
        while let Ok(1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer).unwrap();
        }
    };
    expect(whole, "sanity/first", "whole buffer", "sure");
}

#[test]
fn a_server_that_answers_at_the_end_or_when_a_buffer_is_full() {
    let at_end = |mut stream: TcpStream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    };
    expect(at_end, "sanity/first", "has ended its direction", "sure");
    let full = |mut stream: TcpStream| {
        let mut buffer = [0; 4096];
        while stream.read_exact(&mut buffer).is_ok() {
            stream.write_all(&buffer).unwrap();
        }
    };
    expect(full, "sanity/first", "a buffer is full", "sure");
}

#[test]
fn a_server_that_closes_too_early_or_never() {
    let once = |mut stream: TcpStream| {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).unwrap();
        let _ = stream.write_all(&buffer[..n]);
    };
    expect(once, "end/not-before", "after one answer", "likely");
    let never = |stream: TcpStream| {
        let kept = stream.try_clone().unwrap();
        echo_changed(stream, <[u8]>::to_vec);
        std::mem::forget(kept);
    };
    expect(never, "end/closes", "does not notice the client's end", "likely");
}

/// A server that serves one client after the other.
#[test]
fn a_server_that_waits_for_one_client() {
    use std::net::TcpListener;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        listener.incoming().for_each(|stream| echo_changed(stream.unwrap(), <[u8]>::to_vec));
    });
    let (code, report) = check(&[&addr, "--only", "many/", "--timeout", "500ms"]);
    let second = case(&report, "many/second");
    assert_eq!((code, &second["verdict"]), (Some(1), &"fail".into()), "{report:#}");
    assert_eq!(second["diagnosis"]["specimen"], "blocking-socket", "{second:#}");
    assert_eq!(second["diagnosis"]["confidence"], "sure", "{second:#}");
    assert_eq!(case(&report, "many/at-once")["verdict"], "not_run");
}
