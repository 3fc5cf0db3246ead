//! Streams with pipes, files and sockets as standard input and output.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::net::UnixListener;
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, kill_process};

use super::long_stream::{MIB, MUCH, assert_same, long_stream};
use super::peers::{self, serve};
use super::piped::{Client, command, run, spawn, spawn_piped, wait_until_asleep};

/// The most memory that a client may use, in KiB, however much it streams: without its program.
const MAX_CLIENT_KIB: u64 = 4 * 1024;

/// The most memory that the client has used, in KiB, without the pages of its program, which grows with what it can do.
fn peak_kib(client: &Client) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", client.child.id())).unwrap();
    let kib = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    kib("VmHWM:") - kib("RssFile:")
}

#[test]
fn the_echo_of_a_pipe_is_what_went_in() {
    let text = "one\nbye\nGrüße\0\x1b, no line break at the end";
    run(&[&serve(peers::faithful)], text.as_bytes()).assert_fine(text.as_bytes());
}

#[test]
fn each_byte_passes_as_soon_as_it_comes() {
    let (child, mut stdin, mut stdout) = spawn_piped(&[&serve(peers::faithful)]);
    for byte in *b"no line break" {
        stdin.write_all(&[byte]).unwrap();
        let mut echo = [0];
        stdout.read_exact(&mut echo).unwrap();
        assert_eq!(echo, [byte]);
    }
    drop(stdin);
    Client::collect(child).end().assert_fine(b"");
}

#[test]
fn a_long_stream_passes_whole_and_in_little_memory() {
    let (child, mut stdin, mut stdout) = spawn_piped(&[&serve(peers::faithful)]);
    let writer = thread::spawn(move || {
        io::copy(&mut long_stream(MUCH), &mut stdin).unwrap();
        stdin
    });
    assert_same((&mut stdout).take(MUCH), long_stream(MUCH));
    let client = Client::collect(child);
    let peak = peak_kib(&client);
    assert!(peak <= MAX_CLIENT_KIB, "{peak} KiB");
    drop(writer.join().unwrap());
    client.end().assert_fine(b"");
}

#[test]
fn a_reader_that_pauses_holds_the_client_back() {
    let (child, stdin, stdout) = spawn_piped(&[&serve(peers::faithful)]);
    let rest = write_until_held_back(&stdin, long_stream(MUCH));
    let client = Client::collect(child);
    let peak = peak_kib(&client);
    assert!(peak <= MAX_CLIENT_KIB, "{peak} KiB");
    let writer = write_all(stdin, rest);
    assert_same(stdout, long_stream(MUCH));
    writer.join().unwrap();
    client.end().assert_fine(b"");
}

#[test]
fn the_timeout_does_not_run_while_the_reader_pauses() {
    // More than the client and the pipe hold, and less than the sockets hold. So nothing moves in the pause.
    const SOME: u64 = 256 * 1024;
    let (child, stdin, stdout) = spawn_piped(&["-W", "500ms", &serve(peers::faithful)]);
    write_all(stdin, long_stream(SOME)).join().unwrap();
    // This pause is longer than the timeout.
    thread::sleep(Duration::from_secs(1));
    assert_same(stdout, long_stream(SOME));
    Client::collect(child).end().assert_fine(b"");
}

#[test]
fn a_server_that_pauses_holds_the_client_back() {
    let (go, gate) = mpsc::channel::<()>();
    let addr = serve(move |stream| {
        let _ = gate.recv();
        peers::faithful(stream)
    });
    let (child, stdin, stdout) = spawn_piped(&[&addr]);
    let rest = write_until_held_back(&stdin, long_stream(MUCH));
    let client = Client::collect(child);
    let peak = peak_kib(&client);
    assert!(peak <= MAX_CLIENT_KIB, "{peak} KiB");
    go.send(()).unwrap();
    let writer = write_all(stdin, rest);
    assert_same(stdout, long_stream(MUCH));
    writer.join().unwrap();
    client.end().assert_fine(b"");
}

/// Writes until the pipe takes no byte for a while. Returns the bytes that are left.
fn write_until_held_back<R: Read>(mut pipe: &ChildStdin, mut bytes: R) -> R {
    // A pipe that takes any byte takes this many: pipe(7), `PIPE_BUF`.
    let mut few = [0; 4096];
    while is_writable_soon(pipe) {
        bytes.read_exact(&mut few).expect("something holds the writer back");
        pipe.write_all(&few).unwrap();
    }
    bytes
}

fn is_writable_soon(pipe: &ChildStdin) -> bool {
    let soon = Timespec { tv_sec: 0, tv_nsec: 300_000_000 };
    poll(&mut [PollFd::new(pipe, PollFlags::OUT)], Some(&soon)).unwrap() > 0
}

fn write_all(mut pipe: ChildStdin, mut bytes: impl Read + Send + 'static) -> JoinHandle<u64> {
    thread::spawn(move || io::copy(&mut bytes, &mut pipe).unwrap())
}

/// Both ends are always ready, and nothing comes from the server. So no event wakes the client: it must requeue itself.
#[test]
fn a_file_is_sent_to_its_end_even_if_nothing_comes_back_before() {
    let mut input = tempfile::tempfile().unwrap();
    io::copy(&mut long_stream(9 * MIB), &mut input).unwrap();
    input.rewind().unwrap();
    let mut command = command(&["-W", "3600s", &serve(peers::waiting_for_the_end)]);
    let mut child = spawn(command.stdin(input).stdout(Stdio::piped()));
    let stdout = child.stdout.take().unwrap();
    assert_same(stdout, long_stream(9 * MIB));
    Client::collect(child).end().assert_fine(b"");
}

#[test]
fn the_last_bytes_are_written_even_if_the_output_was_full() {
    // What a pipe holds: pipe(7). The client holds the rest.
    const PIPE_BYTES: u64 = 64 * 1024;
    let mut input = tempfile::tempfile().unwrap();
    io::copy(&mut long_stream(PIPE_BYTES + 1000), &mut input).unwrap();
    input.rewind().unwrap();
    let mut command = command(&[&serve(peers::faithful)]);
    let mut child = spawn(command.stdin(input).stdout(Stdio::piped()));
    let stdout = child.stdout.take().unwrap();
    while ioctl_fionread(&stdout).unwrap() < PIPE_BYTES {
        thread::yield_now();
    }
    assert_same(stdout, long_stream(PIPE_BYTES + 1000));
    Client::collect(child).end().assert_fine(b"");
}

#[test]
fn files_and_devices_that_cannot_be_polled_work_too() {
    let addr = serve(peers::faithful);
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    io::copy(&mut long_stream(3 * MIB + 1), &mut File::create(&input).unwrap()).unwrap();
    let mut to_file = command(&[&addr]);
    to_file.stdin(File::open(&input).unwrap()).stdout(File::create(&output).unwrap());
    Client::start(&mut to_file).end().assert_fine(b"");
    assert_same(File::open(&output).unwrap(), File::open(&input).unwrap());

    let mut to_pipe = command(&[&addr]);
    let ended =
        Client::start(to_pipe.stdin(File::open(&input).unwrap()).stdout(Stdio::piped())).end();
    ended.assert_fine(&fs::read(&input).unwrap());

    let mut nothing = command(&[&addr]);
    nothing.stdin(Stdio::null()).stdout(Stdio::piped());
    Client::start(&mut nothing).end().assert_fine(b"");
}

#[test]
fn a_unix_socket_is_an_address_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        io::copy(&mut &stream, &mut &stream).unwrap();
    });
    let addr = format!("unix:{}", path.display());
    run(&[&addr], &b"hello"[..]).assert_fine(b"hello");
}

#[test]
fn the_timeout_does_not_run_while_the_input_pauses() {
    let mut command = command(&["-W", "500ms", &serve(peers::faithful)]);
    let mut client = Client::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut stdin = client.child.stdin.take().unwrap();
    stdin.write_all(b"one").unwrap();
    // This pause is longer than the timeout.
    thread::sleep(Duration::from_secs(1));
    // The signals wake the client, although nothing has moved.
    let pid = Pid::from_child(&client.child);
    kill_process(pid, Signal::STOP).unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    wait_until_asleep(&client.child);
    stdin.write_all(b"two").unwrap();
    drop(stdin);
    client.end().assert_fine(b"onetwo");
}
