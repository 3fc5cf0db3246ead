use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use super::*;
use crate::client::drive::drive;
use crate::client::ping::{Notice, Tally};
use crate::net::Addr;

/// The address that answered comes first the next time. Failed when the name was looked up only once.
#[test]
fn an_address_that_refuses_is_reported_once_and_the_name_is_looked_up_for_each_connection() {
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let answering = listener.local_addr().unwrap();
    thread::spawn(move || {
        // One echo for each connection.
        listener.incoming().flatten().try_for_each(|stream| {
            io::copy(&mut io::Read::take(&stream, 9), &mut &stream).map(drop)
        })
    });
    let options = Options {
        server: "name.example:7".parse().unwrap(),
        count: Some(3),
        interval: Duration::from_millis(50),
        size: 9,
        timeout: Duration::from_secs(10),
        wait: None,
    };
    let look_ups = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&look_ups);
    let resolve = move |_: &Addr| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(vec![refusing.into(), answering.into()])
    };
    let limits = Limits::new(options.timeout);
    let dialer = Dialer::with_resolver(&options.server, limits, Arc::new(resolve)).unwrap();
    let (mut said, mut tally) = (Vec::new(), Tally::default());
    let notify = |notice: &Notice<'_>| {
        said.push(notice.to_string());
        Ok(())
    };
    let (network, now) = (Sockets::with_dialer(dialer).unwrap(), Instant::now());
    let mut session = Session::new(&options, network, &mut tally, notify, now);
    assert!(matches!(drive(&mut session, now).unwrap(), End::Complete));
    assert_eq!((tally.received, tally.reconnects()), (3, 2), "{said:#?}");
    assert_eq!(look_ups.load(std::sync::atomic::Ordering::Relaxed), 3);
    let refusals: Vec<_> = said.iter().filter(|line| line.contains("cannot connect")).collect();
    assert_eq!(refusals.len(), 1, "{said:#?}");
    assert!(refusals[0].starts_with(&format!("cannot connect to {refusing}: ")), "{said:#?}");
    assert!(refusals[0].ends_with("; trying the next address"), "{said:#?}");
}
