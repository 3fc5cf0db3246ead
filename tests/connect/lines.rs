//! With `--reconnect`, and lines of a pipe for messages.

use std::sync::mpsc;

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
