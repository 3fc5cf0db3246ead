//! The client on a terminal, and whoever sits in front of it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// What is not on the terminal by then never will be.
const DEADLINE: Duration = Duration::from_secs(30);

/// A terminal with a client on it.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    /// Everything that was written to the terminal.
    transcript: Vec<u8>,
    /// Up to where the test has read it.
    read: usize,
}

impl Terminal {
    /// Starts `resound connect ARGS` and waits for its first prompt.
    #[track_caller]
    pub fn start(args: &[&str]) -> Self {
        let mut terminal = Self::start_without_prompt(args);
        terminal.expect("> ");
        terminal
    }

    pub fn start_without_prompt(args: &[&str]) -> Self {
        let (keyboard, slave) = open();
        let mut command = Command::new(env!("CARGO_BIN_EXE_resound"));
        command.arg("connect").args(args).env("TERM", "xterm");
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        let child = command.spawn().unwrap();
        // Until it is dropped, the command holds the terminal open, and no end of it would be seen.
        drop(command);
        let screen = read_all(keyboard.try_clone().unwrap());
        Self { child, keyboard, screen, transcript: Vec::new(), read: 0 }
    }

    /// Types without Enter.
    pub fn press(&mut self, keys: impl AsRef<[u8]>) {
        self.keyboard.write_all(keys.as_ref()).unwrap();
    }

    /// Types a line, and Enter.
    pub fn enter(&mut self, line: &str) {
        self.press(format!("{line}\r"));
    }

    /// Reads on until `text` has appeared, and gives what appeared up to its end.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let fresh = &self.transcript[self.read..];
            if let Some(at) = fresh.windows(text.len()).position(|found| found == text.as_bytes()) {
                let seen = String::from_utf8_lossy(&fresh[..at + text.len()]).into_owned();
                self.read += at + text.len();
                return seen;
            }
            match self.screen.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.transcript.extend(bytes),
                Err(e) => panic!("{text:?} did not appear ({e}); after\n{}", self.transcript()),
            }
        }
    }

    /// Waits for the end of the client, and gives its exit code and all that was ever on the terminal.
    #[track_caller]
    pub fn end(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.screen.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.transcript.extend(bytes),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.child.kill().unwrap();
                    panic!("the client has not ended; after\n{}", self.transcript());
                }
            }
        }
        (self.child.wait().unwrap().code(), self.transcript())
    }

    fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.transcript).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Only where a test has failed is there still something to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A terminal: the side where somebody sits, and the side of the programs.
pub fn open() -> (File, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let slave = OpenOptions::new().read(true).write(true).open(path).unwrap();
    (File::from(master), slave)
}

/// Reads what appears on the screen, until the terminal's last user has gone (`EIO`).
fn read_all(mut master: File) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = master.read(&mut buffer) {
            if sender.send(buffer[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}
