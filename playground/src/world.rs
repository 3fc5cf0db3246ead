//! A server, a kernel and a peer that take turns, and the settings of each.

use crate::kernel::{Kernel, Mode};
use crate::log::Log;
use crate::peer::Peer;
use crate::server::Server;
use crate::socket::mistake;

mod why;
mod state;

/// The most that a size may be, in bytes: what a page can run for hours.
const MAX_BYTES: u32 = 1 << 20;

/// A server that spins must not keep the peer from its turn.
const MAX_TURNS_IN_A_ROW: u32 = 3;

/// How long a step takes, in microseconds, and how much longer one in which nothing moves.
const STEP: u64 = 10;
const STANDSTILL: u64 = 100_000;

/// What [`World::set`] changes. Sizes are in bytes, from 1 to 1 MiB; a value outside is brought inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The size of the kernel's receive buffer.
    ReceiveBuffer,
    /// The size of the kernel's send buffer.
    SendBuffer,
    /// The size of the buffer that the server reads into.
    Scratch,
    /// How much the peer sends before it waits for the echo.
    Message,
    /// How much the peer sends at a time.
    WritePortion,
    /// How much the peer reads at a time.
    ReadPortion,
    /// 1 if the peer does not read.
    IsPaused,
    /// 0 for edges, 1 for levels.
    IsLevel,
    /// The mistakes that the server makes: bits of 1 to 64.
    Mistakes,
}

impl Setting {
    /// All, in the order of their numbers for the page.
    pub const ALL: [Self; 9] = [
        Self::ReceiveBuffer,
        Self::SendBuffer,
        Self::Scratch,
        Self::Message,
        Self::WritePortion,
        Self::ReadPortion,
        Self::IsPaused,
        Self::IsLevel,
        Self::Mistakes,
    ];

    /// Its value in a new world.
    fn default(self) -> u32 {
        match self {
            Self::ReceiveBuffer | Self::SendBuffer | Self::Scratch | Self::Message => 4 << 10,
            Self::WritePortion | Self::ReadPortion => 2 << 10,
            Self::IsPaused | Self::IsLevel | Self::Mistakes => 0,
        }
    }
}

/// What [`World::act`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The peer or the server does its next thing.
    Step,
    /// The peer shuts down its writing side.
    End,
    /// The wire is cut: a reset for both.
    Cut,
    /// The server is asked to end the connection.
    Finish,
}

impl Action {
    /// All, in the order of their numbers for the page.
    pub const ALL: [Self; 4] = [Self::Step, Self::End, Self::Cut, Self::Finish];
}

/// One connection with all that is around it.
pub struct World {
    server: Server,
    kernel: Kernel,
    peer: Peer,
    log: Log,
    turns_in_a_row: u32,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A connection that was just accepted, with buffers of 4 KiB, between which the peer moves 2 KiB at a time.
    pub fn new() -> Self {
        let mut world = Self {
            server: Server::default(),
            kernel: Kernel::default(),
            peer: Peer::default(),
            log: Log::default(),
            turns_in_a_row: 0,
        };
        world.log.line(
            "{\"schema\":\"resound-trace\",\"version\":1,\"vantage\":\"server\",\
             \"title\":\"playground\",\"program\":\"resound\"}",
        );
        world.log.connection("connection:accepted", "", "{\"peer\":\"192.0.2.1:50000\"}");
        for setting in Setting::ALL {
            world.set(setting, setting.default());
        }
        world
    }

    /// Changes one setting.
    pub fn set(&mut self, setting: Setting, value: u32) {
        let size = value.clamp(1, MAX_BYTES) as usize;
        let (receive, send) = (self.kernel.receive.size, self.kernel.send.size);
        match setting {
            Setting::ReceiveBuffer => self.kernel.resize(size, send),
            Setting::SendBuffer => self.kernel.resize(receive, size),
            Setting::Scratch => self.server.build.scratch = size,
            Setting::Message => self.peer.habits.message = size,
            Setting::WritePortion => self.peer.habits.write_portion = size,
            Setting::ReadPortion => self.peer.habits.read_portion = size,
            Setting::IsPaused => self.peer.habits.is_paused = value != 0,
            Setting::IsLevel => {
                self.server.build.mode = if value == 0 { Mode::Edge } else { Mode::Level };
            }
            Setting::Mistakes => self.server.build.mistakes = value & mistake::ALL,
        }
        self.server.register(&mut self.kernel, &mut self.log);
    }

    /// Does one thing. Returns whether anything happened.
    pub fn act(&mut self, action: Action) -> bool {
        match action {
            Action::Step => return self.step(),
            Action::End => self.peer.end(&mut self.kernel, &mut self.log),
            Action::Cut => self.peer.cut(&mut self.kernel, &mut self.log),
            Action::Finish => self.server.finish(),
        }
        true
    }

    /// The server goes first, since a peer is slow. But after some turns in a row, the peer has its turn.
    fn step(&mut self) -> bool {
        self.log.advance(STEP);
        let is_servers = self.turns_in_a_row < MAX_TURNS_IN_A_ROW
            && self.server.turn(&mut self.kernel, &mut self.log);
        self.turns_in_a_row = if is_servers { self.turns_in_a_row + 1 } else { 0 };
        let has_moved = is_servers
            || self.peer.step(&mut self.kernel, &mut self.log)
            || self.server.turn(&mut self.kernel, &mut self.log);
        self.log.advance(if has_moved { 0 } else { STANDSTILL });
        has_moved
    }

    /// The records since the last call, as lines of a trace.
    pub fn take_records(&mut self) -> String {
        self.log.take()
    }

    /// Whether the connection is stuck or spins through the server's fault, or the echo is not what it should be.
    pub fn is_broken(&self) -> bool {
        self.why().is_bad || self.peer_says().is_bad
    }

    /// Whether server and peer are done with each other.
    pub fn is_over(&self) -> bool {
        self.server.closed.is_some() && self.peer.is_over
    }
}
