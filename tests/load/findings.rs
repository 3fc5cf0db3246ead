//! The client finds, names and counts what is wrong with a server: wrong bytes, and connections that end.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::loader::{fine, report, run};
use crate::peers;
use crate::server::Server;

/// Loads a server that handles each connection with `talk`, and expects a failure of this kind.
#[track_caller]
fn expect_finding(
    talk: impl FnMut(TcpStream) -> io::Result<()> + Send + 'static,
    args: &[&str],
    kind: &str,
) -> Value {
    let addr = peers::serve(talk);
    let (code, report) = report(&[&[&*addr, "-c", "1", "-n", "100"], args].concat());
    assert_eq!((code, &report["end"]), (Some(1), &"failed".into()), "{report:#}");
    assert_eq!(report["troubles"][0]["kind"], kind, "{report:#}");
    assert_eq!(report["troubles"][0]["connection"], 0);
    report["troubles"][0].clone()
}

/// A server that echoes, and calls `mangle` for the read that contains the byte at `from`.
fn mangling(
    from: usize,
    mut mangle: impl FnMut(&mut Vec<u8>, usize) + Send + 'static,
) -> impl FnMut(TcpStream) -> io::Result<()> + Send + 'static {
    move |mut stream| {
        let (mut offset, mut buffer) = (0, vec![0; 64 << 10]);
        loop {
            let n = stream.read(&mut buffer)?;
            if n == 0 {
                return Ok(());
            }
            let mut echo = buffer[..n].to_vec();
            if (offset..offset + n).contains(&from) {
                mangle(&mut echo, from - offset);
            }
            offset += n;
            stream.write_all(&echo)?;
        }
    }
}

#[test]
fn an_altered_byte_is_named_with_its_offset() {
    let altering = mangling(1000, |echo, at| echo[at] ^= 1);
    let trouble = expect_finding(altering, &[], "altered");
    assert_eq!(trouble["offset"], 1000, "{trouble:#}");
    let (expected, got) = (&trouble["expected_byte"], &trouble["got_byte"]);
    assert_eq!(expected.as_u64().unwrap() ^ 1, got.as_u64().unwrap());
    let message = trouble["message"].as_str().unwrap();
    assert!(message.contains("wrong byte at offset 1000: expected 0x"), "{message}");
}

#[test]
fn a_dropped_byte_is_not_called_altered() {
    let dropping = mangling(200, |echo, at| echo.splice(at..=at, []).for_each(drop));
    let trouble = expect_finding(dropping, &[], "dropped");
    assert_eq!(trouble["offset"], 200);
    assert!(trouble["message"].as_str().unwrap().contains("1 byte dropped"), "{trouble:#}");
}

#[test]
fn a_doubled_byte_is_called_repeated() {
    let doubling = mangling(200, |echo, at| echo.insert(at, echo[at - 1]));
    let trouble = expect_finding(doubling, &[], "repeated");
    assert_eq!(trouble["offset"], 200);
}

#[test]
fn added_bytes_are_called_added() {
    let adding = mangling(200, |echo, at| echo.splice(at..at, *b"\0!").for_each(drop));
    let trouble = expect_finding(adding, &[], "added");
    assert_eq!(trouble["offset"], 200);
}

#[test]
fn bytes_after_the_last_echo_are_a_surplus() {
    let trouble = expect_finding(peers::adding, &[], "surplus");
    assert_eq!(trouble["offset"], 64);
}

/// All echoes have come, but the server sends more before it closes.
#[test]
fn bytes_after_the_shutdown_are_a_surplus() {
    let late = |mut stream: TcpStream| {
        io::copy(&mut &stream, &mut &stream)?;
        stream.write_all(b"and by the way")
    };
    let trouble = expect_finding(late, &[], "surplus");
    assert_eq!(trouble["offset"], 6400);
}

#[test]
fn a_missing_echo_fails_the_run_after_the_timeout() {
    let trouble = expect_finding(peers::silent, &["-W", "200ms"], "timeout");
    let message = trouble["message"].as_str().unwrap();
    assert_eq!(message, "no echo within 200 ms: 0 of 64 bytes came back, 64 are missing");
}

#[test]
fn an_echo_that_is_missing_at_the_end_is_waited_for() {
    let addr = peers::serve(mangling(0, |echo, _| echo.clear()));
    let (code, report) = report(&[&addr, "-c", "1", "-d", "50ms", "-W", "300ms"]);
    assert_eq!((code, &report["troubles"][0]["kind"]), (Some(1), &"timeout".into()), "{report:#}");
}

#[test]
fn a_server_that_closes_early_is_named() {
    let trouble = expect_finding(peers::closing_after_three_bytes, &[], "closed");
    let message = trouble["message"].as_str().unwrap();
    assert_eq!(message, "the server closed the connection after 3 of 64 bytes");
    // If the server closed at once, a reset would answer the next message.
    let parting = |stream: TcpStream| {
        peers::closing_after_one_echo(stream.try_clone()?)?;
        stream.shutdown(Shutdown::Write)?;
        io::copy(&mut &stream, &mut io::sink()).map(drop)
    };
    let trouble = expect_finding(parting, &[], "closed");
    // The next message may be in flight by then, or not.
    let message = trouble["message"].as_str().unwrap();
    assert!(message.starts_with("the server closed the connection "), "{message}");
}

#[test]
fn a_reset_is_named() {
    let resetting = |mut stream: TcpStream| {
        stream.read_exact(&mut [0; 32])?;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
    };
    expect_finding(resetting, &[], "reset");
}

#[test]
fn a_refusal_says_what_helps() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ended = run(&[&addr, "-c", "3", "-n", "10"]);
    let last = ended.stderr.lines().last().unwrap();
    assert!(last.starts_with("resound: connection 0"), "{ended:?}");
    assert!(last.contains(&format!("cannot connect to {addr}: connection refused")), "{ended:?}");
    assert!(last.ends_with("is the server running?"), "{ended:?}");
    assert_eq!(ended.code, Some(1));
}

#[test]
fn with_keep_going_failed_connections_are_counted_and_replaced() {
    let addr = peers::serve(peers::closing_after_one_echo);
    let (code, report) = report(&[&addr, "-c", "1", "-n", "9", "--keep-going"]);
    assert_eq!((code, &report["end"]), (Some(0), &"complete".into()), "{report:#}");
    let count = |key: &str| report[key].as_u64().unwrap();
    assert!(count("messages") >= 4 && count("trouble_count") >= 3, "{report:#}");
    // When the server closes, a message may be in flight, or not.
    assert!(count("lost_messages") <= count("trouble_count"), "{report:#}");
    assert_eq!(count("messages") + count("lost_messages"), 9, "{report:#}");
    // Nothing excuses wrong bytes.
    expect_finding(mangling(100, |echo, at| echo[at] ^= 1), &["--keep-going"], "altered");
}

#[test]
fn a_server_for_one_echo_is_loaded_with_one_message_on_each_connection() {
    let server = Server::start(&["--once"]);
    let report = fine(&[server.addr(), "-c", "4", "-n", "40", "--reconnect-every", "1"]);
    assert_eq!(report["messages"], 40);
    let last = server.stop();
    assert!(last.contains("2,560 bytes in, 2,560 bytes out, 0 refused, 0 reset"), "{last}");
}
