//! The first contact: which of the server's addresses to load.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use log::info;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook::consts::SIGQUIT;
use signal_hook_mio::v1_0::Signals;

use super::{Cause, Options, Progress, Reporter, Stage};
use crate::client::dial::{self, Dialer, Family, Limits, Step};
use crate::client::standstill::Standstill;
use crate::net::{Addr, Endpoint, delegate_source};
use crate::reactor::{Reactor, Ready};
use crate::signals::is_stop;

/// The address to load.
#[derive(Debug)]
pub(super) struct Contact {
    pub(super) peer: Endpoint,
    /// A connection to it, if one was made to find that out and can be used.
    pub(super) first: Option<dial::Connection>,
}

/// Why there was none.
#[derive(Debug)]
pub(super) enum NoContact {
    Interrupted,
    Failed(Cause),
}

impl From<io::Error> for NoContact {
    fn from(error: io::Error) -> Self {
        Self::Failed(Cause::System(error))
    }
}

/// Finds out which of the server's addresses to load: the one that answers first, if there are several.
pub(super) fn contact(
    options: &Options,
    signals: &mut Signals,
    reporter: &mut impl Reporter,
) -> Result<Contact, NoContact> {
    // The run itself finds out whether a single address answers.
    if options.wait.is_zero() && is_single(&options.server) {
        let peers = options.server.resolve().map_err(|e| NoContact::Failed(Cause::Connect(e)))?;
        if let Some(peer) = peers.into_iter().next() {
            return Ok(Contact { peer, first: None });
        }
    }
    let made = Dialing::new(options, signals)?.run(reporter)?;
    let peer = made.peer.clone();
    Ok(Contact { peer, first: options.sources.is_empty().then_some(made) })
}

/// Whether an address needs no look-up, and stands for one address only.
fn is_single(server: &Addr) -> bool {
    match server {
        Addr::Inet { host, .. } => host.contains(':') || host.parse::<IpAddr>().is_ok(),
        _ => true,
    }
}

/// What the reactor watches meanwhile.
enum Slot<'a> {
    Dialer(Box<Dialer>),
    Signals(&'a mut Signals),
}

impl Slot<'_> {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Dialer(dialer) => dialer.as_mut(),
            Self::Signals(signals) => *signals,
        }
    }
}

delegate_source!(Slot<'_>);

struct Dialing<'a> {
    reactor: Reactor<Slot<'a>>,
    dialer: Token,
    signals: Token,
    ready: Vec<Ready>,
}

impl<'a> Dialing<'a> {
    fn new(options: &Options, signals: &'a mut Signals) -> io::Result<Self> {
        let limits = Limits {
            wait: Some(options.wait).filter(|wait| !wait.is_zero()),
            family: options.sources.first().map(|source| Family::of(&source.ip())),
            ..Limits::new(options.timeout)
        };
        let mut dialer = Dialer::new(&options.server, limits)?;
        dialer.start(Instant::now());
        let mut reactor = Reactor::new()?;
        let dialer = reactor.insert(Slot::Dialer(Box::new(dialer)))?;
        let signals = reactor.insert(Slot::Signals(signals))?;
        Ok(Self { reactor, dialer, signals, ready: Vec::new() })
    }

    fn run(mut self, reporter: &mut impl Reporter) -> Result<dial::Connection, NoContact> {
        let made = self.dial(reporter);
        // They outlive this reactor, and get another.
        drop(self.reactor.remove(self.signals));
        made
    }

    fn dial(&mut self, reporter: &mut impl Reporter) -> Result<dial::Connection, NoContact> {
        let mut now = Instant::now();
        let mut standstill = Standstill::new(now);
        loop {
            match self.dialer()?.poll(now) {
                Step::Connected(connection) => return Ok(connection),
                Step::Failed(e) => return Err(NoContact::Failed(Cause::Connect(e))),
                Step::Progress(progress @ dial::Progress::Waiting { .. }) => info!("{progress}"),
                Step::Progress(_) => {}
                Step::Wait => {
                    let left = self.dialer()?.left(now).unwrap_or(Duration::ZERO);
                    self.reactor.wait(Some(standstill.plan(left, now)), &mut self.ready)?;
                    self.handle_signals(reporter)?;
                    now = Instant::now();
                    self.dialer()?.discount(standstill.end(now));
                }
            }
        }
    }

    fn dialer(&mut self) -> io::Result<&mut Dialer> {
        match self.reactor.get_mut(self.dialer) {
            Some(Slot::Dialer(dialer)) => Ok(dialer.as_mut()),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn handle_signals(&mut self, reporter: &mut impl Reporter) -> Result<(), NoContact> {
        let Some(Slot::Signals(signals)) = self.reactor.get_mut(self.signals) else {
            return Ok(());
        };
        let batch: Vec<_> = signals.pending().collect();
        if batch.contains(&SIGQUIT) {
            reporter.status(&Progress::none(Stage::Connecting));
        }
        match batch.into_iter().any(is_stop) {
            true => Err(NoContact::Interrupted),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_stand_for_several_addresses() {
        for (text, expected) in [
            ("127.0.0.1:7", true),
            ("[::1]:7", true),
            ("[fe80::1%lo]:7", true),
            ("unix:/run/echo", true),
            ("localhost:7", false),
        ] {
            assert_eq!(is_single(&text.parse().unwrap()), expected, "{text}");
        }
    }
}
