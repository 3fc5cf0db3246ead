//! The last messages of a ping over UDP, and the state of each.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most messages that are remembered: those that await an echo, and those whose echo can still come late or twice.
pub(super) const MOST: usize = 1 << 16;

/// The last messages, by their numbers. Its memory does not depend on how long the ping lasts.
#[derive(Debug)]
pub(super) struct Window {
    /// The number of the first message that is remembered.
    first: u64,
    messages: VecDeque<Message>,
    /// Messages at the front that await nothing.
    settled: usize,
    outstanding: u64,
    /// The greatest number whose echo came.
    greatest: u64,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    sent_at: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Outstanding,
    Answered,
    /// Its echo did not come in time. It may still come.
    Overdue,
    /// It could not be sent, or was refused.
    Failed,
}

/// What an echo is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The first echo of its message, in time.
    Echo {
        took: Duration,
        /// Whether the echo of a later message came before it.
        is_reordered: bool,
    },
    /// The first echo of its message, after the timeout.
    Late { took: Duration },
    /// The message had its echo already.
    Duplicate,
    /// No message that is remembered has this number.
    Unknown,
}

impl Window {
    /// No message is sent yet. The first will have the number 1.
    pub(super) fn new() -> Self {
        Self { first: 1, messages: VecDeque::new(), settled: 0, outstanding: 0, greatest: 0 }
    }

    /// Messages that await their echo.
    pub(super) fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// Whether another message can be remembered. If not, the oldest still awaits its echo.
    pub(super) fn has_room(&self) -> bool {
        self.messages.len() < MOST || self.settled > 0
    }

    /// Remembers the next message, and returns its number.
    pub(super) fn send(&mut self, now: Instant) -> u64 {
        if self.messages.len() == MOST {
            self.messages.pop_front();
            self.first += 1;
            self.settled -= 1;
        }
        self.messages.push_back(Message { sent_at: now, state: State::Outstanding });
        self.outstanding += 1;
        self.first + self.messages.len() as u64 - 1
    }

    /// An echo of message `number` came at `now`.
    pub(super) fn arrive(&mut self, number: u64, now: Instant) -> Arrival {
        let index = number.checked_sub(self.first).and_then(|n| usize::try_from(n).ok());
        let Some(message) = index.and_then(|index| self.messages.get_mut(index)) else {
            return Arrival::Unknown;
        };
        let took = now.saturating_duration_since(message.sent_at);
        match message.state {
            State::Answered => Arrival::Duplicate,
            State::Failed => Arrival::Unknown,
            State::Overdue => {
                message.state = State::Answered;
                Arrival::Late { took }
            }
            State::Outstanding => {
                self.settle(number, State::Answered);
                let is_reordered = number < self.greatest;
                self.greatest = self.greatest.max(number);
                Arrival::Echo { took, is_reordered }
            }
        }
    }

    /// The first message that awaits its echo, and when it was sent.
    pub(super) fn oldest(&self) -> Option<(u64, Instant)> {
        let message = self.messages.get(self.settled)?;
        Some((self.first + self.settled as u64, message.sent_at))
    }

    /// A message whose echo did not come within `timeout`, if there is one. Its echo is late from now on.
    pub(super) fn expire(&mut self, timeout: Duration, now: Instant) -> Option<u64> {
        let (number, sent_at) = self.oldest()?;
        if now.saturating_duration_since(sent_at) < timeout {
            return None;
        }
        self.settle(number, State::Overdue);
        Some(number)
    }

    /// The last message that awaits its echo has failed, since the system refuses it. Returns its number.
    pub(super) fn fail_last(&mut self) -> Option<u64> {
        let is_outstanding = |message: &Message| message.state == State::Outstanding;
        let index = self.messages.iter().rposition(is_outstanding)?;
        let number = self.first + index as u64;
        self.settle(number, State::Failed);
        Some(number)
    }

    /// Leaves out a time in which the program did not run.
    pub(super) fn discount(&mut self, standstill: Duration) {
        for message in &mut self.messages {
            message.sent_at += standstill;
        }
    }

    /// A message stops awaiting its echo.
    fn settle(&mut self, number: u64, state: State) {
        self.messages[(number - self.first) as usize].state = state;
        self.outstanding -= 1;
        let rest = self.messages.iter().skip(self.settled);
        self.settled += rest.take_while(|message| message.state != State::Outstanding).count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const TIMEOUT: Duration = Duration::from_millis(100);

    fn echo(ms: u32, is_reordered: bool) -> Arrival {
        Arrival::Echo { took: MS * ms, is_reordered }
    }

    #[test]
    fn echoes_are_in_order_reordered_or_doubled() {
        let (mut window, start) = (Window::new(), Instant::now());
        let numbers: Vec<_> = (0..4).map(|i| window.send(start + MS * i)).collect();
        assert_eq!((numbers, window.outstanding()), (vec![1, 2, 3, 4], 4));
        let mut arrive = |number| window.arrive(number, start + MS * 10);
        assert_eq!(arrive(1), echo(10, false));
        assert_eq!(arrive(3), echo(8, false));
        assert_eq!(arrive(2), echo(9, true));
        assert_eq!(arrive(3), Arrival::Duplicate);
        assert_eq!(arrive(4), echo(7, false));
        for unknown in [0, 5, u64::MAX] {
            assert_eq!(arrive(unknown), Arrival::Unknown);
        }
        assert_eq!((window.outstanding(), window.oldest()), (0, None));
    }

    #[test]
    fn an_echo_after_the_timeout_is_late_once_and_then_doubled() {
        let (mut window, start) = (Window::new(), Instant::now());
        window.send(start);
        window.send(start + MS);
        assert_eq!(window.expire(TIMEOUT, start + TIMEOUT - MS), None);
        assert_eq!(window.expire(TIMEOUT, start + TIMEOUT), Some(1));
        assert_eq!(window.expire(TIMEOUT, start + TIMEOUT), None, "the second is in time");
        assert_eq!((window.outstanding(), window.oldest()), (1, Some((2, start + MS))));
        let now = start + TIMEOUT + MS;
        assert_eq!(window.arrive(1, now), Arrival::Late { took: TIMEOUT + MS });
        assert_eq!(window.arrive(1, now), Arrival::Duplicate);
    }

    #[test]
    fn an_error_belongs_to_the_last_message_that_awaits_its_echo() {
        let (mut window, now) = (Window::new(), Instant::now());
        assert_eq!(window.fail_last(), None);
        for _ in 0..3 {
            window.send(now);
        }
        window.arrive(3, now);
        assert_eq!(
            (window.fail_last(), window.fail_last(), window.fail_last()),
            (Some(2), Some(1), None)
        );
        assert_eq!(window.arrive(2, now), Arrival::Unknown);
    }

    #[test]
    fn a_standstill_makes_no_echo_late() {
        let (mut window, start) = (Window::new(), Instant::now());
        window.send(start);
        window.discount(TIMEOUT);
        assert_eq!(window.expire(TIMEOUT, start + TIMEOUT), None);
        assert_eq!(window.arrive(1, start + TIMEOUT + MS), echo(1, false));
    }

    #[test]
    fn the_oldest_messages_are_forgotten_once_they_await_nothing() {
        let (mut window, now) = (Window::new(), Instant::now());
        for _ in 0..MOST {
            window.send(now);
        }
        assert!(!window.has_room());
        window.arrive(2, now);
        assert!(!window.has_room(), "the first awaits its echo");
        window.arrive(1, now);
        assert!(window.has_room());
        assert_eq!(window.send(now), MOST as u64 + 1);
        assert_eq!(window.arrive(1, now), Arrival::Unknown);
        assert_eq!(window.arrive(2, now), Arrival::Duplicate);
        assert_eq!(window.messages.len(), MOST);
    }
}
