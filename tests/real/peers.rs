//! Other programs at the other end: nc, socat and ncat.

use std::fs::File;
use std::io::{Cursor, Read, Seek, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::piped::{self, Client, Ended};
use crate::programs::program;
use crate::server::Server;
use crate::unix::SocketPath;
use crate::wire::pattern;

const MIB: usize = 1 << 20;

/// ncat writes all that it has to its child before it reads from the child. So the bytes in flight must fit into the
/// pipe between them.
const NCAT_BYTES: usize = 32 << 10;

/// Runs a client to its end, with `input` on its standard input.
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

/// Lets a client echo a mebibyte, then stops the server. The server must have counted exactly that.
#[track_caller]
fn expect_echo_to(client: &mut Command, server: Server) {
    let bytes = pattern(1, MIB);
    let ended = run(client, &bytes);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout == bytes, "{} bytes came back: {}", ended.stdout.len(), ended.stderr);
    let all =
        "1 connection, 1,048,576 bytes in, 1,048,576 bytes out, 0 refused, 0 reset, 0 timed out";
    let last = server.stop();
    assert!(last.contains(all), "{last}");
}

#[test]
fn nc_gets_its_echo() {
    let server = Server::start(&[]);
    let (host, port) = server.addr().rsplit_once(':').unwrap();
    expect_echo_to(program("nc").args(["-N", host, port]), server);
}

#[test]
fn nc_gets_its_echo_over_a_unix_socket() {
    let socket = SocketPath::new();
    let server = Server::start_at(&[&socket.addr], &[]);
    expect_echo_to(program("nc").args(["-N", "-U"]).arg(&socket.path), server);
}

#[test]
fn socat_gets_its_echo() {
    let server = Server::start(&[]);
    let to = format!("TCP:{}", server.addr());
    // -t: how many seconds socat waits for the rest of the echo after its input has ended.
    expect_echo_to(program("socat").args(["-t", "30", "-", &to]), server);
}

#[test]
fn socat_gets_its_echo_over_a_unix_socket() {
    let socket = SocketPath::new();
    let server = Server::start_at(&[&socket.addr], &[]);
    let to = format!("UNIX-CONNECT:{}", socket.path.display());
    expect_echo_to(program("socat").args(["-t", "30", "-", &to]), server);
}

#[test]
fn ncat_gets_its_echo() {
    let server = Server::start(&[]);
    let (host, port) = server.addr().rsplit_once(':').unwrap();
    expect_echo_to(program("ncat").args([host, port]), server);
}

#[test]
fn connect_streams_to_socat() {
    for behind in ["EXEC:cat", "SYSTEM:cat", "PIPE"] {
        Echoer::socat(behind).expect_stream(MIB);
    }
}

/// The input ends only after the whole echo has arrived: ncat drops bytes in flight when its peer ends the stream.
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

/// Another echo server.
struct Echoer {
    addr: String,
    /// Not `resound`, but a process with a log all the same.
    process: Server,
    /// What it logs for each connection.
    accepted: &'static str,
}

impl Echoer {
    /// socat, with something behind it that echoes.
    #[track_caller]
    fn socat(behind: &str) -> Self {
        let mut socat = program("socat");
        socat.args(["-d", "-d", "-t", "30", "TCP-LISTEN:0,bind=127.0.0.1,fork", behind]);
        let mut process = Server::spawn(&mut socat);
        // "2026/01/01 00:00:00 socat[1234] N listening on AF=2 127.0.0.1:5678"
        let line = process.expect_line("listening on ");
        let (_, addr) = line.rsplit_once(' ').unwrap();
        Self { addr: addr.into(), process, accepted: "accepting connection from" }
    }

    #[track_caller]
    fn ncat() -> Self {
        // ncat does not say which port it took for 0.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut ncat = program("ncat");
        ncat.args(["-v", "-l", "--keep-open", "--exec", "/bin/cat", "127.0.0.1"]);
        let mut process = Server::spawn(ncat.arg(port.to_string()));
        process.expect_line("Listening on ");
        // ncat logs "Connection from 127.0.0.1." and then "Connection from 127.0.0.1:5678."
        Self { addr: format!("127.0.0.1:{port}"), process, accepted: "Connection from 127.0.0.1:" }
    }

    #[track_caller]
    fn expect_stream(mut self, len: usize) {
        let bytes = pattern(2, len);
        piped::run(&[&self.addr], Cursor::new(bytes.clone())).assert_fine(&bytes);
        self.process.expect_line(self.accepted);
    }

    /// Expects an echo and a connection for each line.
    #[track_caller]
    fn expect_lines(mut self) {
        let long = "x".repeat(NCAT_BYTES - 1);
        let lines = format!("one\n\n{long}\nGrüße\nbye, and no line break");
        let ended = piped::run(&["--reconnect", &self.addr], Cursor::new(lines.clone()));
        ended.assert_fine(lines.as_bytes());
        lines.lines().for_each(|_| drop(self.process.expect_line(self.accepted)));
    }
}
