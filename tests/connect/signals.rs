//! Signals that end a client without a prompt, that ask how things stand, or that stop it for a while.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::peers::{self, serve};
use super::piped::{Client, Ended, command, spawn, spawn_piped, wait_until_asleep};

const STOPS: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// A timeout that is longer than the test.
const LONG: &str = "3600s";

fn kill(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "SIGINT",
        Signal::TERM => "SIGTERM",
        _ => "SIGHUP",
    }
}

/// Asserts that `signal` ended the client cleanly, with totals that begin with `totals`.
#[track_caller]
fn assert_interrupted(client: Client, signal: Signal, totals: &str) {
    let ended = end_with_input_open(client);
    let line = format!("resound: interrupted by {}: {totals}", name(signal));
    assert!(ended.stderr.starts_with(&line) && ended.stderr.lines().count() == 1, "{ended:?}");
    assert_eq!(ended.code, Some(130));
}

/// Keeps the input open: its end would end the client too.
fn end_with_input_open(mut client: Client) -> Ended {
    let stdin = client.child.stdin.take();
    let ended = client.end();
    drop(stdin);
    ended
}

/// A client with pipes for standard input and output.
fn start(args: &[&str]) -> Client {
    Client::start(command(args).stdin(Stdio::piped()).stdout(Stdio::piped()))
}

/// A server that only reports each connection to the test.
fn announcing() -> (String, mpsc::Receiver<()>) {
    let (came, coming) = mpsc::channel();
    let addr = serve(move |stream| {
        came.send(()).unwrap();
        peers::silent(stream)
    });
    (addr, coming)
}

#[test]
fn a_signal_ends_a_client_that_waits_for_its_input() {
    for signal in STOPS {
        for (args, totals) in [(&[][..], "0 bytes sent, "), (&["--reconnect"], "0 messages on ")] {
            let (addr, coming) = announcing();
            let client = start(&[args, &[&addr]].concat());
            coming.recv().unwrap();
            kill(&client.child, signal);
            assert_interrupted(client, signal, totals);
        }
    }
}

#[test]
fn a_signal_ends_a_client_that_waits_for_an_echo() {
    let totals = "6 bytes sent, 0 bytes received";
    let of_lines = &*format!("1 message on 1 connection: {totals}");
    for (args, totals) in [(&["-W", LONG][..], totals), (&["-W", LONG, "--reconnect"], of_lines)] {
        for signal in STOPS {
            let (came, coming) = mpsc::channel();
            let addr = serve(move |stream| {
                (&stream).read_exact(&mut [0; 6])?;
                came.send(()).unwrap();
                peers::silent(stream)
            });
            let client = start(&[args, &[&addr]].concat());
            client.child.stdin.as_ref().unwrap().write_all(b"hello\n").unwrap();
            coming.recv().unwrap();
            kill(&client.child, signal);
            assert_interrupted(client, signal, totals);
        }
    }
}

#[test]
fn a_signal_ends_a_client_whose_output_blocks() {
    for args in [&[][..], &["--reconnect"]] {
        for signal in STOPS {
            let (reader, writer) = io::pipe().unwrap();
            let addr = serve(peers::faithful);
            let mut command = command(&[args, &[&addr]].concat());
            let mut client = Client::start(command.stdin(Stdio::piped()).stdout(writer));
            drop(command);
            let mut stdin = client.child.stdin.take().unwrap();
            thread::spawn(move || while stdin.write_all(b"a line of some length\n").is_ok() {});
            while ioctl_fionread(&reader).unwrap() < 60_000 {
                thread::yield_now();
            }
            kill(&client.child, signal);
            let ended = client.end();
            let line = format!("resound: interrupted by {}: ", name(signal));
            assert_eq!(ended.code, Some(130), "{ended:?}");
            assert!(ended.stderr.starts_with(&line), "{ended:?}");
        }
    }
}

#[test]
fn what_came_before_the_signal_is_written() {
    let mut client =
        spawn(command(&[&serve(peers::faithful)]).stdin(Stdio::piped()).stdout(Stdio::piped()));
    client.stdin.as_ref().unwrap().write_all(b"hello").unwrap();
    client.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    kill(&client, Signal::TERM);
    assert_interrupted(Client::collect(client), Signal::TERM, "5 bytes sent, 5 bytes received");
}

/// The server keeps the connection, so the client still waits for it to close.
#[test]
fn a_signal_ends_a_client_that_has_everything_back_without_an_error() {
    // With `--reconnect`, only the connection before the first line is shut down at the very end of the input.
    for (args, text) in [(&[][..], &b"hello\n"[..]), (&["--reconnect"], b"")] {
        let (ended, end) = mpsc::channel();
        let addr = serve(move |stream| {
            peers::faithful(stream.try_clone()?)?;
            ended.send(()).unwrap();
            peers::silent(stream)
        });
        let mut command = command(&[args, &[&addr]].concat());
        let mut child = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        child.stdin.as_ref().unwrap().write_all(text).unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut vec![0; text.len()]).unwrap();
        drop(child.stdin.take());
        end.recv().unwrap();
        kill(&child, Signal::TERM);
        Client::collect(child).end().assert_fine(b"");
    }
}

/// The server's accept queue is full, so the client gets no answer.
#[test]
fn a_signal_ends_a_client_that_connects() {
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let listener = TcpListener::from(listener);
    let addr = listener.local_addr().unwrap();
    let _fill: Vec<_> = (0..3)
        .map(|_| std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(200)))
        .collect();
    for args in [&["-W", LONG][..], &["-W", LONG, "--reconnect"]] {
        for signal in STOPS {
            let client = start(&[args, &["-v", &addr.to_string()]].concat());
            kill_once_caught(&client.child, signal);
            let ended = end_with_input_open(client);
            assert_eq!(ended.code, Some(130), "{ended:?}");
            let last = ended.stderr.lines().last().unwrap_or_default();
            let line = format!("resound: interrupted by {}", name(signal));
            assert!(last.starts_with(&line), "{ended:?}");
        }
    }
}

/// Sends the signal once the client catches it: proc_pid_status(5).
fn kill_once_caught(child: &Child, signal: Signal) {
    let catches = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (signal.as_raw() - 1)) != 0
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while !catches() {
        assert!(Instant::now() < deadline, "the client never watches for signals");
        thread::yield_now();
    }
    kill(child, signal);
}

#[test]
fn sigquit_shows_how_things_stand_and_goes_on() {
    let cases = [
        (&[][..], "6 bytes sent, 6 bytes received\n"),
        (&["--reconnect"], "1 message on 1 connection: 6 bytes sent, 6 bytes received\n"),
    ];
    for (args, line) in cases {
        let addr = serve(peers::faithful);
        let (mut child, mut stdin, mut stdout) = spawn_piped(&[args, &[&addr]].concat());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stdin.write_all(b"hello\n").unwrap();
        stdout.read_exact(&mut [0; 6]).unwrap();
        kill(&child, Signal::QUIT);
        let mut status = String::new();
        stderr.read_line(&mut status).unwrap();
        assert_eq!(status, line);
        stdin.write_all(b"again\n").unwrap();
        stdout.read_exact(&mut [0; 6]).unwrap();
        drop(stdin);
        Client::collect(child).end().assert_fine(b"");
    }
}

/// nohup(1) starts programs so.
#[test]
fn a_client_that_starts_with_sighup_ignored_goes_on_after_it() {
    let addr = serve(peers::faithful);
    let script = format!("trap '' HUP; exec {} connect {addr}", env!("CARGO_BIN_EXE_resound"));
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = spawn(command.stderr(Stdio::piped()).process_group(0));
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    for _ in 0..2 {
        stdin.write_all(b"hello\n").unwrap();
        stdout.read_exact(&mut [0; 6]).unwrap();
        kill(&child, Signal::HUP);
    }
    drop(stdin);
    Client::collect(child).end().assert_fine(b"");
}

/// The client stands still for longer than `-W`, and the echo comes in time after that.
#[test]
fn a_client_that_was_stopped_does_not_blame_the_server() {
    let both = [&["-W", "1s"][..], &["-W", "1s", "--reconnect"]];
    let stopped: Vec<_> = both.map(|args| thread::spawn(move || stop_for_long(args))).into();
    stopped.into_iter().for_each(|both| both.join().unwrap());
}

fn stop_for_long(args: &[&str]) {
    let (came, coming) = mpsc::channel();
    let (go, gate) = mpsc::channel();
    let addr = serve(move |stream| {
        let mut message = [0; 6];
        (&stream).read_exact(&mut message)?;
        came.send(()).unwrap();
        gate.recv().unwrap();
        (&stream).write_all(&message)?;
        peers::faithful(stream)
    });
    let client = start(&[args, &[&addr]].concat());
    client.child.stdin.as_ref().unwrap().write_all(b"hello\n").unwrap();
    coming.recv().unwrap();
    kill(&client.child, Signal::STOP);
    let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(Pid::from_child(&client.child)), stopped).unwrap();
    // This is longer than the timeout.
    thread::sleep(Duration::from_millis(1500));
    kill(&client.child, Signal::CONT);
    // The echo is not there yet when the client looks.
    wait_until_asleep(&client.child);
    go.send(()).unwrap();
    client.end().assert_fine(b"hello\n");
}

/// The input ends before the client connects.
#[test]
fn an_empty_input_is_no_failure() {
    let null = || File::open("/dev/null").unwrap();
    for args in [&[][..], &["--reconnect"]] {
        let mut command = command(&[args, &[&serve(peers::faithful)]].concat());
        Client::start(command.stdin(null()).stdout(Stdio::piped())).end().assert_fine(b"");
    }
}
