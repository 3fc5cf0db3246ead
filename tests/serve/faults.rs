//! What peers, and whoever stops the server, can do to a connection. The numbers are those of the project's
//! list of faults.

use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::io::{Errno, ioctl_fionread};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::bystander::Bystander;
use crate::server::{Server, connect_unix, eventually};
use crate::shutdown::connect_with_little_room;
use crate::wire::{echo_of, expect_closed, expect_echo, expect_end, pattern, reset, stuff};

const MIB: usize = 1 << 20;

/// A prime, so that no buffer between the ends is a whole number of blocks, nor the other way round.
const BLOCK_BYTES: usize = 1_048_573;

/// FAULTS 1. Failed when a read of a single byte was taken for the end.
#[test]
fn one_byte_at_a_time_comes_back() {
    let server = Server::start(&[]);
    let bystander = Bystander::beside(&server);
    let stream = server.connect();
    let bytes = pattern(9, 5000);
    let mut writer = stream.try_clone().unwrap();
    let sent = bytes.clone();
    let sender = thread::spawn(move || {
        sent.chunks(1).for_each(|byte| writer.write_all(byte).unwrap());
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut echo = Vec::new();
    (&stream).read_to_end(&mut echo).unwrap();
    sender.join().unwrap();
    assert!(echo == bytes);
    // Nor does it help the server when the byte before has long been echoed.
    let stream = server.connect();
    bytes.chunks(1).for_each(|byte| expect_echo(&stream, byte));
    drop(stream);
    bystander.expect_all_as_before(&server);
}

/// FAULTS 2. Failed when what a write took was not counted off what is pending, and when all of a read was
/// kept although a part of it was written.
#[test]
fn partial_writes_keep_the_order_and_repeat_nothing() {
    let mut server = Server::start(&["-vv"]);
    let bystander = Bystander::beside(&server);
    let stream = connect_with_little_room(&server);
    let bytes = pattern(10, 16 * MIB);
    server.pause();
    let sent = stuff(&stream, &bytes);
    stream.shutdown(Shutdown::Write).unwrap();
    server.resume();
    // A reader that is late: only then are the writes cut short.
    server.expect_line("takes no more for now");
    let mut echo = Vec::new();
    (&stream).read_to_end(&mut echo).unwrap();
    assert!(echo == bytes[..sent]);
    server.expect_line(&format!("{}: closed: all echoed", stream.local_addr().unwrap()));
    let is_partial = |pair: &[String]| match (moved(&pair[0], "read"), moved(&pair[1], "wrote")) {
        (Some(read), Some(wrote)) => wrote < read,
        _ => false,
    };
    assert!(server.log().windows(2).any(is_partial), "no write was partial: this shows nothing");
    bystander.expect_all_as_before(&server);
}

/// How many bytes a line of the log tells of, if it tells of such a call.
fn moved(line: &str, call: &str) -> Option<usize> {
    let (_, rest) = line.split_once(&format!(": {call} "))?;
    rest.strip_suffix(" bytes")?.parse().ok()
}

/// FAULTS 5. Bytes and the end are there before the server looks. Failed when an event that tells of an end
/// closed the connection.
#[test]
fn bytes_and_end_in_one_event() {
    let server = Server::start(&[]);
    let bystander = Bystander::beside(&server);
    for _ in 0..20 {
        let stream = server.connect();
        expect_echo(&stream, b"established");
        server.pause();
        (&stream).write_all(b"last words").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        server.resume();
        let mut echo = Vec::new();
        (&stream).read_to_end(&mut echo).unwrap();
        assert_eq!(echo, b"last words");
    }
    bystander.expect_all_as_before(&server);
}

/// FAULTS 6, and in small 22. Nothing is read until the server has stopped taking; then all of it is, up to
/// the end. Failed when an event that tells of an end closed the connection, when the server read on while
/// bytes were pending, and when it did not read on once they had been taken.
#[test]
fn a_half_closed_peer_gets_all_100_mib() {
    let server = Server::start(&[]);
    let bystander = Bystander::beside(&server);
    let bytes = pattern(3, BLOCK_BYTES).repeat(100);
    let stream = server.connect();
    let sent = stuff(&stream, &bytes);
    assert!(sent < bytes.len(), "the server took {sent} bytes without end");
    let rest = bytes[sent..].to_vec();
    stream.set_write_timeout(None).unwrap();
    assert!(echo_of(stream, rest) == bytes);
    bystander.expect_all_as_before(&server);
}

/// FAULTS 7. Failed when a connection that would take no more was tried again at once, and when nobody was
/// closed at the stall timeout.
#[test]
fn a_half_closed_peer_that_never_reads_costs_no_processor_time_and_is_closed() {
    let mut server = Server::start(&["-v", "--stall-timeout", "2s"]);
    let bystander = Bystander::beside(&server);
    let (stuck, idle) = (server.connect(), server.connect());
    stuff(&stuck, &pattern(1, 32 * MIB));
    stuck.shutdown(Shutdown::Write).unwrap();
    let before = server.cpu_time();
    thread::sleep(Duration::from_secs(1)); // The time over which the processor is watched.
    let used = server.cpu_time() - before;
    // The bystander alone takes 6 ms.
    assert!(used < Duration::from_millis(40), "{used:?} in a second, beside a bystander");
    server.expect_line("closed: took nothing for --stall-timeout");
    // Being idle is not being stuck.
    expect_echo(&idle, b"hello");
    drop((stuck, idle));
    bystander.expect_all_as_before(&server);
    assert!(server.stop().contains("1 timed out"));
}

/// FAULTS 8. A read stops short at an urgent mark, with more bytes behind it that no edge announces. Failed
/// when a short read was taken to have emptied the socket, whatever the event had told.
#[test]
fn an_urgent_byte_does_not_stall_what_follows() {
    let server = Server::start(&[]);
    let bystander = Bystander::beside(&server);
    let stream = server.connect();
    expect_echo(&stream, b"established");
    for _ in 0..20 {
        server.pause();
        (&stream).write_all(b"before").unwrap();
        socket2::SockRef::from(&stream).send_out_of_band(b"!").unwrap();
        (&stream).write_all(b"behind").unwrap();
        server.resume();
        let mut echo = [0; 12];
        (&stream).read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"beforebehind");
    }
    drop(stream);
    bystander.expect_all_as_before(&server);
}

/// FAULTS 9. A read of a Unix socket stops short where a descriptor was passed, with more bytes behind it
/// that no edge announces. Failed when a short read of any socket was taken to have emptied it.
#[test]
fn passed_descriptors_cause_no_stall_and_are_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let unix = format!("unix:{}", path.display());
    let server = Server::start_at(&["127.0.0.1:0", &unix], &[]);
    let bystander = Bystander::beside(&server);
    let stream = connect_unix(&path);
    expect_echo(&stream, b"established");
    for _ in 0..20 {
        let (mut reader, writer) = io::pipe().unwrap();
        server.pause();
        (&stream).write_all(b"before").unwrap();
        if !pass(&stream, b"with", writer.into()) {
            (&stream).write_all(b"with").unwrap();
        }
        (&stream).write_all(b"behind").unwrap();
        server.resume();
        // All of it comes without any of it being read: that would be an event, and hide a stall.
        eventually(|| (ioctl_fionread(&stream).unwrap() >= 16).then_some(()));
        let mut echo = [0; 16];
        (&stream).read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"beforewithbehind");
        // The pipe ends where nobody has its other end any more.
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }
    stream.shutdown(Shutdown::Write).unwrap();
    expect_end(&stream);
    bystander.expect_all_as_before(&server);
}

/// Sends bytes with a descriptor, and lets go of it. Returns whether it was taken: from Linux 6.16 on, the
/// server has the kernel refuse it, and the bytes too.
fn pass(stream: &UnixStream, bytes: &[u8], descriptor: OwnedFd) -> bool {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    match sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()) {
        Err(Errno::PERM) => false,
        sent => sent.unwrap() == bytes.len(),
    }
}

/// FAULTS 10. Resets, in the middle of an echo and with a megabyte queued both ways, end nothing but
/// themselves. Failed when a connection that had failed was kept.
#[test]
fn a_reset_frees_what_the_connection_held() {
    let mut server = Server::start(&["-v"]);
    let bystander = Bystander::beside(&server);
    let much = pattern(6, BLOCK_BYTES).repeat(64);
    for i in 0..20 {
        let stream = server.connect();
        expect_echo(&stream, b"hello");
        if i % 2 == 0 {
            assert!(stuff(&stream, &much) > 2 * MIB);
        } else {
            (&stream).write_all(&pattern(i, 100_000)).unwrap();
            (&stream).read_exact(&mut [0; 1000]).unwrap();
        }
        reset(stream);
        server.expect_line("closed: ");
    }
    bystander.expect_all_as_before(&server);
    assert!(server.stop().contains("20 reset"));
}

/// FAULTS 11. The peer is gone when its echo is written. Failed when an error of one connection
/// ended the server.
#[test]
fn a_write_after_the_peer_has_gone_ends_that_connection_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let unix = format!("unix:{}", path.display());
    let mut server = Server::start_at(&["127.0.0.1:0", &unix], &["-v"]);
    let bystander = Bystander::beside(&server);
    for _ in 0..10 {
        let (tcp, unix) = (server.connect(), UnixStream::connect(&path).unwrap());
        expect_echo(&tcp, b"hello");
        expect_echo(&unix, b"hello");
        server.pause();
        (&unix).write_all(b"echo this").unwrap();
        drop(unix);
        (&tcp).write_all(b"echo this").unwrap();
        // A reset after the end makes the write fail, and not the read.
        tcp.shutdown(Shutdown::Write).unwrap();
        reset(tcp);
        server.resume();
        server.expect_line("closed: broken pipe");
        server.expect_line("closed: broken pipe");
    }
    bystander.expect_all_as_before(&server);
    assert!(server.stop().contains("20 reset"));
}

/// FAULTS 12. Some end and others come while the server does not look: one batch tells of both, and who comes
/// gets the slot, and the descriptor, of who ended. Failed when whoever ended was, by his token, closed
/// once more at the end of the batch.
#[test]
fn a_connection_that_takes_over_a_slot_is_served() {
    let server = Server::start(&[]);
    let bystander = Bystander::beside(&server);
    let mut old: Vec<_> = (0..60).map(|_| server.connect()).collect();
    old.iter().for_each(|stream| expect_echo(stream, b"established"));
    let descriptors = server.descriptors();
    for round in 0..10 {
        server.pause();
        let kept = old.split_off(30);
        let replace = |(i, ended): (usize, TcpStream)| {
            if i % 2 == 0 {
                drop(ended)
            } else {
                reset(ended)
            }
            let stream = server.connect();
            (&stream).write_all(&pattern(i + round, 100)).unwrap();
            stream
        };
        let new: Vec<_> = old.into_iter().enumerate().map(replace).collect();
        server.resume();
        for (i, mut stream) in new.iter().enumerate() {
            let mut echo = [0; 100];
            stream.read_exact(&mut echo).unwrap();
            assert!(echo[..] == pattern(i + round, 100), "connection {i}, round {round}");
        }
        old = kept.into_iter().chain(new).collect();
        old.iter().for_each(|stream| expect_echo(stream, b"still there"));
        assert_eq!(server.descriptors(), descriptors);
    }
    drop(old);
    bystander.expect_all_as_before(&server);
}

/// FAULTS 41. It is not held against them when what they say comes some time after. Failed when the time until the
/// server meant to look at them counted, although it was stopped by then.
#[test]
fn time_during_which_the_server_is_stopped_is_not_idle_time() {
    let server = Server::start(&["--idle-timeout", "1s"]);
    let streams: Vec<_> = (0..20).map(|_| server.connect()).collect();
    streams.iter().for_each(|stream| expect_echo(stream, b"before"));
    server.pause();
    thread::sleep(Duration::from_millis(1500)); // The fault itself.
    server.resume();
    thread::sleep(Duration::from_millis(300)); // They have nothing to say yet.
    streams.iter().for_each(|stream| expect_echo(stream, b"after"));
    streams.iter().for_each(expect_closed);
    assert!(server.stop().contains("20 timed out"));
}

/// FAULTS 37. Whoever was silent, or took nothing, because the server stood still is not timed out for it.
/// Failed when the server's clock went on meanwhile.
#[test]
fn a_server_that_was_stopped_times_out_no_peer() {
    let server = Server::start(&["--idle-timeout", "2s", "--stall-timeout", "2s"]);
    let streams: Vec<_> = (0..50).map(|_| server.connect()).collect();
    let late = server.connect();
    let bytes = pattern(1, 32 * MIB);
    let sent = stuff(&late, &bytes);
    streams.iter().for_each(|stream| expect_echo(stream, b"before"));
    server.pause();
    thread::sleep(Duration::from_secs(5)); // The fault itself.
    server.resume();
    streams.iter().for_each(|stream| expect_echo(stream, b"after"));
    let mut echo = vec![0; sent];
    (&late).read_exact(&mut echo).unwrap();
    assert!(echo == bytes[..sent]);
    // And still, whoever is silent while the server listens is closed.
    streams.iter().for_each(expect_closed);
}
