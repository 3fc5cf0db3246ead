//! The servers to time, each in its own process: `resound`, and the peers of `benches/peers` if they are built.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

/// The program as Cargo has built it for the bench.
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
    /// `resound serve` with further arguments.
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

    /// A peer, from a line that `resound-peers list --plain` prints.
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

    /// Whether it can serve this many connections with messages of this size.
    pub fn is_up_to(&self, connections: usize, message_bytes: usize) -> bool {
        connections <= self.connections && message_bytes <= self.message_bytes
    }

    /// Starts the server, and waits until it reports where it listens.
    pub fn start(&self) -> Running {
        let mut process = Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{} cannot be started: {e}", self.name));
        let mut log = BufReader::new(process.stderr.take().expect("stderr is piped"));
        let addr = listening_on(&self.name, &mut log);
        // Some peers log lines about each connection. Without a reader, a full pipe would stop them.
        thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        Running { process, addr }
    }
}

/// A running server. It is killed when this is dropped.
pub struct Running {
    process: Child,
    pub addr: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if the server has ended by itself, and then its clients have noticed. The processes that
        // some peers start for a connection end with the connection.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads the log until it names the address. The address is the last word of its line, and some peers write
/// "Listening".
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

/// The peers that are built. If there are none, prints how to build them.
pub fn peers() -> Vec<Server> {
    let program = program();
    if !program.is_file() {
        eprintln!("only resound runs: ./ci/peers builds the servers to compare it with");
        return Vec::new();
    }
    let listed = Command::new(&program)
        .args(["--resound", RESOUND, "list", "--plain"])
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|e| panic!("{} cannot be run: {e}", program.display()));
    assert!(listed.status.success(), "{} does not list the peers", program.display());
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let peer = |line| {
        Server::peer(line, &program).unwrap_or_else(|| panic!("not a line about a peer: {line:?}"))
    };
    listed.lines().map(peer).filter(|peer| peer.name != "resound").collect()
}

/// The program that finds and starts peers. `cargo build --profile peers -p resound-peers` puts it into the target
/// directory of `resound`.
fn program() -> PathBuf {
    let profile = Path::new(RESOUND).parent().expect("a program is in a directory");
    profile.with_file_name("peers").join("resound-peers")
}
