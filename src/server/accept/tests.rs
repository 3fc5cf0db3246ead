use super::*;
use crate::server::tests::Scripted;

fn acceptor(script: impl IntoIterator<Item = Result<(), Errno>>) -> Acceptor<Scripted> {
    Acceptor::new(Scripted(script.into_iter().collect()), "here".into())
}

#[test]
fn an_error_of_one_connection_is_passed_over() {
    let now = Instant::now();
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
        let mut acceptor = acceptor([Err(errno), Ok(())]);
        assert!(matches!(acceptor.next(now), Accept::PerConnectionError(_)), "{errno:?}");
        assert!(matches!(acceptor.next(now), Accept::Connection(..)), "{errno:?}");
        assert!(matches!(acceptor.next(now), Accept::BackedOff), "{errno:?}");
        assert_eq!(acceptor.retry_at(), None, "{errno:?}");
    }
}

#[test]
fn exhaustion_rests_until_the_time_to_retry_or_until_something_is_set_free() {
    let now = Instant::now();
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::NODEV] {
        let mut acceptor = acceptor([Err(errno), Ok(()), Err(errno), Ok(())]);
        assert!(matches!(acceptor.next(now), Accept::BackedOff), "{errno:?}");
        let retry = acceptor.retry_at().unwrap();
        assert!(retry > now && retry <= now + Duration::from_secs(1));
        // An edge before that is no reason to try: the script would go on.
        assert!(matches!(acceptor.next(retry - Duration::from_millis(1)), Accept::BackedOff));
        assert!(matches!(acceptor.next(retry), Accept::Connection(..)));
        assert!(matches!(acceptor.next(retry), Accept::BackedOff));
        // Still the same episode; and an end of a connection ends the rest.
        acceptor.cut_rest_short(retry);
        assert!(matches!(acceptor.next(retry), Accept::Connection(..)));
        assert!(acceptor.retry_at().is_some(), "the queue has not been emptied yet");
        assert!(matches!(acceptor.next(retry), Accept::BackedOff));
        assert_eq!(acceptor.retry_at(), None, "the episode is over");
    }
}

/// A server at the edge of its descriptors fails and recovers all the time, which is one trouble.
#[test]
fn one_trouble_is_complained_of_once() {
    let start = Instant::now();
    let mut acceptor = acceptor([]);
    let mut complaints = Vec::new();
    for second in 0..130 {
        let now = start + Duration::from_secs(second);
        acceptor.listener.0 = [Err(Errno::MFILE), Err(Errno::AGAIN)].into();
        assert!(matches!(acceptor.next(now), Accept::BackedOff));
        if acceptor.record.complained_at == Some(now) {
            complaints.push(second);
        }
        acceptor.cut_rest_short(now);
        assert!(matches!(acceptor.next(now), Accept::BackedOff));
        assert_eq!(acceptor.retry_at(), None, "recovered");
    }
    assert_eq!(complaints, [0, 60, 120]);
}

#[test]
fn setting_something_free_means_nothing_while_all_is_well() {
    let mut acceptor = acceptor([]);
    acceptor.cut_rest_short(Instant::now());
    assert_eq!(acceptor.retry_at(), None);
}

/// Failed when it was tried again and again for ever, with a word once a minute.
#[test]
fn a_listener_that_is_gone_is_given_up_after_some_attempts() {
    for errno in [Errno::INVAL, Errno::BADF, Errno::NOTSOCK] {
        let mut acceptor = acceptor(vec![Err(errno); ATTEMPTS as usize]);
        let mut now = Instant::now();
        for _ in 1..ATTEMPTS {
            assert!(matches!(acceptor.next(now), Accept::BackedOff), "{errno:?}");
            now = acceptor.retry_at().unwrap();
        }
        let Accept::ListenerGone(e) = acceptor.next(now) else { panic!("{errno:?}: it goes on") };
        assert!(e.to_string().starts_with("the listener on here is gone for good: "), "{e}");
        assert_eq!(acceptor.retry_at(), None);
    }
}

#[test]
fn a_listener_that_recovers_is_not_given_up() {
    let mut script = Vec::new();
    for _ in 0..10 {
        script.extend(vec![Err(Errno::INVAL); ATTEMPTS as usize - 1]);
        script.push(Ok(()));
    }
    let mut acceptor = acceptor(script);
    let mut now = Instant::now();
    let mut accepted = 0;
    for _ in 0..10 * ATTEMPTS {
        match acceptor.next(now) {
            Accept::Connection(..) => accepted += 1,
            Accept::BackedOff => now = acceptor.retry_at().unwrap(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(accepted, 10);
}
