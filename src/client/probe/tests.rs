use std::time::Duration;

use super::*;

mod exhaustive;

const DEPTH: usize = 3;

/// A peer in memory. `mangle` turns what the peer receives into what it sends back.
struct Peer<M> {
    mangle: M,
    echo: Vec<u8>,
    /// The most that a read or write moves.
    limit: usize,
    /// Writes take this many bytes before they would block.
    room: usize,
    is_over: bool,
}

impl<M: FnMut(&[u8]) -> Vec<u8>> Peer<M> {
    fn new(mangle: M) -> Self {
        Self { mangle, echo: Vec::new(), limit: usize::MAX, room: usize::MAX, is_over: false }
    }
}

fn faithful() -> Peer<impl FnMut(&[u8]) -> Vec<u8>> {
    Peer::new(<[u8]>::to_vec)
}

impl<M> Read for Peer<M> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.echo.len().min(buffer.len()).min(self.limit);
        if n == 0 && !self.is_over {
            return Err(ErrorKind::WouldBlock.into());
        }
        buffer[..n].copy_from_slice(&self.echo[..n]);
        self.echo.drain(..n);
        Ok(n)
    }
}

impl<M: FnMut(&[u8]) -> Vec<u8>> Write for Peer<M> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.limit).min(self.room);
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= n;
        self.echo.extend((self.mangle)(&bytes[..n]));
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads until the socket is empty, or a byte is wrong.
fn receive_all(probe: &mut Probe, io: &mut impl Read, pattern: &Pattern) -> Result<(), Fault> {
    let mut scratch = [0; 256];
    while !matches!(probe.receive(io, pattern, &mut scratch)?, Received::Nothing | Received::End) {}
    Ok(())
}

/// Sends one message of 64 bytes to a peer that mangles it, and gives what is found.
fn fault_of(mangle: impl FnMut(&[u8]) -> Vec<u8>) -> Fault {
    let (pattern, now) = (Pattern::new(256), Instant::now());
    let (mut probe, mut peer) = (Probe::new(5, 1), Peer::new(mangle));
    probe.begin(64, now);
    probe.send(&mut peer, &pattern, now).unwrap();
    receive_all(&mut probe, &mut peer, &pattern).unwrap_err()
}

fn without(bytes: &[u8], gone: std::ops::Range<usize>) -> Vec<u8> {
    [&bytes[..gone.start], &bytes[gone.end..]].concat()
}

#[test]
fn an_echo_is_complete_with_its_last_byte_however_it_is_cut() {
    for limit in 1..=65 {
        let (pattern, now) = (Pattern::new(256), Instant::now());
        let (mut probe, mut peer) = (Probe::new(1, 1), faithful());
        peer.limit = limit;
        probe.begin(64, now);
        probe.send(&mut peer, &pattern, now).unwrap();
        let last = peer.echo.split_off(63);
        receive_all(&mut probe, &mut peer, &pattern).unwrap();
        assert_eq!(probe.complete(), None, "in cuts of {limit}");
        peer.echo = last;
        receive_all(&mut probe, &mut peer, &pattern).unwrap();
        assert_eq!(probe.complete(), Some(Message { due: now, sent: now, bytes: 64 }));
        assert_eq!((probe.progress(), probe.in_flight()), ((64, 64), 0));
    }
}

#[test]
fn messages_in_flight_come_back_in_order_with_their_own_times() {
    let (pattern, start) = (Pattern::new(256), Instant::now());
    let at = |ms| start + Duration::from_millis(ms);
    let (mut probe, mut peer) = (Probe::new(2, DEPTH), faithful());
    probe.begin(10, at(0));
    probe.begin(20, at(1));
    probe.begin(1000, at(2));
    assert!(!probe.has_room());
    // The socket takes the first message, then the second and a byte of the third, then the rest.
    peer.room = 10;
    probe.send(&mut peer, &pattern, at(5)).unwrap();
    assert!(!probe.is_sent());
    peer.room = 21;
    probe.send(&mut peer, &pattern, at(6)).unwrap();
    peer.room = usize::MAX;
    probe.send(&mut peer, &pattern, at(7)).unwrap();
    assert!(probe.is_sent());
    receive_all(&mut probe, &mut peer, &pattern).unwrap();
    for (due, sent, bytes) in [(0, 5, 10), (1, 6, 20), (2, 6, 1000)] {
        let message = Message { due: at(due), sent: at(sent), bytes };
        assert_eq!(probe.complete(), Some(message));
    }
    assert!(probe.complete().is_none() && probe.has_room() && probe.is_echoed());
}

/// Failed when messages that had come back, or were lost with their connection, still counted as sent.
#[test]
fn a_message_has_its_own_times_after_lost_and_complete_ones() {
    let (pattern, start) = (Pattern::new(256), Instant::now());
    let at = |ms| start + Duration::from_millis(ms);
    let mut probe = Probe::new(2, DEPTH);
    for (due, is_lost) in [(0, false), (10, false), (20, true), (30, false)] {
        let mut peer = faithful();
        probe.begin(10, at(due));
        probe.send(&mut peer, &pattern, at(due + 5)).unwrap();
        if is_lost {
            probe.restart();
            continue;
        }
        receive_all(&mut probe, &mut peer, &pattern).unwrap();
        let message = Message { due: at(due), sent: at(due + 5), bytes: 10 };
        assert_eq!(probe.complete(), Some(message));
    }
}

#[test]
fn the_wait_counts_from_the_oldest_message() {
    let (pattern, start) = (Pattern::new(256), Instant::now());
    let mut probe = Probe::new(0, DEPTH);
    assert_eq!(probe.waiting_since(), None);
    probe.begin(1, start);
    assert_eq!(probe.waiting_since(), Some(start));
    let later = start + Duration::from_millis(1);
    probe.send(&mut faithful(), &pattern, later).unwrap();
    probe.begin(1, later);
    assert_eq!(probe.waiting_since(), Some(later));
}

#[test]
fn each_wrong_byte_is_found_at_its_offset() {
    for wrong in 0..64 {
        let fault = fault_of(|bytes| {
            let mut bytes = bytes.to_vec();
            bytes[wrong] ^= 0x80;
            bytes
        });
        let Fault::Wrong(found) = fault else { panic!("{fault:?}") };
        assert_eq!(found.offset, wrong as u64);
        assert_eq!(found.got, found.expected ^ 0x80);
        let cause = if wrong < 60 { Cause::Altered(1) } else { Cause::Unknown };
        assert_eq!(found.cause, cause, "at {wrong}");
    }
}

#[test]
fn dropped_repeated_added_and_altered_bytes_are_distinguished() {
    let kind = |fault: Fault| (fault.kind(), fault.to_string());
    let (dropped, text) = kind(fault_of(|bytes| without(bytes, 20..23)));
    assert_eq!(dropped, "dropped");
    assert!(
        text.contains("wrong byte at offset 20: ") && text.contains("; 3 bytes dropped;"),
        "{text}"
    );
    let (repeated, text) = kind(fault_of(|bytes| [&bytes[..30], &bytes[29..]].concat()));
    assert_eq!(repeated, "repeated");
    assert!(text.contains("; 1 byte repeated;"), "{text}");
    let (added, text) = kind(fault_of(|bytes| [&bytes[..9], b"\0\0", &bytes[9..]].concat()));
    assert_eq!(added, "added");
    assert!(text.contains("; 2 bytes added;"), "{text}");
    let (altered, text) = kind(fault_of(|bytes| {
        let mut bytes = bytes.to_vec();
        bytes[10..14].fill(0);
        bytes
    }));
    assert_eq!(altered, "altered");
    assert!(text.contains("; 4 bytes altered;"), "{text}");
    assert_eq!(kind(fault_of(|bytes| vec![0; bytes.len()])).0, "wrong");
}

#[test]
fn bytes_beyond_what_was_sent_are_a_surplus() {
    let fault = fault_of(|bytes| [bytes, b"!"].concat());
    let Fault::Surplus { offset: 64, bytes } = fault else { panic!("{fault:?}") };
    assert_eq!(*bytes, b"!"[..]);
    assert_eq!(
        fault_of(|bytes| [bytes, b"!"].concat()).to_string(),
        "more came back than was sent, from offset 64 on: 21"
    );
}

/// Even if it equals what will be sent next: it cannot be an echo.
#[test]
fn an_echo_before_its_message_is_a_surplus() {
    let pattern = Pattern::new(256);
    let mut probe = Probe::new(3, 1);
    let mut early = Peer::new(<[u8]>::to_vec);
    early.echo = pattern.piece(3, 0, 8).to_vec();
    let fault = receive_all(&mut probe, &mut early, &pattern).unwrap_err();
    assert!(matches!(fault, Fault::Surplus { offset: 0, .. }), "{fault:?}");
}

#[test]
fn an_end_is_a_fault_only_while_bytes_are_missing() {
    let (pattern, now) = (Pattern::new(256), Instant::now());
    let (mut probe, mut peer) = (Probe::new(1, 1), faithful());
    peer.is_over = true;
    assert_eq!(probe.receive(&mut peer, &pattern, &mut [0; 9]).unwrap(), Received::End);
    probe.begin(8, now);
    probe.send(&mut peer, &pattern, now).unwrap();
    peer.echo.truncate(3);
    let fault = receive_all(&mut probe, &mut peer, &pattern).unwrap_err();
    assert_eq!(fault.to_string(), "the server closed the connection after 3 of 8 bytes");
    probe.restart();
    assert_eq!((probe.progress(), probe.in_flight()), ((0, 0), 0));
}

#[test]
fn the_fault_of_a_broken_connection_counts_its_bytes() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::ConnectionReset.into())
        }
    }
    let fault = receive_all(&mut Probe::new(1, 1), &mut Broken, &Pattern::new(256)).unwrap_err();
    assert_eq!(fault.to_string(), "the connection broke after 0 of 0 bytes: connection reset");
    assert_eq!((fault.kind(), fault.is_wrong()), ("reset", false));
}

#[test]
fn an_excerpt_shows_the_bytes_before_the_wrong_one() {
    let fault = fault_of(|bytes| without(bytes, 2..3));
    let pattern = Pattern::new(256);
    let hex = |at: u64| format!("{:02x}", pattern.byte(5, at));
    let Fault::Wrong(wrong) = &fault else { panic!("{fault:?}") };
    assert_eq!(wrong.offset, 2);
    let sent = format!("expected {} {} [{}] {} ", hex(0), hex(1), hex(2), hex(3));
    let came = format!("got {} {} [{}] {} ", hex(0), hex(1), hex(3), hex(4));
    let text = fault.to_string();
    assert!(text.contains(&sent) && text.contains(&came), "{text}");
}
