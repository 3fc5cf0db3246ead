//! The clients of the metrics, and what the server may do to them. They use real sockets, so that the server's own poll
//! reports them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::coverage::Feature;
use crate::kit::rng::Rng;
use crate::requests::{Due, Request};
use crate::scenario::FaultRates;
use crate::world::{Request as Asked, World};

/// Clients that the server has at once. Further ones wait.
const MAX_CLIENTS: usize = 16;

/// How long one may take, and while there are as many as there may be.
const TIMEOUT: Duration = Duration::from_secs(10);
const CROWDED_TIMEOUT: Duration = Duration::from_secs(1);

/// Answers in one turn. More would delay the echoes...
const ANSWERS_PER_TURN: usize = 4;
/// ...but for turns in which a client's time is over, or the server begins to stop or to drain: then, the server looks at
/// its clients for that too.
const ANSWERS_PER_BUSY_TURN: usize = MAX_CLIENTS;

/// Turns within which the server must act without an event.
const LATE_TURNS: usize = 24;

/// Turns after which everything is answered that can be.
const QUIET_TURNS: usize = 4;

/// Calls without an effect since a client did something. More are a busy loop.
const MAX_FUTILE: usize = 128;

/// Bytes beyond a request that the server reads before it closes.
const MAX_DISCARDED_BYTES: usize = 256 << 10;

/// More clients than the server has at once.
const MOST_SCRAPERS: usize = 24;

/// The metrics of one server, and its clients.
#[derive(Debug, Default)]
pub struct Http {
    /// Which server of the run it is.
    pub epoch: u64,
    /// The other ends of connections that were not accepted yet.
    queue: VecDeque<(usize, UnixStream)>,
    /// Wakes the listener.
    pub bell: Option<UnixStream>,
    scrapers: Vec<Scraper>,
    /// Calls and answers in this turn.
    calls: usize,
    answers: usize,
    /// Turns in a row without a call and without anything from a client.
    quiet_turns: usize,
    futile: usize,
}

#[derive(Debug)]
struct Scraper {
    stream: UnixStream,
    request: Request,
    sent: usize,
    /// It has ended its direction, or has closed.
    is_over: bool,
    has_left: bool,
    answer: Vec<u8>,
    /// The end of the answer was read.
    has_end: bool,
    /// When the server accepted it, on the caller's clock, and whether it closed it.
    accepted_at: Option<Duration>,
    is_closed: bool,
    /// What the server began to write.
    status: Option<u16>,
    late_turns: usize,
}

impl Scraper {
    fn is_open(&self) -> bool {
        self.accepted_at.is_some() && !self.is_closed
    }

    /// The answer is due without further bytes.
    fn is_due(&self) -> bool {
        self.sent >= self.request.decided_at || self.is_over && self.sent > 0
    }

    /// Whether exactly the head and the body have come, as a whole.
    fn is_complete(&self) -> bool {
        let text = String::from_utf8_lossy(&self.answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let has_no_body = self.request.bytes.starts_with(b"HEAD") && self.status == Some(200);
        let named = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let len = named.and_then(|text| text.parse::<usize>().ok());
        len.is_some_and(|len| body.len() == if has_no_body { 0 } else { len })
    }
}

impl Http {
    /// For the next server: the clients of the last one are gone.
    pub fn new(epoch: u64, bell: UnixStream) -> Self {
        Self { epoch, bell: Some(bell), ..Self::default() }
    }

    /// Whether everything is answered that can be.
    pub fn is_quiet(&self) -> bool {
        self.quiet_turns >= QUIET_TURNS && self.calls == 0
    }

    fn touch(&mut self) {
        (self.quiet_turns, self.futile) = (0, 0);
    }

    fn open(&self) -> usize {
        self.scrapers.iter().filter(|scraper| scraper.is_open()).count()
    }

    /// The client that `index` means, of those that have not left.
    fn nth(&mut self, index: u16) -> Option<&mut Scraper> {
        self.touch();
        let present = self.scrapers.iter().filter(|scraper| !scraper.has_left).count();
        let at = usize::from(index).checked_rem(present)?;
        self.scrapers.iter_mut().filter(|scraper| !scraper.has_left).nth(at)
    }

    pub fn begin_turn(&mut self) {
        self.quiet_turns = if self.calls == 0 { self.quiet_turns + 1 } else { 0 };
        (self.calls, self.answers) = (0, 0);
    }

    /// A client sends more of its request.
    pub fn send(&mut self, index: u16, bytes: usize) {
        if let Some(scraper) = self.nth(index) {
            scraper.send(bytes);
        }
    }

    /// A client ends its direction, or closes.
    pub fn leave(&mut self, index: u16, closes: bool) {
        if let Some(scraper) = self.nth(index) {
            scraper.leave(closes);
        }
    }

    /// Every client sends what is left, and ends when it is answered.
    pub fn send_all(&mut self) {
        self.touch();
        self.scrapers.iter_mut().for_each(|scraper| scraper.send(usize::MAX));
    }
}

impl Scraper {
    fn send(&mut self, bytes: usize) {
        let end = self.request.bytes.len().min(self.sent.saturating_add(bytes));
        if self.is_over || self.has_end {
            return;
        }
        // Fails if the server has closed.
        self.sent += self.stream.write(&self.request.bytes[self.sent..end]).unwrap_or(0);
    }

    fn leave(&mut self, closes: bool) {
        let how = if closes { Shutdown::Both } else { Shutdown::Write };
        let _ = self.stream.shutdown(how);
        self.is_over = true;
        self.has_left |= closes;
    }

    /// Reads what has come of the answer.
    fn receive(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break self.has_end = true,
                Ok(n) => self.answer.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => break self.has_end = true,
            }
        }
    }
}

impl World {
    /// A client connects, and sends some of its request or all of it.
    pub fn scrape(&mut self, bytes: usize) -> io::Result<()> {
        let http = &mut self.http;
        if !self.scenario.has_metrics {
            return Ok(());
        }
        if http.scrapers.iter().filter(|scraper| !scraper.has_left).count() >= MOST_SCRAPERS {
            return Ok(());
        }
        let (stream, other) = UnixStream::pair()?;
        stream.set_nonblocking(true)?;
        other.set_nonblocking(true)?;
        let mut scraper = Scraper {
            stream,
            request: Request::new(&mut self.rng),
            sent: 0,
            is_over: false,
            has_left: false,
            answer: Vec::new(),
            has_end: false,
            accepted_at: None,
            is_closed: false,
            status: None,
            late_turns: 0,
        };
        scraper.send(bytes);
        http.queue.push_back((http.scrapers.len(), other));
        http.scrapers.push(scraper);
        http.touch();
        http.bell.as_mut().map_or(Ok(()), |bell| bell.write_all(&[0]))
    }

    /// Takes a client off the accept queue.
    pub fn http_accept(&mut self) -> io::Result<(usize, UnixStream)> {
        let raw = self.clock.raw;
        self.http_call();
        let Some((id, stream)) = self.http.queue.pop_front() else {
            self.http_futile();
            return Err(ErrorKind::WouldBlock.into());
        };
        self.http.scrapers[id].accepted_at = Some(raw);
        if self.http.open() == MAX_CLIENTS {
            self.coverage.note(Feature::ScrapersCrowded);
        }
        Ok((id, stream))
    }

    /// The faults of streams that have a random number generator of their own.
    pub fn web_faults(&self) -> FaultRates {
        let rates = &self.scenario.fault_rates;
        let none = FaultRates { interrupted: 0, cut: 0, ..rates.clone() };
        if self.has_faults { rates.clone() } else { none }
    }

    pub fn http_call(&mut self) {
        self.http.calls += 1;
    }

    pub fn http_futile(&mut self) {
        self.http.futile += 1;
        if self.http.futile > MAX_FUTILE {
            self.fail(|| "metrics: calls without an event: a busy loop".into());
        }
    }

    /// The server writes `bytes`, which begin an answer or go on with it.
    pub fn http_answer(&mut self, id: usize, bytes: &[u8]) {
        self.http_call();
        if self.http.scrapers[id].status.is_some() {
            return;
        }
        self.http.answers += 1;
        let text = String::from_utf8_lossy(bytes);
        let status = text.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
        self.http.scrapers[id].status = Some(status);
        let answers = self.http.answers;
        let is_timeout = status == 408;
        let ids = 0..self.http.scrapers.len();
        let is_notified = self.turn - self.notified_in <= 1;
        let is_busy = is_notified || ids.into_iter().any(|id| self.is_timed_out(id));
        let most = if is_busy { ANSWERS_PER_BUSY_TURN } else { ANSWERS_PER_TURN };
        if answers > most && !is_timeout {
            self.fail(|| format!("metrics: {answers} answers in one turn"));
        }
        self.check_status(id, status);
        if status == 200 && self.http.scrapers[id].request.due == Due::Figures {
            self.check_figures(&text);
        }
    }

    fn check_status(&mut self, id: usize, status: u16) {
        let scraper = &self.http.scrapers[id];
        let is_whole = scraper.sent >= scraper.request.decided_at;
        let is_stopping = !matches!(self.request, Asked::None);
        let due = match scraper.request.due {
            _ if status == 408 => 408,
            _ if !is_whole => 400,
            Due::Figures => 200,
            Due::Readiness if is_stopping => 503,
            Due::Readiness => 200,
            Due::Status(status) => status,
        };
        let is_lawful = match status {
            408 => !scraper.is_due() && scraper.sent > 0 && self.is_timed_out(id),
            // What is wrong may show early.
            400 | 431 => scraper.is_due() || scraper.request.due == Due::Status(status),
            _ => is_whole,
        };
        self.coverage.note(match status {
            200 if due == 200 && is_stopping => Feature::ScrapedWhileStopping,
            200 => Feature::Scraped,
            503 => Feature::ScrapedNotReady,
            408 => Feature::ScraperTooSlow,
            _ => Feature::ScrapeRefused,
        });
        if status != due && !matches!(status, 400 | 431) || !is_lawful {
            let scraper = format!("{scraper:?}");
            self.fail(|| format!("metrics: the answer is {status} instead of {due}: {scraper}"));
        }
    }

    /// Whether the time of a client is over.
    fn is_timed_out(&self, id: usize) -> bool {
        let is_crowded = self.http.open() >= MAX_CLIENTS;
        let timeout = if is_crowded { CROWDED_TIMEOUT } else { TIMEOUT };
        let accepted = self.http.scrapers[id].accepted_at;
        accepted.is_some_and(|at| self.clock.raw - at >= timeout)
    }

    /// The figures agree with what the simulator counted itself.
    fn check_figures(&mut self, text: &str) {
        let value = |name: &str| {
            let values = text.lines().filter(|line| {
                let rest = line.strip_prefix(name);
                rest.is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
            });
            values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
        };
        let open = self.accepted.len() as u64;
        let of_accepted = self.accepted.iter().map(|id| &self.sockets[*id]);
        let waiting = of_accepted.clone().filter(|s| s.waiting_header().is_some()).count() as u64;
        let pending: u64 = of_accepted.map(|socket| socket.pending()).sum();
        let accepted = value("resound_connections_accepted_total");
        let refused = value("resound_connections_refused_total");
        let closed = value("resound_connections_closed_total");
        let held = value("resound_pending_bytes");
        let is_stopping = u64::from(!matches!(self.request, Asked::None));
        let totals = &self.totals;
        let faults = [
            (value("resound_connections") != open, "open connections"),
            (accepted + refused + waiting != totals.accepted, "accepted and refused connections"),
            (accepted - closed.min(accepted) + waiting != open, "closed connections"),
            (value("resound_received_bytes_total") != totals.read, "bytes received"),
            (value("resound_sent_bytes_total") != totals.written, "bytes sent"),
            (value("resound_datagrams_echoed_total") != self.udp.echoed, "datagrams"),
            (value("resound_datagrams_echoed_bytes_total") != self.udp.echoed_bytes, "their bytes"),
            (value("resound_datagrams_dropped_total") != self.udp.dropped, "datagrams dropped"),
            (held < pending || (held == 0) != (pending == 0), "pending bytes"),
            (value("resound_stopping") != is_stopping, "whether it stops"),
        ];
        if let Some((_, what)) = faults.into_iter().find(|(is_wrong, _)| *is_wrong) {
            let totals = format!("{totals:?}, {open} open, {waiting} waiting, {pending} pending");
            self.fail(|| format!("metrics: the {what} are wrong: {totals}\n{text}"));
        }
    }

    /// The server has ended its direction, or has closed.
    pub fn http_end(&mut self, id: usize, closes: bool) {
        self.http_call();
        let (may_close, is_timed_out) = (self.may_close(id), self.is_timed_out(id));
        let raw = self.clock.raw;
        let scraper = &mut self.http.scrapers[id];
        scraper.is_closed |= closes;
        scraper.receive();
        // Nothing is due to one that sent nothing, and little to one that is late.
        let is_excused = scraper.sent == 0 || is_timed_out && !scraper.is_due();
        let is_lawful = scraper.is_complete() || scraper.has_left || closes && is_excused;
        if closes && !may_close || !is_lawful {
            let scraper = format!("{scraper:?}");
            self.fail(|| format!("metrics: ended at {raw:?} without an answer: {scraper}"));
        }
    }

    /// Whether the server may close: the client has closed too, or sends too much, or its time is over.
    fn may_close(&self, id: usize) -> bool {
        let scraper = &self.http.scrapers[id];
        // One that has sent something takes its place.
        let is_replaced = scraper.sent == 0 && self.http.open() > MAX_CLIENTS;
        let is_done = scraper.is_over || scraper.sent > MAX_DISCARDED_BYTES;
        is_done || is_replaced || self.is_timed_out(id)
    }

    /// Checks the clients at the end of a turn.
    pub fn check_scrapers(&mut self) {
        let is_quiet = self.http.is_quiet();
        let open = self.http.open();
        let has_room = open < MAX_CLIENTS;
        let raw = self.clock.raw;
        let mut fault = (open > MAX_CLIENTS).then(|| format!("metrics: {open} clients at once"));
        for scraper in &mut self.http.scrapers {
            let over = scraper.accepted_at.is_some_and(|at| raw - at > TIMEOUT);
            let is_late = over && scraper.is_open();
            scraper.late_turns = if is_late { scraper.late_turns + 1 } else { 0 };
            let is_unanswered = scraper.is_open() && scraper.is_due() && scraper.status.is_none();
            let is_left = scraper.accepted_at.is_none() && has_room;
            if is_quiet && (is_unanswered || is_left) {
                fault = Some(format!("metrics: not answered: {scraper:?}"));
            } else if scraper.late_turns > LATE_TURNS {
                fault = Some(format!("metrics: not closed in time: {scraper:?}"));
            }
        }
        if let Some(fault) = fault {
            self.fail(|| fault);
        }
        let Self { http, rng, has_faults, .. } = self;
        http.dismiss(rng, *has_faults);
    }
}

impl Http {
    /// A client that has its answer closes, sooner or later.
    fn dismiss(&mut self, rng: &mut Rng, lingers: bool) {
        for scraper in self.scrapers.iter_mut().filter(|s| s.has_end && !s.has_left) {
            if !lingers || rng.chance(200) {
                scraper.leave(true);
                self.quiet_turns = 0;
            }
        }
    }
}
