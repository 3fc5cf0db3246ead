//! Faults that take very many connections or bytes, for which a debug build is too slow.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::bystander::Bystander;
use crate::cost::figure;
use crate::long_stream::{MIB, assert_same, long_stream};
use crate::many::{fill, raise_descriptor_limit};
use crate::server::{Server, eventually};
use crate::wire::{self, connect_socket, tcp_socket};

/// The default of `--pending-limit`, and what the allocator needs beside it.
const MAX_HELD_KIB: usize = (64 + 8) << 10;

/// Each peer tries to send a mebibyte. Small buffers at the peers' end keep the kernel's memory for TCP small.
/// Failed when the server read a full buffer, however much was pending; when the stall timeout closed no
/// connection; and when closed connections kept their memory.
///
/// The allocator does not return the heap of that many connections to the system, because small blocks lie at its
/// end. The next connections use it. One group of peers takes a little more than half of the limit, so three
/// groups that each left theirs behind would exceed the limit.
#[test]
fn ten_thousand_peers_that_never_read_stay_within_the_limit_and_are_closed() {
    raise_descriptor_limit();
    let server = Server::start(&["--stall-timeout", "5s"]);
    let bystander = Bystander::beside(&server);
    let at_start = server.status_kib("VmRSS");
    let grown = [(); 3].map(|()| {
        send_and_never_read(&server);
        server.status_kib("VmHWM") - at_start
    });
    figure("peak KiB with 10,000 peers that never read, three times", format_args!("{grown:?}"));
    assert!(grown[0] > MAX_HELD_KIB / 3, "a leak of three groups would not exceed the limit");
    assert!(grown[2] <= MAX_HELD_KIB);
    bystander.expect_idle(&server);
    assert!(server.stop().contains("30,000 timed out"));
}

/// 10,000 peers send as much as they can, until the server has closed all of them.
fn send_and_never_read(server: &Server) {
    const STUCK: usize = 10_000;
    // Linux gives each source address 28,000 ports by default.
    const PER_SOURCE: usize = 5000;
    let addr = server.addr().parse().unwrap();
    let connect = |number: usize| -> TcpStream {
        let socket = tcp_socket(&addr);
        // The kernel raises these to its minimum.
        socket.set_recv_buffer_size(1).unwrap();
        socket.set_send_buffer_size(1).unwrap();
        let host = 2 + (number / PER_SOURCE) as u8;
        socket.bind(&SocketAddr::from(([127, 0, 0, host], 0)).into()).unwrap();
        connect_socket(socket, addr)
    };
    let mut stuck: Vec<_> = (0..STUCK).map(connect).collect();
    let bytes = wire::pattern(1, 1 << 20);
    // A peer that never reads finds out that it was closed when a write fails.
    eventually(|| {
        stuck.retain(|stream| fill(stream, &bytes).is_ok());
        stuck.is_empty().then_some(())
    });
}

/// A client sends a gibibyte and reads nothing until the server takes no more. Failed when the server read while
/// bytes were pending, and when it did not read again after the peer had taken them.
#[test]
fn a_gibibyte_sent_before_the_first_read_comes_back_in_little_memory() {
    const MAX_GROWN_KIB: usize = 1024;
    // A client that cannot send for this long is held back.
    const HELD_BACK: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
    let server = Server::start(&[]);
    let bystander = Bystander::beside(&server);
    let at_start = server.status_kib("VmRSS");
    let stream = server.connect();
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            io::copy(&mut long_stream(1024 * MIB), &mut &stream).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let could_send = || poll(&mut [PollFd::new(&stream, PollFlags::OUT)], Some(&HELD_BACK));
        while !sender.is_finished() && could_send().unwrap() > 0 {
            thread::yield_now();
        }
        assert!(!sender.is_finished(), "the server took all of it, without back-pressure");
        assert_same(&stream, long_stream(1024 * MIB));
    });
    let grown = server.status_kib("VmHWM") - at_start;
    figure("peak growth in KiB for a gibibyte before the first read", grown);
    assert!(grown <= MAX_GROWN_KIB);
    drop(stream);
    bystander.expect_all_as_before(&server);
}
