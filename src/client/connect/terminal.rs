//! The conversation with a person: a prompt, and a line for each step.

use std::io::{self, ErrorKind};

use rustix::termios::{QueueSelector, tcflush};
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor};

use super::Options;
use super::notice::Notice;
use super::session::Session;
use super::standard::INPUT;
use crate::net::cannot;
use crate::stdio::say;

const PROMPT: &str = "> ";

/// Prompts, sends, shows the echo, until `bye` or the end of the input.
pub fn run(options: &Options) -> io::Result<()> {
    converse(options).inspect_err(|_| {
        // What was typed ahead was meant for the server, and not for the shell that reads on.
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
    })
}

fn converse(options: &Options) -> io::Result<()> {
    // What was typed is remembered while the program runs, and nowhere on disk.
    let config = Config::builder().auto_add_history(true).build();
    let mut editor = DefaultEditor::with_config(config).map_err(unreadable)?;
    let mut session = Session::open(options, |notice: &Notice<'_>| say(notice))?;
    say(&"type a message and press Enter; bye, Ctrl-D or Ctrl-C ends")?;
    while let Some(line) = next_line(&mut editor)? {
        if is_bye(&line) {
            break;
        }
        // With its line break, since some servers answer nothing less than a line.
        session.send(format!("{line}\n").as_bytes())?;
    }
    session.finish()
}

fn is_bye(line: &str) -> bool {
    line.trim().eq_ignore_ascii_case("bye")
}

/// The next line typed, or `None` at the end: Ctrl-D, or Ctrl-C.
fn next_line(editor: &mut DefaultEditor) -> io::Result<Option<String>> {
    loop {
        match editor.readline(PROMPT) {
            Ok(line) => return Ok(Some(line)),
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => return Ok(None),
            Err(ReadlineError::Io(e)) if e.kind() == ErrorKind::InvalidData => {
                say(&"that was not UTF-8, and nothing was sent; set the terminal to UTF-8")?;
            }
            Err(e) => return Err(unreadable(e)),
        }
    }
}

fn unreadable(error: ReadlineError) -> io::Error {
    cannot("read from", &INPUT, &io::Error::other(error))
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
