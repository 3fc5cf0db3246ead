//! The service on scripted sockets.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::*;
use crate::kit::source::unpolled;
use crate::net::{Access, LocalAddr};
use crate::observe::Counters;

const RATE: f64 = 1e6;
const CLIENT: &str = "10.0.0.1:5000";

/// Delivers what a test scripts, and keeps what is sent.
#[derive(Default)]
struct Scripted {
    arriving: VecDeque<io::Result<(Received, Vec<u8>)>>,
    /// What the next sends return; after that, they succeed.
    sends: VecDeque<io::Result<usize>>,
    sent: Vec<(SocketAddr, Option<LocalAddr>, Vec<u8>)>,
    dropped: u32,
    has_successor: bool,
}

unpolled!(Scripted);

impl Datagrams for Scripted {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let (received, bytes) = self.arriving.pop_front().unwrap_or(Err(would_block()))?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(received)
    }

    fn answer(&mut self, bytes: &[u8], received: &Received) -> io::Result<usize> {
        let n = self.sends.pop_front().unwrap_or(Ok(bytes.len()))?;
        self.sent.push((received.from, received.to, bytes.to_vec()));
        Ok(n)
    }

    fn kernel_drops(&self) -> Option<u32> {
        Some(self.dropped)
    }

    fn has_successor(&self) -> bool {
        self.has_successor
    }
}

fn would_block() -> io::Error {
    ErrorKind::WouldBlock.into()
}

fn received(from: &str, len: usize) -> Received {
    let from = from.parse().unwrap();
    Received { len, is_truncated: false, from, to: None, is_to_many: false }
}

fn datagram(from: &str, bytes: &[u8]) -> io::Result<(Received, Vec<u8>)> {
    Ok((received(from, bytes.len()), bytes.to_vec()))
}

/// A service on a socket of port 7007, at a time.
struct Served {
    echo: UdpEcho<Scripted>,
    counters: Counters,
    now: Instant,
}

impl Served {
    fn new(arriving: impl IntoIterator<Item = io::Result<(Received, Vec<u8>)>>) -> Self {
        Self::with_rate(RATE, arriving)
    }

    fn with_rate(
        rate: f64,
        arriving: impl IntoIterator<Item = io::Result<(Received, Vec<u8>)>>,
    ) -> Self {
        let now = Instant::now();
        let at = Endpoint::udp("10.0.0.9:7007".parse().unwrap());
        let other = Endpoint::udp("[::1]:7008".parse().unwrap());
        let deny = [IpNet::from("10.0.0.66".parse::<IpAddr>().unwrap())].into_iter().collect();
        let access = Access { deny, ..Access::default() };
        let guard = Guard::new([&at, &other].into_iter(), access, rate, now);
        let shared = Shared { guard, buffer: vec![0; BUFFER_BYTES].into() };
        let socket = Scripted { arriving: arriving.into_iter().collect(), ..Scripted::default() };
        let echo = UdpEcho::new(socket, at, Arc::new(Mutex::new(shared)));
        Self { echo, counters: Counters::default(), now }
    }

    /// The server goes on for the drain delay.
    fn ready(&mut self) -> Action {
        self.ready_in(Stage::Leaving)
    }

    fn ready_in(&mut self, stage: Stage) -> Action {
        self.echo.ready(&mut Context {
            now: self.now,
            stage,
            connections: 0,
            pending_bytes: 0,
            observer: &mut self.counters,
        })
    }

    fn sent(&self) -> Vec<&[u8]> {
        self.echo.socket.sent.iter().map(|(_, _, bytes)| &bytes[..]).collect()
    }

    /// Asserts that the one datagram was dropped for this reason.
    #[track_caller]
    fn expect_dropped(&self, why: DatagramDrop) {
        assert_eq!(self.echo.socket.sent, []);
        let dropped = &self.counters.datagrams_dropped;
        assert_eq!((dropped.get(why), dropped.total()), (1, 1), "{dropped:?}");
        assert_eq!(self.counters.datagrams, 0);
    }
}

#[test]
fn each_datagram_goes_back_whole_to_its_sender() {
    let others = "[2001:db8::1]:1024";
    let long = [7; 65_507];
    let mut served =
        Served::new([datagram(CLIENT, b"one"), datagram(others, b""), datagram(CLIENT, &long)]);
    assert_eq!(served.ready(), Action::Wait);
    let expected: [(&str, &[u8]); 3] = [(CLIENT, b"one"), (others, b""), (CLIENT, &long)];
    let expected = expected.map(|(to, bytes)| (to.parse().unwrap(), None, bytes.to_vec()));
    assert_eq!(served.echo.socket.sent, expected);
    let Counters { datagrams, datagram_bytes, datagrams_dropped, .. } = served.counters;
    assert_eq!((datagrams, datagram_bytes, datagrams_dropped.total()), (3, 65_510, 0));
}

#[test]
fn the_answer_comes_from_the_address_that_was_asked() {
    let to = Some(LocalAddr { ip: "127.0.0.2".parse().unwrap(), interface: 1 });
    let asked = Received { to, ..received(CLIENT, 1) };
    let mut served = Served::new([Ok((asked, vec![1]))]);
    served.ready();
    assert_eq!(served.echo.socket.sent[0].1, to);
}

/// Each of these could make two servers answer each other without an end, or make one answer to many hosts.
#[test]
fn what_may_start_a_loop_or_a_flood_is_not_answered() {
    for (from, why) in [
        ("10.0.0.1:0", DatagramDrop::LowPort),
        ("10.0.0.1:7", DatagramDrop::LowPort),
        ("[::1]:1023", DatagramDrop::LowPort),
        ("10.0.0.9:7007", DatagramDrop::OwnPort),
        ("192.0.2.1:7007", DatagramDrop::OwnPort),
        ("192.0.2.1:7008", DatagramDrop::OwnPort),
        ("0.0.0.0:5000", DatagramDrop::NoSingleSource),
        ("[::]:5000", DatagramDrop::NoSingleSource),
        ("[::ffff:0.0.0.0]:5000", DatagramDrop::NoSingleSource),
        ("255.255.255.255:5000", DatagramDrop::NoSingleSource),
        ("[::ffff:255.255.255.255]:5000", DatagramDrop::NoSingleSource),
        ("224.0.0.1:5000", DatagramDrop::NoSingleSource),
        ("[::ffff:224.0.0.1]:5000", DatagramDrop::NoSingleSource),
        ("[ff02::1]:5000", DatagramDrop::NoSingleSource),
        ("10.0.0.66:5000", DatagramDrop::Denied),
        ("[::ffff:10.0.0.66]:5000", DatagramDrop::Denied),
    ] {
        let mut served = Served::new([datagram(from, b"x")]);
        assert_eq!(served.ready(), Action::Wait, "{from}");
        served.expect_dropped(why);
    }
    let to_many = Received { is_to_many: true, ..received(CLIENT, 1) };
    let mut served = Served::new([Ok((to_many, vec![1]))]);
    served.ready();
    served.expect_dropped(DatagramDrop::SentToMany);
}

#[test]
fn what_was_cut_is_not_answered() {
    let cut = Received { is_truncated: true, ..received(CLIENT, 1) };
    let mut served = Served::new([Ok((cut, vec![1]))]);
    served.ready();
    served.expect_dropped(DatagramDrop::Truncated);
}

#[test]
fn a_source_gets_its_rate_and_other_sources_theirs() {
    let mut served =
        Served::with_rate(1.0, [CLIENT, CLIENT, "10.0.0.2:5000"].map(|from| datagram(from, b"x")));
    served.ready();
    assert_eq!((served.sent().len(), served.counters.datagrams), (2, 2));
    assert_eq!(served.counters.datagrams_dropped.get(DatagramDrop::RateLimit), 1);
    // What is not answered for another reason uses nothing of the rate.
    let refused = [datagram("10.0.0.3:7", b"x"), datagram("10.0.0.3:5000", b"x")];
    let mut served = Served::with_rate(1.0, refused);
    served.ready();
    assert_eq!(served.sent().len(), 1);
}

/// An echo server holds no memory for peers: what cannot be sent is dropped, and the next datagram has its turn.
#[test]
fn an_answer_that_cannot_be_sent_is_dropped_and_the_next_is_sent() {
    for (outcome, why) in [
        (Err(would_block()), DatagramDrop::NoRoom),
        (Err(Errno::NOBUFS.into()), DatagramDrop::NoRoom),
        (Err(Errno::NOMEM.into()), DatagramDrop::NoRoom),
        (Err(Errno::ACCESS.into()), DatagramDrop::NoSingleSource),
        (Err(Errno::PERM.into()), DatagramDrop::SendFailed),
        (Err(Errno::CONNREFUSED.into()), DatagramDrop::SendFailed),
        (Err(Errno::NETUNREACH.into()), DatagramDrop::SendFailed),
    ] {
        let mut served = Served::new([datagram(CLIENT, b"one"), datagram(CLIENT, b"two")]);
        served.echo.socket.sends = [outcome].into();
        assert_eq!(served.ready(), Action::Wait);
        assert_eq!(served.sent(), [b"two"]);
        let Counters { datagrams, datagrams_dropped: dropped, .. } = served.counters;
        assert_eq!((datagrams, dropped.total(), dropped.get(why)), (1, 1, 1), "{dropped:?}");
    }
}

/// Fault 3. Failed when a signal that came during a send cost an answer.
#[test]
fn a_send_that_a_signal_interrupts_is_tried_again() {
    let mut served = Served::new([datagram(CLIENT, b"x")]);
    served.echo.socket.sends = [Err(Errno::INTR.into()), Err(Errno::INTR.into())].into();
    served.ready();
    assert_eq!((served.sent(), served.counters.datagrams_dropped.total()), (vec![&b"x"[..]], 0));
}

/// IPv6 has no broadcast addresses. Failed when a source that a route prohibits was said to be no single host.
#[test]
fn an_ipv6_source_that_a_route_prohibits_is_a_single_host() {
    let mut served = Served::new([datagram("[2001:db8::1]:5000", b"x")]);
    served.echo.socket.sends = [Err(Errno::ACCESS.into())].into();
    served.ready();
    served.expect_dropped(DatagramDrop::SendFailed);
}

/// What the network says of earlier answers, and signals, end nothing.
#[test]
fn errors_of_the_network_end_no_batch() {
    let errors = [Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::INTR];
    let arriving = errors.map(|errno| Err(errno.into())).into_iter();
    let mut served = Served::new(arriving.chain([datagram(CLIENT, b"x")]));
    assert_eq!(served.ready(), Action::Wait);
    assert_eq!((served.sent().len(), served.counters.accept_back_offs), (1, 0));
}

#[test]
fn a_turn_is_bounded_in_datagrams_and_in_bytes() {
    let mut many = Served::new((0..150).map(|_| datagram(CLIENT, b"x")));
    let mut answered = Vec::new();
    for expected in [Action::Requeue, Action::Requeue, Action::Wait] {
        assert_eq!(many.ready(), expected);
        answered.push(many.sent().len());
    }
    assert_eq!(answered, [64, 128, 150]);
    let mut long = Served::new((0..5).map(|_| datagram(CLIENT, &[7; 65_507])));
    assert_eq!(long.ready(), Action::Requeue);
    assert_eq!(long.sent().len(), 5, "the fifth passes the bound");
    assert_eq!(long.ready(), Action::Wait);
}

/// A socket that fails all the time must not keep the server busy.
#[test]
fn a_socket_that_fails_is_left_alone_for_a_while() {
    let failures = (0..1000).map(|_| Err(Errno::NOMEM.into()));
    let mut served = Served::new(failures.chain([datagram(CLIENT, b"x")]));
    assert_eq!(served.ready(), Action::Wait);
    assert_eq!(served.counters.accept_back_offs, 1);
    let left = served.echo.socket.arriving.len();
    assert_eq!(left, 1001 - DATAGRAMS_PER_TURN);
    assert_eq!(served.echo.deadline(), Some(served.now + BACK_OFF));
    assert_eq!(served.ready(), Action::Wait);
    assert_eq!(served.echo.socket.arriving.len(), left, "it was tried again too early");
    served.now += BACK_OFF;
    assert_eq!(served.ready(), Action::Wait);
    assert_eq!(served.echo.socket.arriving.len(), left - DATAGRAMS_PER_TURN);
}

/// An idle server is never woken.
#[test]
fn what_the_kernel_dropped_is_counted_a_second_after_something_came() {
    let mut served = Served::new([datagram(CLIENT, b"x")]);
    assert_eq!(served.echo.deadline(), None);
    served.ready();
    let ask_at = served.now + DROPS_DELAY;
    assert_eq!(served.echo.deadline(), Some(ask_at));
    served.echo.socket.dropped = 5;
    served.ready();
    assert_eq!((served.counters.kernel_drops, served.echo.deadline()), (0, Some(ask_at)));
    served.now = ask_at;
    served.ready();
    assert_eq!((served.counters.kernel_drops, served.echo.deadline()), (5, None));
    // The counter of the kernel wraps around.
    served.echo.kernel_drops = u32::MAX;
    assert_eq!(served.ready_in(Stage::Draining), Action::Close);
    assert_eq!(served.counters.kernel_drops, 5 + 6);
}

#[test]
fn a_stopping_server_answers_what_has_arrived_and_no_more() {
    let mut served = Served::new((0..150).map(|_| datagram(CLIENT, b"x")));
    assert_eq!(served.ready_in(Stage::Draining), Action::Close);
    assert_eq!(served.sent().len(), 150);
    let mut endless = Served::new((0..LAST_DATAGRAMS + 1).map(|_| datagram(CLIENT, b"x")));
    assert_eq!(endless.ready_in(Stage::Draining), Action::Close);
    assert_eq!(endless.sent().len(), LAST_DATAGRAMS);
}

#[test]
fn a_stopping_server_leaves_the_queue_of_an_inherited_socket_to_its_successor() {
    let mut served = Served::new([datagram(CLIENT, b"x")]);
    served.echo.socket.has_successor = true;
    assert_eq!(served.ready_in(Stage::Draining), Action::Close);
    assert_eq!(served.sent().len(), 0);
    assert_eq!(served.echo.socket.arriving.len(), 1);
}
