//! What a service manager hears, and when.

use std::os::unix::net::UnixDatagram;

use tempfile::TempDir;

use super::*;
use crate::observe::Observer;

const SECOND: Duration = Duration::from_secs(1);

/// A service manager that reads only if it is asked to.
struct Manager {
    socket: UnixDatagram,
    dir: TempDir,
    failures: Failures,
}

#[derive(Default)]
struct Failures(usize);

impl Observer for Failures {
    fn observe(&mut self, _: At<'_>, event: Event<'_>) {
        self.0 += usize::from(matches!(event, Event::NotifyFailed(_)));
    }
}

impl Manager {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, dir, failures: Failures::default() }
    }

    fn notify(&self, watchdog: Option<Duration>, now: Instant) -> Notify {
        let path = self.dir.path().join("notify");
        Notify::new(ServiceManager::at(path.as_os_str()).unwrap(), watchdog, now)
    }

    /// Calls the service with this state of the server.
    fn call(&mut self, notify: &mut Notify, now: Instant, state: State) {
        let cx = &mut Context {
            now,
            stage: state.stage,
            connections: state.connections,
            pending_bytes: 0,
            observer: &mut self.failures,
        };
        assert_eq!(notify.ready(cx), Action::Wait);
    }

    /// The messages that have come, each with its lines.
    fn heard(&self) -> Vec<String> {
        let mut buffer = [0; 256];
        let mut messages = Vec::new();
        while let Ok(n) = self.socket.recv(&mut buffer) {
            messages.push(String::from_utf8(buffer[..n].to_vec()).unwrap());
        }
        messages
    }
}

fn state(stage: Stage, connections: usize) -> State {
    State { stage, connections }
}

#[test]
fn the_manager_hears_once_that_the_server_is_ready_and_each_step_of_its_stop() {
    let (mut manager, now) = (Manager::new(), Instant::now());
    let mut notify = manager.notify(None, now);
    assert_eq!(notify.deadline(), Some(now), "the server is ready at once");
    let mut expect = |stage, connections, expected: &[&str]| {
        manager.call(&mut notify, now, state(stage, connections));
        assert_eq!(manager.heard(), expected);
        assert_eq!(notify.deadline(), None);
    };
    expect(Stage::Serving, 0, &["READY=1\nSTATUS=serving 0 connections\n"]);
    expect(Stage::Serving, 0, &[]);
    // Each change of this number would be a message.
    expect(Stage::Serving, 7, &[]);
    expect(
        Stage::Leaving,
        7,
        &["STOPPING=1\nSTATUS=stopping soon: still accepting, 7 connections\n"],
    );
    expect(Stage::Leaving, 6, &[]);
    // Failed when the manager heard twice that the server stops.
    expect(Stage::Draining, 1, &["STATUS=stopping: 1 connection to finish\n"]);
}

#[test]
fn a_server_that_stops_without_a_delay_says_so_once() {
    let (mut manager, now) = (Manager::new(), Instant::now());
    let mut notify = manager.notify(None, now);
    manager.call(&mut notify, now, state(Stage::Serving, 0));
    manager.heard();
    manager.call(&mut notify, now, state(Stage::Draining, 2));
    manager.call(&mut notify, now, state(Stage::Draining, 1));
    assert_eq!(manager.heard(), ["STOPPING=1\nSTATUS=stopping: 2 connections to finish\n"]);
}

/// Failed when the signs came at the end of each interval: too late.
#[test]
fn signs_of_life_come_twice_in_each_interval_with_the_connections_if_they_changed() {
    let (mut manager, start) = (Manager::new(), Instant::now());
    let mut notify = manager.notify(Some(2 * SECOND), start);
    manager.call(&mut notify, start, state(Stage::Serving, 0));
    manager.heard();
    for (now, connections, expected) in [
        (start + SECOND / 2, 0, &[][..]),
        (start + SECOND, 0, &["WATCHDOG=1\n"]),
        (start + SECOND, 3, &[]),
        (start + 2 * SECOND, 3, &["WATCHDOG=1\nSTATUS=serving 3 connections\n"]),
        // A late turn.
        (start + 5 * SECOND, 3, &["WATCHDOG=1\n"]),
    ] {
        manager.call(&mut notify, now, state(Stage::Serving, connections));
        assert_eq!(manager.heard(), expected, "after {:?}", now - start);
    }
    assert_eq!(notify.deadline(), Some(start + 6 * SECOND));
}

#[test]
fn nothing_is_due_unless_the_manager_wants_signs_of_life_and_never_too_many() {
    let (manager, now) = (Manager::new(), Instant::now());
    let ping_at = |watchdog| manager.notify(watchdog, now).ping_at;
    assert_eq!(ping_at(None), None);
    assert_eq!(ping_at(Some(Duration::ZERO)), None);
    assert_eq!(ping_at(Some(Duration::from_micros(1))), Some(now + MIN_PING));
    // The longest that the variable can hold.
    assert!(ping_at(Some(Duration::from_micros(u64::MAX))).is_some());
}

/// Failed when the socket blocked, and when the message was given up.
#[test]
fn a_manager_that_does_not_read_delays_nothing_and_hears_it_later() {
    let (mut manager, now) = (Manager::new(), Instant::now());
    let mut notify = manager.notify(Some(60 * SECOND), now);
    let retry = now + 30 * SECOND + RETRY;
    for (due, expected) in
        [(now, "READY=1\nSTATUS=serving 0 connections\n"), (now + 30 * SECOND, "WATCHDOG=1\n")]
    {
        while notify.manager.send("filler").is_ok() {}
        manager.call(&mut notify, due, state(Stage::Serving, 0));
        assert_eq!(notify.deadline(), Some(due + RETRY));
        assert!(manager.heard().iter().all(|message| message == "filler"));
        manager.call(&mut notify, due + RETRY, state(Stage::Serving, 0));
        assert_eq!(manager.heard(), [expected]);
    }
    assert_eq!(notify.deadline(), Some(retry + 30 * SECOND));
    assert_eq!(manager.failures.0, 0);
}

/// The manager can be restarted. Failed when the socket was connected.
#[test]
fn a_manager_that_is_gone_is_reported_once_and_heard_of_again() {
    let (mut manager, now) = (Manager::new(), Instant::now());
    let mut notify = manager.notify(Some(2 * SECOND), now);
    let path = manager.dir.path().join("notify");
    std::fs::remove_file(&path).unwrap();
    for seconds in 0..3 {
        manager.call(&mut notify, now + seconds * SECOND, state(Stage::Serving, 0));
        assert_eq!(manager.failures.0, 1);
    }
    manager.socket = UnixDatagram::bind(&path).unwrap();
    manager.socket.set_nonblocking(true).unwrap();
    manager.call(&mut notify, now + 3 * SECOND, state(Stage::Serving, 0));
    assert_eq!(manager.heard(), ["WATCHDOG=1\n"]);
}
