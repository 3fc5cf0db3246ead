//! The conversation on a terminal.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::peers::{self, serve};
use super::pty::Terminal;

/// Types a message. Returns what the user reads after it, up to the next prompt.
#[track_caller]
fn say(terminal: &mut Terminal, message: &str) -> String {
    terminal.enter(message);
    // First comes the prompt with the message, as typed. Then comes the answer, and then a prompt again.
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
fn every_step_is_reported() {
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
fn bye_ends_the_conversation_in_any_case_and_is_not_sent() {
    for bye in ["bye", "BYE", "  Bye\t "] {
        let mut terminal = Terminal::start(&[&serve(peers::faithful)]);
        terminal.enter(bye);
        let (code, all) = terminal.end();
        assert_has(&all, &["0 messages on 1 connection: 0 bytes sent"]);
        assert_eq!(code, Some(0), "{bye:?}");
    }
}

#[test]
fn ctrl_d_and_ctrl_c_at_the_prompt_end_the_conversation() {
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
fn the_user_can_edit_the_line_and_call_back_an_earlier_one() {
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
fn a_line_that_is_not_utf_8_is_not_sent_and_the_conversation_goes_on() {
    let mut terminal = Terminal::start(&[&serve(peers::faithful)]);
    terminal.press(b"caf\xe9\r");
    terminal.expect("that was not UTF-8, so it was not sent");
    terminal.expect("> ");
    assert_has(&say(&mut terminal, "café"), &[": café\r\n"]);
}

#[test]
fn the_client_reconnects_to_a_server_that_closes_after_each_echo() {
    let addr = serve(peers::closing_after_one_echo);
    let mut terminal = Terminal::start(&[&addr]);
    for message in ["one", "two", "three"] {
        terminal.enter(message);
        terminal.expect(&format!(": {message}\r\n"));
        // The user presses no other key.
        terminal.expect("the server closed the connection\r\n");
        terminal.expect("> ");
    }
    terminal.enter("bye");
    let (code, all) = terminal.end();
    assert_has(&all, &[&format!("reconnecting to {addr}\r\n"), "3 messages on 3 connections"]);
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
fn a_wrong_byte_is_reported_at_once_and_at_the_end() {
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
fn bytes_after_the_echo_are_reported_at_once_and_at_the_end() {
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
fn after_an_echo_that_never_comes_the_conversation_goes_on() {
    let mut terminal = Terminal::start(&["-W", "300ms", &serve(silent_but_closing)]);
    let late = "no echo within 300 ms: 0 of 6 bytes came back";
    assert_has(&say(&mut terminal, "hello"), &["sent 6 bytes", late]);
    assert_has(&say(&mut terminal, "again"), &["reconnecting to ", "sent 6 bytes", late]);
    terminal.enter("bye");
    let (code, all) = terminal.end();
    let done = "2 messages on 2 connections: 12 bytes sent, 0 bytes received\r\n";
    assert_has(&all, &[done, "resound: 2 of 2 messages came back wrong or not at all"]);
    assert_eq!(code, Some(1));
}

/// Reads everything and sends nothing. It closes when the client does, so that the next connection gets its turn.
fn silent_but_closing(mut stream: TcpStream) -> io::Result<()> {
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

#[test]
fn after_an_echo_that_is_cut_short_the_next_message_gets_a_new_connection() {
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
fn a_message_whose_second_connection_ends_too_is_not_sent_again() {
    let mut terminal = Terminal::start(&[&serve(peers::closing_at_once)]);
    terminal.expect("the server closed the connection\r\n");
    terminal.expect("> ");
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
fn what_a_hostile_server_sends_does_not_act_on_the_terminal() {
    let mut terminal = Terminal::start(&[&serve(peers::saying(b"\x1b]0;pwned\x07\n"))]);
    let answer = say(&mut terminal, "0123456789");
    assert_has(&answer, &["received 11 bytes in ", r": \u{1b}]0;pwned\u{7}"]);
    terminal.press("\x04");
    let (_, all) = terminal.end();
    assert!(!all.contains("\x1b]0;") && !all.contains('\x07'), "{all:?}");
}

#[test]
fn a_server_that_is_not_there_is_reported_with_the_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (code, all) = Terminal::start_without_prompt(&[&addr]).end();
    let refused = format!("resound: cannot connect to {addr}: connection refused");
    assert_has(&all, &[&format!("connecting to {addr}\r\n"), &refused]);
    assert_eq!(code, Some(1));
}

/// A server that does one thing on its first connection, on request of the test. It echoes on all others.
fn prompted(
    thing: impl Fn(&mut TcpStream) -> io::Result<()> + Send + 'static,
) -> (String, Sender<()>) {
    let (sender, receiver) = mpsc::channel();
    let mut is_first = true;
    let addr = serve(move |mut stream| {
        if std::mem::take(&mut is_first) {
            receiver.recv().unwrap();
            thing(&mut stream)?;
            silent_but_closing(stream)
        } else {
            peers::faithful(stream)
        }
    });
    (addr, sender)
}

#[test]
fn a_server_that_closes_is_reported_above_the_half_typed_line() {
    let (addr, now) = prompted(|stream| stream.shutdown(Shutdown::Both));
    let mut terminal = Terminal::start(&[&addr]);
    terminal.press("hal");
    terminal.expect("> hal");
    now.send(()).unwrap();
    terminal.expect("the server closed the connection\r\n");
    terminal.expect("> hal");
    assert_has(&say(&mut terminal, "f"), &["reconnecting to ", ": half\r\n"]);
    terminal.enter("bye");
    assert_eq!(terminal.end().0, Some(0));
}

#[test]
fn what_a_server_says_unasked_is_reported_above_the_half_typed_line() {
    let (addr, now) = prompted(|stream| stream.write_all(b"boo\x1b[2J"));
    let mut terminal = Terminal::start(&[&addr]);
    terminal.press("hal");
    terminal.expect("> hal");
    now.send(()).unwrap();
    terminal.expect("the server sent 7 bytes too many: boo\\u{1b}[2J\r\n");
    terminal.expect("> hal");
    assert_has(&say(&mut terminal, "f"), &["reconnecting to ", ": half\r\n"]);
    terminal.enter("bye");
    let (code, all) = terminal.end();
    assert_has(&all, &["resound: the server sent 7 bytes too many"]);
    assert_eq!(code, Some(1));
}

#[test]
fn a_server_that_goes_and_comes_back_is_reported_without_a_key() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut terminal = Terminal::start(&[&addr.to_string()]);
    terminal.press("hal");
    terminal.expect("> hal");
    drop((listener.accept().unwrap(), listener));
    terminal.expect("the server closed the connection\r\n");
    let down = format!("the server is down: cannot connect to {addr}: connection refused");
    terminal.expect(&down);
    terminal.expect("> hal");
    // A message in the meantime is not sent, and the conversation goes on.
    let refused = format!("reconnecting to {addr}\r\ncannot connect to {addr}: connection refused");
    let not_sent = "; the message was not sent\r\n";
    assert_has(&say(&mut terminal, "f"), &[&refused, not_sent]);
    // The client looks for the server several times in this time.
    thread::sleep(Duration::from_millis(1200));
    let listener = TcpListener::bind(addr).unwrap();
    terminal.expect(&format!("the server is back: connected to {addr} from 127.0.0.1:"));
    thread::spawn(move || peers::faithful(listener.accept().unwrap().0));
    terminal.expect("> ");
    assert_has(&say(&mut terminal, "back"), &["sent 5 bytes\r\n", ": back\r\n"]);
    terminal.enter("bye");
    let (code, all) = terminal.end();
    // Once, however often the client looked.
    assert_eq!(all.matches("the server is down").count(), 1, "{all}");
    let done = "2 messages on 2 connections: 5 bytes sent, 5 bytes received\r\n";
    assert_has(&all, &[done, "resound: 1 of 2 messages came back wrong or not at all"]);
    assert_eq!(code, Some(1));
}

#[test]
fn the_client_waits_for_a_server_that_is_not_up_yet() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let mut terminal = Terminal::start_without_prompt(&["--wait", "1m", &addr.to_string()]);
    terminal.expect("trying again for up to");
    let listener = TcpListener::bind(addr).unwrap();
    thread::spawn(move || peers::faithful(listener.accept().unwrap().0));
    terminal.expect(&format!("connected to {addr} from "));
    terminal.expect("> ");
    assert_has(&say(&mut terminal, "hello"), &[": hello\r\n"]);
    terminal.enter("bye");
    assert_eq!(terminal.end().0, Some(0));
}

#[test]
fn with_reconnect_bytes_after_the_echo_are_reported() {
    let addr = serve(|mut stream| {
        io::copy(&mut &stream, &mut &stream)?;
        stream.write_all(b"late")
    });
    let mut terminal = Terminal::start(&["--reconnect", &addr]);
    assert_has(
        &say(&mut terminal, "one"),
        &[": one\r\n", "the server sent 4 bytes too many: late\r\n"],
    );
    terminal.enter("bye");
    let (code, all) = terminal.end();
    assert_has(&all, &["resound: the server sent 4 bytes too many"]);
    assert_eq!(code, Some(1));
}

const STOP: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// [`Terminal::end`] checks the terminal's settings, as in every test.
#[test]
fn a_signal_at_the_prompt_ends_the_conversation_and_restores_the_terminal() {
    for signal in STOP {
        let mut terminal = Terminal::start(&[&serve(peers::faithful)]);
        assert_has(&say(&mut terminal, "hello"), &[": hello\r\n"]);
        terminal.press("half");
        terminal.expect("half");
        terminal.signal(signal);
        let (code, all) = terminal.end();
        assert_has(&all, &["closed the connection\r\n", "1 message on 1 connection"]);
        assert_eq!(code, Some(0), "{signal:?}");
    }
}

#[test]
fn a_signal_while_an_echo_is_due_ends_the_conversation_with_the_totals() {
    for signal in STOP {
        let mut terminal = Terminal::start(&[&serve(peers::silent)]);
        terminal.enter("hello");
        terminal.expect("sent 6 bytes\r\n");
        terminal.signal(signal);
        let (code, all) = terminal.end();
        let done = "1 message on 1 connection: 6 bytes sent, 0 bytes received\r\n";
        assert_has(&all, &[done, "resound: interrupted before anything came back"]);
        assert_eq!(code, Some(130), "{signal:?}");
    }
}

#[test]
fn ctrl_c_while_an_echo_is_due_is_a_failure_even_if_others_came() {
    let mut terminal = Terminal::start(&[&serve(|mut stream| {
        let mut one = [0; 4];
        stream.read_exact(&mut one)?;
        stream.write_all(&one)?;
        peers::silent(stream)
    })]);
    assert_has(&say(&mut terminal, "one"), &[": one\r\n"]);
    terminal.enter("two");
    terminal.expect("sent 4 bytes\r\n");
    terminal.press("\x03");
    let (code, all) = terminal.end();
    let done = "2 messages on 1 connection: 8 bytes sent, 4 bytes received\r\n";
    assert_has(&all, &[done, "resound: 1 of 2 messages came back wrong or not at all"]);
    assert_eq!(code, Some(1));
}

#[test]
fn ctrl_c_ends_a_client_that_connects() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut terminal = Terminal::start_without_prompt(&["--wait", "1h", &addr]);
    terminal.expect("trying again for up to");
    terminal.press("\x03");
    let (code, all) = terminal.end();
    assert_has(&all, &["resound: interrupted before anything came back"]);
    assert_eq!(code, Some(130));
}

/// The server never closes. After only one request, the client would wait a second for that.
#[test]
fn a_second_request_to_end_ends_the_conversation_at_once() {
    let mut terminal = Terminal::start(&[&serve(peers::silent)]);
    terminal.press("\x03\x03");
    let (code, all) = terminal.end();
    assert!(!all.contains("closed the connection"), "{all}");
    assert_has(&all, &["0 messages on 1 connection"]);
    assert_eq!(code, Some(0));
}

#[test]
fn ctrl_backslash_and_sigquit_show_how_things_stand() {
    let mut terminal = Terminal::start(&[&serve(peers::silent)]);
    terminal.press("half");
    terminal.expect("half");
    for by_key in [true, false] {
        if by_key {
            terminal.press("\x1c")
        } else {
            terminal.signal(Signal::QUIT)
        }
        terminal
            .expect("connected; 0 messages on 1 connection: 0 bytes sent, 0 bytes received\r\n");
        terminal.expect("> half");
    }
    terminal.enter("");
    terminal.expect("sent 5 bytes\r\n");
    for by_key in [true, false] {
        if by_key {
            terminal.press("\x1c")
        } else {
            terminal.signal(Signal::QUIT)
        }
        // Failed when the totals had the bytes of an echo only once that was complete.
        terminal.expect(
            "connected; 1 message on 1 connection: 5 bytes sent, 0 bytes received; \
             waiting for an echo: 0 of 5 bytes came back\r\n",
        );
    }
    terminal.press("\x03");
    assert_eq!(terminal.end().0, Some(130));
}

#[test]
fn ctrl_z_restores_the_terminal_and_later_the_same_line_goes_on() {
    let mut terminal = Terminal::start(&[&serve(peers::faithful)]);
    terminal.press("half\x1a");
    terminal.expect_stopped(true);
    terminal.expect("\x1b[?2004l");
    terminal.assert_given_back();
    terminal.signal(Signal::CONT);
    terminal.expect("> half");
    assert_has(&say(&mut terminal, "!"), &[": half!\r\n"]);
    terminal.enter("bye");
    assert_eq!(terminal.end().0, Some(0));
}

/// Failed when the client took the terminal back twice: the second time, the first row of the line stayed above it.
#[test]
fn after_ctrl_z_a_line_of_two_rows_is_shown_once() {
    let mut terminal = Terminal::start(&[&serve(peers::faithful)]);
    terminal.resize(20, 24);
    terminal.signal(Signal::WINCH);
    terminal.press("0123456789abcdefghijklmnop\x1a");
    terminal.expect_stopped(true);
    terminal.expect("\x1b[?2004l");
    terminal.signal(Signal::CONT);
    terminal.expect("> 0123456789abcdef");
    // The client handles its signals before the status, so a second SIGCONT would show before that.
    terminal.signal(Signal::QUIT);
    let resumed = terminal.expect("connected; 0 messages");
    assert!(!resumed.contains("\x1b[?2004h"), "{resumed:?}");
    assert!(!resumed.contains("\r\x1b[J> 0123"), "{resumed:?}");
    terminal.enter("");
    terminal.expect(": 0123456789abcdefghijklmnop\r\n");
    terminal.expect("> ");
    terminal.enter("bye");
    assert_eq!(terminal.end().0, Some(0));
}

#[test]
fn a_signal_that_came_while_the_client_was_stopped_ends_it() {
    let mut terminal = Terminal::start(&[&serve(peers::faithful)]);
    terminal.press("half\x1a");
    terminal.expect_stopped(true);
    terminal.signal(Signal::TERM);
    terminal.signal(Signal::CONT);
    let (code, all) = terminal.end();
    assert_has(&all, &["closed the connection", "0 messages on 1 connection"]);
    assert_eq!(code, Some(0));
}

#[test]
fn an_echo_is_not_late_because_the_client_was_stopped() {
    let (send, receive) = mpsc::channel();
    let addr = serve(move |stream| {
        peers::echo_all(&stream, |message| {
            receive.recv().unwrap();
            message
        })
    });
    // The server answers the first message before the client continues, and the second one after that.
    let mut terminal = Terminal::start(&["-W", "1s", &addr]);
    for message in ["before", "after"] {
        terminal.enter(message);
        terminal.expect("sent ");
        terminal.signal(Signal::STOP);
        terminal.expect_stopped(true);
        if message == "before" {
            send.send(()).unwrap();
        }
        // This is longer than the timeout.
        thread::sleep(Duration::from_millis(1300));
        terminal.signal(Signal::CONT);
        terminal.expect_stopped(false);
        if message == "after" {
            send.send(()).unwrap();
        }
        terminal.expect(&format!(": {message}\r\n"));
        terminal.expect("> ");
    }
    terminal.enter("bye");
    assert_eq!(terminal.end().0, Some(0));
}

#[test]
fn lines_typed_while_an_echo_is_due_are_sent_later() {
    let (send, receive) = mpsc::channel();
    let addr = serve(move |stream| {
        peers::echo_all(&stream, |message| {
            receive.recv().unwrap();
            message
        })
    });
    let mut terminal = Terminal::start(&[&addr]);
    terminal.enter("one");
    terminal.expect("sent 4 bytes\r\n");
    terminal.press("two\rbye\r");
    send.send(()).unwrap();
    terminal.expect(": one\r\n");
    send.send(()).unwrap();
    let (code, all) = terminal.end();
    assert_has(
        &all,
        &[": two\r\n", "2 messages on 1 connection: 8 bytes sent, 8 bytes received\r\n"],
    );
    assert_eq!(code, Some(0));
}

#[test]
fn a_tab_is_sent_as_a_tab() {
    let mut terminal = Terminal::start(&["-x", &serve(peers::faithful)]);
    let answer = say(&mut terminal, "a\tb");
    assert_has(&answer, &["sent 4 bytes\r\n", "61 09 62 0a", "received 4 bytes", "61 09 62 0a"]);
}

/// Failed when the client dropped what looked like a key within a paste, or let it act on the terminal.
#[test]
fn a_paste_is_sent_as_it_was_copied_and_shown_with_its_escape_characters() {
    let mut terminal = Terminal::start(&["-x", &serve(peers::faithful)]);
    terminal.press("\x1b[200~a\x1b[31mb\tc\x03\rd\x1b[201~");
    terminal.expect("> a^[[31mb");
    terminal.expect("^C\r\nd");
    let answer = say(&mut terminal, "");
    let bytes = "61 1b 5b 33 31 6d 62 09  63 03 0a 64 0a".replace("  ", " ");
    assert_has(&answer, &["sent 13 bytes\r\n", &bytes, "received 13 bytes in ", &bytes]);
    terminal.enter("bye");
    let (_, all) = terminal.end();
    assert!(!all.contains("\x1b[31m"), "{all:?}");
}

#[test]
fn editing_beside_wide_and_joined_characters_redraws_the_line() {
    let mut terminal = Terminal::start(&[&serve(peers::faithful)]);
    let family = "👩\u{200d}👩\u{200d}👧";
    terminal.press(format!("世{family}e\u{301}x"));
    // The cursor moves left over x, é and the family. Then another wide character replaces the first.
    terminal.press("\x1b[D\x1b[D\x1b[D\x7f界");
    // The client writes the whole line, and then once more up to the cursor.
    terminal.expect(&format!("> 界{family}e\u{301}x\r> 界"));
    assert_has(&say(&mut terminal, ""), &[&format!(": 界{family}e\u{301}x\r\n")]);
    terminal.enter("bye");
    assert_eq!(terminal.end().0, Some(0));
}

#[test]
fn bytes_are_shown_in_rows_that_fit_a_narrow_terminal() {
    let mut terminal = Terminal::start(&["-x", &serve(peers::faithful)]);
    terminal.resize(50, 24);
    let rows = "  00000000  30 31 32 33 34 35 36 37  |01234567|\r\n  00000008  38 0a                    |8.|\r\n";
    assert_has(
        &say(&mut terminal, "012345678"),
        &["sent 10 bytes\r\n", rows, "received 10 bytes", rows],
    );
}

#[test]
fn a_conversation_in_a_pipe_has_no_prompt() {
    let (reader, writer) = io::pipe().unwrap();
    let addr = serve(peers::faithful);
    let mut terminal = Terminal::start_with(&[&addr], |command| {
        command.stdout(Stdio::from(writer));
    });
    // The prompt is on standard error.
    terminal.expect("> ");
    terminal.press("hello\n");
    terminal.expect("> ");
    terminal.press("\x04");
    let (code, _) = terminal.end();
    let said = io::read_to_string(reader).unwrap();
    let steps = ["connected to ", "sent 6 bytes\n", ": hello\n", "1 message on 1 connection"];
    assert_has(&said, &steps);
    assert!(!said.contains("> ") && !said.contains('\x1b'), "{said:?}");
    assert_eq!(code, Some(0));
}

/// Failed when the client took the end of the input before the last line.
#[test]
fn a_last_line_without_a_line_break_is_sent_too() {
    let addr = serve(peers::faithful);
    let mut terminal = Terminal::start_with(&[&addr], |command| {
        command.env("TERM", "dumb");
    });
    terminal.expect("> ");
    terminal.press("abc\x04\x04");
    terminal.expect("received 4 bytes");
    terminal.press("\x04");
    let (code, all) = terminal.end();
    assert_has(&all, &["1 message on 1 connection: 4 bytes sent, 4 bytes received"]);
    assert_eq!(code, Some(0));
}

#[test]
fn a_transcript_has_each_message_and_echo_and_keeps_what_was_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a log");
    fs::write(&path, "what was there\n").unwrap();
    let addr = serve(peers::faithful);
    for message in ["one", "two"] {
        let mut terminal = Terminal::start(&["--log", path.to_str().unwrap(), &addr]);
        say(&mut terminal, message);
        // The line is there at once, and not only at the end.
        assert!(fs::read_to_string(&path).unwrap().contains(&format!("sent 4 bytes: {message}\n")));
        terminal.enter("bye");
        assert_eq!(terminal.end().0, Some(0));
    }
    let log = fs::read_to_string(&path).unwrap();
    let begin = format!("Z resound connect {addr}\n");
    let one = ["what was there\n", &begin, "Z connected to ", "Z sent 4 bytes: one\n", ": one\n"];
    let two =
        [&begin, "Z sent 4 bytes: two\n", "Z received 4 bytes in ", ": two\n", "Z 1 message "];
    assert_has(&log, &[&one[..], &two[..]].concat());
}

#[test]
fn a_transcript_is_refused_if_standard_output_goes_to_the_same_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "precious").unwrap();
    let stdout = fs::File::options().append(true).open(&file).unwrap();
    let args = ["--log", file.path().to_str().unwrap(), "127.0.0.1:1"];
    let terminal = Terminal::start_with(&args, |command| {
        command.stdout(stdout);
    });
    let (code, all) = terminal.end();
    assert_has(&all, &["resound: cannot write the transcript ", "goes there already"]);
    assert_eq!(code, Some(2));
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}
