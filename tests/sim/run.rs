//! One run: the steps of a story, and the server's turns.

use std::io;
use std::time::{Duration, Instant};

use resound::http::HttpServer;
use resound::net::Endpoint;
use resound::observe::Counters;
use resound::reactor::Ready;
use resound::server::{Config, ListenAt, Metrics, Outcome, Server};

use crate::coverage::{Coverage, Feature};
use crate::datagrams::{self, Udp};
use crate::fakes::{FakeListener, Reporter, Shared};
use crate::grammar::{Action, Step};
use crate::kit::rng::Rng;
use crate::scenario::{LISTENERS, PROXIED, Scenario};
use crate::socket::{Peer, Socket};
use crate::udp::FakeDatagrams;
use crate::web::WebListener;
use crate::world::{Request, World};

/// Turns in which a server without new events must come to rest.
const TURNS_TO_SETTLE: usize = 20_000;

/// What went wrong, and after how many steps: all of them if it was at the end.
#[derive(Debug)]
pub struct Failure {
    pub steps: usize,
    pub what: String,
}

type Check<T = ()> = Result<T, String>;

/// Runs a story to its end, and then checks that each peer gets its whole echo.
pub fn run(scenario: &Scenario, story: &[Step]) -> Result<Coverage, Failure> {
    let failed = |steps| move |what| Failure { steps, what };
    let mut run = Run::new(scenario).map_err(|e| failed(0)(e.to_string()))?;
    for (at, step) in story.iter().enumerate() {
        run.step(step).map_err(failed(at + 1))?;
    }
    run.settle().map_err(failed(story.len()))?;
    let world = run.world.borrow();
    Ok(world.coverage.clone())
}

struct Run {
    world: Shared,
    server: Server<FakeListener, Reporter>,
    base: Instant,
    /// What the world reports in this turn, and that together with what the reactor requeued.
    events: Vec<Ready>,
    ready: Vec<Ready>,
    /// Turns in a row in which nothing happened and the server did nothing.
    idle_turns: usize,
    /// Since the last turn, the server was asked to stop, or was started.
    is_disturbed: bool,
}

impl Run {
    fn new(scenario: &Scenario) -> io::Result<Self> {
        let world = Shared::new(World::new(scenario.clone()));
        let base = Instant::now();
        let server = start(&world, base)?;
        Ok(Self {
            world,
            server,
            base,
            events: Vec::new(),
            ready: Vec::new(),
            idle_turns: 0,
            is_disturbed: true,
        })
    }

    fn step(&mut self, step: &Step) -> Check {
        self.world.borrow().rng = Rng::new(step.seed.into());
        self.act(&step.action)?;
        let is_quiet = matches!(step.action, Action::Quiet);
        for turn in 0..step.turns {
            if !is_quiet {
                self.world.borrow().flow();
            }
            let passes = if turn == 0 { step.passes } else { Duration::ZERO };
            self.turn(passes, !is_quiet)?;
        }
        Ok(())
    }

    /// Lets the server take one turn. Returns whether it stopped and was started again.
    fn turn(&mut self, passes: Duration, delivers: bool) -> Check<bool> {
        self.events.clear();
        let timeout = self.server.poll_timeout();
        let mut world = self.world.borrow();
        world.begin_turn(passes, timeout);
        if delivers {
            world.deliver_events(&mut self.events);
        }
        drop(world);
        // The poll watches only the metrics, so this returns their events and what was requeued.
        self.server.wait(Some(Duration::ZERO), &mut self.ready).map_err(|e| e.to_string())?;
        merge(&mut self.ready, &self.events);
        self.handle_events()?;
        let outcome = self.server.take_outcome().transpose();
        self.check_turn(outcome.map_err(|e| format!("the server failed: {e}"))?, passes)
    }

    fn handle_events(&mut self) -> Check {
        let mut now = self.server.begin_turn(self.now(), self.ready.len());
        self.check_time(now)?;
        for event in &self.ready {
            self.server.handle_event(*event, now);
            if self.server.is_slow() {
                self.world.borrow().coverage.note(Feature::SlowTurn);
                let raw = self.world.borrow().clock.raw;
                now = self.server.advance(self.base + raw);
            }
        }
        self.check_time(now)?;
        self.server.handle_timeouts(now);
        Ok(())
    }

    fn check_time(&self, now: Instant) -> Check {
        let (counted, served) = (now - self.base, self.world.borrow().clock.served);
        if counted == served {
            return Ok(());
        }
        Err(format!("the server counts {counted:?}, but it served {served:?}"))
    }

    fn check_turn(&mut self, outcome: Option<Outcome>, passes: Duration) -> Check<bool> {
        let mut world = self.world.borrow();
        let is_undisturbed = self.events.is_empty() && passes.is_zero() && !self.is_disturbed;
        let is_still = is_undisturbed && world.calls == 0 && world.closed == 0;
        if is_undisturbed && self.idle_turns >= 2 && !is_still {
            let (calls, closed) = (world.calls, world.closed);
            world.fail(|| format!("{calls} calls and {closed} closed connections for no reason"));
        }
        self.idle_turns = if is_still { self.idle_turns + 1 } else { 0 };
        self.is_disturbed = false;
        world.end_turn(self.idle_turns >= 2);
        match world.failure.take() {
            Some(failure) => return Err(failure),
            None => drop(world),
        }
        self.check_outcome(outcome)
    }

    fn check_outcome(&mut self, outcome: Option<Outcome>) -> Check<bool> {
        let mut world = self.world.borrow();
        match (outcome, world.request) {
            (None, Request::None | Request::Leave { .. } | Request::Stop { .. }) => {
                return Ok(false);
            }
            (Some(Outcome::Stopped), Request::Stop { .. }) => {
                world.coverage.note(Feature::Stopped);
            }
            (Some(Outcome::Aborted), Request::Abort { .. }) => {
                world.coverage.note(Feature::Aborted)
            }
            (outcome, request) => {
                return Err(format!("the outcome is {outcome:?} after the request {request:?}"));
            }
        }
        if !world.accepted.is_empty() {
            return Err(format!("the server has left {} connections open", world.accepted.len()));
        }
        world.restart();
        drop(world);
        self.server = start(&self.world, self.now()).map_err(|e| e.to_string())?;
        self.is_disturbed = true;
        Ok(true)
    }

    fn now(&self) -> Instant {
        self.base + self.world.borrow().clock.raw
    }

    fn stop(&mut self) {
        let mut world = self.world.borrow();
        if matches!(world.request, Request::Leave { .. }) {
            world.coverage.note(Feature::AbortedInDelay);
        }
        world.request = world.next_request();
        if world.listeners.iter().any(|listening| !listening.queue.is_empty()) {
            world.coverage.note(Feature::StoppedWithQueue);
        }
        drop(world);
        self.server.stop();
        self.is_disturbed = true;
    }

    fn act(&mut self, action: &Action) -> Check {
        if matches!(action, Action::Stop) {
            self.stop();
            return self.world.borrow().failure.take().map_or(Ok(()), Err);
        }
        let mut world = self.world.borrow();
        match *action {
            Action::Connect { listener, ip, receive_space, send_space } => {
                world.connect(listener, ip, [receive_space, send_space]);
            }
            Action::ConnectMany { listener, peers } => {
                (0..peers).for_each(|ip| world.connect(listener, ip % 4, [100, 100]));
            }
            Action::Scrape { bytes } => {
                world.scrape(bytes.into()).map_err(|e| e.to_string())?;
            }
            Action::Datagrams { socket, count } => world.datagrams_come(socket, count),
            Action::ReceiveFails { socket, error, times } => {
                world.udp.fail_receives(socket, error, times);
            }
            Action::Scrapes => {
                for bytes in (0..60).step_by(3) {
                    world.scrape(bytes).map_err(|e| e.to_string())?;
                }
            }
            Action::SendRequest { peer, bytes } => world.http.send(peer, bytes.into()),
            Action::LeaveScrape { peer, closes } => world.http.leave(peer, closes),
            Action::LimitDescriptors { spare } => {
                world.descriptors = world.accepted.len() + usize::from(spare);
            }
            Action::RestoreDescriptors => world.descriptors = usize::MAX,
            Action::AcceptFails { listener, error, times } => {
                world.listeners[listener].failing.extend([error].repeat(times.into()));
            }
            Action::Quiet | Action::Stop => {}
            _ => act_of_peer(&mut world, action),
        }
        Ok(())
    }

    /// Stops the faults, and checks that each peer gets its whole echo.
    fn settle(&mut self) -> Check {
        self.world.borrow().stop_faults();
        self.until_idle()?;
        for _ in 0..30 {
            // Accepting may still back off.
            self.turn(Duration::from_millis(50), true)?;
            self.until_idle()?;
        }
        self.check_settled(|socket| {
            let is_owed = socket.ledger.half_closed_at.is_none() && socket.written < socket.sent;
            is_owed.then_some("waits for its echo")
        })?;
        self.end_streams();
        self.until_idle()?;
        self.check_settled(|_| Some("has sent its end of file, and is not closed"))?;
        self.stop_in_time()
    }

    /// Every peer that is present sends its end of file.
    fn end_streams(&mut self) {
        let World { alive, sockets, .. } = &mut *self.world.borrow();
        for id in alive {
            sockets[*id].fin |= sockets[*id].peer != Peer::Vanished;
        }
    }

    fn check_settled(&self, fault: impl Fn(&Socket) -> Option<&'static str>) -> Check {
        let world = self.world.borrow();
        let present = |socket: &&Socket| socket.peer != Peer::Vanished;
        for socket in world.alive.iter().map(|id| &world.sockets[*id]).filter(present) {
            if let Some(fault) = fault(socket) {
                return Err(format!("socket {} {fault}\n{socket}", socket.id));
            }
        }
        Ok(())
    }

    /// Takes turns until there is nothing left to do. No time passes.
    fn until_idle(&mut self) -> Check {
        for _ in 0..TURNS_TO_SETTLE {
            let flowed = self.world.borrow().flow();
            self.turn(Duration::ZERO, true)?;
            if self.idle_turns >= 3 && !flowed && self.world.borrow().http.is_quiet() {
                return Ok(());
            }
        }
        Err("the server does not come to rest".into())
    }

    fn stop_in_time(&mut self) -> Check {
        self.stop();
        let Config { drain_delay, drain_timeout, .. } = self.world.borrow().scenario.config;
        let timeout = drain_delay + drain_timeout;
        for _ in 0..timeout.as_millis() / 50 + 4 {
            self.world.borrow().flow();
            if self.turn(Duration::from_millis(50), true)? {
                return Ok(());
            }
        }
        Err("the server has not stopped".into())
    }
}

/// Adds the world's events to those of the reactor, each source once, as a poll would.
fn merge(ready: &mut Vec<Ready>, events: &[Ready]) {
    for event in events {
        match ready.iter_mut().find(|ready| ready.token == event.token) {
            Some(ready) => ready.exceptional |= event.exceptional,
            None => ready.push(*event),
        }
    }
}

fn start(world: &Shared, now: Instant) -> io::Result<Server<FakeListener, Reporter>> {
    let config = world.borrow().scenario.config.clone();
    let counters = Counters::default();
    let reporter = Reporter { world: world.clone(), counters };
    let mut server = Server::new(config.clone(), reporter, now)?;
    let listener = |id| {
        let at = ListenAt { at: Endpoint::Unix(None), is_proxied: id == PROXIED };
        (FakeListener { world: world.clone(), id }, at)
    };
    server.listen((0..LISTENERS).map(listener))?;
    if world.borrow().scenario.has_udp {
        let epoch = world.borrow().udp.epoch + 1;
        world.borrow().udp = Udp::new(epoch);
        let socket = |id| (FakeDatagrams { world: world.clone(), epoch, id }, Udp::endpoint(id));
        let rate = world.borrow().scenario.udp_rate;
        server.echo_datagrams((0..datagrams::SOCKETS).map(socket).collect(), rate)?;
    }
    if world.borrow().scenario.has_metrics {
        let mut web = HttpServer::new(now)?;
        web.listen(WebListener::new(world)?, Endpoint::Unix(None))?;
        server.add_service(Box::new(Metrics::new(web, &config, now)))?;
    }
    Ok(server)
}

fn act_of_peer(world: &mut World, action: &Action) {
    let unit = world.scenario.unit();
    match *action {
        Action::Send { peer, bytes } => with(world, peer, |peer| {
            peer.send_bytes(bytes.min(peer.may_send(unit)));
        }),
        Action::Flood { peer } => with(world, peer, |peer| peer.send_bytes(peer.may_send(unit))),
        Action::SendHeader { peer, bytes } => with(world, peer, |peer| {
            if !peer.fin
                && let Some(header) = &mut peer.header
            {
                header.send(bytes.into());
            }
        }),
        Action::Urgent { peer } => with(world, peer, Socket::send_urgent),
        Action::StopReading { peer } => with(world, peer, |peer| peer.is_reading = false),
        Action::ResumeReading { peer } => with(world, peer, |peer| {
            (peer.is_reading, peer.is_slow_reader) = (true, false);
        }),
        Action::ReadSlowly { peer } => with(world, peer, |peer| {
            (peer.is_reading, peer.is_slow_reader) = (true, true);
        }),
        Action::HalfClose { peer } => with(world, peer, |peer| peer.fin = true),
        Action::Close { peer } => with(world, peer, |peer| {
            peer.fin = true;
            peer.peer = Peer::Closed;
        }),
        Action::Vanish { peer } => with(world, peer, |peer| peer.peer = Peer::Vanished),
        Action::Reset { peer, error } => {
            let mut rng = world.rng.clone();
            with(world, peer, |peer| peer.fail_with(error, &mut rng));
            world.rng.next();
        }
        _ => {}
    }
}

fn with(world: &mut World, peer: u16, act: impl FnOnce(&mut Socket)) {
    if let Some(peer) = world.nth_peer(peer) {
        act(peer);
    }
}
