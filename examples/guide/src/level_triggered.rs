//! An echo server that sleeps until a socket is readable.
//!
//! The step from `busy_loop.rs`: poll(2) takes a list of sockets, and blocks until one of them has something to read. It
//! is *level-triggered*: it reports a socket each time, for as long as there is something to read.

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;

use crate::busy_loop::{is_open, non_blocking, step};

pub fn serve(listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let (mut clients, mut buffer) = (Vec::new(), [0; 256]);
    loop {
        let (may_accept, readable) = wait(&listener, &clients)?;
        let mut readable = readable.into_iter();
        clients.retain_mut(|client| {
            readable.next() == Some(false) || is_open(&step(client, &mut buffer))
        });
        if may_accept {
            match listener.accept() {
                Ok((stream, _)) => clients.extend(non_blocking(stream)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// Sleeps until something is readable. Returns whether the listener is, and for each client whether it is.
fn wait(listener: &TcpListener, clients: &[TcpStream]) -> io::Result<(bool, Vec<bool>)> {
    let mut sockets = vec![PollFd::new(listener, PollFlags::IN)];
    sockets.extend(clients.iter().map(|client| PollFd::new(client, PollFlags::IN)));
    retry_on_intr(|| poll(&mut sockets, None))?;
    let is_readable = |socket: &PollFd<'_>| !socket.revents().is_empty();
    Ok((is_readable(&sockets[0]), sockets[1..].iter().map(is_readable).collect()))
}
