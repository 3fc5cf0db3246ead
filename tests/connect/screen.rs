//! A pipe as standard input and a terminal as standard output. Nothing that a server sends acts on the terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use super::peers::{self, serve};
use super::piped::{Client, Ended, command, wait_until_asleep};
use super::pty;

/// Sets the title, rings, clears the screen, sets colours, asks for a report; and some of it in 8-bit controls.
const HOSTILE: &[u8] = b"\x1b]0;pwned\x07\x1b[2J\x1b[31m\x1b[6n\r\x08\x9b31m\xc2\x9b31m\x7f\x0e\n";

const BOTH: [&[&str]; 2] = [&[], &["--reconnect"]];

/// What appears on the terminal, and how the client ends.
fn show(args: &[&str], addr: &str, input: &[u8]) -> (Vec<u8>, Ended) {
    let (mut screen, terminal) = pty::open();
    let mut command = command(&[args, &[addr]].concat());
    let mut client = Client::start(command.stdin(Stdio::piped()).stdout(terminal));
    drop(command);
    let shown = thread::spawn(move || read_all(&mut screen));
    // A client that finds a fault can end before it reads everything.
    let _ = client.child.stdin.take().unwrap().write_all(input);
    let ended = client.end();
    (shown.join().unwrap(), ended)
}

/// Reads until the last user of the terminal closes it. That is an error (`EIO`).
fn read_all(screen: &mut File) -> Vec<u8> {
    let mut shown = Vec::new();
    let _ = screen.read_to_end(&mut shown);
    shown
}

/// The terminal itself turns each line break into `\r\n`.
fn assert_harmless(bytes: &[u8]) {
    let text = String::from_utf8(bytes.to_vec()).unwrap().replace("\r\n", "\n");
    assert!(!text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{text:?}");
}

#[test]
fn an_echo_is_escaped_on_a_terminal() {
    for args in BOTH {
        let (shown, ended) = show(args, &serve(peers::faithful), HOSTILE);
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{args:?}");
        assert_harmless(&shown);
        let expected = "\\u{1b}]0;pwned\\u{7}\\u{1b}[2J\\u{1b}[31m\\u{1b}[6n\\r\\u{8}\u{fffd}31m\
                        \\u{9b}31m\\u{7f}\\u{e}\r\n";
        assert_eq!(String::from_utf8(shown).unwrap(), expected, "{args:?}");
    }
}

#[test]
fn text_comes_back_as_text_even_in_pieces() {
    let text = "Grüße,\t世界 🦀\n";
    for args in BOTH {
        for addr in [serve(peers::faithful), serve(peers::cutting)] {
            let (shown, ended) = show(args, &addr, text.as_bytes());
            assert_eq!(ended.code, Some(0), "{ended:?}");
            // The terminal shows a tab as blanks.
            let shown = String::from_utf8(shown).unwrap();
            let words: Vec<_> = shown.split_whitespace().collect();
            assert_eq!(words, ["Grüße,", "世界", "🦀"], "{args:?}");
        }
    }
}

#[test]
fn a_character_that_the_end_cuts_is_shown_as_a_replacement() {
    for args in BOTH {
        let (shown, ended) = show(args, &serve(peers::faithful), b"a\xf0\x9f");
        assert_eq!((ended.code, &*shown), (Some(0), "a\u{fffd}".as_bytes()), "{args:?}");
    }
}

/// Failed when the client took a terminal that was held by Ctrl-S for a broken one, after all had gone well.
#[test]
fn a_terminal_that_is_held_at_the_end_is_waited_for() {
    let (mut screen, terminal) = pty::open();
    screen.write_all(b"\x13").unwrap();
    let (ended, end) = mpsc::channel();
    let addr = serve(move |stream| {
        peers::faithful(stream)?;
        ended.send(()).unwrap();
        Ok(())
    });
    let mut command = command(&["--reconnect", &addr]);
    let mut client = Client::start(command.stdin(Stdio::piped()).stdout(terminal));
    drop(command);
    client.child.stdin.take().unwrap().write_all(b"\xf0\x9f").unwrap();
    end.recv().unwrap();
    wait_until_asleep(&client.child);
    screen.write_all(b"\x11").unwrap();
    let shown = thread::spawn(move || read_all(&mut screen));
    client.end().assert_fine(b"");
    assert_eq!(shown.join().unwrap(), "\u{fffd}".as_bytes());
}

/// Such bytes come before, instead of, and after the echo.
#[test]
fn bytes_that_were_not_sent_do_not_reach_the_terminal() {
    let before = serve(|stream| {
        (&stream).write_all(&HOSTILE.repeat(1000))?;
        peers::silent(stream)
    });
    let instead = serve(peers::saying(HOSTILE));
    let after = serve(|stream| {
        let mut two = [0; 2];
        (&stream).read_exact(&mut two)?;
        (&stream).write_all(&[&two, HOSTILE].concat())?;
        peers::silent(stream)
    });
    for (addr, shown_of_it) in [(before, ""), (instead, ""), (after, "x\r\n")] {
        let (shown, ended) = show(&[], &addr, b"x\n");
        assert_eq!(String::from_utf8(shown).unwrap(), shown_of_it);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert_harmless(ended.stderr.as_bytes());
        let (shown, ended) = show(&["--reconnect"], &addr, b"x\n");
        assert_harmless(&shown);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert_harmless(ended.stderr.as_bytes());
    }
}

/// A program reads the pipe, and wants the bytes.
#[test]
fn a_pipe_gets_the_bytes_as_they_are() {
    for args in BOTH {
        super::piped::run(&[args, &[&serve(peers::faithful)]].concat(), HOSTILE)
            .assert_fine(HOSTILE);
    }
}
