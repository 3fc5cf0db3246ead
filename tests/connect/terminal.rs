//! On a terminal.

use std::process::Command;

use super::peers::{self, serve};
use super::pty::{self, Terminal};

/// What a person reads after a message, up to the next prompt.
#[track_caller]
fn say(terminal: &mut Terminal, message: &str) -> String {
    terminal.enter(message);
    // The prompt with the message, as typed; then the answer; then a prompt again.
    terminal.expect("\n");
    terminal.expect("> ")
}

#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => panic!("{part:?} is not in its place in\n{text}"),
        }
    }
}

#[test]
fn every_step_is_told() {
    let addr = serve(peers::faithful);
    let mut terminal = Terminal::start(&[&addr]);
    assert_has(
        &say(&mut terminal, "hello"),
        &["sent 6 bytes", "received 6 bytes in ", ": hello\r\n"],
    );
    assert_has(&say(&mut terminal, ""), &["sent 1 byte\r\n", "received 1 byte in "]);
    terminal.enter("bye");
    let (code, all) = terminal.end();
    let steps = [
        &format!("connecting to {addr}\r\n"),
        &format!("connected to {addr} from 127.0.0.1:"),
        "closed the connection\r\n",
        "2 messages on 1 connection: 7 bytes sent, 7 bytes received\r\n",
    ];
    assert_has(&all, &steps);
    assert_eq!(code, Some(0));
}

#[test]
fn bye_ends_it_in_any_case_and_is_not_sent() {
    for bye in ["bye", "BYE", "  Bye\t "] {
        let mut terminal = Terminal::start(&[&serve(peers::faithful)]);
        terminal.enter(bye);
        let (code, all) = terminal.end();
        assert_has(&all, &["0 messages on 1 connection: 0 bytes sent"]);
        assert_eq!(code, Some(0), "{bye:?}");
    }
}

#[test]
fn ctrl_d_and_ctrl_c_at_the_prompt_end_it_too() {
    for key in ["\x04", "\x03"] {
        let mut terminal = Terminal::start(&[&serve(peers::faithful)]);
        say(&mut terminal, "hello");
        terminal.press(key);
        let (code, all) = terminal.end();
        assert_has(&all, &["closed the connection", "1 message on 1 connection"]);
        assert_eq!(code, Some(0), "{key:?}");
    }
}

#[test]
fn characters_of_several_bytes_come_back_whole_even_in_pieces() {
    let mut terminal = Terminal::start(&[&serve(peers::cutting)]);
    let answer = say(&mut terminal, "Grüße, 世界 🦀");
    assert_has(&answer, &["sent 21 bytes", "received 21 bytes in ", ": Grüße, 世界 🦀\r\n"]);
}

#[test]
fn the_line_can_be_edited_and_an_earlier_one_called_back() {
    let mut terminal = Terminal::start(&[&serve(peers::faithful)]);
    assert_has(&say(&mut terminal, "hxllo\x1b[D\x1b[D\x1b[D\x7fe"), &[": hello\r\n"]);
    assert_has(&say(&mut terminal, "\x1b[A!"), &[": hello!\r\n"]);
}

#[test]
fn a_paste_of_several_lines_is_one_message() {
    let mut terminal = Terminal::start(&[&serve(peers::faithful)]);
    let answer = say(&mut terminal, "\x1b[200~one\ntwo\x1b[201~");
    assert_has(&answer, &["received 8 bytes in ", r": one\ntwo"]);
}

#[test]
fn what_is_not_utf_8_is_not_sent_and_ends_nothing() {
    let mut terminal = Terminal::start(&[&serve(peers::faithful)]);
    terminal.press(b"caf\xe9\r");
    terminal.expect("that was not UTF-8, and nothing was sent");
    terminal.expect("> ");
    assert_has(&say(&mut terminal, "café"), &[": café\r\n"]);
}

#[test]
fn a_server_that_closes_after_each_echo_is_reconnected_to() {
    let addr = serve(peers::closing_after_one_echo);
    let mut terminal = Terminal::start(&[&addr]);
    assert_has(&say(&mut terminal, "one"), &["received 4 bytes in ", ": one\r\n"]);
    for message in ["two", "three"] {
        let answer = say(&mut terminal, message);
        let again = format!("reconnecting to {addr}\r\n");
        assert_has(&answer, &["the server ", &again, "connected to ", &format!(": {message}\r\n")]);
    }
    terminal.enter("bye");
    let (code, all) = terminal.end();
    assert_has(&all, &["3 messages on 3 connections"]);
    assert_eq!(code, Some(0));
}

#[test]
fn reconnect_opens_a_connection_for_each_message() {
    let mut terminal = Terminal::start(&["--reconnect", &serve(peers::faithful)]);
    assert_has(&say(&mut terminal, "one"), &[": one\r\n", "closed the connection"]);
    let answer = say(&mut terminal, "two");
    assert_has(
        &answer,
        &["reconnecting to ", "connected to ", ": two\r\n", "closed the connection"],
    );
    terminal.enter("bye");
    let (code, all) = terminal.end();
    assert_has(&all, &["2 messages on 2 connections"]);
    assert_eq!(code, Some(0));
}

#[test]
fn a_wrong_byte_is_shown_and_remembered_to_the_end() {
    let mut terminal = Terminal::start(&[&serve(peers::altering)]);
    say(&mut terminal, "right");
    let wrong = "the echo is wrong, first at offset 2: sent 0x78 (x), received 0x58 (X)";
    assert_has(&say(&mut terminal, "boxx"), &["received 5 bytes in ", ": boXX\r\n", wrong]);
    say(&mut terminal, "right");
    terminal.enter("bye");
    let (code, all) = terminal.end();
    assert_has(
        &all,
        &["3 messages on 1 connection", "resound: 1 of 3 messages came back wrong or not at all"],
    );
    assert_eq!(code, Some(1));
}

#[test]
fn bytes_beyond_the_echo_are_shown_and_remembered_to_the_end() {
    let mut terminal = Terminal::start(&[&serve(peers::adding)]);
    terminal.enter("hello");
    terminal.expect(": hello");
    terminal.expect("> ");
    terminal.enter("bye");
    let (code, all) = terminal.end();
    let steps =
        ["the server sent 3 bytes too many: ...", "resound: the server sent 3 bytes too many"];
    assert_has(&all, &steps);
    assert_eq!(code, Some(1));
}

#[test]
fn an_echo_that_never_comes_is_given_up() {
    let mut terminal = Terminal::start(&["-W", "300ms", &serve(peers::silent)]);
    terminal.enter("hello");
    let (code, all) = terminal.end();
    // Failed when that was all.
    let done = "1 message on 1 connection: 6 bytes sent, 0 bytes received\r\n";
    let word = "resound: no echo within 300 ms: 0 of 6 bytes came back; giving up";
    assert_has(&all, &["sent 6 bytes", done, word]);
    assert_eq!(code, Some(1));
}

#[test]
fn an_echo_that_breaks_off_is_told_and_the_next_message_gets_a_new_connection() {
    let mut terminal = Terminal::start(&[&serve(peers::closing_after_three_bytes)]);
    let cut = "the server closed the connection after 3 of 6 bytes: hel\r\n";
    assert_has(&say(&mut terminal, "hello"), &["sent 6 bytes", cut]);
    assert_has(&say(&mut terminal, "hello"), &["reconnecting to ", cut]);
    terminal.enter("bye");
    let (code, all) = terminal.end();
    assert_has(&all, &["resound: 2 of 2 messages came back wrong or not at all"]);
    assert_eq!(code, Some(1));
}

#[test]
fn a_message_lost_with_its_connection_is_sent_again() {
    let mut terminal = Terminal::start(&[&serve(peers::losing_the_first())]);
    let steps = [
        "the server closed the connection after 0 of 6 bytes",
        "sending it again, on a new connection",
        "reconnecting to ",
        ": hello\r\n",
    ];
    assert_has(&say(&mut terminal, "hello"), &steps);
    terminal.enter("bye");
    let (code, all) = terminal.end();
    // Failed when the summary did not count it.
    let again =
        "1 message on 2 connections: 12 bytes sent, 6 bytes received, 1 message sent again\r\n";
    assert_has(&all, &[again]);
    assert_eq!(code, Some(0));
}

#[test]
fn a_message_that_met_a_closed_connection_is_sent_once_more_and_no_more() {
    let mut terminal = Terminal::start(&[&serve(peers::closing_at_once)]);
    let answer = say(&mut terminal, "hello");
    assert_has(
        &answer,
        &["reconnecting to ", "the server closed the connection after 0 of 6 bytes"],
    );
    terminal.enter("bye");
    let (code, all) = terminal.end();
    assert_has(&all, &["resound: 1 of 1 message came back wrong or not at all"]);
    assert_eq!(code, Some(1));
}

#[test]
fn a_hostile_server_cannot_command_the_terminal() {
    let mut terminal = Terminal::start(&[&serve(peers::saying(b"\x1b]0;pwned\x07\n"))]);
    let answer = say(&mut terminal, "0123456789");
    assert_has(&answer, &["received 11 bytes in ", r": \u{1b}]0;pwned\u{7}"]);
    terminal.press("\x04");
    let (_, all) = terminal.end();
    assert!(!all.contains("\x1b]0;") && !all.contains('\x07'), "{all:?}");
}

#[test]
fn a_server_that_is_not_there_is_named_with_the_cause() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (code, all) = Terminal::start_without_prompt(&[&addr]).end();
    let refused = format!("resound: cannot connect to {addr}: connection refused");
    assert_has(&all, &[&format!("connecting to {addr}\r\n"), &refused]);
    assert_eq!(code, Some(1));
}

#[test]
fn a_terminal_to_read_from_alone_is_refused() {
    let (_keyboard, slave) = pty::open();
    let mut command = Command::new(env!("CARGO_BIN_EXE_resound"));
    command.args(["connect", "127.0.0.1:1"]).stdin(slave);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("standard input is a terminal, but standard output is not"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
