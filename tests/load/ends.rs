//! A run ends, and in the right way, if the server fails.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::loader::{command, fine, report, run};
use crate::peers;
use crate::piped::{Client, spawn, wait_until_asleep};
use crate::server::{Server, eventually};

/// A listener whose accept queue holds `backlog` connections.
fn listener(backlog: i32) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(backlog).unwrap();
    socket.into()
}

fn resetting(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

#[test]
fn a_run_in_which_no_echo_came_back_has_failed() {
    let server = Server::start(&[]);
    // The first message falls due while the run warms up, and the next after its end.
    let ended = run(&[server.addr(), "-c", "1", "-r", "1", "--warmup", "100ms", "-d", "300ms"]);
    ended.assert_failed("no echo came back");
    server.stop();
}

#[test]
fn a_signal_before_the_first_connection_ends_the_run_as_interrupted() {
    let listener = listener(0);
    let addr = listener.local_addr().unwrap();
    // The accept queue is full, so the client gets no answer.
    let _fillers: Vec<_> = (0..4).map(|_| connect_in_vain(addr)).collect();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let child = spawn(&mut command(&[&addr.to_string(), "-c", "1", "-n", "1", "--json", "-"]));
        let pid = Pid::from_child(&child);
        eventually(|| catches_signals(pid).then_some(()));
        kill_process(pid, signal).unwrap();
        let ended = Client::collect(child).end();
        let last = ended.stderr.lines().last().unwrap();
        assert_eq!(last, "resound: interrupted before it was done");
        let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!((ended.code, &report["end"]), (Some(130), &"interrupted".into()), "{report:#}");
    }
}

/// Whether the client watches for signals: proc_pid_status(5). It watches for SIGQUIT last.
fn catches_signals(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << (Signal::QUIT.as_raw() - 1)) != 0
}

fn connect_in_vain(addr: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let _ = socket.connect(&addr.into());
    socket
}

/// Starts a run against a server that closes everything after the first message, its listener too.
fn left_behind(args: &[&str]) -> (std::process::Child, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let (gone, is_gone) = channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 64]).unwrap();
        drop(listener);
        resetting(&stream).unwrap();
        drop(stream);
        gone.send(()).unwrap();
    });
    let child = spawn(&mut command(&[&[&*addr, "-c", "1", "--keep-going"], args].concat()));
    is_gone.recv().unwrap();
    (child, addr)
}

#[test]
fn a_run_ends_if_its_server_is_gone() {
    // Both messages of the open loop are due when the first is sent. The closed loop has some left.
    for args in [&["-n", "2", "-r", "100m"][..], &["-n", "9"]] {
        let (child, addr) = left_behind(&[args, &["-W", "300ms"]].concat());
        let ended = Client::collect(child).end();
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert!(
            last.contains(&format!("cannot connect to {addr}: connection refused")),
            "{ended:?}"
        );
        assert_eq!(ended.code, Some(1), "{args:?}");
    }
}

#[test]
fn an_interrupted_run_does_not_wait_for_a_server_that_is_gone() {
    let (child, _) = left_behind(&["-n", "2", "-r", "100m", "-W", "1h"]);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let ended = Client::collect(child).end();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stdout).contains("interrupted"), "{ended:?}");
}

/// At the end of the run, the successor of a spent connection is still being made.
#[test]
fn a_connection_that_is_not_made_by_the_end_does_no_harm() {
    let listener = listener(0);
    let addr = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut message = [0; 64];
        stream.read_exact(&mut message).unwrap();
        let fillers: Vec<_> = (0..4).map(|_| connect_in_vain(addr)).collect();
        stream.write_all(&message).unwrap();
        // The client closes at its end.
        stream.read_to_end(&mut Vec::new()).unwrap();
        (stream, fillers, listener)
    });
    let report = fine(&[&addr.to_string(), "-c", "1", "-d", "600ms", "--reconnect-every", "1"]);
    assert_eq!(report["messages"], 1, "{report:#}");
    drop(server.join().unwrap());
}

/// The client waits for each connection to close, but has not enough descriptors to wait for all of them.
#[test]
fn connections_that_the_server_keeps_open_do_not_use_up_the_descriptors() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut all = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut message = [0; 64];
            stream.read_exact(&mut message).unwrap();
            stream.write_all(&message).unwrap();
            all.push(stream);
        }
    });
    let args = ["-c", "1", "-n", "300", "--reconnect-every", "1", "--json", "-"];
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -n 64; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_resound"), "load"]);
    limited.arg(&addr).args(args).stdout(std::process::Stdio::piped());
    let ended = Client::start(limited.stderr(std::process::Stdio::piped())).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// All echoes came before the reset.
#[test]
fn a_reset_in_answer_to_a_shutdown_is_no_failure() {
    let addr = peers::serve(|stream| {
        io::copy(&mut &stream, &mut &stream)?;
        resetting(&stream)
    });
    for args in [&[][..], &["--reconnect-every", "2"]] {
        let report = fine(&[&[&*addr, "-c", "1", "-n", "10"], args].concat());
        assert_eq!(report["messages"], 10, "{report:#}");
    }
}

/// connect(2) fails at once if the accept queue of a Unix socket is full.
#[test]
fn a_unix_server_that_is_slow_to_accept_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(1).unwrap();
    let listener = UnixListener::from(socket);
    let unix = format!("unix:{}", path.display());
    let client = spawn(&mut command(&[&unix, "-c", "20", "-n", "200", "--json", "-"]));
    wait_until_asleep(&client); // Until there is room in the queue.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    let ended = Client::collect(client).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((&report["messages"], &report["connections_made"]), (&200.into(), &20.into()));
}

#[test]
fn a_unix_server_that_never_accepts_fails_the_run_after_the_timeout() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let ended = run(&[&format!("unix:{}", path.display()), "-c", "9", "-n", "9", "-W", "300ms"]);
    let last = ended.stderr.lines().last().unwrap();
    assert!(last.contains("its accept queue is full"), "{ended:?}");
    assert_eq!(ended.code, Some(1));
    drop(socket);
}

#[test]
fn bytes_after_the_shutdown_are_a_surplus_if_the_connection_is_replaced() {
    let late = |mut stream: TcpStream| {
        io::copy(&mut &stream, &mut &stream)?;
        stream.write_all(b"and by the way")?;
        stream.shutdown(Shutdown::Write)
    };
    let addr = peers::serve(late);
    let args = ["-c", "1", "-d", "1h", "--reconnect-every", "1"];
    let (code, report) = report(&[&[&*addr][..], &args].concat());
    assert_eq!((code, &report["troubles"][0]["kind"]), (Some(1), &"surplus".into()), "{report:#}");
}
