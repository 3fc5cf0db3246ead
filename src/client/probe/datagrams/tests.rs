//! The probe on a scripted socket.

use std::time::Duration;

use super::*;

const MS: Duration = Duration::from_millis(1);
const REMEMBERED: usize = 8;

/// Takes datagrams as long as it has room, and gives those that it was given.
#[derive(Default)]
struct Script {
    room: usize,
    sent: Vec<Vec<u8>>,
    arriving: VecDeque<io::Result<Vec<u8>>>,
}

impl Write for Script {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.room = self.room.checked_sub(1).ok_or(ErrorKind::WouldBlock)?;
        self.sent.push(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.arriving.pop_front().unwrap_or(Err(ErrorKind::WouldBlock.into()))?;
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Ok(datagram.len())
    }
}

/// A probe of stream 3, its socket, and the time.
struct Exchange {
    probe: DatagramProbe,
    socket: Script,
    pattern: Pattern,
    buffer: Vec<u8>,
    now: Instant,
}

impl Exchange {
    fn new(depth: usize) -> Self {
        let probe = DatagramProbe::try_new(3, depth, REMEMBERED).unwrap();
        let socket = Script { room: usize::MAX, ..Script::default() };
        let (pattern, buffer) = (Pattern::new(1000), vec![0; 1000]);
        Self { probe, socket, pattern, buffer, now: Instant::now() }
    }

    fn begin(&mut self, bytes: usize) {
        self.probe.begin(bytes, self.now);
    }

    fn send(&mut self) {
        self.probe.send(&mut self.socket, &self.pattern, &mut self.buffer, self.now).unwrap();
    }

    /// Sends a message of these bytes, and returns its datagram.
    fn exchange(&mut self, bytes: usize) -> Vec<u8> {
        self.begin(bytes);
        self.send();
        self.socket.sent.pop().unwrap()
    }

    fn receive(&mut self, datagram: Vec<u8>) -> Result<Option<usize>, DatagramFault> {
        self.socket.arriving.push_back(Ok(datagram));
        self.probe.receive(&mut self.socket, &self.pattern, &mut self.buffer)
    }

    #[track_caller]
    fn arrive(&mut self, datagram: Vec<u8>) -> (Arrival, Option<Message>) {
        assert_eq!(self.receive(datagram.clone()).unwrap(), Some(datagram.len()));
        self.probe.complete(self.now).unwrap()
    }
}

#[test]
fn a_message_waits_until_the_socket_has_room_and_its_time_begins_then() {
    let mut exchange = Exchange::new(3);
    let start = exchange.now;
    exchange.socket.room = 1;
    (0..3).for_each(|_| exchange.begin(20));
    exchange.send();
    assert_eq!((exchange.socket.sent.len(), exchange.probe.is_sent()), (1, false));
    assert_eq!((exchange.probe.in_flight(), exchange.probe.has_room()), (3, false));
    assert_eq!(exchange.probe.dues().collect::<Vec<_>>(), [start; 3]);
    (exchange.socket.room, exchange.now) = (2, start + MS);
    exchange.send();
    assert!(exchange.probe.is_sent());
    let sent = std::mem::take(&mut exchange.socket.sent);
    assert_eq!(sent.iter().map(|sent| number_of(sent)).collect::<Vec<_>>(), [1, 2, 3].map(Some));
    exchange.now = start + 5 * MS;
    let (arrival, message) = exchange.arrive(sent[1].clone());
    assert_eq!(arrival, Arrival::Echo { took: 4 * MS, is_reordered: false });
    assert_eq!(message, Some(Message { due: start, sent: start + MS, bytes: 20 }));
    assert_eq!(exchange.probe.complete(exchange.now), None, "it was counted");
}

/// Failed when the echo of a forgotten message was taken for one that was never sent.
#[test]
fn a_forgotten_message_can_come_once_more_and_is_still_checked() {
    let mut exchange = Exchange::new(1);
    let first = exchange.exchange(20);
    exchange.arrive(first.clone());
    for _ in 0..REMEMBERED {
        let echo = exchange.exchange(30);
        exchange.arrive(echo);
    }
    assert_eq!(exchange.arrive(first.clone()), (Arrival::Duplicate, None));
    let altered = [&first[..19], &[!first[19]]].concat();
    let Err(DatagramFault::Bad(bad)) = exchange.receive(altered) else { panic!("it is altered") };
    let (expected, got) = (first[19], !first[19]);
    assert_eq!(bad, BadDatagram::Altered { offset: 19, expected, got });
}

#[test]
fn a_datagram_of_another_length_number_or_stream_is_bad() {
    let mut exchange = Exchange::new(2);
    let (echo, _) = (exchange.exchange(20), exchange.exchange(20));
    let mut other = Exchange::new(2);
    other.probe.stream = 4;
    let altered = other.exchange(20);
    let with_number = |number: u64| [&number.to_be_bytes(), &echo[8..]].concat();
    let (never, zero) = (with_number(3), with_number(0));
    for (datagram, expected) in [
        (echo[..19].to_vec(), "19 bytes came back instead of 20 bytes"),
        ([&echo[..], &[0]].concat(), "21 bytes came back instead of 20 bytes"),
        (echo[..7].to_vec(), "a datagram came that is no echo of a recent message"),
        (Vec::new(), "a datagram came that is no echo of a recent message"),
        (never, "a datagram came that is no echo of a recent message"),
        (zero, "a datagram came that is no echo of a recent message"),
        (altered, "the byte at offset 8 is "),
    ] {
        match exchange.receive(datagram) {
            Err(DatagramFault::Bad(bad)) => assert!(bad.to_string().starts_with(expected), "{bad}"),
            other => panic!("{other:?} instead of {expected}"),
        }
        assert_eq!(exchange.probe.complete(exchange.now), None, "{expected}");
    }
    assert_eq!(exchange.probe.in_flight(), 2);
}

#[test]
fn the_oldest_message_is_given_up_first_and_one_that_was_never_sent_last() {
    let mut exchange = Exchange::new(3);
    let start = exchange.now;
    exchange.exchange(20);
    exchange.now = start + MS;
    exchange.exchange(20);
    (exchange.socket.room, exchange.now) = (0, start + 2 * MS);
    exchange.begin(20);
    exchange.send();
    let probe = &mut exchange.probe;
    let mut given_up = Vec::new();
    for ms in 0..3 {
        let now = start + ms * MS;
        assert_eq!(probe.expire(|since| since < now), None);
        given_up.extend(probe.expire(|since| since <= now));
    }
    assert_eq!(given_up, [start, start + MS, start + 2 * MS]);
    assert_eq!((probe.in_flight(), probe.waiting_since()), (0, None));
}

#[test]
fn errors_of_the_socket_end_the_exchange() {
    let mut exchange = Exchange::new(1);
    exchange.socket.arriving.push_back(Err(ErrorKind::ConnectionRefused.into()));
    let Exchange { probe, socket, pattern, buffer, .. } = &mut exchange;
    match probe.receive(socket, pattern, buffer) {
        Err(DatagramFault::Refused(e)) => assert_eq!(e.kind(), ErrorKind::ConnectionRefused),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_second_socket_begins_with_the_first_number() {
    let mut exchange = Exchange::new(1);
    let first = exchange.exchange(20);
    exchange.arrive(first.clone());
    exchange.probe = exchange.probe.hand_on();
    assert_eq!(exchange.exchange(20), first);
    exchange.probe.restart();
    assert_eq!((exchange.probe.in_flight(), exchange.exchange(20)), (0, first));
}
