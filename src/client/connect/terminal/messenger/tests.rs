use super::*;
use crate::client::CLOSE_TIMEOUT;
use crate::client::connect::scripted::unanswered;
use crate::client::connect::terminal::console::{Console, Plain};
use crate::client::dial::Step;

#[test]
fn a_standstill_counts_against_no_server_in_any_state() {
    const STANDSTILL: Duration = Duration::from_secs(100);
    let ((_listener, options), now) = (unanswered(), Instant::now());
    let console = Console::Plain(Plain::open().unwrap());
    let view = View { console, transcript: None, hex: false };
    let mut messenger = Messenger::open(&options, view, now).unwrap();
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
