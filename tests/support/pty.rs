//! `resound connect` on a pseudo-terminal: a test types, and reads the screen.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

/// How long a test waits for text on the terminal, or for the end of the client, before it fails.
const DEADLINE: Duration = Duration::from_secs(30);

/// A terminal with a client on it.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    /// Everything that was written to the terminal.
    transcript: Vec<u8>,
    /// How much of the transcript the test has read.
    read: usize,
    /// The settings of the terminal before the client started.
    modes: String,
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
        Self::start_with(args, |_| {})
    }

    /// Starts the client with the terminal as all three standard streams. `change` can change the command first.
    pub fn start_with(args: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let (keyboard, slave) = open();
        let mut command = Command::new(env!("CARGO_BIN_EXE_resound"));
        command.arg("connect").args(args).env("TERM", "xterm");
        // A process group of its own: signals to the client must not reach the tests.
        command.process_group(0);
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        change(&mut command);
        let modes = modes(&keyboard);
        let child = command.spawn().unwrap();
        // The command holds the terminal open until it is dropped, and that would hide the end of the client.
        drop(command);
        let screen = read_all(keyboard.try_clone().unwrap());
        Self { child, keyboard, screen, transcript: Vec::new(), read: 0, modes }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits until the client is stopped, or until it runs again.
    #[track_caller]
    pub fn expect_stopped(&self, is_stopped: bool) {
        let deadline = Instant::now() + DEADLINE;
        let path = format!("/proc/{}/stat", self.child.id());
        loop {
            let stat = std::fs::read_to_string(&path).unwrap();
            let state = stat.rsplit(')').next().unwrap().trim_start().chars().next();
            if (state == Some('T')) == is_stopped {
                return;
            }
            assert!(Instant::now() < deadline, "its state is {state:?}");
            thread::sleep(Duration::from_millis(5)); // The interval at which it reads the state.
        }
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.keyboard, size).unwrap();
    }

    /// Checks that the client has restored the settings of the terminal.
    #[track_caller]
    pub fn assert_given_back(&self) {
        assert_eq!(modes(&self.keyboard), self.modes, "the settings of the terminal");
        let transcript = self.transcript();
        let last = |sequence| transcript.rfind(sequence);
        assert!(
            last("\x1b[?2004h") <= last("\x1b[?2004l"),
            "bracketed paste is still on after\n{transcript}"
        );
    }

    /// Types without Enter.
    pub fn press(&mut self, keys: impl AsRef<[u8]>) {
        self.keyboard.write_all(keys.as_ref()).unwrap();
    }

    /// Types a line, and Enter.
    pub fn enter(&mut self, line: &str) {
        self.press(format!("{line}\r"));
    }

    /// Waits until `text` appears. Returns what appeared up to the end of `text`.
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

    /// Waits for the client to end. Returns its exit code and the whole transcript.
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
        let code = self.child.wait().unwrap().code();
        self.assert_given_back();
        (code, self.transcript())
    }

    fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.transcript).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Fails if the client has ended already. It still runs only if a test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Opens a pseudo-terminal. Returns the side of the user and the side of the programs.
pub fn open() -> (File, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let slave = OpenOptions::new().read(true).write(true).open(path).unwrap();
    (File::from(master), slave)
}

/// The settings of the terminal that a client could change.
fn modes(terminal: &File) -> String {
    let t = tcgetattr(terminal).unwrap();
    format!("{:?} {:?} {:?} {:?}", t.input_modes, t.output_modes, t.control_modes, t.local_modes)
}

/// Reads what appears on the screen, until no program has the terminal open any more (`EIO`).
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
