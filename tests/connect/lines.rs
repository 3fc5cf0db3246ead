//! `--reconnect` with a pipe: each line is a message.

use std::fs;
use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::peers::{self, serve};
use super::piped::{Client, command, run, spawn};

#[test]
fn each_line_has_its_own_connection() {
    let (counted, connections) = mpsc::channel();
    let addr = serve(move |stream| {
        counted.send(()).unwrap();
        peers::closing_after_one_echo(stream)
    });
    let text = "one\nbye\n\nGrüße, no line break at the end".as_bytes();
    run(&["--reconnect", &addr], text).assert_fine(text);
    assert_eq!(connections.try_iter().count(), 4);
}

#[test]
fn a_wrong_line_is_reported_and_the_next_one_is_sent() {
    let ended = run(&["--reconnect", &serve(peers::altering)], &b"one\nbox\ntwo\n"[..]);
    ended.assert_failed("1 of 3 messages came back wrong or not at all");
    assert_eq!(ended.stdout, b"one\nboX\ntwo\n");
    assert!(
        ended.stderr.contains("the echo is wrong, first at offset 2: sent 0x78 (x)"),
        "{ended:?}"
    );
}

#[test]
fn an_echo_that_never_comes_ends_the_client_after_the_timeout() {
    let ended = run(&["--reconnect", "-W", "300ms", &serve(peers::silent)], &b"hello\n"[..]);
    ended.assert_failed("no echo within 300 ms: 0 of 6 bytes came back; giving up");
}

/// The late bytes come after the last line, or after an earlier one while the next lines go on.
#[test]
fn bytes_after_an_echo_are_too_many_even_if_they_come_late() {
    for which in [1, 3] {
        let mut number = 0;
        let addr = serve(move |stream| {
            number += 1;
            let is_hostile = number == which;
            thread::spawn(move || {
                peers::faithful(stream.try_clone()?)?;
                // The bytes come late, which is what this test needs.
                thread::sleep(Duration::from_millis(100));
                if is_hostile { (&stream).write_all(b"more") } else { Ok(()) }
            });
            Ok(())
        });
        let ended = run(&["--reconnect", &addr], &b"one\ntwo\nthree\n"[..]);
        ended.assert_failed("the server sent 4 bytes too many");
        assert_eq!(ended.stdout, b"one\ntwo\nthree\n");
    }
}

/// The client waits for the server to close, but only for a second in all, and it keeps few of the connections.
#[test]
fn the_client_ends_soon_if_the_server_keeps_many_connections() {
    let addr = serve(|stream| {
        thread::spawn(move || {
            peers::faithful(stream.try_clone().unwrap()).unwrap();
            loop {
                thread::park();
            }
        });
        Ok(())
    });
    let text = b"x\n".repeat(100);
    let mut command = command(&["--reconnect", &addr]);
    let mut child = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    child.stdin.as_mut().unwrap().write_all(&text).unwrap();
    let mut echo = vec![0; text.len()];
    child.stdout.as_mut().unwrap().read_exact(&mut echo).unwrap();
    assert_eq!(echo, text);
    let descriptors = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap().count();
    assert!((64..90).contains(&descriptors), "{descriptors}");
    let since = Instant::now();
    Client::collect(child).end().assert_fine(b"");
    let took = since.elapsed();
    assert!(took >= Duration::from_secs(1), "{took:?}");
}
