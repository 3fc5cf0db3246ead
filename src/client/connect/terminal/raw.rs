//! A terminal in raw mode: it hands over each key. In the end it gets its old settings back.

use std::io::{self, Write};

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush,
    tcgetattr, tcgetwinsize, tcsetattr,
};

use super::screen::Size;
use crate::net::cannot;
use crate::stdio::{INPUT, OUTPUT, Standard, Waiting};

/// Makes the terminal mark a paste, so that a line break in it does not send a message.
const MARK_PASTES: &str = "\x1b[?2004h";
const DO_NOT_MARK_PASTES: &str = "\x1b[?2004l";

/// The terminal on standard input and output, in raw mode. A drop restores its settings.
#[derive(Debug)]
pub struct Raw {
    before: Termios,
    output: Waiting,
}

impl Raw {
    /// # Errors
    ///
    /// If the terminal does not allow it: tcsetattr(3).
    pub fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin()).map_err(|e| cannot("set up", &INPUT, &e.into()))?;
        let mut raw = Self { before, output: Waiting::new(Standard::output()?) };
        raw.resume()?;
        Ok(raw)
    }

    /// Sets raw mode, for example after a [`pause`](Self::pause) or after a shell had the terminal.
    pub fn resume(&mut self) -> io::Result<()> {
        let mut raw = self.before.clone();
        raw.input_modes -= InputModes::BRKINT
            | InputModes::ICRNL
            | InputModes::INPCK
            | InputModes::ISTRIP
            | InputModes::IXON;
        // The keys for signals too, because they can be part of a paste.
        raw.local_modes -=
            LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN | LocalModes::ISIG;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        let set = tcsetattr(io::stdin(), OptionalActions::Now, &raw);
        set.map_err(|e| cannot("set up", &INPUT, &e.into()))?;
        self.write(MARK_PASTES)
    }

    /// Restores the old settings for a while.
    pub fn pause(&mut self) {
        // A terminal that is gone needs no settings.
        let _ = self.output.write_all(DO_NOT_MARK_PASTES.as_bytes());
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }

    pub fn write(&mut self, text: &str) -> io::Result<()> {
        self.output.write_all(text.as_bytes()).map_err(|e| cannot("write to", &OUTPUT, &e))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.pause();
    }
}

/// Discards what the user typed ahead. It was meant for the server, and not for the shell.
pub fn discard_typed_ahead() {
    let _ = tcflush(io::stdin(), QueueSelector::IFlush);
}

/// The size of the terminal on standard output. If it has none, the usual size.
pub fn size() -> Size {
    let size = tcgetwinsize(io::stdout()).map(|size| (size.ws_col, size.ws_row));
    let (columns, rows) = size.unwrap_or_default();
    let or = |n: u16, usual: usize| if n == 0 { usual } else { n.into() };
    Size { columns: or(columns, 80).max(8), rows: or(rows, 24) }
}
