//! The conversation with a person: a prompt, and a line for each step.

use std::io::{self, Read};

use mio::Token;
use rustix::process::{Signal, getpgrp, getpid, kill_current_process_group, kill_process};
use rustix::termios::tcgetpgrp;
use signal_hook::consts::{SIGCONT, SIGQUIT, SIGTSTP, SIGWINCH};
use signal_hook::low_level::emulate_default_handler;

use super::Options;
use super::notice::Notice;
use super::session::{End, Report, Session};
use crate::client::attempt;
use crate::net::cannot;
use crate::signals;
use crate::stdio::{INPUT, Standard};
use console::Console;
use editor::Request;
use transcript::Transcript;

mod console;
mod dump;
mod editor;
mod keys;
mod raw;
mod screen;
mod transcript;

/// Prompts, sends, shows the echo, until `bye` or the end of the input.
pub fn run(options: &Options) -> io::Result<()> {
    converse(options).inspect_err(|_| raw::forget_typed_ahead())
}

fn converse(options: &Options) -> io::Result<()> {
    let transcript = options.log.as_deref().map(|path| Transcript::begin(path, options));
    let view =
        View { transcript: transcript.transpose()?, console: Console::open()?, hex: options.hex };
    let mut conversation = Conversation::begin(options, view)?;
    while !conversation.session.is_over() {
        conversation.turn().inspect_err(|_| conversation.session.abort())?;
    }
    conversation.session.finish()
}

/// What a person sees, and what goes into a file beside it.
struct View {
    console: Console,
    transcript: Option<Transcript>,
    /// Whether bytes are shown in hexadecimal.
    hex: bool,
}

impl Report for View {
    fn report(&mut self, notice: &Notice<'_>) -> io::Result<()> {
        if let Some(transcript) = &mut self.transcript {
            transcript.write(&notice.in_full())?;
        }
        let bytes = notice.bytes();
        if self.hex && !bytes.is_empty() {
            let dump = dump::Dump { bytes, columns: raw::size().columns };
            self.console.say(&format_args!("{}\n{dump}", notice.head()))
        } else {
            self.console.say(notice)
        }
    }
}

struct Conversation<'a> {
    session: Session<'a, View>,
    input: Token,
    signals: Token,
    has_begun: bool,
}

impl<'a> Conversation<'a> {
    fn begin(options: &'a Options, view: View) -> io::Result<Self> {
        let mut session = Session::open(options, view)?;
        let signals = signals::watch(&[SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH]);
        let signals = signals.map_err(|e| cannot("watch for", &"signals", &e))?;
        let signals = session.ends.insert(End::Signals(signals))?;
        let input = session.ends.insert(End::Input(Standard::input()?))?;
        Ok(Self { session, input, signals, has_begun: false })
    }

    fn turn(&mut self) -> io::Result<()> {
        if self.session.is_idle() {
            self.invite()?;
            self.session.report.console.prompt()?;
        }
        self.session.turn()?;
        self.take_signals()?;
        self.read()?;
        while !self.session.is_over() {
            let is_idle = self.session.is_idle();
            let Some(request) = self.session.report.console.next(is_idle)? else { break };
            self.grant(request)?;
        }
        Ok(())
    }

    /// Says once what to do.
    fn invite(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Ok(());
        }
        self.session
            .report
            .console
            .say(&"type a message and press Enter; bye, Ctrl-D or Ctrl-C ends")
    }

    fn grant(&mut self, request: Request) -> io::Result<()> {
        match request {
            Request::Send(line) if is_bye(&line) => self.session.end(),
            // With its line break, since some servers answer nothing less than a line.
            Request::Send(line) => self.session.send(format!("{line}\n").into()),
            Request::NotUtf8 => {
                let line = "that was not UTF-8, and nothing was sent; set the terminal to UTF-8";
                self.session.report.console.say(&line)
            }
            Request::End | Request::Interrupt => self.session.end(),
            Request::Status => self.session.show_status(),
            Request::Suspend => {
                stop_job();
                // This program's own signal is here already.
                self.take_signals()
            }
            // The console has done it.
            Request::ClearScreen => Ok(()),
        }
    }

    fn take_signals(&mut self) -> io::Result<()> {
        let Some(End::Signals(signals)) = self.session.ends.get_mut(self.signals) else {
            return Ok(());
        };
        let batch = signals.pending().collect::<Vec<_>>();
        if batch.iter().any(|signal| signals::is_stop(*signal)) {
            return self.session.end();
        }
        let console = &mut self.session.report.console;
        if batch.contains(&SIGTSTP) {
            console.pause();
            // This stops the program, until it is continued.
            let _ = emulate_default_handler(SIGTSTP);
            console.resume()?;
        }
        if batch.contains(&SIGCONT) {
            console.resume()?;
        }
        if batch.contains(&SIGWINCH) {
            console.resize();
        }
        if batch.contains(&SIGQUIT) { self.session.show_status() } else { Ok(()) }
    }

    /// Reads what was typed.
    fn read(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        loop {
            let Some(End::Input(input)) = self.session.ends.get_mut(self.input) else {
                return Ok(());
            };
            let read = attempt(|| input.read(&mut bytes));
            let Some(n) = read.map_err(|e| cannot("read from", &INPUT, &e))? else {
                return Ok(());
            };
            self.session.report.console.feed(&bytes[..n]);
            if n == 0 {
                return Ok(());
            }
        }
    }
}

/// Stops this job as the terminal would have if it had been in its usual mode: each program of it.
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
    fn bye_is_bye_in_any_case_and_between_blanks_but_not_within_more() {
        for line in ["bye", "BYE", "Bye", "  bye\t", "bYe "] {
            assert!(is_bye(line), "{line:?}");
        }
        for line in ["", "good bye", "bye!", "b y e", "byebye"] {
            assert!(!is_bye(line), "{line:?}");
        }
    }
}
