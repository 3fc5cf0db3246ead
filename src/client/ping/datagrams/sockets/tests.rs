//! Pings on real sockets, with names of their own.

use std::net::UdpSocket;
use std::sync::{Mutex, mpsc};
use std::thread;

use super::*;

/// Fails a test that would otherwise wait forever.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The address of a server that echoes this many datagrams.
fn serve(datagrams: usize) -> Endpoint {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = Endpoint::udp(socket.local_addr().unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 100];
        for _ in 0..datagrams {
            let (len, from) = socket.recv_from(&mut buffer).unwrap();
            socket.send_to(&buffer[..len], from).unwrap();
        }
    });
    at
}

/// Pings three times. Returns what it found, how it ended, and each line.
fn ping(
    timeout: Duration,
    resolve: impl Fn(&Addr) -> io::Result<Vec<Endpoint>> + Send + Sync + 'static,
) -> (Tally, io::Result<End>, Vec<String>) {
    let options = Options {
        server: "udp:name.example:7".parse().unwrap(),
        count: Some(3),
        interval: Duration::from_millis(10),
        size: 20,
        timeout,
        wait: None,
        send_proxy: None,
    };
    let (mut lines, mut tally) = (Vec::new(), Tally::default());
    let notify = |notice: &crate::client::ping::Notice<'_>| {
        lines.push(notice.to_string());
        Ok(())
    };
    let resolve: Resolve = Arc::new(resolve);
    let end = run_with_resolver(&options, &resolve, &mut tally, notify, Instant::now());
    (tally, end, lines)
}

#[test]
fn an_address_that_nothing_listens_at_is_left_for_the_next() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (closed, served) = (Endpoint::udp(closed), serve(3));
    let peers = vec![closed.clone(), served.clone()];
    let (tally, end, lines) = ping(TIMEOUT, move |_| Ok(peers.clone()));
    assert!(matches!(end, Ok(End::Complete)), "{end:?}");
    assert_eq!((tally.sent, tally.received, tally.lost), (3, 3, 0), "{lines:?}");
    assert_eq!(lines[0], format!("PING udp:name.example:7 ({closed}) 20 bytes over UDP"));
    let failed = format!("cannot reach {closed}: connection refused; trying the next address");
    assert_eq!(lines[1], failed);
    assert!(lines[2].starts_with(&format!("20 bytes from {served}: seq=1 time=")), "{lines:?}");
}

/// Failed when the look-up had no timeout.
#[test]
fn a_name_without_an_answer_ends_the_ping_at_the_timeout() {
    let (_answer, never) = mpsc::channel();
    let never = Mutex::new(never);
    let resolve = move |_: &Addr| never.lock().unwrap().recv().unwrap_or_else(|_| Ok(Vec::new()));
    let (tally, end, lines) = ping(Duration::from_millis(20), resolve);
    let line =
        "cannot resolve udp:name.example:7: no answer within 20 ms; is the name server reachable?";
    assert_eq!(end.unwrap_err().to_string(), line);
    assert_eq!((tally.sent, lines.len()), (0, 0));
    assert!(tally.datagrams.is_some());
}

#[test]
fn the_reason_why_a_name_has_no_address_is_passed_on() {
    let (_, end, _) = ping(TIMEOUT, |_| Err(io::Error::other("no such name")));
    assert_eq!(end.unwrap_err().to_string(), "no such name");
}
