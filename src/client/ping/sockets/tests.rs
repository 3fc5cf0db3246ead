use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::client::drive::drive;
use crate::client::ping::{Notice, Tally};
use crate::net::Addr;

/// Echoes one message of nine bytes on each connection.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        listener.incoming().flatten().try_for_each(|stream| {
            io::copy(&mut io::Read::take(&stream, 9), &mut &stream).map(drop)
        })
    });
    addr
}

/// Pings three times on real sockets. Returns what it found, and each line.
fn ping(dialer: Dialer) -> (Tally, Vec<String>) {
    let options = Options {
        server: "name.example:7".parse().unwrap(),
        count: Some(3),
        interval: Duration::from_millis(50),
        size: 9,
        timeout: Duration::from_secs(10),
        wait: None,
        send_proxy: None,
    };
    let (mut lines, mut tally) = (Vec::new(), Tally::default());
    let notify = |notice: &Notice<'_>| {
        lines.push(notice.to_string());
        Ok(())
    };
    let (network, now) = (Sockets::with_dialer(dialer).unwrap(), Instant::now());
    let mut session = Session::new(&options, network, &mut tally, notify, now);
    assert!(matches!(drive(&mut session, now).unwrap(), End::Complete));
    drop(session);
    (tally, lines)
}

/// The address that answered comes first the next time. Failed when the name was looked up only once.
#[test]
fn an_address_that_refuses_is_reported_once_and_the_name_is_looked_up_for_each_connection() {
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (answering, look_ups) = (serve(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&look_ups);
    let resolve = move |_: &Addr| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(vec![refusing.into(), answering.into()])
    };
    let server = "name.example:7".parse().unwrap();
    let limits = Limits::new(Duration::from_secs(10));
    let dialer = Dialer::with_resolver(&server, limits, Arc::new(resolve)).unwrap();
    let (tally, lines) = ping(dialer);
    assert_eq!((tally.received, tally.reconnects()), (3, 2), "{lines:#?}");
    assert_eq!(look_ups.load(Ordering::Relaxed), 3);
    let refusals: Vec<_> = lines.iter().filter(|line| line.contains("cannot connect")).collect();
    assert_eq!(refusals.len(), 1, "{lines:#?}");
    assert!(refusals[0].starts_with(&format!("cannot connect to {refusing}: ")), "{lines:#?}");
    assert!(refusals[0].ends_with("; trying the next address"), "{lines:#?}");
}

#[test]
fn a_standstill_while_connecting_does_not_count() {
    const TIMEOUT: Duration = Duration::from_secs(10);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string().parse().unwrap();
    let dialer = Dialer::new(&server, Limits::new(TIMEOUT)).unwrap();
    let (mut sockets, now) = (Sockets::with_dialer(dialer).unwrap(), Instant::now());
    sockets.connect(now).unwrap();
    while !matches!(sockets.poll(now).unwrap(), Dialed::Pending) {}
    sockets.discount(TIMEOUT);
    assert_eq!(sockets.poll_timeout(now + TIMEOUT), Timeout::Owed(TIMEOUT));
}
