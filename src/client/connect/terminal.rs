//! The conversation with a user: a prompt, and a line for each step.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use mio::Token;
use rustix::process::{Signal, getpgrp, getpid, kill_current_process_group, kill_process};
use rustix::termios::tcgetpgrp;
use signal_hook::consts::{SIGCONT, SIGQUIT, SIGTSTP, SIGWINCH};
use signal_hook::low_level::emulate_default_handler;

use super::Options;
use super::watched::Watched;
use crate::client::attempt;
use crate::client::drive::{Driven, Timeout, drive};
use crate::net::cannot;
use crate::reactor::{Reactor, Ready};
use crate::signals;
use crate::stdio::INPUT;
use console::Console;
use editor::Request;
use messenger::Messenger;
use transcript::Transcript;
use view::View;

mod keys;
mod editor;
mod screen;
mod raw;
mod console;
mod dump;
mod transcript;
mod view;
mod messenger;

/// Prompts, sends, shows the echo, until `bye` or the end of the input.
pub fn run(options: &Options) -> io::Result<()> {
    converse(options).inspect_err(|_| raw::discard_typed_ahead())
}

fn converse(options: &Options) -> io::Result<()> {
    let transcript = options.log.as_deref().map(|path| Transcript::begin(path, options));
    let view =
        View { transcript: transcript.transpose()?, console: Console::open()?, hex: options.hex };
    let now = Instant::now();
    let mut conversation = Conversation::begin(options, view, now)?;
    drive(&mut conversation, now).inspect_err(|_| conversation.messenger.abort())?;
    conversation.messenger.finish()
}

struct Conversation<'a> {
    messenger: Messenger<'a>,
    input: Token,
    signals: Token,
    is_invited: bool,
}

impl Driven for Conversation<'_> {
    type Watched = Watched;
    type Outcome = ();

    fn reactor(&mut self) -> &mut Reactor<Watched> {
        &mut self.messenger.reactor
    }

    fn poll_timeout(&mut self, now: Instant) -> Timeout {
        self.messenger.poll_timeout(now)
    }

    fn discount(&mut self, standstill: Duration, _: Instant) {
        self.messenger.discount(standstill);
    }

    fn handle_ready(&mut self, _: &[Ready], now: Instant) -> io::Result<()> {
        self.messenger.advance(now)?;
        self.take_signals(now)?;
        self.read()
    }

    fn handle_timeout(&mut self, now: Instant) -> io::Result<()> {
        self.messenger.handle_timeout(now)?;
        while !self.messenger.is_over() {
            let is_idle = self.messenger.is_idle();
            let Some(request) = self.console().next(is_idle)? else { break };
            self.grant(request, now)?;
        }
        if self.messenger.is_idle() { self.prompt() } else { Ok(()) }
    }

    fn outcome(&mut self) -> Option<()> {
        self.messenger.is_over().then_some(())
    }
}

impl<'a> Conversation<'a> {
    fn begin(options: &'a Options, view: View, now: Instant) -> io::Result<Self> {
        let mut messenger = Messenger::open(options, view, now)?;
        let signals = Watched::signals(&[SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH])?;
        let signals = messenger.reactor.insert(signals)?;
        let input = messenger.reactor.insert(Watched::input()?)?;
        Ok(Self { messenger, input, signals, is_invited: false })
    }

    fn console(&mut self) -> &mut Console {
        &mut self.messenger.view.console
    }

    /// Shows the prompt, and the first time what to do.
    fn prompt(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.is_invited, true) {
            let line = "type a message and press Enter; bye, Ctrl-D or Ctrl-C ends";
            self.console().say(&line)?;
        }
        self.console().prompt()
    }

    fn grant(&mut self, request: Request, now: Instant) -> io::Result<()> {
        match request {
            Request::Send(line) if is_bye(&line) => self.messenger.end(now),
            // With its line break: some servers answer only whole lines.
            Request::Send(line) => self.messenger.send(format!("{line}\n").into(), now),
            Request::NotUtf8 => {
                let line = "that was not UTF-8, so it was not sent; set the terminal to UTF-8";
                self.console().say(&line)
            }
            Request::End | Request::Interrupt => self.messenger.end(now),
            Request::Status => self.messenger.show_status(),
            Request::Suspend => {
                stop_job();
                // The signal has reached this program by now.
                self.take_signals(now)
            }
            // The console has done it.
            Request::ClearScreen => Ok(()),
        }
    }

    fn take_signals(&mut self, now: Instant) -> io::Result<()> {
        let mut batch = self.pending_signals();
        let asks_to_stop = |batch: &[i32]| batch.iter().any(|signal| signals::is_stop(*signal));
        while batch.contains(&SIGTSTP) && !asks_to_stop(&batch) {
            self.console().pause();
            // This stops the program until SIGCONT.
            let _ = emulate_default_handler(SIGTSTP);
            batch.retain(|signal| *signal != SIGTSTP);
            batch.push(SIGCONT);
            // The SIGCONT that ended the stop is pending. It must not come again in the next turn.
            batch.extend(self.pending_signals());
        }
        if asks_to_stop(&batch) {
            return self.messenger.end(now);
        }
        if batch.contains(&SIGCONT) {
            self.console().resume()?;
        }
        if batch.contains(&SIGWINCH) {
            self.console().resize();
        }
        if batch.contains(&SIGQUIT) { self.messenger.show_status() } else { Ok(()) }
    }

    fn pending_signals(&mut self) -> Vec<i32> {
        match self.messenger.reactor.get_mut(self.signals) {
            Some(Watched::Signals(signals)) => signals.pending().collect(),
            _ => Vec::new(),
        }
    }

    /// Reads what the user typed.
    fn read(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        loop {
            let input = self.messenger.reactor.input(self.input)?;
            let read = attempt(|| input.read(&mut bytes));
            let Some(n) = read.map_err(|e| cannot("read from", &INPUT, &e))? else {
                return Ok(());
            };
            self.console().feed(&bytes[..n]);
            if n == 0 {
                return Ok(());
            }
        }
    }
}

/// Stops each program of this job, as the terminal does in its usual mode.
fn stop_job() {
    let is_in_front = tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp());
    let _ = match is_in_front {
        true => kill_current_process_group(Signal::TSTP),
        false => kill_process(getpid(), Signal::TSTP),
    };
}

fn is_bye(line: &str) -> bool {
    line.trim().eq_ignore_ascii_case("bye")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bye_ends_in_any_case_and_between_blanks_but_not_within_other_text() {
        for line in ["bye", "BYE", "Bye", "  bye\t", "bYe "] {
            assert!(is_bye(line), "{line:?}");
        }
        for line in ["", "good bye", "bye!", "b y e", "byebye"] {
            assert!(!is_bye(line), "{line:?}");
        }
    }
}
