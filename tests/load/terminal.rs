//! The progress bar on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;

use rustix::termios::{Winsize, tcsetwinsize};

use crate::loader::command;
use crate::piped::{Client, spawn};
use crate::pty;
use crate::server::Server;

fn terminal(columns: u16) -> (File, File) {
    let (screen, slave) = pty::open();
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&slave, size).unwrap();
    (screen, slave)
}

/// Reads what appears until the program ends.
fn read_all(mut screen: File) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(n @ 1..) = screen.read(&mut buffer) {
            all.extend(&buffer[..n]);
        }
        String::from_utf8(all).unwrap()
    })
}

#[test]
fn the_progress_fits_the_terminal_and_leaves_nothing_behind() {
    let server = Server::start(&[]);
    for columns in [120, 60, 30, 7] {
        let (screen, slave) = terminal(columns);
        let mut command =
            command(&[server.addr(), "-c", "2", "-d", "500ms", "--json", "/dev/null"]);
        let child = spawn(command.stderr(slave));
        drop(command);
        let shown = read_all(screen);
        let ended = Client::collect(child).end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let shown = shown.join().unwrap();
        let frames: Vec<_> = shown.split(['\r', '\n']).collect();
        assert!(frames.len() > 3, "{shown:?}");
        for frame in &frames {
            let text = frame.replace("\x1b[K", "");
            assert!(text.chars().count() < columns.into(), "{columns}: {text:?}");
        }
        assert_eq!(frames.last(), Some(&"\x1b[K"), "{shown:?}");
    }
    server.stop();
}

#[test]
fn the_text_fits_the_terminal_and_a_trial_has_a_line_of_its_own() {
    let server = Server::start(&[]);
    let (screen, slave) = terminal(40);
    let args = [server.addr(), "-c", "2", "-d", "200ms", "-r", "max@p50=1s"];
    let mut command = command(&args);
    let child = spawn(command.stdout(slave.try_clone().unwrap()).stderr(slave));
    drop(command);
    let shown = read_all(screen);
    let ended = Client::collect(child).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let shown = shown.join().unwrap();
    let (trials, lines): (Vec<_>, Vec<_>) = shown
        .split('\n')
        .map(|line| line.trim_end_matches('\r'))
        .partition(|line| line.contains("INFO"));
    assert!(trials.len() > 1, "{shown:?}");
    // It follows what erases the bar.
    for trial in trials {
        assert!(trial.rsplit('\r').next().unwrap().starts_with("\x1b[K2"), "{trial:?}");
    }
    for line in lines.iter().flat_map(|line| line.split('\r')) {
        assert!(line.replace("\x1b[K", "").chars().count() <= 40, "{line:?}");
    }
    assert!(lines.iter().any(|line| line.starts_with("p50 ")), "{shown:?}");
    server.stop();
}

/// Ctrl-S stops the terminal's output.
#[test]
fn a_terminal_that_is_stopped_does_not_stop_the_run() {
    let server = Server::start(&[]);
    let (mut screen, slave) = terminal(80);
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let args = [server.addr(), "-c", "2", "-d", "1s", "--json", json.to_str().unwrap()];
    screen.write_all(b"\x13").unwrap();
    let mut command = command(&args);
    let child = spawn(command.stdout(Stdio::piped()).stderr(slave));
    drop(command);
    let ended = Client::collect(child).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(report["end"], "complete");
    let measured = report["intervals"].as_array().unwrap();
    assert!(measured.iter().all(|interval| interval["messages"] != 0), "{report:#}");
    server.stop();
}
