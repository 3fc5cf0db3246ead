//! What tests do with a connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

/// Bytes in which each follows from its offset and `seed`, so that none can be lost, doubled or moved
/// unnoticed.
pub fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i ^ (i >> 8) ^ (i >> 16)).wrapping_mul(31) + seed * 7) as u8).collect()
}

/// Sends, and expects just that back.
#[track_caller]
pub fn expect_echo(mut stream: impl Read + Write, message: &[u8]) {
    stream.write_all(message).unwrap();
    let mut echo = vec![0; message.len()];
    stream.read_exact(&mut echo).unwrap();
    assert!(echo == message, "the echo differs");
}

/// Expects that the server has closed, and that nothing came before that.
#[track_caller]
pub fn expect_end(mut stream: impl Read) {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "there are {} bytes before the end", rest.len());
}

/// Expects that the server has closed, no matter how rudely.
#[track_caller]
pub fn expect_closed(mut stream: impl Read) {
    match stream.read(&mut [0; 1]) {
        Ok(0) => {}
        Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("it is not closed: {other:?}"),
    }
}

/// Sends everything and the end from a thread of its own, while reading up to the server's end.
pub fn echo_of(stream: TcpStream, bytes: Vec<u8>) -> Vec<u8> {
    let mut writer = stream.try_clone().unwrap();
    let sender = thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut echo = Vec::new();
    (&stream).read_to_end(&mut echo).unwrap();
    sender.join().unwrap();
    echo
}

/// Sends until the server has taken nothing for a while: its echo fills every buffer on the way back,
/// and then its back-pressure every buffer on the way there. Gives what was sent.
pub fn stuff(stream: &TcpStream, bytes: &[u8]) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut sent = 0;
    while sent < bytes.len() {
        match (&mut &*stream).write(&bytes[sent..]) {
            Ok(n) => sent += n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(e) => panic!("{e}"),
        }
    }
    sent
}

/// Closes with a reset instead of an end.
pub fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}
