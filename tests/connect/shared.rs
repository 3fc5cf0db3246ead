//! Descriptors that other programs share. The client leaves them as they are, and copes with what others did to them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::fs::{CWD, Mode, OFlags, fcntl_getfl, fcntl_setfl, mkfifoat};
use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, kill_process};

use super::long_stream::{MIB, assert_same, long_stream};
use super::peers::{self, serve};
use super::piped::{Client, command, spawn};
use super::pty;

const BOTH: [&[&str]; 2] = [&[], &["--reconnect"]];

fn is_non_blocking(file: impl AsFd) -> bool {
    fcntl_getfl(file).unwrap().contains(OFlags::NONBLOCK)
}

fn make_non_blocking(file: impl AsFd) {
    let flags = fcntl_getfl(&file).unwrap();
    fcntl_setfl(&file, flags | OFlags::NONBLOCK).unwrap();
}

fn kill(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn file(from: impl Into<OwnedFd>) -> File {
    File::from(from.into())
}

/// The two ends of a channel. The test keeps the first, and the client gets the second.
type Ends = (File, File);

fn pipe_in() -> Ends {
    let (reader, writer) = io::pipe().unwrap();
    (file(writer), file(reader))
}

fn pipe_out() -> Ends {
    let (reader, writer) = io::pipe().unwrap();
    (file(reader), file(writer))
}

fn sockets() -> Ends {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (file(ours), file(theirs))
}

fn fifo() -> Ends {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
    let both = || File::options().read(true).write(true).open(&path).unwrap();
    (both(), both())
}

fn terminal() -> Ends {
    pty::open()
}

/// While the client uses them, and after each way to end it.
#[test]
fn shared_descriptors_of_any_kind_keep_their_flags_however_the_client_ends() {
    let addr = serve_many();
    let inputs: [fn() -> Ends; 3] = [pipe_in, sockets, fifo];
    let outputs: [fn() -> Ends; 4] = [pipe_out, sockets, fifo, terminal];
    for (i, open_input) in inputs.into_iter().enumerate() {
        for (o, open_output) in outputs.into_iter().enumerate() {
            for signal in [None, Some(Signal::TERM), Some(Signal::KILL)] {
                let ((mut source, input), (mut sink, output)) = (open_input(), open_output());
                let mut command = command(&[&addr]);
                command.stdin(input.try_clone().unwrap()).stdout(output.try_clone().unwrap());
                let client = Client::start(&mut command);
                let assert_blocking = |when: &str| {
                    let case = format!("{when}: input {i}, output {o}, {signal:?}");
                    assert!(!is_non_blocking(&input) && !is_non_blocking(&output), "{case}");
                };
                source.write_all(b"x").unwrap();
                sink.read_exact(&mut [0]).unwrap();
                assert_blocking("during");
                match signal {
                    Some(signal) => kill(&client.child, signal),
                    // A named pipe has no end while others hold it open for writing.
                    None if i == 2 => kill(&client.child, Signal::INT),
                    None => drop(source),
                }
                drop(command);
                client.end();
                assert_blocking("after");
            }
        }
    }
}

/// Serves several connections at a time, because a killed client can leave its own open for a while.
fn serve_many() -> String {
    serve(|stream| {
        thread::spawn(move || peers::faithful(stream));
        Ok(())
    })
}

/// `(sleep 1; echo later) | { timeout .5 resound connect ADDR; cat; }`
#[test]
fn after_the_client_was_killed_another_program_reads_on_as_before() {
    for args in BOTH {
        for signal in [Signal::TERM, Signal::KILL] {
            let (source, input) = pipe_in();
            let mut client_command = command(&[args, &[&serve_many()]].concat());
            client_command.stdin(input.try_clone().unwrap()).stdout(Stdio::piped());
            let mut client = spawn(&mut client_command);
            // Whole lines, because `--reconnect` sends no less.
            (&source).write_all(b"now\n").unwrap();
            client.stdout.as_mut().unwrap().read_exact(&mut [0; 4]).unwrap();
            kill(&client, signal);
            client.wait().unwrap();
            assert!(!is_non_blocking(&input), "cat(1) would not wait");
            let cat = Command::new("cat").stdin(input).stdout(Stdio::piped()).spawn().unwrap();
            (&source).write_all(b"later").unwrap();
            drop((source, client_command));
            let read = cat.wait_with_output().unwrap();
            assert_eq!((read.status.code(), &read.stdout[..]), (Some(0), &b"later"[..]));
        }
    }
}

/// Each reads what comes. The end of one does not leave the other in a read that blocks.
#[test]
fn two_clients_share_one_input() {
    let (mut source, input) = pipe_in();
    let addr = serve_many();
    let start = |input: File| {
        let mut command = command(&[&addr]);
        let mut child = spawn(command.stdin(input).stdout(Stdio::piped()));
        let stdout = child.stdout.take().unwrap();
        (child, stdout)
    };
    let (mut first, _) = start(input.try_clone().unwrap());
    let (second, mut stdout) = start(input);
    kill(&first, Signal::KILL);
    first.wait().unwrap();
    source.write_all(b"x").unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    // It handles the signal, so it is not in a read.
    kill(&second, Signal::TERM);
    let ended = Client::collect(second).end();
    assert_eq!(ended.code, Some(130), "{ended:?}");
}

/// `{ head -c 20M /dev/zero | resound connect ADDR & seq 1 200000; wait; } | slow-reader`
#[test]
fn another_program_writes_to_the_same_output_as_before() {
    let (mut sink, output) = pipe_out();
    let mut client_command = command(&[&serve(peers::faithful)]);
    client_command.stdin(Stdio::piped()).stdout(output.try_clone().unwrap());
    let mut client = Client::start(&mut client_command);
    let mut stdin = client.child.stdin.take().unwrap();
    let writer = thread::spawn(move || io::copy(&mut io::repeat(0).take(2 * MIB), &mut stdin));
    while ioctl_fionread(&sink).unwrap() < 60_000 {
        thread::yield_now();
    }
    let mut seq_command = Command::new("seq");
    let seq = Client::start(seq_command.args(["1", "20000"]).stdout(output).stderr(Stdio::piped()));
    drop((client_command, seq_command));
    let mut bytes = Vec::new();
    sink.read_to_end(&mut bytes).unwrap();
    writer.join().unwrap().unwrap();
    seq.end().assert_fine(b"");
    client.end().assert_fine(b"");
    let zeros = bytes.iter().filter(|byte| **byte == 0).count();
    assert_eq!(zeros as u64, 2 * MIB);
}

/// An earlier program in the same shell can leave it so.
#[test]
fn the_client_waits_for_an_input_that_others_made_non_blocking() {
    for args in BOTH {
        let (mut source, input) = pipe_in();
        make_non_blocking(&input);
        let mut command = command(&[args, &[&serve(peers::faithful)]].concat());
        let mut child = spawn(command.stdin(input).stdout(Stdio::piped()));
        for line in ["one\n", "two\n"] {
            source.write_all(line.as_bytes()).unwrap();
            child.stdout.as_mut().unwrap().read_exact(&mut [0; 4]).unwrap();
        }
        drop((source, command));
        Client::collect(child).end().assert_fine(b"");
    }
}

#[test]
fn an_output_that_others_made_non_blocking_gets_everything() {
    const LINE: &[u8] = &[b'x'; 1000];
    const LINES: usize = 200;
    for args in BOTH {
        let (sink, output) = pipe_out();
        make_non_blocking(&output);
        let addr = serve(peers::faithful);
        let mut command = command(&[args, &[&addr]].concat());
        let mut client = Client::start(command.stdin(Stdio::piped()).stdout(output));
        drop(command);
        let mut stdin = client.child.stdin.take().unwrap();
        let text = [LINE, b"\n"].concat().repeat(LINES);
        let sent = text.clone();
        let (full, is_full) = mpsc::channel();
        thread::spawn(move || {
            stdin.write_all(&sent).unwrap();
            full.send(()).unwrap();
        });
        // The pipe is full, and more is on its way.
        while ioctl_fionread(&sink).unwrap() < 60_000 {
            thread::yield_now();
        }
        let reader = thread::spawn(move || assert_same(sink, &text[..]));
        is_full.recv().unwrap();
        client.end().assert_fine(b"");
        reader.join().unwrap();
    }
}

#[test]
fn a_reader_that_leaves_ends_the_client_like_other_filters() {
    for args in BOTH {
        let (sink, output) = pipe_out();
        let mut command = command(&[args, &[&serve(peers::faithful)]].concat());
        let mut client = Client::start(command.stdin(Stdio::piped()).stdout(output));
        drop(command);
        let mut stdin = client.child.stdin.take().unwrap();
        stdin.write_all(b"one\n").unwrap();
        (&sink).read_exact(&mut [0; 4]).unwrap();
        drop(sink);
        // No more input comes, so the client writes no more.
        let status = client.child.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::PIPE.as_raw()), "{args:?}: {status}");
        let ended = client.end();
        assert_eq!(ended.stderr, "", "{args:?}");
    }
}

#[test]
fn a_reader_that_leaves_ends_a_client_that_waits_for_the_server() {
    for args in BOTH {
        let (arrived, arrival) = mpsc::channel();
        let addr = serve(move |stream| {
            (&stream).read_exact(&mut [0; 4])?;
            arrived.send(()).unwrap();
            peers::silent(stream)
        });
        let (sink, output) = pipe_out();
        let mut command = command(&[args, &["-W", "3600s", &addr]].concat());
        let mut client = Client::start(command.stdin(Stdio::piped()).stdout(output));
        drop(command);
        client.child.stdin.as_ref().unwrap().write_all(b"one\n").unwrap();
        arrival.recv().unwrap();
        drop(sink);
        let status = client.child.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::PIPE.as_raw()), "{args:?}: {status}");
    }
}

/// The reader can be head(1). It has what it wanted, and so has the client.
#[test]
fn a_reader_that_leaves_after_the_last_byte_is_no_failure() {
    let (keep, gate) = mpsc::channel::<()>();
    let addr = serve(move |stream| {
        peers::faithful(stream.try_clone()?)?;
        gate.recv().map_err(io::Error::other)
    });
    let (sink, output) = pipe_out();
    let mut command = command(&[&addr]);
    let mut client = Client::start(command.stdin(Stdio::piped()).stdout(output));
    drop(command);
    let mut stdin = client.child.stdin.take().unwrap();
    stdin.write_all(b"one\n").unwrap();
    drop(stdin);
    (&sink).read_exact(&mut [0; 4]).unwrap();
    drop(sink);
    client.end().assert_fine(b"");
    drop(keep);
}

#[test]
fn a_full_disk_is_reported() {
    for args in BOTH {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = command(&[args, &[&serve(peers::faithful)]].concat());
        let mut client = Client::start(command.stdin(Stdio::piped()).stdout(full));
        client.child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
        client.end().assert_failed("cannot write to standard output: no space left on device");
    }
}

#[test]
fn one_socket_can_be_both_input_and_output() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let theirs = OwnedFd::from(theirs);
    let mut command = command(&[&serve(peers::faithful)]);
    let client = Client::start(command.stdin(theirs.try_clone().unwrap()).stdout(theirs));
    drop(command);
    let writer = {
        let ours = ours.try_clone().unwrap();
        thread::spawn(move || {
            io::copy(&mut long_stream(MIB), &mut &ours).unwrap();
            ours.shutdown(std::net::Shutdown::Write).unwrap();
        })
    };
    assert_same(&ours, long_stream(MIB));
    writer.join().unwrap();
    client.end().assert_fine(b"");
}
