//! Looks up the server of a ping over UDP, and handles signals meanwhile.

use std::io;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::unix::pipe;
use mio::{Interest, Registry, Token};
use signal_hook::consts::SIGQUIT;

use crate::client::datagram_socket::DatagramSocket;
use crate::client::dial::lookup::{self, Answer, Resolve};
use crate::client::drive::{Driven, Timeout};
use crate::client::idle_timer::IdleTimer;
use crate::client::ping::notice::{Activity, Notice};
use crate::client::ping::session::Notify;
use crate::client::ping::tally::Tally;
use crate::client::ping::watch::{Watch, Watched};
use crate::client::ping::{End, Options};
use crate::net::{Endpoint, cannot, delegate_source};
use crate::reactor::{Reactor, Ready};
use crate::signals;

/// What a ping over UDP needs of the network: first a look-up, and then a socket.
pub(super) enum Network {
    LookUp(pipe::Receiver),
    Server(DatagramSocket),
}

/// A look-up under way.
pub(super) struct LookUp<'a, S> {
    options: &'a Options,
    watch: &'a mut Watch<Network>,
    /// Becomes readable when the look-up has ended.
    ended: Token,
    answer: Receiver<Answer>,
    timer: IdleTimer,
    notify: S,
    tally: &'a mut Tally,
    outcome: Option<Result<Found, End>>,
}

/// What a look-up found, and when.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) peers: Vec<Endpoint>,
    pub(super) at: Instant,
}

impl<'a, S: Notify> LookUp<'a, S> {
    /// Starts to look the server up, at `now`.
    ///
    /// # Errors
    ///
    /// If the system gives no further thread or descriptors.
    pub(super) fn start(
        options: &'a Options,
        resolve: &Resolve,
        watch: &'a mut Watch<Network>,
        tally: &'a mut Tally,
        notify: S,
        now: Instant,
    ) -> io::Result<Self> {
        let (sender, receiver) = pipe::new()?;
        let ended = watch.insert(Network::LookUp(receiver))?;
        // The end of the pipe closes with the thread.
        let answer = lookup::start(resolve, &options.server, move || drop(sender))
            .map_err(|e| cannot("look up", &options.server, &e))?;
        let timer = IdleTimer::new(options.timeout, now);
        Ok(Self { options, watch, ended, answer, timer, notify, tally, outcome: None })
    }

    fn report_status(&mut self) -> io::Result<()> {
        let activity = Activity::LookingUp(&self.options.server);
        (self.notify)(&Notice::Status { tally: self.tally, activity })
    }
}

impl<S: Notify> Driven for LookUp<'_, S> {
    type Watched = Watched<Network>;
    /// How the ping ended instead, if a signal came.
    type Outcome = Result<Found, End>;

    fn reactor(&mut self) -> &mut Reactor<Watched<Network>> {
        &mut self.watch.reactor
    }

    fn poll_timeout(&mut self, now: Instant) -> Timeout {
        Timeout::Owed(self.timer.left(now))
    }

    fn discount(&mut self, standstill: Duration, _: Instant) {
        self.tally.standstill += standstill;
        self.timer.discount(standstill);
    }

    fn handle_ready(&mut self, ready: &[Ready], _: Instant) -> io::Result<()> {
        let signals = self.watch.pending_signals(ready);
        if signals.contains(&SIGQUIT) {
            self.report_status()?;
        }
        if signals.into_iter().any(signals::is_stop) {
            self.outcome = Some(Err(End::Interrupted));
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> io::Result<()> {
        match self.answer.try_recv() {
            Ok(answer) => {
                let found = Found { peers: answer?, at: now };
                self.outcome.get_or_insert(Ok(found));
            }
            Err(TryRecvError::Empty) if !self.timer.has_expired(now) => {}
            Err(_) => return Err(lookup::unanswered(&self.options.server, self.options.timeout)),
        }
        Ok(())
    }

    fn outcome(&mut self) -> Option<Result<Found, End>> {
        if self.outcome.is_some() {
            self.watch.reactor.remove(self.ended);
        }
        self.outcome.take()
    }
}

impl Network {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::LookUp(ended) => ended,
            Self::Server(socket) => socket,
        }
    }
}

delegate_source!(Network);
