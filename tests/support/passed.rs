//! Descriptors that a client passes over a Unix socket.

use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::cmsg_space;
use rustix::io::{Errno, ioctl_fionread};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::server::{Server, eventually};
use crate::wire::expect_bytes;

/// How often a client passes a descriptor.
pub const ROUNDS: usize = 20;

/// Passes descriptors in the middle of messages, while the server is stopped. Expects that each message comes back
/// whole, and that the server holds no descriptor. Returns how many descriptors the kernel took.
#[track_caller]
pub fn pass_descriptors(server: &Server, stream: &UnixStream) -> usize {
    (0..ROUNDS).filter(|_| pass_one(server, stream)).count()
}

#[track_caller]
fn pass_one(server: &Server, mut stream: &UnixStream) -> bool {
    let (mut reader, writer) = io::pipe().unwrap();
    server.pause();
    stream.write_all(b"before").unwrap();
    let is_passed = pass(stream, b"with", writer.into());
    if !is_passed {
        stream.write_all(b"with").unwrap();
    }
    stream.write_all(b"behind").unwrap();
    server.resume();
    // The client reads nothing until all has arrived. A read makes room, and that event would hide a stall.
    eventually(|| (ioctl_fionread(stream).unwrap() >= 16).then_some(()));
    expect_bytes(stream, b"beforewithbehind");
    // The pipe ends, so the server does not hold its other end.
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    is_passed
}

/// Sends bytes together with a descriptor and closes the descriptor. Returns false if the kernel refuses both:
/// from Linux 6.16 on, the server asks for that.
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
