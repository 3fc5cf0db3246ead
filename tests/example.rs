//! The echo server of `examples/echo.rs`.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

#[allow(dead_code, reason = "its main is not called")]
#[path = "../examples/echo.rs"]
mod echo;
#[allow(dead_code, reason = "each user of the kit needs a part of it")]
#[path = "kit/mod.rs"]
mod kit;

use kit::pattern::pattern;

/// More than the buffers of loopback hold, so that both ends come to wait for each other.
const BYTES: usize = 16 << 20;

/// Connections that send at the same time.
const CONNECTIONS: usize = 8;

/// Far more than the machine needs.
const TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn the_example_echoes_every_byte_and_closes_after_the_peer_has() {
    let listener = mio::net::TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || echo::serve(listener));
    // A peer that breaks off ends its own connection only.
    TcpStream::connect(addr).unwrap().write_all(b"unread").unwrap();
    thread::scope(|scope| {
        for n in 0..CONNECTIONS {
            let bytes = pattern(n, BYTES);
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            stream.set_write_timeout(Some(TIMEOUT)).unwrap();
            let mut sender = stream.try_clone().unwrap();
            let sent = bytes.clone();
            scope.spawn(move || {
                sender.write_all(&sent).unwrap();
                sender.shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(move || {
                let mut echo = Vec::new();
                stream.read_to_end(&mut echo).unwrap();
                assert!(echo == bytes, "connection {n}: {} of {BYTES} bytes came back", echo.len());
            });
        }
    });
}
