//! The first contact: finds out which of the server's addresses to load.

use std::io;
use std::time::{Duration, Instant};

use log::info;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook::consts::SIGQUIT;
use signal_hook_mio::v1_0::Signals;

use super::{Options, Progress, Reporter, Stage};
use crate::client::dial::{self, Dialer, Family, Limits, Step};
use crate::client::drive::{Driven, Timeout, drive};
use crate::client::failure::Failure;
use crate::net::{Endpoint, delegate_source};
use crate::reactor::{Reactor, Ready};
use crate::signals::is_stop;

/// The address to load.
#[derive(Debug)]
pub(super) struct Contact {
    pub(super) peer: Endpoint,
    /// A connection to it, if finding out has made one that the run can use.
    pub(super) first: Option<dial::Established>,
}

/// Why there is no contact.
#[derive(Debug)]
pub(super) enum NoContact {
    Interrupted,
    Failed(Failure),
}

impl From<io::Error> for NoContact {
    fn from(error: io::Error) -> Self {
        Self::Failed(Failure::System(error))
    }
}

/// Finds out which of the server's addresses to load: if there are several, the one that answers first.
pub(super) fn contact(
    options: &Options,
    signals: &mut Signals,
    reporter: &mut impl Reporter,
) -> Result<Contact, NoContact> {
    // The run itself finds out whether a single address answers.
    if options.wait.is_zero() && dial::needs_no_lookup(&options.server) {
        let peers = options.server.resolve().map_err(|e| NoContact::Failed(Failure::Connect(e)))?;
        if let Some(peer) = peers.into_iter().next() {
            return Ok(Contact { peer, first: None });
        }
    }
    let made = Dialing::new(options, signals, reporter)?.run()?;
    let peer = made.peer.clone();
    Ok(Contact { peer, first: options.sources.is_empty().then_some(made) })
}

/// What the reactor watches.
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

struct Dialing<'a, W> {
    reactor: Reactor<Slot<'a>>,
    dialer: Token,
    signals: Token,
    reporter: &'a mut W,
    outcome: Option<Result<dial::Established, NoContact>>,
}

impl<'a, W: Reporter> Dialing<'a, W> {
    fn new(options: &Options, signals: &'a mut Signals, reporter: &'a mut W) -> io::Result<Self> {
        let limits = Limits {
            wait: Some(options.wait).filter(|wait| !wait.is_zero()),
            family: options.sources.first().map(|source| Family::of(&source.ip())),
            ..Limits::new(options.timeout)
        };
        let dialer = Dialer::new(&options.server, limits)?;
        let mut reactor = Reactor::new()?;
        let dialer = reactor.insert(Slot::Dialer(Box::new(dialer)))?;
        let signals = reactor.insert(Slot::Signals(signals))?;
        Ok(Self { reactor, dialer, signals, reporter, outcome: None })
    }

    fn run(mut self) -> Result<dial::Established, NoContact> {
        let now = Instant::now();
        self.dialer()?.start(now);
        let made = drive(&mut self, now);
        // The signals outlive this reactor: the run uses them with its own.
        drop(self.reactor.remove(self.signals));
        made?
    }

    fn dialer(&mut self) -> io::Result<&mut Dialer> {
        match self.reactor.get_mut(self.dialer) {
            Some(Slot::Dialer(dialer)) => Ok(dialer.as_mut()),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn handle_signals(&mut self) {
        let Some(Slot::Signals(signals)) = self.reactor.get_mut(self.signals) else { return };
        let batch: Vec<_> = signals.pending().collect();
        if batch.contains(&SIGQUIT) {
            self.reporter.status(&Progress::none(Stage::Connecting));
        }
        if batch.into_iter().any(is_stop) {
            self.outcome = Some(Err(NoContact::Interrupted));
        }
    }
}

impl<'a, W: Reporter> Driven for Dialing<'a, W> {
    type Watched = Slot<'a>;
    type Outcome = Result<dial::Established, NoContact>;

    fn reactor(&mut self) -> &mut Reactor<Slot<'a>> {
        &mut self.reactor
    }

    fn poll_timeout(&mut self, now: Instant) -> Timeout {
        self.dialer().map_or(Timeout::Never, |dialer| dialer.poll_timeout(now))
    }

    fn discount(&mut self, standstill: Duration, _: Instant) {
        if let Ok(dialer) = self.dialer() {
            dialer.discount(standstill);
        }
    }

    fn handle_ready(&mut self, _: &[Ready], _: Instant) -> io::Result<()> {
        self.handle_signals();
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> io::Result<()> {
        while self.outcome.is_none() {
            match self.dialer()?.poll(now) {
                Step::Connected(connection) => self.outcome = Some(Ok(connection)),
                Step::Failed(e) => self.outcome = Some(Err(NoContact::Failed(Failure::Connect(e)))),
                Step::Progress(progress @ dial::DialProgress::Waiting { .. }) => {
                    info!("{progress}")
                }
                Step::Progress(_) => {}
                Step::Wait => break,
            }
        }
        Ok(())
    }

    fn outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}
