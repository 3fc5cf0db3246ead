//! Faults that are faults by their mass, for which a debug build has no time. The numbers are those of the
//! project's list of faults.

use std::io;
use std::net::Shutdown;
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Socket, Type};

use crate::bystander::Bystander;
use crate::cost::{connect_with, figure, fill, raise_descriptor_limit};
use crate::pattern::{MIB, assert_same, pattern};
use crate::server::{Server, eventually};
use crate::wire;

/// The limit where nobody says otherwise, and what the allocator may need to keep as much as it allows.
const MAX_HELD_KIB: usize = (64 + 8) << 10;

/// FAULTS 21. Each of them would send a mebibyte. What they take of the kernel's memory for TCP is kept small
/// by buffers as small as it allows at their ends; those at the server's end are its own affair. Failed when
/// reads were as large as the buffer, however much was pending, when nobody was closed at the stall timeout,
/// and when the memory that the closed had held was not given back.
///
/// The allocator does not give the heap of such a mass back to the system, since some small piece lies at its
/// end; it is for the next mass to use. One of them takes half of the limit and a little more, so three that
/// each left theirs behind would exceed it.
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
    figure("KiB at the most for 10,000 that never read, thrice", format_args!("{grown:?}"));
    assert!(grown[0] > MAX_HELD_KIB / 3, "three that stay would go unnoticed");
    assert!(grown[2] <= MAX_HELD_KIB);
    bystander.expect_idle(&server);
    assert!(server.stop().contains("30000 timed out"));
}

/// A mass sends what it can, until all of them are closed.
fn send_and_never_read(server: &Server) {
    const STUCK: usize = 10_000;
    // Ports of one address: Linux gives out 28,000 where nobody says otherwise.
    const PER_SOURCE: usize = 5000;
    let small = |number: usize| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(1).unwrap();
        socket.set_send_buffer_size(1).unwrap();
        connect_with(socket, 2 + number / PER_SOURCE, server.addr())
    };
    let mut stuck: Vec<_> = (0..STUCK).map(small).collect();
    let bytes = wire::pattern(1, 1 << 20);
    // Those who never read learn by sending on that they were closed.
    eventually(|| {
        stuck.retain(|stream| fill(stream, &bytes).is_ok());
        stuck.is_empty().then_some(())
    });
}

/// FAULTS 22. A gibibyte is sent, and nothing is read until the server takes no more. Failed when the server
/// read on while bytes were pending, and when it did not read on once they had been taken.
#[test]
fn a_gibibyte_sent_before_the_first_read_comes_back_in_little_memory() {
    const MAX_GROWN_KIB: usize = 1024;
    // Whoever could not send for so long is held back.
    const HELD_BACK: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
    let server = Server::start(&[]);
    let bystander = Bystander::beside(&server);
    let at_start = server.status_kib("VmRSS");
    let stream = server.connect();
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            io::copy(&mut pattern(1024 * MIB), &mut &stream).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let could_send = || poll(&mut [PollFd::new(&stream, PollFlags::OUT)], Some(&HELD_BACK));
        while !sender.is_finished() && could_send().unwrap() > 0 {
            thread::yield_now();
        }
        assert!(!sender.is_finished(), "the server took all of it without end");
        assert_same(&stream, pattern(1024 * MIB));
    });
    let grown = server.status_kib("VmHWM") - at_start;
    figure("KiB at the most for a gibibyte before the first read", grown);
    assert!(grown <= MAX_GROWN_KIB);
    drop(stream);
    bystander.expect_all_as_before(&server);
}
