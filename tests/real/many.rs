//! What tests with very many connections share.

use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

/// Allows this process, and those that it starts from now on, as many descriptors as the hard limit.
pub fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Sends as much as the socket takes now, and returns how many bytes that is.
pub fn fill<S: AsFd>(mut stream: &S, bytes: &[u8]) -> io::Result<usize>
where
    for<'a> &'a S: Write,
{
    SockRef::from(stream).set_nonblocking(true).unwrap();
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(n) => sent += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        }
    }
    SockRef::from(stream).set_nonblocking(false).unwrap();
    Ok(sent)
}
