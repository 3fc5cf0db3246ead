use std::panic::Location;
use std::time::Instant;

use super::super::tests::{server, turn};
use super::*;
use crate::server::Config;

/// Notes what it is told, and the file that tells it.
#[derive(Default)]
struct Seen {
    wants_waits: bool,
    events: Vec<(String, &'static str)>,
}

impl Observer for Seen {
    #[track_caller]
    fn observe(&mut self, at: At<'_>, event: Event<'_>) {
        let group = match (at.conn, event) {
            (Some((id, _)), _) => id.to_string(),
            (None, Event::Ready { listener: Some(_), .. }) => "listener".into(),
            _ => String::new(),
        };
        let event = match event {
            Event::Waits { until, .. } => format!("{until:?}"),
            Event::Polled { events, queued } => format!("{events}+{queued}"),
            Event::Ready { event, .. } => format!("{group} ready, {}", event.is_some()),
            _ => return,
        };
        self.events.push((event, Location::caller().file()));
    }

    fn wants_waits(&self) -> bool {
        self.wants_waits
    }
}

/// What an observer sees of a server in three turns: one with nothing, one in which the listener is in the ready queue,
/// and one in which a connection is.
fn seen(config: Config, wants_waits: bool) -> Vec<(String, &'static str)> {
    let now = Instant::now();
    let observer = ((), Seen { wants_waits, events: Vec::new() });
    let (mut server, listener) = server(config, observer, now, [Ok(())]);
    turn(&mut server, now);
    server.reactor.requeue(listener);
    turn(&mut server, now);
    server.reactor.requeue(mio::Token(listener.0 + 1));
    turn(&mut server, now);
    server.shared.observer.1.events
}

#[test]
fn an_observer_that_wants_it_sees_why_each_wait_is_as_long_and_what_is_ready() {
    let seen = seen(Config::default(), true);
    let events: Vec<_> = seen.iter().map(|(event, _)| &**event).collect();
    let expected = [
        ["Deadline", "0+0"].as_slice(),
        &["Queue", "0+1", "listener ready, false"],
        &["Queue", "0+1", "#1 ready, false"],
    ];
    assert_eq!(events, expected.concat());
    // Through a tuple of observers too.
    assert!(seen.iter().all(|(_, file)| file.ends_with("src/server/waits.rs")), "{seen:?}");
}

#[test]
fn a_server_that_spins_says_so() {
    let spinning = Config { spin: Some(Duration::from_secs(1)), ..Config::default() };
    let now = Instant::now();
    let (mut server, listener) =
        server(spinning, Seen { wants_waits: true, events: Vec::new() }, now, []);
    // The first event shows that events come close together.
    server.reactor.requeue(listener);
    turn(&mut server, now);
    turn(&mut server, now);
    assert_eq!(server.shared.observer.events.last().unwrap().0, "0+0");
    let waits = server.shared.observer.events.iter().rev().nth(1);
    assert_eq!(waits.map(|(event, _)| &**event), Some("Spin"));
}

#[test]
fn an_observer_that_does_not_want_it_sees_nothing_of_waits() {
    assert!(seen(Config::default(), false).is_empty());
}
