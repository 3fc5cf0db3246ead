//! Programs that are not ours at the other end.

use std::fs::File;
use std::io::{Cursor, Read, Seek, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::piped::{self, Client, Ended};
use crate::programs::part;
use crate::server::Server;
use crate::wire::pattern;

const MIB: usize = 1 << 20;

/// ncat writes to its child all that it has, before it reads from it: what is under way has to fit into
/// the pipe between them.
const NCAT_BYTES: usize = 32 << 10;

/// Runs a client to its end, with this for its standard input.
#[track_caller]
fn run(client: &mut Command, input: &[u8]) -> Ended {
    client.stdin(file_of(input)).stdout(Stdio::piped()).stderr(Stdio::piped());
    Client::start(client).end()
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

/// Has a client echo a mebibyte, and stops the server, which must have seen just that.
#[track_caller]
fn expect_echo_to(client: &mut Command, server: Server) {
    let bytes = pattern(1, MIB);
    let ended = run(client, &bytes);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout == bytes, "{} bytes came back: {}", ended.stdout.len(), ended.stderr);
    let all = "1 connection, 1048576 bytes in, 1048576 bytes out, 0 refused, 0 reset, 0 timed out";
    let last = server.stop();
    assert!(last.contains(all), "{last}");
}

#[test]
fn nc_gets_its_echo() {
    let server = Server::start(&[]);
    let (host, port) = server.addr().rsplit_once(':').unwrap();
    expect_echo_to(part("nc").args(["-N", host, port]), server);
}

#[test]
fn nc_gets_its_echo_over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let server = Server::start_at(&[&format!("unix:{}", path.display())], &[]);
    expect_echo_to(part("nc").args(["-N", "-U"]).arg(&path), server);
}

#[test]
fn socat_gets_its_echo() {
    let server = Server::start(&[]);
    let to = format!("TCP:{}", server.addr());
    // After the end of its input, it waits for that of the echo: not for half a second, but for so long.
    expect_echo_to(part("socat").args(["-t", "30", "-", &to]), server);
}

#[test]
fn socat_gets_its_echo_over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let server = Server::start_at(&[&format!("unix:{}", path.display())], &[]);
    let to = format!("UNIX-CONNECT:{}", path.display());
    expect_echo_to(part("socat").args(["-t", "30", "-", &to]), server);
}

#[test]
fn ncat_gets_its_echo() {
    let server = Server::start(&[]);
    let (host, port) = server.addr().rsplit_once(':').unwrap();
    expect_echo_to(part("ncat").args([host, port]), server);
}

#[test]
fn connect_streams_to_socat() {
    for behind in ["EXEC:cat", "SYSTEM:cat", "PIPE"] {
        Echoer::socat(behind).expect_stream(MIB);
    }
}

/// The input ends only after the echo has come: ncat forgets what is under way when its peer has finished.
#[test]
fn connect_streams_to_ncat() {
    let mut ncat = Echoer::ncat();
    let mut connect = piped::command(&[&ncat.addr]);
    let mut client = piped::spawn(connect.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let (mut stdin, mut stdout) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
    for seed in 0..10 {
        let (bytes, mut echo) = (pattern(seed, NCAT_BYTES), vec![0; NCAT_BYTES]);
        stdin.write_all(&bytes).unwrap();
        stdout.read_exact(&mut echo).unwrap();
        assert!(echo == bytes, "piece {seed}");
    }
    drop(stdin);
    Client::collect(client).end().assert_fine(b"");
    ncat.process.expect_line(ncat.accepted);
}

#[test]
fn connect_reconnects_to_socat() {
    for behind in ["EXEC:cat", "SYSTEM:cat", "PIPE"] {
        Echoer::socat(behind).expect_lines();
    }
}

#[test]
fn connect_reconnects_to_ncat() {
    Echoer::ncat().expect_lines();
}

/// An echo server that is not ours.
struct Echoer {
    addr: String,
    /// Not one of ours either, but what can be done with a process is the same.
    process: Server,
    /// What it says of each connection.
    accepted: &'static str,
}

impl Echoer {
    /// socat, with something that echoes behind it.
    #[track_caller]
    fn socat(behind: &str) -> Self {
        let mut socat = part("socat");
        socat.args(["-d", "-d", "-t", "30", "TCP-LISTEN:0,bind=127.0.0.1,fork", behind]);
        let mut process = Server::spawn(&mut socat);
        // "2026/01/01 00:00:00 socat[1234] N listening on AF=2 127.0.0.1:5678"
        let line = process.expect_line("listening on ");
        let (_, addr) = line.rsplit_once(' ').unwrap();
        Self { addr: addr.into(), process, accepted: "accepting connection from" }
    }

    #[track_caller]
    fn ncat() -> Self {
        // It does not tell which port it got for 0.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut ncat = part("ncat");
        ncat.args(["-v", "-l", "--keep-open", "--exec", "/bin/cat", "127.0.0.1"]);
        let mut process = Server::spawn(ncat.arg(port.to_string()));
        process.expect_line("Listening on ");
        // It says "Connection from 127.0.0.1." and then "Connection from 127.0.0.1:5678."
        Self { addr: format!("127.0.0.1:{port}"), process, accepted: "Connection from 127.0.0.1:" }
    }

    #[track_caller]
    fn expect_stream(mut self, len: usize) {
        let bytes = pattern(2, len);
        piped::run(&[&self.addr], Cursor::new(bytes.clone())).assert_fine(&bytes);
        self.process.expect_line(self.accepted);
    }

    /// Expects an echo, and a connection, for each line.
    #[track_caller]
    fn expect_lines(mut self) {
        let long = "x".repeat(NCAT_BYTES - 1);
        let lines = format!("one\n\n{long}\nGrüße\nbye, and no line break");
        let ended = piped::run(&["--reconnect", &self.addr], Cursor::new(lines.clone()));
        ended.assert_fine(lines.as_bytes());
        lines.lines().for_each(|_| drop(self.process.expect_line(self.accepted)));
    }
}
