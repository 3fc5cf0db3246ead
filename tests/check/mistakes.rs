//! Servers with a mistake are convicted, and the mistake is named.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    let (code, report) =
        check(&[&addr, "--only", "bytes/stale", "--only", "many/", "--timeout", "500ms"]);
    // That it waits for one client is no fault of the bytes that come back.
    assert_eq!(case(&report, "bytes/stale")["verdict"], "pass", "{report:#}");
    let second = case(&report, "many/second");
    assert_eq!((code, &second["verdict"]), (Some(1), &"fail".into()), "{report:#}");
    assert_eq!(second["diagnosis"]["specimen"], "blocking-socket", "{second:#}");
    assert_eq!(second["diagnosis"]["confidence"], "sure", "{second:#}");
    assert_eq!(case(&report, "many/at-once")["verdict"], "not_run");
}

/// Some clients send one line after the other, and wait for each.
#[test]
fn a_server_that_waits_is_told_from_one_that_has_lost_an_edge() {
    let lines = |stream: TcpStream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = Vec::new();
        while let Ok(1..) = reader.read_until(b'\n', &mut line) {
            let _ = (&stream).write_all(&line);
            line.clear();
        }
    };
    expect(lines, "bytes/line-ends", "waits for a line end", "sure");
    let full = |mut stream: TcpStream| {
        let mut buffer = [0; 4];
        while stream.read_exact(&mut buffer).is_ok() {
            stream.write_all(&buffer).unwrap();
        }
    };
    for id in ["bytes/word", "bytes/unasked", "bytes/line-ends", "bytes/invalid-utf8"] {
        expect(full, id, "a buffer is full", "sure");
    }
}

/// Expects that this case fails, and that no mistake is named: what is known fits many.
#[track_caller]
fn expect_unsure(act: impl Fn(TcpStream) + Copy + Send + 'static, id: &str) {
    let addr = serving(act);
    let (_, report) = check(&[&addr, "--only", id, "--timeout", "500ms"]);
    let case = case(&report, id);
    assert_eq!(case["verdict"], "fail", "{report:#}");
    assert_eq!(case["diagnosis"]["confidence"], "not sure", "{case:#}");
}

#[test]
fn a_server_that_closes_for_a_reason_of_its_own_is_not_blamed_for_another() {
    let tired = |mut stream: TcpStream| {
        let _ = std::io::copy(&mut stream.try_clone().unwrap().take(400_000), &mut stream);
    };
    expect_unsure(tired, "bytes/1m");
    static CLIENTS: AtomicUsize = AtomicUsize::new(0);
    let full = |stream: TcpStream| {
        if CLIENTS.fetch_add(1, Ordering::SeqCst) < 10 {
            echo_changed(stream, <[u8]>::to_vec);
        }
        CLIENTS.fetch_sub(1, Ordering::SeqCst);
    };
    expect_unsure(full, "many/at-once");
}

#[test]
fn a_server_that_sends_bytes_of_one_client_to_another() {
    static CLIENTS: Mutex<Vec<TcpStream>> = Mutex::new(Vec::new());
    let to_all = |stream: TcpStream| {
        CLIENTS.lock().unwrap().push(stream.try_clone().unwrap());
        echo_changed(stream, |bytes| {
            let clients = CLIENTS.lock().unwrap();
            clients.iter().for_each(|mut client| _ = client.write_all(bytes));
            Vec::new()
        });
    };
    expect(to_all, "many/at-once", "to another", "sure");
    static LAST: Mutex<Option<TcpStream>> = Mutex::new(None);
    let to_the_last = |stream: TcpStream| {
        *LAST.lock().unwrap() = Some(stream.try_clone().unwrap());
        // The thread of the client before this one can begin later.
        std::thread::sleep(std::time::Duration::from_millis(200));
        echo_changed(stream, |bytes| {
            let _ = LAST.lock().unwrap().as_ref().unwrap().write_all(bytes);
            Vec::new()
        });
    };
    expect(to_the_last, "many/second", "to another", "sure");
}

/// It answers nobody, so that nothing is known of clients before this one.
#[test]
fn a_server_that_never_answers_is_not_said_to_have_served_one_client() {
    let silent = |mut stream: TcpStream| _ = stream.read_to_end(&mut Vec::new());
    let (_, report) = check(&[&serving(silent), "--timeout", "500ms"]);
    assert_eq!(case(&report, "sanity/first")["diagnosis"]["confidence"], "not sure", "{report:#}");
}
