//! The last messages that a client sent over UDP, and the state of each.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The last messages, by their numbers: those that await an echo, and those whose echo can still come late or twice.
/// With each it remembers a `T`. Its memory does not depend on how many were sent.
#[derive(Debug)]
pub struct Window<T> {
    /// The most messages that are remembered.
    most: usize,
    /// The number of the first message that is remembered.
    first: u64,
    messages: VecDeque<Message<T>>,
    /// Messages at the front that await nothing.
    settled: usize,
    outstanding: u64,
    /// Messages whose echo did not come in time, and can still come.
    overdue: u64,
    /// The greatest number whose echo came.
    greatest: u64,
}

#[derive(Clone, Copy, Debug)]
struct Message<T> {
    sent_at: Instant,
    state: State,
    content: T,
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
pub enum Arrival {
    /// The first echo of its message, in time.
    Echo {
        took: Duration,
        /// Whether the echo of a later message came before it.
        is_reordered: bool,
    },
    /// The first echo of its message, after the timeout.
    Late { took: Duration },
    /// The message had its echo already, or was sent so long ago that it is forgotten.
    Duplicate,
    /// No message with this number awaits an echo.
    Unknown,
}

impl<T> Window<T> {
    /// The memory of one message, in bytes.
    pub const MESSAGE_BYTES: usize = size_of::<Message<T>>();

    /// No message is sent yet. The first will have the number 1. The last `most` will be remembered.
    pub fn new(most: usize) -> Self {
        let messages = VecDeque::new();
        Self { most, first: 1, messages, settled: 0, outstanding: 0, overdue: 0, greatest: 0 }
    }

    /// A window of the same size in which no message is sent yet.
    pub fn fresh(&self) -> Self {
        Self::new(self.most)
    }

    /// Messages that await their echo.
    pub fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// Messages whose echo did not come in time, and can still come.
    pub fn overdue(&self) -> u64 {
        self.overdue
    }

    /// Whether `n` more messages can be remembered. If not, one of the oldest still awaits its echo.
    pub fn has_room_for(&self, n: usize) -> bool {
        self.messages.len() - self.settled + n <= self.most
    }

    /// The number that the next message will have.
    pub fn next_number(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    /// Remembers the next message, and returns its number. There must be [room](Self::has_room_for) for it.
    pub fn send(&mut self, content: T, now: Instant) -> u64 {
        debug_assert!(self.has_room_for(1));
        let number = self.next_number();
        if self.messages.len() == self.most {
            let oldest = self.messages.pop_front();
            self.overdue -= u64::from(oldest.is_some_and(|m| m.state == State::Overdue));
            self.first += 1;
            self.settled -= 1;
        }
        self.messages.push_back(Message { sent_at: now, state: State::Outstanding, content });
        self.outstanding += 1;
        number
    }

    /// What is remembered with message `number`, if it is.
    pub fn content(&self, number: u64) -> Option<&T> {
        self.messages.get(self.index(number)?).map(|message| &message.content)
    }

    /// When message `number` was sent, if it is remembered.
    pub fn sent_at(&self, number: u64) -> Option<Instant> {
        self.messages.get(self.index(number)?).map(|message| message.sent_at)
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }

    /// An echo of message `number` came at `now`.
    pub fn arrive(&mut self, number: u64, now: Instant) -> Arrival {
        let message = self.index(number).and_then(|index| self.messages.get_mut(index));
        let Some(message) = message else {
            let is_forgotten = (1..self.first).contains(&number);
            return if is_forgotten { Arrival::Duplicate } else { Arrival::Unknown };
        };
        let took = now.saturating_duration_since(message.sent_at);
        match message.state {
            State::Answered => Arrival::Duplicate,
            State::Failed => Arrival::Unknown,
            State::Overdue => {
                message.state = State::Answered;
                self.overdue -= 1;
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
    pub fn oldest(&self) -> Option<(u64, Instant)> {
        let message = self.messages.get(self.settled)?;
        Some((self.first + self.settled as u64, message.sent_at))
    }

    /// The messages that await their echo, the oldest first.
    pub fn awaiting(&self) -> impl Iterator<Item = &T> {
        let rest = self.messages.iter().skip(self.settled);
        rest.filter(|message| message.state == State::Outstanding).map(|message| &message.content)
    }

    /// Gives up the oldest message that awaits its echo, if it is overdue by when it was sent, and returns its number. Its
    /// echo is late from now on.
    pub fn expire(&mut self, is_overdue: impl FnOnce(Instant) -> bool) -> Option<u64> {
        let (number, _) = self.oldest().filter(|(_, sent_at)| is_overdue(*sent_at))?;
        self.settle(number, State::Overdue);
        self.overdue += 1;
        Some(number)
    }

    /// The last message that awaits its echo has failed, since the system refuses it. Returns its number.
    pub fn fail_last(&mut self) -> Option<u64> {
        let is_outstanding = |message: &Message<T>| message.state == State::Outstanding;
        let index = self.messages.iter().rposition(is_outstanding)?;
        let number = self.first + index as u64;
        self.settle(number, State::Failed);
        Some(number)
    }

    /// Leaves out a time in which the program did not run.
    pub fn discount(&mut self, standstill: Duration) {
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

    /// Few enough to fill.
    const MOST: usize = 100;
    const MS: Duration = Duration::from_millis(1);
    const TIMEOUT: Duration = Duration::from_millis(100);

    fn echo(ms: u32, is_reordered: bool) -> Arrival {
        Arrival::Echo { took: MS * ms, is_reordered }
    }

    /// Whether a message is overdue at `now`.
    fn after_timeout(now: Instant) -> impl Fn(Instant) -> bool {
        move |sent_at| now.saturating_duration_since(sent_at) >= TIMEOUT
    }

    #[test]
    fn echoes_are_in_order_reordered_or_doubled() {
        let (mut window, start) = (Window::new(MOST), Instant::now());
        let numbers: Vec<_> = (0..4).map(|i| window.send((), start + MS * i)).collect();
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
        let (mut window, start) = (Window::new(MOST), Instant::now());
        window.send((), start);
        window.send((), start + MS);
        assert_eq!(window.expire(after_timeout(start + TIMEOUT - MS)), None);
        assert_eq!(window.expire(after_timeout(start + TIMEOUT)), Some(1));
        assert_eq!(window.expire(after_timeout(start + TIMEOUT)), None, "the second is in time");
        assert_eq!((window.outstanding(), window.oldest()), (1, Some((2, start + MS))));
        assert_eq!(window.overdue(), 1);
        let now = start + TIMEOUT + MS;
        assert_eq!(window.arrive(1, now), Arrival::Late { took: TIMEOUT + MS });
        assert_eq!(window.arrive(1, now), Arrival::Duplicate);
        assert_eq!(window.overdue(), 0);
    }

    #[test]
    fn an_error_belongs_to_the_last_message_that_awaits_its_echo() {
        let (mut window, now) = (Window::new(MOST), Instant::now());
        assert_eq!(window.fail_last(), None);
        for _ in 0..3 {
            window.send((), now);
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
        let (mut window, start) = (Window::new(MOST), Instant::now());
        window.send((), start);
        window.discount(TIMEOUT);
        assert_eq!(window.expire(after_timeout(start + TIMEOUT)), None);
        assert_eq!(window.arrive(1, start + TIMEOUT + MS), echo(1, false));
    }

    #[test]
    fn the_oldest_messages_are_forgotten_once_they_await_nothing() {
        let (mut window, now) = (Window::new(MOST), Instant::now());
        for _ in 0..MOST {
            window.send((), now);
        }
        assert!(!window.has_room_for(1));
        window.arrive(2, now);
        assert!(!window.has_room_for(1), "the first awaits its echo");
        window.arrive(1, now);
        assert!(window.has_room_for(1));
        assert_eq!(window.send((), now), MOST as u64 + 1);
        assert_eq!(
            [0, 1, 2].map(|number| window.arrive(number, now)),
            [Arrival::Unknown, Arrival::Duplicate, Arrival::Duplicate]
        );
        assert_eq!(
            (window.messages.len(), window.content(1), window.content(2)),
            (MOST, None, Some(&()))
        );
    }
}
