//! What tests do with a connection: send, expect, fill, reset.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

pub use crate::kit::pattern::pattern;
use crate::server::TIMEOUT;

/// Sends a message and expects exactly that message back.
#[track_caller]
pub fn expect_echo(mut stream: impl Read + Write, message: &[u8]) {
    stream.write_all(message).unwrap();
    expect_bytes(stream, message);
}

/// Expects that these bytes come next.
#[track_caller]
pub fn expect_bytes(mut stream: impl Read, bytes: &[u8]) {
    let mut received = vec![0; bytes.len()];
    stream.read_exact(&mut received).unwrap();
    assert!(received == bytes, "the echo differs");
}

/// Reads up to the end of the stream.
#[track_caller]
pub fn read_to_end(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Expects that the server closes, and that no byte comes before that.
#[track_caller]
pub fn expect_end(stream: impl Read) {
    let rest = read_to_end(stream);
    assert!(rest.is_empty(), "there are {} bytes before the end", rest.len());
}

/// Expects that the server closes, with an end of stream or with a reset.
#[track_caller]
pub fn expect_closed(mut stream: impl Read) {
    // Unlike `read`, this repeats a read that a signal interrupted.
    match stream.read_exact(&mut [0; 1]) {
        Err(e) if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {}
        other => panic!("it is not closed: {other:?}"),
    }
}

/// Sends all bytes and the end of stream from a second thread. Meanwhile reads up to the server's end.
pub fn echo_of(stream: TcpStream, bytes: Vec<u8>) -> Vec<u8> {
    let mut writer = stream.try_clone().unwrap();
    let sender = thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let echo = read_to_end(&stream);
    sender.join().unwrap();
    echo
}

/// Sends until the server has taken nothing for 300 ms, and returns how many bytes it took. By then the echo
/// fills every buffer on the way back, and back-pressure has filled every buffer on the way there.
pub fn send_until_stuck(stream: &TcpStream, bytes: &[u8]) -> usize {
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

/// Closes with a reset instead of an end of stream.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// A TCP socket of the family of an address.
pub fn tcp_socket(addr: &SocketAddr) -> Socket {
    Socket::new(Domain::for_address(*addr), Type::STREAM, None).unwrap()
}

/// Connects from the source address `ip`. Each source address has ports of its own.
#[track_caller]
pub fn connect_from(ip: impl Into<IpAddr>, addr: &str) -> TcpStream {
    let addr = addr.parse().unwrap();
    let socket = tcp_socket(&addr);
    socket.bind(&SocketAddr::new(ip.into(), 0).into()).unwrap();
    connect_socket(socket, addr)
}

/// Connects a socket that has been bound, or whose options have been set.
#[track_caller]
pub fn connect_socket(socket: Socket, addr: SocketAddr) -> TcpStream {
    socket.connect(&addr.into()).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket.into()
}

/// Connects with a small receive buffer: most of an echo has to wait in the server.
#[track_caller]
pub fn connect_with_little_room(addr: &str) -> TcpStream {
    let addr = addr.parse().unwrap();
    let socket = tcp_socket(&addr);
    socket.set_recv_buffer_size(8192).unwrap();
    connect_socket(socket, addr)
}
