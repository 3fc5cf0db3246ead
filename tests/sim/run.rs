//! One run: the story is told to the world, and the server takes its turns in it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Token;
use resound::reactor::Ready;
use resound::server::{Flow, Server};
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use crate::coverage::{Coverage, Feature};
use crate::fakes::{FakeListener, Shared, Watch};
use crate::grammar::{Action, Step};
use crate::rng::Rng;
use crate::scenario::Scenario;
use crate::socket::{Peer, Socket};
use crate::world::{Life, World};

/// The slot of the signals, which are the first to be watched. None ever comes; but the server is told
/// of them before each turn, so that its poll never waits. A listener or a connection would do for that
/// only until the server lets go of it, and being told would keep it from going deaf.
const PACEMAKER: Ready = Ready { token: Token(0), exceptional: false };

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
    server: Server<FakeListener, Watch>,
    base: Instant,
    told: Vec<Ready>,
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
        Ok(Self { world, server, base, told: Vec::new(), quiet_turns: 0, is_stirred: true })
    }

    fn step(&mut self, step: &Step) -> Wrong {
        self.world.borrow_mut().rng = Rng::new(step.luck.into());
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

    /// Lets the server take one turn. Returns whether it has stopped, and has been started again.
    fn turn(&mut self, passes: Duration, tells: bool) -> Wrong<bool> {
        self.told.clear();
        let mut world = self.world.borrow_mut();
        // How long the server meant to wait is not known now.
        let passes = if self.is_stirred { passes.min(Duration::from_millis(10)) } else { passes };
        world.begin_turn(passes);
        if tells {
            world.tell(&mut self.told);
        }
        let now = self.base + world.clock.raw;
        drop(world);
        self.told.iter().for_each(|ready| self.server.wake(*ready));
        self.server.wake(PACEMAKER);
        let mut flow = self.server.turn(now);
        while matches!(flow, Ok(Flow::Continue)) && self.server.is_mid_turn() {
            self.world.borrow_mut().coverage.note(Feature::SlowTurn);
            flow = self.server.turn(now);
        }
        self.judge(flow.map_err(|e| format!("a turn failed: {e}"))?, passes)
    }

    fn judge(&mut self, flow: Flow, passes: Duration) -> Wrong<bool> {
        let mut world = self.world.borrow_mut();
        let undisturbed = self.told.is_empty() && passes.is_zero() && !self.is_stirred;
        let is_still = undisturbed && world.calls == 0 && world.gone == 0;
        if undisturbed && self.quiet_turns >= 2 && !is_still {
            let (calls, gone) = (world.calls, world.gone);
            world.accuse(|| format!("{calls} calls, {gone} closed, and for no reason"));
        }
        self.quiet_turns = if is_still { self.quiet_turns + 1 } else { 0 };
        self.is_stirred = false;
        world.end_turn(self.quiet_turns >= 2);
        match world.wrong.take() {
            Some(wrong) => return Err(wrong),
            None => drop(world),
        }
        self.follow(flow)
    }

    fn follow(&mut self, flow: Flow) -> Wrong<bool> {
        let mut world = self.world.borrow_mut();
        match (flow, world.life) {
            (Flow::Continue, Life::Serving | Life::Stopping { .. }) => return Ok(false),
            (Flow::Stopped, Life::Stopping { .. }) => world.coverage.note(Feature::Stopped),
            (Flow::Aborted, Life::Aborted) => world.coverage.note(Feature::Aborted),
            (flow, life) => return Err(format!("{flow:?}, where the server is {life:?}")),
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

    fn signal(&mut self, signals: &[i32]) {
        let mut world = self.world.borrow_mut();
        if signals.len() > 1 && !world.live.is_empty() {
            world.coverage.note(Feature::SignalsAtOnce);
        }
        world.life = match world.life {
            Life::Serving => Life::Stopping { since: world.clock.served, raw: world.clock.raw },
            // A terminal that closes may say so once more.
            life if signals == [SIGHUP] => life,
            Life::Stopping { .. } | Life::Aborted => Life::Aborted,
        };
        if world.listeners.iter().any(|listening| !listening.queue.is_empty()) {
            world.coverage.note(Feature::StoppedWithQueue);
        }
        drop(world);
        self.server.request(signals);
        self.is_stirred = true;
    }

    fn act(&mut self, action: &Action) -> Wrong {
        if let Action::Signals(signals) = action {
            self.signal(signals);
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
            Action::Quiet | Action::Signals(_) => {}
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
            let is_owed = socket.treatment.goodbye.is_none() && socket.written < socket.sent;
            is_owed.then_some("waits for its echo")
        })?;
        self.each_peer(|peer| peer.fin = true);
        self.until_idle()?;
        self.check_settled(|_| Some("has finished, and was not closed"))?;
        self.stop_in_time()
    }

    fn each_peer(&mut self, act: impl Fn(&mut Socket)) {
        let mut world = self.world.borrow_mut();
        let World { afoot, sockets, .. } = &mut *world;
        let sockets = afoot.iter().map(|id| (*id, sockets[*id].peer == Peer::Vanished));
        let present: Vec<_> = sockets.filter(|(_, vanished)| !vanished).collect();
        present.into_iter().for_each(|(id, _)| act(&mut world.sockets[id]));
    }

    fn check_settled(&self, wrong: impl Fn(&Socket) -> Option<&'static str>) -> Wrong {
        let world = self.world.borrow();
        let present = |socket: &&Socket| socket.peer != Peer::Vanished;
        for socket in world.afoot.iter().map(|id| &world.sockets[*id]).filter(present) {
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
        self.signal(&[SIGTERM]);
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

fn start(world: &Shared, now: Instant) -> io::Result<Server<FakeListener, Watch>> {
    let config = world.borrow().scenario.config.clone();
    let mut server = Server::new(config, Watch(Rc::clone(world)), now)?;
    server.obey(Signals::new([] as [i32; 0])?)?;
    for id in 0..2 {
        server.listen(FakeListener { world: Rc::clone(world), id }, format!("listener {id}"))?;
    }
    Ok(server)
}

fn act_of_peer(world: &mut World, action: &Action) {
    let unit = world.scenario.unit();
    match *action {
        Action::Send { who, bytes } => with(world, who, |peer| {
            peer.sent += bytes.min(peer.patience(unit));
        }),
        Action::Flood { who } => with(world, who, |peer| peer.sent += peer.patience(unit)),
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
