//! A terminal that hands over each key, until it is given back as it was.

use std::io::{self, Write};

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush,
    tcgetattr, tcgetwinsize, tcsetattr,
};

use super::screen::Size;
use crate::net::cannot;
use crate::stdio::{INPUT, OUTPUT, Standard, Waiting};

/// Makes the terminal mark what is pasted, so that a line break in it does not send a message.
const MARK_PASTES: &str = "\x1b[?2004h";
const DO_NOT_MARK_PASTES: &str = "\x1b[?2004l";

/// The terminal on standard input and output, in raw mode. Dropped, it is as it was before.
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

    /// Sets raw mode, again after a [`pause`](Self::pause) or after a shell had the terminal.
    pub fn resume(&mut self) -> io::Result<()> {
        let mut raw = self.before.clone();
        raw.input_modes -= InputModes::BRKINT
            | InputModes::ICRNL
            | InputModes::INPCK
            | InputModes::ISTRIP
            | InputModes::IXON;
        // Also the keys for signals: they may be part of a paste.
        raw.local_modes -=
            LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN | LocalModes::ISIG;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        let set = tcsetattr(io::stdin(), OptionalActions::Now, &raw);
        set.map_err(|e| cannot("set up", &INPUT, &e.into()))?;
        self.write(MARK_PASTES)
    }

    /// Gives the terminal back for a while.
    pub fn pause(&mut self) {
        // A terminal that is gone needs neither.
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

/// Forgets what was typed ahead: it was meant for the server, and not for the shell that reads on.
pub fn discard_typed_ahead() {
    let _ = tcflush(io::stdin(), QueueSelector::IFlush);
}

/// The size of the terminal on standard output. One that has none is taken for the usual one.
pub fn size() -> Size {
    let size = tcgetwinsize(io::stdout()).map(|size| (size.ws_col, size.ws_row));
    let (columns, rows) = size.unwrap_or_default();
    let or = |n: u16, usual: usize| if n == 0 { usual } else { n.into() };
    Size { columns: or(columns, 80).max(8), rows: or(rows, 24) }
}
