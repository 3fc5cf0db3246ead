//! Back-off, lost listeners, and errors within a batch.

use std::slice;

use super::*;
use crate::net::{ListenOptions, UdpSocket};
use crate::server::Config;
use crate::server::shutdown::Shutdown;
use crate::server::tests::{Queue, Scripted, listen, server};

type Script = Vec<Result<(), Errno>>;

/// A server whose listener answers from `script`, and the listener's token.
fn scripted(script: Script) -> (Server<Scripted, Events>, Token) {
    let config = Config { max_connections: 1_000, ..Config::default() };
    server(config, Events::default(), Instant::now(), script)
}

/// The events of accepting, in a word each.
#[derive(Default)]
struct Events(Vec<&'static str>);

impl Observer for Events {
    fn observe(&mut self, _: At<'_>, event: Event<'_>) {
        self.0.extend(match event {
            Event::Accepted => Some("accepted"),
            Event::AcceptFailed { .. } => Some("failed"),
            Event::ListenerLost(_) => Some("lost"),
            _ => None,
        });
    }
}

fn retry_at<O: Observer>(server: &Server<Scripted, O>) -> Option<Instant> {
    server.listeners[0].retry.map(|retry| retry.at)
}

#[test]
fn an_error_of_one_connection_is_skipped() {
    for errno in [
        Errno::CONNABORTED,
        Errno::PROTO,
        Errno::PERM,
        Errno::INTR,
        Errno::NETDOWN,
        Errno::NONET,
        Errno::HOSTUNREACH,
        Errno::TIMEDOUT,
    ] {
        let (mut server, token) = scripted(vec![Err(errno), Ok(()), Err(errno)]);
        server.accept(token, Instant::now());
        assert_eq!(server.shared.observer.0, ["accepted"], "{errno:?}");
        assert_eq!(server.accept_deadline(), None, "{errno:?}");
    }
}

#[test]
fn a_listener_backs_off_until_its_time_or_until_a_descriptor_is_free() {
    let now = Instant::now();
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::NODEV] {
        let (mut server, token) = scripted(vec![Err(errno), Ok(()), Err(errno), Ok(())]);
        server.accept(token, now);
        let retry = retry_at(&server).unwrap();
        assert_eq!(retry, now + BACK_OFF);
        // An event does not end the back-off.
        server.accept(token, retry - Duration::from_millis(1));
        assert_eq!(server.shared.observer.0, ["failed"], "{errno:?}");
        server.accept(token, retry);
        assert_eq!(server.shared.observer.0, ["failed", "accepted", "failed"], "{errno:?}");
        // The end of a connection does.
        server.end_backoff(retry);
        assert_eq!(retry_at(&server), Some(retry));
        server.accept(token, retry);
        assert_eq!(server.shared.observer.0[3..], ["accepted"], "{errno:?}");
        assert_eq!(retry_at(&server), None, "the queue is empty");
    }
}

/// No event comes for connections that are in the queue already.
#[test]
fn a_back_off_that_is_over_requeues_the_listener() {
    let now = Instant::now();
    let (mut server, token) = scripted(vec![Err(Errno::MFILE)]);
    server.accept(token, now);
    server.resume_accepting(now + BACK_OFF - Duration::from_nanos(1));
    assert!(!server.reactor.has_more());
    server.resume_accepting(now + BACK_OFF);
    assert!(server.reactor.has_more());
}

/// Without a back-off, accepting would fail again and again, and keep the server busy.
#[test]
fn a_listener_backs_off_when_every_accept_of_a_batch_failed() {
    let now = Instant::now();
    for (n, backs_off) in [(ACCEPTS_PER_TURN, true), (ACCEPTS_PER_TURN - 1, false)] {
        let (mut server, token) = scripted(vec![Err(Errno::CONNABORTED); n]);
        server.accept(token, now);
        assert_eq!(retry_at(&server).is_some(), backs_off, "after {n}");
    }
}

/// Failed when only the last accept of a batch counted.
#[test]
fn a_listener_does_not_back_off_when_one_accept_of_a_batch_succeeded() {
    let now = Instant::now();
    for there in [0, ACCEPTS_PER_TURN / 2, ACCEPTS_PER_TURN - 1] {
        let mut script = vec![Err(Errno::CONNABORTED); ACCEPTS_PER_TURN];
        script[there] = Ok(());
        script.push(Ok(()));
        let (mut server, token) = scripted(script);
        server.accept(token, now);
        assert_eq!(retry_at(&server), None, "success in place {there}");
        assert!(server.reactor.has_more(), "the queue may hold more");
        server.accept(token, now);
        assert_eq!(server.shared.observer.0, ["accepted"; 2]);
    }
}

#[test]
fn a_free_descriptor_changes_nothing_without_a_back_off() {
    let (mut server, _) = scripted(vec![]);
    server.end_backoff(Instant::now());
    assert_eq!(retry_at(&server), None);
}

/// Failed when the server retried without end, with a warning each minute.
#[test]
fn a_listener_is_lost_after_some_hopeless_failures() {
    for errno in [Errno::INVAL, Errno::BADF, Errno::NOTSOCK] {
        let (mut server, token) = scripted(vec![Err(errno); ATTEMPTS as usize + 1]);
        let mut now = Instant::now();
        for _ in 1..ATTEMPTS {
            server.accept(token, now);
            now = retry_at(&server).unwrap();
        }
        server.accept(token, now);
        assert_eq!(server.shared.observer.0, ["failed", "failed", "lost"], "{errno:?}");
        assert_eq!(retry_at(&server), None);
        server.handle_timeouts(now);
        // Stopping accepts what the queues hold, but not from this listener.
        assert_eq!(server.shared.observer.0.len(), 3, "{errno:?}");
        let text = server.take_outcome().unwrap().unwrap_err().to_string();
        assert!(text.starts_with("the listener on unix:(unnamed) is gone for good: "), "{text}");
    }
}

/// A server with a drain delay of an hour, `others` listeners beside one that is lost, and perhaps a UDP socket. Returns
/// how far it has stopped, if the listener is lost when it `is_stopping` or not.
fn stopped_for_lost(others: usize, has_udp: bool, is_stopping: bool) -> Shutdown {
    let config = Config { drain_delay: 3600 * LOOK, ..Config::default() };
    let script = vec![Err(Errno::INVAL); ATTEMPTS as usize];
    let (mut server, lost) = server(config, Events::default(), Instant::now(), script);
    (0..others).for_each(|_| listen(&mut server, Queue::Own, []));
    if has_udp {
        let any = Endpoint::udp(([127, 0, 0, 1], 0).into());
        let (sockets, _) =
            UdpSocket::bind_all(slice::from_ref(&any), |_| ListenOptions::default()).unwrap();
        let sockets = sockets.into_iter().map(|socket| (socket, any.clone()));
        server.echo_datagrams(sockets.collect(), 1.0).unwrap();
    }
    if is_stopping {
        server.stop();
    }
    let mut now = Instant::now();
    for _ in 0..ATTEMPTS {
        server.accept(lost, now);
        now = retry_at(&server).unwrap_or(now);
    }
    server.handle_timeouts(now);
    assert!(server.shared.observer.0.contains(&"lost"));
    server.shutdown
}

/// Failed when the server said that it still accepts, and had nothing to accept from.
#[test]
fn a_lost_listener_waits_for_the_drain_delay_only_if_another_socket_is_left() {
    for is_stopping in [false, true] {
        let stopped = |others, has_udp| stopped_for_lost(others, has_udp, is_stopping);
        assert!(matches!(stopped(0, false), Shutdown::Draining { .. }), "{is_stopping}");
        assert!(matches!(stopped(1, false), Shutdown::Delaying { .. }), "{is_stopping}");
        assert!(matches!(stopped(0, true), Shutdown::Delaying { .. }), "{is_stopping}");
    }
}

#[test]
fn a_listener_that_recovers_is_not_lost() {
    let hopeless = vec![Err(Errno::INVAL); ATTEMPTS as usize - 1];
    for between in [Ok(()), Err(Errno::AGAIN), Err(Errno::CONNABORTED), Err(Errno::MFILE)] {
        let script = [hopeless.clone(), vec![between], hopeless.clone()].concat();
        let (mut server, token) = scripted(script);
        let mut now = Instant::now();
        for _ in 0..2 * ATTEMPTS {
            server.accept(token, now);
            now = retry_at(&server).unwrap_or(now);
        }
        assert!(!server.shared.observer.0.contains(&"lost"), "{between:?}");
    }
}

/// Adds to what an accept queue holds, without an event.
fn fill(server: &mut Server<Scripted, Events>, token: Token) {
    let Some(Slot::Listener(listener)) = server.reactor.get_mut(token) else { panic!() };
    listener.answers.push_back(Ok(()));
}

/// One turn at `now`. Returns how many connections have been accepted so far.
fn turn(server: &mut Server<Scripted, Events>, now: Instant) -> usize {
    let mut ready = Vec::new();
    server.handle_timeouts(now);
    server.wait(Some(Duration::ZERO), &mut ready).unwrap();
    ready.iter().for_each(|event| server.handle_event(*event, now));
    server.shared.observer.0.iter().filter(|event| **event == "accepted").count()
}

/// A Linux without its commit 3864c6b moves connections from a listener that closes to another one, and reports no
/// event. Failed when the server accepted after events only.
#[test]
fn a_queue_that_fills_silently_is_looked_into_each_second() {
    let mut now = Instant::now();
    let mut server = Server::new(Config::default(), Events::default(), now).unwrap();
    listen(&mut server, Queue::Shared, []);
    for looks in 1..4 {
        fill(&mut server, Token(0));
        assert_eq!(server.accept_deadline(), Some(now + LOOK));
        assert_eq!(turn(&mut server, now + LOOK - Duration::from_nanos(1)), looks - 1);
        now += LOOK;
        assert_eq!(turn(&mut server, now), looks);
    }
}

/// A look must neither ignore events, as a back-off does, nor come sooner if a connection ends.
#[test]
fn a_coming_look_changes_nothing_else() {
    let now = Instant::now();
    let mut server = Server::new(Config::default(), Events::default(), now).unwrap();
    listen(&mut server, Queue::Shared, [Ok(())]);
    server.accept(Token(0), now);
    assert_eq!(server.shared.observer.0, ["accepted"]);
    server.end_backoff(now);
    assert_eq!(server.accept_deadline(), Some(now + LOOK));
}

/// A wake each second would cost an idle machine power.
#[test]
fn other_queues_are_not_looked_into() {
    let now = Instant::now();
    for queue in [Queue::Own, Queue::Inherited] {
        let mut server = Server::new(Config::default(), Events::default(), now).unwrap();
        listen(&mut server, queue, [Ok(())]);
        server.accept(Token(0), now);
        assert_eq!(server.accept_deadline(), None, "{queue:?}");
    }
}
