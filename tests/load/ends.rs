//! A run ends, and in the right way, whatever the server does.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, Socket, Type};

use crate::loader::{command, fine, report, run};
use crate::peers;
use crate::piped::{Client, spawn};
use crate::server::{Server, eventually};

/// A listener whose accept queue holds so many.
fn listener(backlog: i32) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(backlog).unwrap();
    socket.into()
}

fn resetting(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// Nothing that could be measured is no success.
#[test]
fn a_run_in_which_nothing_came_back_has_failed() {
    let server = Server::start(&[]);
    // The first message falls due while it warms up, and the next one never.
    let ended = run(&[server.addr(), "-c", "1", "-r", "1", "--warmup", "100ms", "-d", "300ms"]);
    ended.assert_failed("no echo came back");
    server.stop();
    let addr = peers::serve(peers::silent);
    let started = Instant::now();
    let args = ["-c", "1", "-d", "500ms", "-W", "200ms", "--keep-going"];
    let (code, report) = report(&[&[&*addr][..], &args].concat());
    assert_eq!((code, &report["end"]), (Some(1), &"failed".into()), "{report:#}");
    // Those that die at the end are not replaced.
    assert!(report["connections_made"].as_u64().unwrap() <= 3, "{report:#}");
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
}

#[test]
fn who_asks_to_stop_before_anything_was_measured_is_told_that_nothing_was() {
    let listener = listener(0);
    let addr = listener.local_addr().unwrap();
    // What no accept queue has room for is not answered.
    let _fillers: Vec<_> = (0..4).map(|_| connect_in_vain(addr)).collect();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let child = spawn(&mut command(&[&addr.to_string(), "-c", "1", "-n", "1", "--json", "-"]));
        let pid = Pid::from_child(&child);
        eventually(|| catches_signals(pid).then_some(()));
        kill_process(pid, signal).unwrap();
        let ended = Client::collect(child).end();
        let last = ended.stderr.lines().last().unwrap();
        assert_eq!(last, "resound: interrupted before it was done");
        let report: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!((ended.code, &report["end"]), (Some(130), &"interrupted".into()), "{report:#}");
    }
}

/// Whether it watches for signals by now, of which SIGQUIT is the last: proc_pid_status(5).
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

/// Starts a run, and has it meet a server that takes the first message, and is gone. The listener too.
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
fn a_server_that_is_gone_does_not_keep_a_run_going_for_ever() {
    // Both messages of the open loop are due by the time that the first is sent; the closed loop is not
    // through with its own.
    for args in [&["-n", "2", "-r", "100m"][..], &["-n", "9"]] {
        let (child, addr) = left_behind(&[args, &["-W", "1s"]].concat());
        let ended = Client::collect(child).end();
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert!(
            last.contains(&format!("cannot connect to {addr}: connection refused")),
            "{ended:?}"
        );
        assert_eq!(ended.code, Some(1), "{args:?}");
    }
}

/// Nothing moves between messages that are due a second apart, and it is not the server's fault.
#[test]
fn a_server_that_closes_while_nothing_is_due_is_not_given_up() {
    let addr = peers::serve(|stream| {
        peers::closing_after_one_echo(stream.try_clone()?)?;
        thread::sleep(Duration::from_millis(400)); // As an idle timeout does.
        Ok(())
    });
    let args = [&*addr, "-c", "1", "-n", "2", "-r", "1", "-W", "300ms", "--keep-going"];
    let (code, report) = report(&args);
    assert_eq!((code, &report["messages"]), (Some(0), &2.into()), "{report:#}");
}

#[test]
fn who_asks_to_stop_waits_no_longer_for_a_server_that_is_gone() {
    let (child, _) = left_behind(&["-n", "2", "-r", "100m", "-W", "1h"]);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let ended = Client::collect(child).end();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stdout).contains("interrupted"), "{ended:?}");
}

/// At the end of the run the successor of a spent connection is still being made.
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
        // Until the client has gone.
        stream.read_to_end(&mut Vec::new()).unwrap();
        (stream, fillers, listener)
    });
    let report = fine(&[&addr.to_string(), "-c", "1", "-d", "600ms", "--reconnect-every", "1"]);
    assert_eq!(report["messages"], 1, "{report:#}");
    drop(server.join().unwrap());
}

/// Each is waited for, and there are not so many descriptors as it would take to wait for all of them.
#[test]
fn a_server_that_never_answers_a_goodbye_does_not_use_up_the_descriptors() {
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

/// All echoes came, and the goodbye is answered in the rudest way: nothing was lost by it.
#[test]
fn a_reset_in_answer_to_the_goodbye_is_no_failure() {
    let addr = peers::serve(|stream| {
        io::copy(&mut &stream, &mut &stream)?;
        resetting(&stream)
    });
    for args in [&[][..], &["--reconnect-every", "2"]] {
        let report = fine(&[&[&*addr, "-c", "1", "-n", "10"], args].concat());
        assert_eq!(report["messages"], 10, "{report:#}");
    }
}

/// The one that nothing excuses is the one to tell, however many came before it.
#[test]
fn what_ended_the_run_is_told_and_not_what_was_excused_before() {
    let mut connections = 0;
    let addr = peers::serve(move |mut stream| {
        let mut message = [0; 64];
        stream.read_exact(&mut message)?;
        connections += 1;
        if connections <= 22 {
            return resetting(&stream);
        }
        message[9] ^= 1;
        stream.write_all(&message)?;
        io::copy(&mut stream, &mut io::sink()).map(drop)
    });
    let args = [&*addr, "-c", "1", "-n", "100", "--keep-going"];
    let ended = run(&[&args[..], &["--json", "-"]].concat());
    let last = ended.stderr.lines().last().unwrap();
    assert!(last.contains("wrong byte at offset 9"), "{ended:?}");
    let report: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    let troubles = report["troubles"].as_array().unwrap();
    let fatal: Vec<_> = troubles.iter().filter(|trouble| trouble["is_fatal"] == true).collect();
    assert_eq!((troubles.len(), fatal.len()), (20, 1), "{report:#}");
    assert_eq!(fatal[0]["kind"], "altered");
    assert_eq!(report["trouble_counts"], serde_json::json!({"altered": 1, "reset": 22}));
}

/// Timeouts are looked for now and then, and echoes come when they come.
#[test]
fn an_echo_that_comes_a_little_too_late_is_too_late() {
    let addr = peers::serve(|mut stream: TcpStream| {
        let mut message = [0; 64];
        loop {
            stream.read_exact(&mut message)?;
            thread::sleep(Duration::from_millis(305)); // The fault that this server has.
            stream.write_all(&message)?;
        }
    });
    let (code, report) = report(&[&addr, "-c", "1", "-n", "1", "-W", "300ms"]);
    assert_eq!((code, &report["troubles"][0]["kind"]), (Some(1), &"timeout".into()), "{report:#}");
    assert_eq!((&report["messages"], &report["lost_messages"]), (&0.into(), &1.into()));
}

/// The accept queue of a Unix socket refuses at once what a TCP one would let wait.
#[test]
fn a_unix_server_that_is_slow_to_accept_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(1).unwrap();
    let listener = UnixListener::from(socket);
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(300)); // The fault that this server has.
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    let unix = format!("unix:{}", path.display());
    let report = fine(&[&unix, "-c", "20", "-n", "200"]);
    assert_eq!((&report["messages"], &report["connections_made"]), (&200.into(), &20.into()));
}

/// Nobody accepts: that is not waited for longer than for anything else.
#[test]
fn a_unix_server_that_never_accepts_is_given_up() {
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
fn what_a_connection_says_after_its_goodbye_is_looked_at_although_it_is_replaced() {
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
