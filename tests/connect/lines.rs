//! With `--reconnect`, and lines of a pipe for messages.

use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::peers::{self, serve};
use super::piped::run;

#[test]
fn each_line_has_a_connection_of_its_own() {
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
fn a_wrong_line_is_told_and_the_next_one_sent() {
    let ended = run(&["--reconnect", &serve(peers::altering)], &b"one\nbox\ntwo\n"[..]);
    ended.assert_failed("1 of 3 messages came back wrong or not at all");
    assert_eq!(ended.stdout, b"one\nboX\ntwo\n");
    assert!(
        ended.stderr.contains("the echo is wrong, first at offset 2: sent 0x78 (x)"),
        "{ended:?}"
    );
}

#[test]
fn an_echo_that_never_comes_is_given_up() {
    let ended = run(&["--reconnect", "-W", "300ms", &serve(peers::silent)], &b"hello\n"[..]);
    ended.assert_failed("no echo within 300 ms: 0 of 6 bytes came back; giving up");
}

/// After the last line, and after another while the next ones go on.
#[test]
fn what_comes_late_is_too_much() {
    for which in [1, 3] {
        let mut number = 0;
        let addr = serve(move |stream| {
            number += 1;
            let is_hostile = number == which;
            thread::spawn(move || {
                peers::faithful(stream.try_clone()?)?;
                // That it comes late is what this is about.
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

/// Their ends are waited for, but for a second in all, and with few descriptors.
#[test]
fn a_server_that_keeps_many_connections_is_left_in_a_while() {
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
    let since = Instant::now();
    run(&["--reconnect", &addr], std::io::Cursor::new(text.clone())).assert_fine(&text);
    let took = since.elapsed();
    assert!((1..20).contains(&took.as_secs()), "{took:?}");
}
