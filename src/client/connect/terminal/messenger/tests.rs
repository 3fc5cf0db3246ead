use super::*;
use crate::client::CLOSE_TIMEOUT;
use crate::client::connect::scripted::unanswered;
use crate::client::connect::terminal::console::{Console, Plain};
use crate::client::dial::Step;

/// A messenger that shows nothing.
fn silent(options: &Options, now: Instant) -> Messenger<'_> {
    let console = Console::Plain(Plain::silent());
    Messenger::open(options, View { console, transcript: None, hex: false }, now).unwrap()
}

#[test]
fn a_standstill_counts_against_no_server_in_any_state() {
    const STANDSTILL: Duration = Duration::from_secs(100);
    let ((_listener, options), now) = (unanswered(), Instant::now());
    let mut messenger = silent(&options, now);
    let exchange = || Exchange::new(vec![0], options.timeout, now);
    let timer = IdleTimer::new(CLOSE_TIMEOUT, now);
    for (state, link) in [
        (State::Dialing(Some(exchange())), LinkState::None),
        (State::Idle, LinkState::Looking { is_down: true }),
        (State::Talking(exchange()), LinkState::None),
        (State::Closing { timer, is_last: true }, LinkState::None),
    ] {
        messenger.dialer().unwrap().start(now);
        while !matches!(messenger.dialer().unwrap().poll(now), Step::Wait) {}
        let case = format!("{state:?}, {link:?}");
        (messenger.state, messenger.link) = (state, link);
        let before = messenger.poll_timeout(now);
        assert!(matches!(before, Timeout::Owed(left) if !left.is_zero()), "{case}: {before:?}");
        messenger.discount(STANDSTILL);
        assert_eq!(messenger.poll_timeout(now + STANDSTILL), before, "{case}");
    }
}

/// A server that closes each connection at once must not get one after the other.
#[test]
fn a_spare_connection_that_ends_is_not_replaced() {
    let ((listener, options), now) = (unanswered(), Instant::now());
    for spare in [true, false] {
        let mut messenger = silent(&options, now);
        messenger.state = State::Idle;
        messenger.link = LinkState::Lost { look_at: now, is_down: false };
        let is_up = |link: &LinkState| matches!(link, LinkState::Up { .. });
        advance_until(&mut messenger, now, is_up);
        if let LinkState::Up { is_spare, .. } = &mut messenger.link {
            assert!(std::mem::replace(is_spare, spare));
        }
        drop(listener.accept().unwrap());
        advance_until(&mut messenger, now, |link| !is_up(link));
        assert_eq!(matches!(messenger.link, LinkState::None), spare, "{:?}", messenger.link);
    }
}

/// Advances after each event until the link is as wanted.
fn advance_until(
    messenger: &mut Messenger<'_>,
    now: Instant,
    is_done: impl Fn(&LinkState) -> bool,
) {
    let mut ready = Vec::new();
    messenger.advance(now).unwrap();
    while !is_done(&messenger.link) {
        messenger.reactor.wait(Some(Duration::from_secs(10)), &mut ready).unwrap();
        assert!(!ready.is_empty(), "no event came");
        messenger.advance(now).unwrap();
    }
}
