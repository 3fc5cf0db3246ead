//! What a drive reports, stamps and enters into the accounts.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;

use super::*;
use crate::kit::socket::{Answer, Socket};
use crate::server::Config;
use crate::server::limits::Admission;

const SECOND: Duration = Duration::from_secs(1);

/// Every event as text.
#[derive(Default)]
struct Events(Vec<String>);

impl Observer for Events {
    fn observe(&mut self, at: At<'_>, event: Event<'_>) {
        assert_eq!(at.conn.map(|(id, _)| id), Some(ConnId::default()));
        self.0.push(format!("{event:?}"));
    }
}

struct Driven {
    events: Vec<String>,
    is_stamped: bool,
    /// Bytes that the accounts say are held.
    held: usize,
    next: Result<Next, ErrorKind>,
}

/// Drives a connection once for each script.
fn drive(scripts: &[&[Answer]]) -> Vec<Driven> {
    let start = Instant::now();
    let config = Config { buffer_bytes: 8, pending_limit_bytes: 1 << 10, ..Config::default() };
    let peer = Endpoint::Unix(None);
    let mut shared = Shared {
        scratch: [0; 8].into(),
        pending: PendingLimit::new(&config),
        deadlines: Deadlines::new(&config, start),
        observer: Events::default(),
    };
    let mut connection = Connection {
        id: ConnId::default(),
        stream: Socket::new(VecDeque::new()),
        echo: Echo::new(),
        permit: Admission::new(&config).admit(&peer).unwrap(),
        peer,
        last_active: start,
        unacknowledged: 0,
        expired: None,
    };
    let mut drives = Vec::new();
    for (n, script) in (1..).zip(scripts) {
        connection.stream.script.extend(*script);
        let now = start + n * SECOND;
        let next = connection.drive(false, now, &mut shared);
        drives.push(Driven {
            events: std::mem::take(&mut shared.observer.0),
            is_stamped: connection.last_active == now,
            held: shared.pending.held,
            next: next.map_err(|e| e.kind()),
        });
    }
    drives
}

#[test]
fn bytes_that_move_are_reported_and_stamp_the_connection() {
    let drives = drive(&[&[Ok(5), Ok(5)], &[Err(ErrorKind::WouldBlock)]]);
    assert_eq!(drives[0].events, ["Read(5)", "Wrote(5)"]);
    assert!(drives[0].is_stamped && drives[0].next == Ok(Next::Wait) && drives[0].held == 0);
    assert!(drives[1].events.is_empty() && !drives[1].is_stamped);
}

#[test]
fn a_blocked_write_is_reported_and_its_rest_is_accounted_for_until_it_is_written() {
    let blocks = Err(ErrorKind::WouldBlock);
    let drives = drive(&[&[Ok(5), blocks], &[blocks], &[Ok(2)], &[Ok(3), blocks]]);
    assert_eq!(drives[0].events, ["Read(5)", "WriteBlocked"]);
    assert!(drives[0].is_stamped, "bytes arrived");
    assert_eq!(drives[1].events, ["WriteBlocked"]);
    assert!(!drives[1].is_stamped, "nothing moved");
    assert_eq!(drives[2].events, ["Wrote(2)"]);
    assert!(drives[2].is_stamped);
    assert_eq!(drives[3].events, ["Wrote(3)"]);
    assert_eq!([0, 1, 2, 3].map(|i| drives[i].held), [5, 5, 5, 0]);
    assert_eq!(drives[2].next, Ok(Next::Yield));
}

#[test]
fn what_moved_before_an_error_is_reported() {
    let drives = drive(&[&[Ok(5), Err(ErrorKind::BrokenPipe)]]);
    assert_eq!(drives[0].events, ["Read(5)"]);
    assert_eq!(drives[0].next, Err(ErrorKind::BrokenPipe));
    assert!(!drives[0].is_stamped);
}
