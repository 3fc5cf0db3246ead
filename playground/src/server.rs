//! A reactor for one connection: it waits, drives the `Echo`, and applies what comes next.

use crate::conn::{Drive, Echo, Next, ShortRead};
use crate::kernel::{Interest, Kernel, Mode, Ready};
use crate::log::Log;
use crate::socket::{Socket, mistake};

/// How the server is built. Sizes in bytes, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Build {
    /// The buffer that it reads into.
    pub(crate) scratch: usize,
    pub(crate) mode: Mode,
    /// Bits of [`mistake`].
    pub(crate) mistakes: u32,
}

#[derive(Default)]
pub(crate) struct Server {
    pub(crate) build: Build,
    echo: Echo,
    /// It is on the ready queue: the next wait does not block.
    pub(crate) is_queued: bool,
    /// It was asked to end the connection.
    pub(crate) is_finishing: bool,
    /// Since when it sleeps, by the clock of the log.
    asleep: Option<u64>,
    /// Turns in a row that had nothing to write and read nothing.
    pub(crate) idle_turns: u64,
    read: u64,
    wrote: u64,
    /// Why it closed.
    pub(crate) closed: Option<String>,
}

impl Server {
    /// Bytes that were read and not yet written.
    pub(crate) fn pending(&self) -> usize {
        if self.closed.is_some() { 0 } else { self.echo.pending_bytes() }
    }

    /// Registers anew, if its interest has changed.
    pub(crate) fn register(&mut self, kernel: &mut Kernel, log: &mut Log) {
        let (mode, interest) = (self.build.mode, self.interest());
        if self.closed.is_none() && kernel.register(mode, interest) {
            let names = [("readable", interest.readable), ("writable", interest.writable)];
            let names = names.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name);
            let names = names.collect::<Vec<_>>().join(" ");
            let mode = if mode == Mode::Edge { "edge" } else { "level" };
            let data = format!("{{\"interest\":\"{names}\",\"mode\":\"{mode}\"}}");
            log.connection("reactor:registered", "", &data);
        }
    }

    /// Takes one turn of the loop, or sleeps on. Returns whether it was awake.
    pub(crate) fn turn(&mut self, kernel: &mut Kernel, log: &mut Log) -> bool {
        if self.closed.is_some() {
            return false;
        }
        let Some(ready) = self.wait(kernel, log) else { return false };
        if ready.read_closed && self.has(mistake::HANG_UP_FIRST) {
            self.close("the event says that the peer has ended", kernel, log);
        } else {
            self.drive(ready, kernel, log);
        }
        self.register(kernel, log);
        true
    }

    /// Asks for an orderly end of the connection.
    pub(crate) fn finish(&mut self) {
        if self.closed.is_none() {
            self.echo.finish();
            (self.is_finishing, self.is_queued) = (true, true);
        }
    }

    fn has(&self, mistake: u32) -> bool {
        self.build.mistakes & mistake != 0
    }

    /// In edge mode, it is registered once. In level mode, it must follow what the server needs now.
    fn interest(&self) -> Interest {
        let (is_edge, is_full) = (self.build.mode == Mode::Edge, self.pending() > 0);
        let wants_room = is_edge || is_full || self.has(mistake::ALWAYS_WRITABLE);
        Interest {
            readable: is_edge || !is_full,
            writable: wants_room && !self.has(mistake::STUCK_BACK_PRESSURE),
        }
    }

    /// What the kernel or the ready queue has for the server. Without either, it sleeps.
    fn wait(&mut self, kernel: &mut Kernel, log: &mut Log) -> Option<Ready> {
        if self.asleep.is_none() {
            self.asleep = Some(log.time());
            log.begin_turn();
            let is_queued = self.is_queued;
            let (limit, trigger) = if is_queued { ("0", "queue") } else { ("null", "no_limit") };
            log.reactor("reactor:waits", trigger, &format!("{{\"timeout\":{limit}}}"));
        }
        let (event, is_queued) = (kernel.poll(), std::mem::take(&mut self.is_queued));
        let ready = event.or(is_queued.then(Ready::default))?;
        let waited = log.time() - self.asleep.take().unwrap_or(log.time());
        let (events, queued) = (u8::from(event.is_some()), u8::from(is_queued));
        let data = format!("{{\"events\":{events},\"queued\":{queued},\"waited\":{waited}}}");
        log.reactor("reactor:woke", "", &data);
        let trigger = if event.is_some() { "event" } else { "queue" };
        log.connection("reactor:ready", trigger, &flags(ready));
        Some(ready)
    }

    fn drive(&mut self, ready: Ready, kernel: &mut Kernel, log: &mut Log) {
        let pending = self.pending();
        let proves_nothing = ready.read_closed || ready.error;
        let short_read = if proves_nothing && !self.has(mistake::TRUSTED_SHORT_READ) {
            ShortRead::ProvesNothing
        } else {
            ShortRead::MeansEmpty
        };
        let mut scratch = vec![0; self.build.scratch];
        let (mistakes, wrote) = (self.build.mistakes, &mut self.wrote);
        let mut socket = Socket { kernel, log, mistakes, wrote };
        let drive = self.echo.drive(&mut socket, short_read, &mut scratch);
        self.read += drive.read as u64;
        let is_idle = pending == 0 && drive.read == 0;
        self.idle_turns = if is_idle { self.idle_turns + 1 } else { 0 };
        if self.pending() != pending {
            let bytes = self.pending();
            log.connection("connection:pending", "", &format!("{{\"bytes\":{bytes}}}"));
        }
        self.apply(drive, kernel, log);
    }

    fn apply(&mut self, drive: Drive, kernel: &mut Kernel, log: &mut Log) {
        match drive.next {
            Ok(Next::Wait) if drive.blocked => {
                let data = format!("{{\"pending\":{}}}", self.pending());
                log.connection("connection:blocked", "", &data);
            }
            Ok(Next::Wait) => {}
            Ok(Next::Yield) if self.has(mistake::UNDRAINED_EDGE) => {}
            Ok(Next::Yield) => {
                self.is_queued = true;
                log.connection("connection:yielded", "budget", "{}");
            }
            Ok(Next::ShutdownWrite) => {
                kernel.shutdown_write();
                self.is_queued = true;
                log.connection("connection:shutdown", "", "{}");
            }
            Ok(Next::Close) => self.close("the peer has finished", kernel, log),
            Err(e) => self.close(&e.to_string(), kernel, log),
        }
    }

    fn close(&mut self, why: &str, kernel: &mut Kernel, log: &mut Log) {
        let is_cut = kernel.is_reset || kernel.receive.held() > 0 || self.pending() > 0;
        let (read, wrote) = (self.read, self.wrote);
        let data =
            format!("{{\"why\":\"{why}\",\"read\":{read},\"wrote\":{wrote},\"is_cut\":{is_cut}}}");
        kernel.close();
        log.connection("connection:closed", "", &data);
        self.closed = Some(why.into());
    }
}

/// The flags of an event as JSON, without those that are not set.
fn flags(ready: Ready) -> String {
    let flags = [
        ("readable", ready.readable),
        ("writable", ready.writable),
        ("read_closed", ready.read_closed),
        ("error", ready.error),
    ];
    let set = flags.iter().filter(|(_, is_set)| *is_set);
    let set: Vec<_> = set.map(|(name, _)| format!("\"{name}\":true")).collect();
    format!("{{{}}}", set.join(","))
}
