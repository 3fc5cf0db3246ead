//! Servers that do not echo as they should. Each gets a line of its own, and exit code 1.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;

use super::peers::{self, echo_all, serve};
use super::pinger::{Pinger, json, ping, text};
use super::piped::Ended;

/// A server that changes each message with `change` before it echoes it.
fn changing(change: fn(Vec<u8>) -> Vec<u8>) -> String {
    serve(move |stream| echo_all(&stream, change))
}

/// Pings once, and expects this finding and these counts.
#[track_caller]
fn found(args: &[&str], finding: &str, counts: &str, kind: &str) {
    let ended = ping(&[&["-c", "1"], args].concat());
    let text = text(&ended);
    let line = text.lines().find(|line| line.contains("seq=1")).unwrap_or_default();
    assert!(line.starts_with(finding), "{ended:?}");
    assert!(text.contains(&format!("\n1 sent, {counts}, 0 reconnects, time ")), "{ended:?}");
    assert_eq!(ended.code, Some(1));

    let ended = ping(&[&["--json", "-c", "1"], args].concat());
    let json = json(&ended);
    assert_eq!(json["trouble_counts"], serde_json::json!({ kind: 1 }));
    assert_eq!(json["troubles"][0]["kind"], kind);
    assert!(json["troubles"][0]["text"].as_str().unwrap().starts_with(finding), "{json}");
    assert_eq!(ended.code, Some(1));
}

const LOST: &str = "0 received, 1 lost (100 %), 0 wrong";
const WRONG: &str = "0 received, 0 lost (0 %), 1 wrong";

/// Pings once, and expects a wrong byte at offset 20 with this cause.
#[track_caller]
fn wrong(change: fn(Vec<u8>) -> Vec<u8>, cause: &str, kind: &str) {
    let addr = changing(change);
    found(&[&addr], "seq=1 (offsets 0 to 55): wrong byte at offset 20: expected 0x", WRONG, kind);
    let ended = ping(&["-c", "1", &addr]);
    assert!(text(&ended).contains(&format!("; {cause}; expected ")), "{}", text(&ended));
    ended.assert_failed("1 of 1 echoes came back wrong");
}

#[test]
fn an_altered_byte_is_found() {
    let altered = |mut echo: Vec<u8>| {
        echo[20] ^= 0x20;
        echo
    };
    wrong(altered, "1 byte altered", "altered");
}

#[test]
fn a_dropped_byte_is_found() {
    let dropped = |mut echo: Vec<u8>| {
        echo.remove(20);
        echo
    };
    wrong(dropped, "1 byte dropped", "dropped");
}

#[test]
fn a_byte_that_comes_twice_is_found() {
    let repeated = |mut echo: Vec<u8>| {
        echo.insert(20, echo[19]);
        echo
    };
    wrong(repeated, "1 byte repeated", "repeated");
}

#[test]
fn an_added_byte_is_found() {
    let added = |mut echo: Vec<u8>| {
        echo.insert(20, !echo[20]);
        echo
    };
    wrong(added, "1 byte added", "added");
}

#[test]
fn a_message_that_comes_twice_is_found() {
    let twice = changing(|echo| echo.repeat(2));
    let finding = "seq=1 (offsets 0 to 55): more came back than was sent, from offset 56 on: ";
    found(&[&twice], finding, WRONG, "surplus");
}

#[test]
fn a_dropped_last_byte_is_a_timeout() {
    let short = changing(|mut echo| {
        echo.pop();
        echo
    });
    let finding = "no echo for seq=1 within 200 ms: 55 of 56 bytes came back";
    found(&["-W", "200ms", &short], finding, LOST, "timeout");
}

#[test]
fn bytes_after_an_echo_are_a_surplus() {
    let finding =
        "seq=1 (offsets 0 to 55): more came back than was sent, from offset 56 on: 2e 2e 2e";
    found(&[&serve(peers::adding)], finding, WRONG, "surplus");
}

/// Asserts that the echo was right and complete, and bytes after it were wrong.
#[track_caller]
fn assert_came_back_and_wrong(ended: &Ended) {
    let counts = "\n1 sent, 1 received, 0 lost (0 %), 1 wrong, ";
    assert!(text(ended).contains(counts), "{}", text(ended));
    ended.assert_failed("1 of 1 echoes came back wrong");
}

/// The program reads on after the last echo, until the server has closed.
#[test]
fn bytes_after_the_last_echo_are_a_surplus() {
    let addr = serve(|stream| {
        peers::faithful(stream.try_clone()?)?;
        (&stream).write_all(b"\x1b")
    });
    let ended = ping(&["-c", "1", &addr]);
    let finding = "seq=1 (offsets 0 to 55): more came back than was sent, from offset 56 on: 1b\n";
    assert!(text(&ended).contains(finding), "{}", text(&ended));
    assert_came_back_and_wrong(&ended);
}

#[test]
fn bytes_between_echoes_are_a_surplus() {
    let (open, gate) = mpsc::channel();
    let addr = serve(move |stream| {
        echo(&stream, 56)?;
        gate.recv().map_err(io::Error::other)?;
        (&stream).write_all(b"!")?;
        peers::faithful(stream)
    });
    let mut pinger = Pinger::start(&["-i", "1h", &addr]);
    pinger.expect("seq=1 time=");
    open.send(()).unwrap();
    pinger.expect("seq=1 (offsets 0 to 55): more came back than was sent, from offset 56 on: 21");
    let ended = pinger.interrupt();
    assert_came_back_and_wrong(&ended);
}

#[test]
fn control_characters_of_a_server_do_not_reach_the_terminal() {
    let hostile = b"\x1b]0;pwned\x07 and something more to make it fifty-six and over";
    let addr = serve(peers::saying(hostile));
    found(&[&addr], "seq=1 (offsets 0 to 55): wrong byte at offset 0: expected 0x", WRONG, "wrong");
    let ended = ping(&["-c", "1", &addr]);
    assert!(!ended.stdout.iter().any(|byte| *byte < b' ' && *byte != b'\n'), "{ended:?}");
}

#[test]
fn a_greeting_is_no_echo() {
    let addr = serve(|stream| {
        (&stream).write_all(b"220 welcome\r\n")?;
        peers::faithful(stream)
    });
    let ended = ping(&["-c", "1", &addr]);
    assert!(
        text(&ended).contains("seq=1 (offsets 0 to 55): wrong byte at offset 0: "),
        "{ended:?}"
    );
    ended.assert_failed("1 of 1 echoes came back wrong");
}

#[test]
fn a_server_that_closes_early_is_reported() {
    let finding = "seq=1: the server closed the connection after 3 of 56 bytes";
    found(&[&serve(peers::closing_after_three_bytes)], finding, LOST, "closed");
    let finding = "seq=1: the server closed the connection after 0 of 56 bytes";
    found(&[&serve(peers::closing_at_once)], finding, LOST, "closed");
}

#[test]
fn a_reset_is_reported() {
    // The server closes with unread bytes, so its kernel sends a reset.
    let addr = serve(|stream| (&stream).read_exact(&mut [0; 3]));
    let finding = "seq=1: the connection broke after 0 of 56 bytes: connection reset";
    found(&[&addr], finding, LOST, "reset");
}

#[test]
fn a_silent_server_is_a_timeout() {
    let finding = "no echo for seq=1 within 200 ms: 0 of 56 bytes came back";
    let silent = || serve(keep);
    found(&["-W", "200ms", &silent()], finding, LOST, "timeout");
}

#[test]
fn a_server_that_never_reads_is_a_timeout() {
    let (_keep, gate) = mpsc::channel::<()>();
    let addr = serve(move |_stream| gate.recv().map_err(io::Error::other));
    let finding = "no echo for seq=1 within 300 ms: 0 of 67,108,864 bytes came back";
    found(&["-W", "300ms", "-s", "64m", &addr], finding, LOST, "timeout");
}

/// A late echo must not count for the next message.
#[test]
fn a_late_echo_is_lost_and_the_next_one_is_right() {
    let (open, gate) = mpsc::channel();
    let mut is_first = true;
    let addr = serve(move |stream| {
        if std::mem::take(&mut is_first) {
            gate.recv().map_err(io::Error::other)?;
        }
        peers::faithful(stream)
    });
    let mut pinger = Pinger::start(&["-c", "2", "-i", "1ms", "-W", "2s", &addr]);
    pinger.expect("no echo for seq=1 within 2 s: 0 of 56 bytes came back");
    open.send(()).unwrap();
    pinger.expect(&format!("reconnected to {addr} from "));
    pinger.expect(&format!("56 bytes from {addr}: seq=2 time="));
    pinger.expect("2 sent, 1 received, 1 lost (50 %), 0 wrong, 1 reconnect, ");
    pinger.end().assert_failed("1 of 2 echoes did not come back");
}

#[test]
fn a_server_that_closes_after_each_echo_costs_connections_and_no_echo() {
    let addr = serve(peers::closing_after_one_echo);
    let ended = ping(&["-c", "3", "-i", "300ms", &addr]);
    let text = text(&ended);
    assert_eq!(text.matches("the server closed the connection; reconnecting for seq=").count(), 2);
    assert!(text.contains("\n3 sent, 3 received, 0 lost (0 %), 0 wrong, 2 reconnects, "), "{text}");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

#[test]
fn a_server_that_is_down_for_a_while_costs_only_the_messages_of_that_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let mut pinger = Pinger::start(&["-i", "100ms", &addr]);
    let (stream, _) = listener.accept().unwrap();
    drop(listener);
    echo(&stream, 56).unwrap();
    pinger.expect("seq=1 time=");
    drop(stream);
    pinger.expect("reconnecting for seq=");
    let line = pinger.expect(&format!("cannot connect to {addr}: connection refused; "));
    assert!(line.starts_with("seq="), "{line}");
    let listener = TcpListener::bind(&addr).unwrap();
    let (stream, _) = listener.accept().unwrap();
    pinger.expect(&format!("reconnected to {addr} from "));
    echo(&stream, 56).unwrap();
    pinger.expect(" time=");
    let ended = pinger.interrupt();
    assert!(text(&ended).contains(" 0 wrong, 1 reconnect"), "{}", text(&ended));
    assert_eq!(ended.code, Some(1));
}

/// Echoes this many bytes.
fn echo(stream: &TcpStream, bytes: u64) -> io::Result<()> {
    io::copy(&mut stream.take(bytes), &mut &*stream).map(drop)
}

/// A server that echoes the first message and three bytes of the second one, and then does what `end` does.
fn faulty_in_the_second(end: fn(TcpStream) -> io::Result<()>) -> String {
    serve(move |stream| {
        echo(&stream, 56 + 3)?;
        (&stream).read_exact(&mut [0; 53])?;
        end(stream)
    })
}

/// Missing bytes are counted within the message; the offset of a wrong byte counts from the start of the stream.
#[test]
fn the_figures_of_a_later_message_are_its_own() {
    for (end, finding) in [
        (
            keep as fn(TcpStream) -> io::Result<()>,
            "no echo for seq=2 within 500 ms: 3 of 56 bytes came back\n",
        ),
        (drop_it, "seq=2: the server closed the connection after 3 of 56 bytes\n"),
        (
            |stream| (&stream).write_all(&[0; 53]),
            "seq=2 (offsets 56 to 111): wrong byte at offset 59: expected 0x",
        ),
    ] {
        let addr = faulty_in_the_second(end);
        let ended = ping(&["-c", "2", "-i", "1ms", "-W", "500ms", &addr]);
        assert!(text(&ended).contains(finding), "{}", text(&ended));
        assert!(text(&ended).contains("\n2 sent, 1 received, "), "{}", text(&ended));
        assert_eq!(ended.code, Some(1));
    }
}

fn drop_it(stream: TcpStream) -> io::Result<()> {
    drop(stream);
    Ok(())
}

/// Reads everything, and neither echoes nor closes before the client does.
fn keep(mut stream: TcpStream) -> io::Result<()> {
    io::copy(&mut stream, &mut io::sink())?;
    stream.shutdown(Shutdown::Read)
}
