//! The servers to time, each in a process of its own: `resound`, and the peers of `benches/peers` where
//! they are built.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

/// As Cargo has built it for the bench.
const RESOUND: &str = env!("CARGO_BIN_EXE_resound");

const ANY_PORT: &str = "127.0.0.1:0";

/// A server that can be started.
pub struct Server {
    pub name: String,
    program: PathBuf,
    args: Vec<String>,
    /// The most connections at a time.
    connections: usize,
    /// The longest message to send before its echo is read.
    message_bytes: usize,
}

impl Server {
    /// The server that this is all about, with further arguments.
    pub fn resound(args: &[&str]) -> Self {
        let args = [&["serve", "--listen", ANY_PORT], args].concat();
        Self {
            name: "resound".into(),
            program: RESOUND.into(),
            args: args.into_iter().map(Into::into).collect(),
            connections: usize::MAX,
            message_bytes: usize::MAX,
        }
    }

    /// One of the peers, from a line of what `resound-peers list --plain` prints.
    fn peer(line: &str, program: &Path) -> Option<Self> {
        let mut fields = line.split('\t');
        let name = fields.next()?;
        Some(Self {
            name: name.into(),
            program: program.into(),
            args: ["--resound", RESOUND, "run", name, ANY_PORT].map(Into::into).into(),
            connections: fields.next()?.parse().ok()?,
            message_bytes: fields.next()?.parse().ok()?,
        })
    }

    /// Whether it can be asked for so many connections with messages of that size.
    pub fn is_up_to(&self, connections: usize, message_bytes: usize) -> bool {
        connections <= self.connections && message_bytes <= self.message_bytes
    }

    /// Starts it, and waits until it says where it is listening.
    pub fn start(&self) -> Running {
        let mut process = Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{} cannot be started: {e}", self.name));
        let mut log = BufReader::new(process.stderr.take().expect("it was asked for"));
        let addr = listening_on(&self.name, &mut log);
        // Some say a line or more of each connection, and would wait for a reader in the end.
        thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        Running { process, addr }
    }
}

/// A server that is running. It ends with this.
pub struct Running {
    process: Child,
    pub addr: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where it has ended by itself, which its clients will have noticed. The processes
        // that some peers start for each connection end with that.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads the log until it names the address: last in its line, and not everybody's is lower case.
fn listening_on(name: &str, log: &mut impl BufRead) -> SocketAddr {
    let mut text = String::new();
    let mut line = String::new();
    while log.read_line(&mut line).expect("a log is text") > 0 {
        if let Some((_, addr)) = line.split_once("istening on ") {
            let addr = addr.split_whitespace().last().unwrap_or_default();
            return addr.parse().expect("it listens on a TCP address");
        }
        text.push_str(&line);
        line.clear();
    }
    panic!("{name} did not start: {text}");
}

/// The peers that are here; where none are built, says how to have them.
pub fn peers() -> Vec<Server> {
    let program = program();
    if !program.is_file() {
        eprintln!("resound alone: ./ci/peers builds the servers to compare it with");
        return Vec::new();
    }
    let listed = Command::new(&program)
        .args(["--resound", RESOUND, "list", "--plain"])
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|e| panic!("{} cannot be run: {e}", program.display()));
    assert!(listed.status.success(), "{} does not list the peers", program.display());
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let peer = |line| Server::peer(line, &program).unwrap_or_else(|| panic!("no peer: {line:?}"));
    listed.lines().map(peer).filter(|peer| peer.name != "resound").collect()
}

/// In the same target directory as `resound`, by `cargo build --profile peers -p resound-peers`.
fn program() -> PathBuf {
    let profile = Path::new(RESOUND).parent().expect("a program is in a directory");
    profile.with_file_name("peers").join("resound-peers")
}
