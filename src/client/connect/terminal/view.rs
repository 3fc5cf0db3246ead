//! What the user sees of a conversation.

use std::io;

use super::console::Console;
use super::dump::Dump;
use super::raw;
use super::transcript::Transcript;
use crate::client::connect::notice::Notice;

/// The terminal, and a file beside it.
pub struct View {
    pub console: Console,
    pub transcript: Option<Transcript>,
    /// Whether to show bytes in hexadecimal.
    pub hex: bool,
}

impl View {
    /// Shows a step of the conversation.
    ///
    /// # Errors
    ///
    /// If the terminal or the file cannot be written to.
    pub fn report(&mut self, notice: &Notice<'_>) -> io::Result<()> {
        if let Some(transcript) = &mut self.transcript {
            transcript.write(&notice.in_full())?;
        }
        let bytes = notice.bytes();
        if self.hex && !bytes.is_empty() {
            let dump = Dump { bytes, columns: raw::size().columns };
            self.console.say(&format_args!("{}\n{dump}", notice.head()))
        } else {
            self.console.say(notice)
        }
    }
}
