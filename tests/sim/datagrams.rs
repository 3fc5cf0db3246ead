//! The server's UDP sockets: what comes to them, and what the server may do with it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mio::Token;
use resound::net::{Endpoint, LocalAddr, Received};
use resound::observe::{DatagramDrop, Event};
use resound::reactor::Ready;
use rustix::io::Errno;

use crate::coverage::Feature;
use crate::kit::pattern;
use crate::kit::rng::Rng;
use crate::rates::Buckets;
use crate::scenario::SERVICES;
use crate::world::{Request, World};

/// The server's UDP sockets.
pub const SOCKETS: usize = SERVICES - 1;

/// The ports that the server answers on.
const OWN_PORTS: [u16; SOCKETS] = [7007, 7008];

/// The longest datagram over UDP.
const MAX_BYTES: usize = 65_507;

/// Datagrams that the kernel holds for a socket. It drops further ones.
const QUEUE: usize = 300;

/// Datagrams, and bytes, that are received from one socket in one turn. More would be unfair to the others. A socket may
/// be looked at twice: for its event, and since a time has passed.
const PER_LOOK: usize = 64;
const BYTES_PER_LOOK: usize = (256 << 10) + MAX_BYTES;
const LOOKS_PER_TURN: usize = 2;

/// How often a receive may return `WouldBlock` without an event. More are a busy loop.
const MAX_FUTILE: usize = 16;

/// How late the server may try a socket again that failed, or ask for what the kernel dropped: the time that it waits, and
/// a second more.
const RETRY: Duration = Duration::from_millis(1_500);
const DROPS_LATE: Duration = Duration::from_secs(2);
const LATE_TURNS: usize = 24;

/// The kernel's count of drops at the start, so that it wraps around.
const FIRST_DROPS: u32 = u32::MAX - 1;

/// Whatever the server is expected to say of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Echo,
    Drop(DatagramDrop),
}

#[derive(Clone, Debug)]
struct Datagram {
    /// Its bytes are those of this stream.
    id: usize,
    received: Received,
    /// Why it must not be answered, but for the rate.
    fault: Option<DatagramDrop>,
}

/// One socket, as the kernel has it.
#[derive(Debug)]
pub struct UdpQueue {
    pub token: Option<Token>,
    queue: VecDeque<Datagram>,
    edge: bool,
    failing: VecDeque<Errno>,
    drops: u32,
    reported_drops: u32,
    last_drop: Duration,
    /// The datagram that was received last, if the server has not reported it yet...
    current: Option<Datagram>,
    /// ...and what it must say, if that is known.
    due: Option<Due>,
    received: usize,
    received_bytes: usize,
    futile: usize,
    /// The last receive failed.
    has_failed: bool,
    /// When the server reported that it could not receive.
    failed_at: Option<Duration>,
    late_turns: usize,
}

impl Default for UdpQueue {
    fn default() -> Self {
        Self {
            token: None,
            queue: VecDeque::new(),
            edge: false,
            failing: VecDeque::new(),
            drops: FIRST_DROPS,
            reported_drops: FIRST_DROPS,
            last_drop: Duration::ZERO,
            current: None,
            due: None,
            received: 0,
            received_bytes: 0,
            futile: 0,
            has_failed: false,
            failed_at: None,
            late_turns: 0,
        }
    }
}

/// All UDP sockets of one server.
#[derive(Debug, Default)]
pub struct Udp {
    /// Which server of the run it is.
    pub epoch: u64,
    pub queues: [UdpQueue; SOCKETS],
    buckets: Buckets<IpAddr>,
    datagrams: usize,
    pub echoed: u64,
    pub echoed_bytes: u64,
    pub dropped: u64,
}

impl Udp {
    /// For the next server: what the last one's sockets held is gone.
    pub fn new(epoch: u64) -> Self {
        Self { epoch, ..Self::default() }
    }

    pub fn endpoint(socket: usize) -> Endpoint {
        Endpoint::udp(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 1), OWN_PORTS[socket])))
    }

    pub fn begin_turn(&mut self) {
        for queue in &mut self.queues {
            (queue.received, queue.received_bytes) = (0, 0);
        }
    }

    /// An event comes for no reason.
    pub fn excuse(&mut self, token: Token) {
        for queue in self.queues.iter_mut().filter(|queue| queue.token == Some(token)) {
            queue.futile = 0;
        }
    }

    pub fn fail_receives(&mut self, socket: usize, error: Errno, times: u8) {
        self.queues[socket].failing.extend([error].repeat(times.into()));
        self.queues[socket].edge = true;
    }

    pub fn stop_failing(&mut self) {
        self.queues.iter_mut().for_each(|queue| queue.failing.clear());
    }

    fn datagram(&mut self, rng: &mut Rng) -> Datagram {
        self.datagrams += 1;
        let len = match rng.below(32) {
            0 => 0,
            1 => MAX_BYTES,
            _ => rng.size(1, 4096) as usize,
        };
        let ip = source_ip(rng);
        let (from, fault) = source(ip, rng);
        let is_to_many = fault.is_none() && rng.below(64) == 0;
        let is_truncated = fault.is_none() && !is_to_many && rng.below(64) == 0;
        let local = LocalAddr { ip: Ipv4Addr::LOCALHOST.into(), interface: 1 };
        let to = (rng.below(2) == 0).then_some(local);
        let fault = match (is_to_many, is_truncated) {
            (true, _) => Some(DatagramDrop::SentToMany),
            (_, true) => Some(DatagramDrop::Truncated),
            _ => fault,
        };
        let received = Received { len, is_truncated, from, to, is_to_many };
        Datagram { id: self.datagrams, received, fault }
    }
}

/// One of few addresses, so that the rate of some is reached.
fn source_ip(rng: &mut Rng) -> IpAddr {
    let ip = Ipv4Addr::new(127, 0, 0, rng.below(4) as u8);
    match rng.below(3) {
        0 => ip.to_ipv6_mapped().into(),
        1 => Ipv6Addr::new(0xfd00, 0, 0, rng.below(4) as u16, 0, 0, 0, rng.below(9) as u16).into(),
        _ => ip.into(),
    }
}

/// A source with this address, or one that must get no answer, and why.
fn source(ip: IpAddr, rng: &mut Rng) -> (SocketAddr, Option<DatagramDrop>) {
    let port = rng.below(20_000) as u16 + 10_000;
    match rng.below(20) {
        0 => ((ip, rng.below(1024) as u16).into(), Some(DatagramDrop::LowPort)),
        1 => ((ip, rng.pick(&OWN_PORTS)).into(), Some(DatagramDrop::OwnPort)),
        2 => {
            let ip: IpAddr = rng.pick(&[
                Ipv4Addr::BROADCAST.into(),
                Ipv4Addr::UNSPECIFIED.into(),
                Ipv4Addr::new(224, 0, 0, 1).into(),
                Ipv6Addr::UNSPECIFIED.into(),
                Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(),
                Ipv4Addr::BROADCAST.to_ipv6_mapped().into(),
            ]);
            ((ip, port).into(), Some(DatagramDrop::NoSingleSource))
        }
        _ => ((ip, port).into(), None),
    }
}

/// The address under which a source has its rate.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

impl World {
    /// Some datagrams come to a socket. The kernel drops those for which it has no room.
    pub fn datagrams_come(&mut self, socket: usize, count: u8) {
        if !self.scenario.has_udp {
            return;
        }
        for _ in 0..count {
            let mut datagram = self.udp.datagram(&mut self.rng);
            if self.scenario.lists.bars_ip(datagram.received.from.ip()) {
                datagram.fault.get_or_insert(DatagramDrop::Denied);
            }
            let queue = &mut self.udp.queues[socket];
            if queue.queue.len() < QUEUE {
                queue.queue.push_back(datagram);
                queue.edge = true;
            } else {
                queue.drops = queue.drops.wrapping_add(1);
                queue.last_drop = self.clock.raw;
            }
        }
    }

    pub fn sys_watch_udp(&mut self, socket: usize, token: Token) {
        self.check_token(token);
        let queue = &mut self.udp.queues[socket];
        queue.token = Some(token);
        queue.edge = true;
    }

    /// The event of a socket, if one is due. It is always writable.
    pub fn udp_event(&mut self, socket: usize) -> Option<Ready> {
        if !self.udp.queues[socket].edge || self.chance(self.scenario.fault_rates.withheld) {
            return None;
        }
        let queue = &mut self.udp.queues[socket];
        let token = queue.token?;
        (queue.edge, queue.futile) = (false, 0);
        Some(Ready { token, exceptional: false })
    }

    pub fn sys_receive(&mut self, socket: usize, buffer: &mut [u8]) -> io::Result<Received> {
        self.calls += 1;
        if let Some(datagram) = self.udp.queues[socket].current.take() {
            self.fail(|| format!("UDP {socket}: nothing is said of {datagram:?}"));
        }
        if self.chance(self.scenario.fault_rates.interrupted) {
            self.coverage.note(Feature::Interrupted);
            return Err(ErrorKind::Interrupted.into());
        }
        let queue = &mut self.udp.queues[socket];
        if let Some(error) = queue.failing.pop_front() {
            queue.has_failed = true;
            return Err(error.into());
        }
        (queue.has_failed, queue.failed_at) = (false, None);
        let Some(datagram) = queue.queue.pop_front() else {
            queue.futile += 1;
            self.check_futile(socket);
            return Err(ErrorKind::WouldBlock.into());
        };
        let len = datagram.received.len;
        queue.futile = 0;
        queue.received += 1;
        queue.received_bytes += len;
        self.check_work(socket);
        buffer[..len].copy_from_slice(pattern::bytes(datagram.id, 0, len));
        let received = datagram.received;
        self.udp.queues[socket].due = datagram.fault.map(Due::Drop);
        self.udp.queues[socket].current = Some(datagram);
        Ok(received)
    }

    fn check_futile(&mut self, socket: usize) {
        let futile = self.udp.queues[socket].futile;
        if futile > MAX_FUTILE && !self.may_drain() {
            self.fail(|| format!("UDP {socket}: {futile} receives without an event: a busy loop"));
        }
    }

    fn check_work(&mut self, socket: usize) {
        let UdpQueue { received, received_bytes, .. } = self.udp.queues[socket];
        let is_much = received > LOOKS_PER_TURN * PER_LOOK
            || received_bytes > LOOKS_PER_TURN * BYTES_PER_LOOK;
        // A stopping server answers all that has come.
        if is_much && !self.may_drain() {
            self.fail(|| {
                format!("UDP {socket}: {received} datagrams, {received_bytes} bytes in one turn")
            });
        }
    }

    pub fn sys_answer(
        &mut self,
        socket: usize,
        bytes: &[u8],
        received: &Received,
    ) -> io::Result<usize> {
        self.calls += 1;
        let Some(datagram) = self.udp.queues[socket].current.clone() else {
            self.fail(|| format!("UDP {socket}: an answer to nothing"));
            return Err(ErrorKind::WouldBlock.into());
        };
        let Datagram { id, received: Received { len, from, to, .. }, .. } = datagram;
        let is_right = bytes == pattern::bytes(id, 0, len);
        let is_to_source = received.from == from && received.to == to;
        if let Some(due) = self.udp.queues[socket].due {
            self.fail(|| format!("UDP {socket}: answered instead of {due:?}: {datagram:?}"));
        } else if !is_right || !is_to_source {
            let sent = bytes.len();
            self.fail(|| format!("UDP {socket}: {sent} bytes to {received:?} for {datagram:?}"));
        }
        self.take_token(socket, from.ip());
        let (sent, due) = self.send_answer(len, from.ip());
        self.udp.queues[socket].due = Some(due);
        sent
    }

    /// The source has had one answer more, which its rate must allow.
    fn take_token(&mut self, socket: usize, ip: IpAddr) {
        let (rate, raw) = (self.scenario.udp_rate, self.clock.raw);
        if !self.udp.buckets.take(network_of(ip), rate, raw) {
            self.fail(|| format!("UDP {socket}: {ip} gets more than its rate"));
        }
    }

    /// What the kernel says of an answer, and what the server must say then.
    fn send_answer(&mut self, len: usize, to: IpAddr) -> (io::Result<usize>, Due) {
        if !self.chance(self.scenario.fault_rates.cut / 4) {
            return (Ok(len), Due::Echo);
        }
        let failed = DatagramDrop::SendFailed;
        // IPv6 has no broadcast addresses: there, a route prohibits the address.
        let no_access = match to.to_canonical() {
            IpAddr::V4(_) => DatagramDrop::NoSingleSource,
            IpAddr::V6(_) => failed,
        };
        match self.rng.below(4) {
            0 => (Err(ErrorKind::WouldBlock.into()), Due::Drop(DatagramDrop::NoRoom)),
            1 => (Err(Errno::ACCESS.into()), Due::Drop(no_access)),
            2 => (Err(Errno::HOSTUNREACH.into()), Due::Drop(failed)),
            _ if len > 0 => (Ok(len - 1), Due::Drop(failed)),
            _ => (Err(Errno::NETUNREACH.into()), Due::Drop(failed)),
        }
    }

    pub fn sys_kernel_drops(&self, socket: usize) -> u32 {
        self.udp.queues[socket].drops
    }

    /// Handles a report about datagrams.
    pub fn on_datagram(&mut self, event: Event<'_>) {
        match event {
            Event::DatagramEchoed { peer, bytes } => {
                self.udp.echoed += 1;
                self.udp.echoed_bytes += bytes as u64;
                self.on_verdict(peer, Due::Echo, Some(bytes));
            }
            Event::DatagramDropped { peer, why, .. } => {
                self.udp.dropped += 1;
                self.on_verdict(peer, Due::Drop(why), None);
            }
            Event::KernelDropped { socket, datagrams } => self.on_drops(socket, datagrams),
            Event::ReceiveFailed { socket, .. } => {
                self.coverage.note(Feature::ReceiveFailed);
                let raw = self.clock.raw;
                if let Some(queue) = self.queue_at(socket) {
                    queue.failed_at = Some(raw);
                }
            }
            _ => {}
        }
    }

    fn queue_at(&mut self, at: &Endpoint) -> Option<&mut UdpQueue> {
        let socket = (0..SOCKETS).find(|socket| Udp::endpoint(*socket) == *at)?;
        Some(&mut self.udp.queues[socket])
    }

    /// The server reports what it did with the datagram that it received last.
    fn on_verdict(&mut self, peer: &Endpoint, said: Due, bytes: Option<usize>) {
        let current = |queue: &UdpQueue| queue.current.is_some();
        let Some(socket) = self.udp.queues.iter().position(current) else {
            return self.fail(|| format!("UDP: {said:?} of nothing"));
        };
        let (datagram, due) = (self.udp.queues[socket].current.take(), self.udp.queues[socket].due);
        let Some(Datagram { received, .. }) = datagram else { return };
        let ip = received.from.ip();
        let is_barred = self.scenario.lists.bars_ip(ip);
        let (rate, raw) = (self.scenario.udp_rate, self.clock.raw);
        let is_limited = said == Due::Drop(DatagramDrop::RateLimit);
        let is_lawful = match due {
            None => is_limited && self.udp.buckets.is_empty(network_of(ip), rate, raw),
            Some(due) => said == due || said == Due::Drop(DatagramDrop::Denied) && is_barred,
        };
        let is_named = *peer == Endpoint::udp(received.from);
        self.coverage.note(feature(said));
        if !is_lawful || !is_named || bytes.is_some_and(|bytes| bytes != received.len) {
            self.fail(|| format!("UDP {socket}: {said:?} of {peer}, due {due:?}: {received:?}"));
        }
    }

    fn on_drops(&mut self, at: &Endpoint, datagrams: u32) {
        self.coverage.note(Feature::KernelDropped);
        let Some(queue) = self.queue_at(at) else { return };
        queue.reported_drops = queue.reported_drops.wrapping_add(datagrams);
        let (reported, drops) = (queue.reported_drops, queue.drops);
        if reported != drops || datagrams == 0 {
            self.fail(|| format!("UDP {at}: {reported} drops are reported, but there are {drops}"));
        }
    }

    /// Checks a socket at the end of a turn.
    pub fn check_udp(&mut self, socket: usize, is_idle: bool) {
        let raw = self.clock.raw;
        let queue = &mut self.udp.queues[socket];
        if queue.token.is_none() {
            return;
        }
        let is_left = !queue.queue.is_empty() && !queue.edge;
        let is_forgotten = is_idle && is_left && queue.failed_at.is_none();
        let retries_late = is_left && queue.failed_at.is_some_and(|at| raw - at > RETRY);
        let unreported = queue.reported_drops != queue.drops && queue.queue.is_empty();
        let is_late = retries_late || unreported && raw - queue.last_drop > DROPS_LATE;
        queue.late_turns = if is_late { queue.late_turns + 1 } else { 0 };
        let is_too_late = queue.late_turns > LATE_TURNS;
        if let Some(datagram) = &queue.current {
            let fault = format!("UDP {socket}: nothing is said of {datagram:?}");
            self.fail(|| fault);
        } else if is_forgotten || is_too_late {
            let fault = format!("UDP {socket}: datagrams are left, or drops not told: {queue:?}");
            self.fail(|| fault);
        }
    }

    /// A server that stops answers what has come before, unless it must stop at once.
    pub fn sys_close_udp(&mut self, socket: usize, epoch: u64) {
        if epoch != self.udp.epoch {
            return;
        }
        let queue = &mut self.udp.queues[socket];
        let (left, unreported) = (queue.queue.len(), queue.drops != queue.reported_drops);
        let is_watched = queue.token.is_some();
        let may_fail = queue.has_failed || !queue.failing.is_empty();
        if left > 0 {
            self.coverage.note(Feature::LeftDatagrams);
        }
        if matches!(self.request, Request::Abort { .. }) {
            return;
        }
        let is_early = !self.may_drain();
        if left > 0 && !may_fail || unreported || is_watched || is_early {
            self.fail(|| {
                format!("UDP {socket}: closed with {left} datagrams, untold drops: {unreported}, too early: {is_early}")
            });
        }
    }
}

fn feature(said: Due) -> Feature {
    match said {
        Due::Echo => Feature::DatagramEchoed,
        Due::Drop(DatagramDrop::RateLimit) => Feature::DatagramOverRate,
        Due::Drop(DatagramDrop::NoRoom | DatagramDrop::SendFailed) => Feature::AnswerFailed,
        Due::Drop(DatagramDrop::Denied) => Feature::DatagramDenied,
        Due::Drop(_) => Feature::DatagramRefused,
    }
}
