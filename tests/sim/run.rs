//! One run: the story is told to the world, and the server takes its turns in it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use resound::net::Endpoint;
use resound::reactor::Ready;
use resound::server::{Outcome, Server};

use crate::coverage::{Coverage, Feature};
use crate::fakes::{FakeListener, Reporter, Shared};
use crate::grammar::{Action, Step};
use crate::kit::rng::Rng;
use crate::scenario::Scenario;
use crate::socket::{Peer, Socket};
use crate::world::{Life, World};

/// Turns in which a server that nobody disturbs is done with everything.
const TURNS_TO_SETTLE: usize = 20_000;

/// What went wrong, and after how many steps; as many as there are if it was after all of them.
#[derive(Debug)]
pub struct Failure {
    pub steps: usize,
    pub what: String,
}

type Wrong<T = ()> = Result<T, String>;

/// Tells a story to the end, and sees to it that everybody gets what is theirs.
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
    told: Vec<Ready>,
    ready: Vec<Ready>,
    /// Turns, one after the other, in which nothing happened, and in which nothing was done either.
    quiet_turns: usize,
    /// The server was told to stop since the last turn, or has just started.
    is_stirred: bool,
}

impl Run {
    fn new(scenario: &Scenario) -> io::Result<Self> {
        let world = Rc::new(RefCell::new(World::new(scenario.clone())));
        let base = Instant::now();
        let server = start(&world, base)?;
        Ok(Self {
            world,
            server,
            base,
            told: Vec::new(),
            ready: Vec::new(),
            quiet_turns: 0,
            is_stirred: true,
        })
    }

    fn step(&mut self, step: &Step) -> Wrong {
        self.world.borrow_mut().rng = Rng::new(step.seed.into());
        self.act(&step.action)?;
        let is_quiet = matches!(step.action, Action::Quiet);
        for turn in 0..step.turns {
            if !is_quiet {
                self.world.borrow_mut().flow();
            }
            let passes = if turn == 0 { step.passes } else { Duration::ZERO };
            self.turn(passes, !is_quiet)?;
        }
        Ok(())
    }

    /// Lets the server take one turn. Returns whether it has stopped, and was started again.
    fn turn(&mut self, passes: Duration, tells: bool) -> Wrong<bool> {
        self.told.clear();
        let timeout = self.server.poll_timeout();
        let mut world = self.world.borrow_mut();
        world.begin_turn(passes, timeout);
        if tells {
            world.tell(&mut self.told);
        }
        drop(world);
        // Nothing is registered with the poll, so this returns what is requeued.
        self.server.wait(Some(Duration::ZERO), &mut self.ready).map_err(|e| e.to_string())?;
        merge(&mut self.ready, &self.told);
        self.handle_events()?;
        let outcome = self.server.take_outcome().transpose();
        self.judge(outcome.map_err(|e| format!("the server failed: {e}"))?, passes)
    }

    fn handle_events(&mut self) -> Wrong {
        let mut now = self.server.begin_turn(self.now(), self.ready.len());
        self.check_time(now)?;
        for event in &self.ready {
            self.server.handle_event(*event, now);
            if self.server.is_slow() {
                self.world.borrow_mut().coverage.note(Feature::SlowTurn);
                now = self.server.advance(self.base + self.world.borrow().clock.raw);
            }
        }
        self.check_time(now)?;
        self.server.handle_timeouts(now);
        Ok(())
    }

    fn check_time(&self, now: Instant) -> Wrong {
        let (counted, served) = (now - self.base, self.world.borrow().clock.served);
        if counted == served {
            return Ok(());
        }
        Err(format!("the server counts {counted:?}, where it served {served:?}"))
    }

    fn judge(&mut self, outcome: Option<Outcome>, passes: Duration) -> Wrong<bool> {
        let mut world = self.world.borrow_mut();
        let undisturbed = self.told.is_empty() && passes.is_zero() && !self.is_stirred;
        let is_still = undisturbed && world.calls == 0 && world.gone == 0;
        if undisturbed && self.quiet_turns >= 2 && !is_still {
            let (calls, gone) = (world.calls, world.gone);
            world.fail(|| format!("{calls} calls, {gone} closed, and for no reason"));
        }
        self.quiet_turns = if is_still { self.quiet_turns + 1 } else { 0 };
        self.is_stirred = false;
        world.end_turn(self.quiet_turns >= 2);
        match world.wrong.take() {
            Some(wrong) => return Err(wrong),
            None => drop(world),
        }
        self.follow(outcome)
    }

    fn follow(&mut self, outcome: Option<Outcome>) -> Wrong<bool> {
        let mut world = self.world.borrow_mut();
        match (outcome, world.life) {
            (None, Life::Serving | Life::Stopping { .. }) => return Ok(false),
            (Some(Outcome::Stopped), Life::Stopping { .. }) => {
                world.coverage.note(Feature::Stopped);
            }
            (Some(Outcome::Aborted), Life::Aborted) => world.coverage.note(Feature::Aborted),
            (outcome, life) => return Err(format!("{outcome:?}, where the server is {life:?}")),
        }
        if !world.live.is_empty() {
            return Err(format!("the server has left {} connections behind", world.live.len()));
        }
        world.restart();
        drop(world);
        self.server = start(&self.world, self.now()).map_err(|e| e.to_string())?;
        self.is_stirred = true;
        Ok(true)
    }

    fn now(&self) -> Instant {
        self.base + self.world.borrow().clock.raw
    }

    fn stop(&mut self) {
        let mut world = self.world.borrow_mut();
        world.life = match world.life {
            Life::Serving => Life::Stopping { since: world.clock.served, raw: world.clock.raw },
            Life::Stopping { .. } | Life::Aborted => Life::Aborted,
        };
        if world.listeners.iter().any(|listening| !listening.queue.is_empty()) {
            world.coverage.note(Feature::StoppedWithQueue);
        }
        drop(world);
        self.server.stop();
        self.is_stirred = true;
    }

    fn act(&mut self, action: &Action) -> Wrong {
        if matches!(action, Action::Stop) {
            self.stop();
            return self.world.borrow_mut().wrong.take().map_or(Ok(()), Err);
        }
        let mut world = self.world.borrow_mut();
        match *action {
            Action::Connect { listener, ip, receive_space, send_space } => {
                world.connect(listener, ip, [receive_space, send_space]);
            }
            Action::Rush { listener, peers } => {
                (0..peers).for_each(|ip| world.connect(listener, ip % 4, [100, 100]));
            }
            Action::Descriptors { spare } => {
                world.descriptors = world.live.len() + usize::from(spare);
            }
            Action::DescriptorsAgain => world.descriptors = usize::MAX,
            Action::AcceptFails { listener, error, times } => {
                world.listeners[listener].failing.extend([error].repeat(times.into()));
            }
            Action::Quiet | Action::Stop => {}
            _ => act_of_peer(&mut world, action),
        }
        Ok(())
    }

    /// Faults stop, and everybody gets what is theirs.
    fn settle(&mut self) -> Wrong {
        self.world.borrow_mut().calm();
        self.until_idle()?;
        for _ in 0..30 {
            // Accepting may rest for a while yet.
            self.turn(Duration::from_millis(50), true)?;
            self.until_idle()?;
        }
        self.check_settled(|socket| {
            let is_owed = socket.ledger.goodbye.is_none() && socket.written < socket.sent;
            is_owed.then_some("waits for its echo")
        })?;
        self.each_peer(|peer| peer.fin = true);
        self.until_idle()?;
        self.check_settled(|_| Some("has finished, and was not closed"))?;
        self.stop_in_time()
    }

    fn each_peer(&mut self, act: impl Fn(&mut Socket)) {
        let mut world = self.world.borrow_mut();
        let World { alive, sockets, .. } = &mut *world;
        let sockets = alive.iter().map(|id| (*id, sockets[*id].peer == Peer::Vanished));
        let present: Vec<_> = sockets.filter(|(_, vanished)| !vanished).collect();
        present.into_iter().for_each(|(id, _)| act(&mut world.sockets[id]));
    }

    fn check_settled(&self, wrong: impl Fn(&Socket) -> Option<&'static str>) -> Wrong {
        let world = self.world.borrow();
        let present = |socket: &&Socket| socket.peer != Peer::Vanished;
        for socket in world.alive.iter().map(|id| &world.sockets[*id]).filter(present) {
            if let Some(wrong) = wrong(socket) {
                return Err(format!("socket {} {wrong}\n{socket}", socket.id));
            }
        }
        Ok(())
    }

    /// Takes turns until there is no more to do, without any time passing.
    fn until_idle(&mut self) -> Wrong {
        for _ in 0..TURNS_TO_SETTLE {
            let flowed = self.world.borrow_mut().flow();
            self.turn(Duration::ZERO, true)?;
            if self.quiet_turns >= 3 && !flowed {
                return Ok(());
            }
        }
        Err("there is no end to it".into())
    }

    fn stop_in_time(&mut self) -> Wrong {
        self.stop();
        let timeout = self.world.borrow().scenario.config.drain_timeout;
        for _ in 0..timeout.as_millis() / 50 + 4 {
            self.world.borrow_mut().flow();
            if self.turn(Duration::from_millis(50), true)? {
                return Ok(());
            }
        }
        Err("the server has not stopped".into())
    }
}

/// Adds what the world reports to what the reactor does: each source once, as a poll would.
fn merge(ready: &mut Vec<Ready>, told: &[Ready]) {
    for event in told {
        match ready.iter_mut().find(|ready| ready.token == event.token) {
            Some(ready) => ready.exceptional |= event.exceptional,
            None => ready.push(*event),
        }
    }
}

fn start(world: &Shared, now: Instant) -> io::Result<Server<FakeListener, Reporter>> {
    let config = world.borrow().scenario.config.clone();
    let mut server = Server::new(config, Reporter(Rc::clone(world)), now)?;
    let listener = |id| (FakeListener { world: Rc::clone(world), id }, Endpoint::Unix(None));
    server.listen([0, 1].map(listener))?;
    Ok(server)
}

fn act_of_peer(world: &mut World, action: &Action) {
    let unit = world.scenario.unit();
    match *action {
        Action::Send { who, bytes } => with(world, who, |peer| {
            peer.sent += bytes.min(peer.may_send(unit));
        }),
        Action::Flood { who } => with(world, who, |peer| peer.sent += peer.may_send(unit)),
        Action::Urgent { who } => with(world, who, Socket::urge),
        Action::StopReading { who } => with(world, who, |peer| peer.is_reading = false),
        Action::ReadAgain { who } => with(world, who, |peer| {
            (peer.is_reading, peer.is_sipping) = (true, false);
        }),
        Action::Sip { who } => with(world, who, |peer| {
            (peer.is_reading, peer.is_sipping) = (true, true);
        }),
        Action::HalfClose { who } => with(world, who, |peer| peer.fin = true),
        Action::Close { who } => with(world, who, |peer| {
            peer.fin = true;
            peer.peer = Peer::Closed;
        }),
        Action::Vanish { who } => with(world, who, |peer| peer.peer = Peer::Vanished),
        Action::Reset { who, error } => {
            let mut rng = world.rng.clone();
            with(world, who, |peer| peer.break_off(error, &mut rng));
            world.rng.next();
        }
        _ => {}
    }
}

fn with(world: &mut World, who: u16, act: impl FnOnce(&mut Socket)) {
    if let Some(peer) = world.somebody(who) {
        act(peer);
    }
}
