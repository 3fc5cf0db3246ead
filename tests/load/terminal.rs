//! The progress bar on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

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

/// Ctrl-S stops the terminal's output.
#[test]
fn a_terminal_that_is_stopped_does_not_stop_the_run() {
    let server = Server::start(&[]);
    let (mut screen, slave) = terminal(80);
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let args = [server.addr(), "-c", "2", "-d", "1s", "--json", json.to_str().unwrap()];
    screen.write_all(b"\x13").unwrap();
    let began = Instant::now();
    let mut command = command(&args);
    let child = spawn(command.stdout(Stdio::piped()).stderr(slave));
    drop(command);
    let ended = Client::collect(child).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(report["end"], "complete");
    let measured = report["intervals"].as_array().unwrap();
    assert!(measured.iter().all(|interval| interval["messages"] != 0), "{report:#}");
    server.stop();
}
