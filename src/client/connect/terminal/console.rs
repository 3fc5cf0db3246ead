//! The terminal of a conversation: one on which the user can edit the line, or a plain one.

use std::collections::VecDeque;
use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use super::editor::{Editor, Request};
use super::keys::{Key, Keys};
use super::raw::{self, Raw};
use super::screen::{PROMPT, PromptArea};
use crate::stdio::{self, Standard, Waiting};

/// A prompt, what the user types at it, and the lines above it.
pub enum Console {
    Edited(Box<Edited>),
    Plain(Plain),
}

impl Console {
    /// Sets up the terminal, if it can move its cursor.
    ///
    /// # Errors
    ///
    /// If the terminal does not allow it.
    pub fn open() -> io::Result<Self> {
        // Line editors know these terminals: they cannot move their cursor.
        let is_dumb = matches!(env::var("TERM").as_deref(), Ok("dumb" | "cons25" | "emacs"));
        if io::stdout().is_terminal() && !is_dumb {
            Ok(Self::Edited(Box::new(Edited::open()?)))
        } else {
            Ok(Self::Plain(Plain::open()?))
        }
    }

    /// Takes bytes from standard input. No bytes mean its end.
    pub fn feed(&mut self, bytes: &[u8]) {
        match self {
            Self::Edited(edited) => edited.feed(bytes),
            Self::Plain(plain) => plain.feed(bytes),
        }
    }

    /// The next request. If the conversation is not idle, only urgent requests.
    ///
    /// # Errors
    ///
    /// If the terminal cannot be written to.
    pub fn next(&mut self, is_idle: bool) -> io::Result<Option<Request>> {
        match self {
            Self::Edited(edited) => edited.next(is_idle),
            Self::Plain(plain) => Ok(plain.next(is_idle)),
        }
    }

    /// Writes a line, above the prompt if there is one.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn say(&mut self, line: &dyn Display) -> io::Result<()> {
        match self {
            Self::Edited(edited) => edited.say(line),
            Self::Plain(plain) => plain.say(line),
        }
    }

    /// Shows the prompt, with what the user has typed so far.
    ///
    /// # Errors
    ///
    /// If the terminal cannot be written to.
    pub fn prompt(&mut self) -> io::Result<()> {
        match self {
            Self::Edited(edited) => edited.prompt(),
            Self::Plain(plain) => {
                plain.prompt();
                Ok(())
            }
        }
    }

    /// Gives the terminal to the shell.
    pub fn pause(&mut self) {
        if let Self::Edited(edited) = self {
            edited.raw.pause();
        }
    }

    /// Takes the terminal back from the shell, which may have written to it.
    ///
    /// # Errors
    ///
    /// If the terminal does not allow it.
    pub fn resume(&mut self) -> io::Result<()> {
        match self {
            Self::Edited(edited) => edited.resume(),
            Self::Plain(plain) => {
                plain.is_prompt_shown = false;
                Ok(())
            }
        }
    }

    /// Notes that the terminal has another size.
    pub fn resize(&mut self) {
        if let Self::Edited(edited) = self {
            edited.is_stale = true;
        }
    }
}

/// A terminal on which the user can edit the line.
pub struct Edited {
    raw: Raw,
    keys: Keys,
    /// Keys that wait until the conversation is idle.
    waiting: VecDeque<Key>,
    editor: Editor,
    screen: PromptArea,
    /// Whether the terminal must show the prompt and the line again.
    is_stale: bool,
    has_ended: bool,
}

impl Edited {
    fn open() -> io::Result<Self> {
        Ok(Self {
            raw: Raw::enter()?,
            keys: Keys::default(),
            waiting: VecDeque::new(),
            editor: Editor::default(),
            screen: PromptArea::default(),
            is_stale: true,
            has_ended: false,
        })
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.has_ended |= bytes.is_empty();
        self.keys.feed(bytes);
        self.waiting.extend(self.keys.by_ref());
    }

    fn next(&mut self, is_idle: bool) -> io::Result<Option<Request>> {
        while let Some(key) = self.take(is_idle) {
            self.is_stale = true;
            let request = match key {
                Key::Enter | Key::Ctrl('C' | 'D' | 'Z') if is_idle => self.press_and_leave(key)?,
                key => self.editor.press(key),
            };
            match request {
                Some(Request::ClearScreen) => {
                    self.screen.leave();
                    self.raw.write("\x1b[H\x1b[J")?;
                }
                Some(request) => return Ok(Some(request)),
                None => {}
            }
        }
        let has_ended = is_idle && std::mem::take(&mut self.has_ended);
        Ok(has_ended.then_some(Request::End))
    }

    fn take(&mut self, is_idle: bool) -> Option<Key> {
        if is_idle {
            return self.waiting.pop_front();
        }
        let is_urgent = |key: &Key| matches!(key, Key::Ctrl('C' | 'Z' | '\\'));
        self.waiting.iter().position(is_urgent).and_then(|at| self.waiting.remove(at))
    }

    /// Presses a key that can end the line. If it does, the line stays on the terminal.
    fn press_and_leave(&mut self, key: Key) -> io::Result<Option<Request>> {
        let line = self.editor.line().to_owned();
        let request = self.editor.press(key);
        if request.is_some() {
            let text = self.screen.draw(&line, line.len(), raw::size());
            self.screen.leave();
            self.raw.write(&format!("{text}\n"))?;
        }
        Ok(request)
    }

    fn say(&mut self, line: &dyn Display) -> io::Result<()> {
        let erase = self.screen.erase(raw::size());
        self.is_stale = true;
        self.raw.write(&format!("{erase}{line}\n"))
    }

    fn prompt(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.is_stale) {
            return Ok(());
        }
        let text = self.screen.draw(self.editor.line(), self.editor.cursor(), raw::size());
        self.raw.write(&text)
    }

    fn resume(&mut self) -> io::Result<()> {
        self.screen.leave();
        self.is_stale = true;
        self.raw.resume()?;
        // If the shell wrote nothing, the cursor is still in the line.
        self.raw.write("\r\x1b[J")
    }
}

/// A terminal that hands over whole lines. The conversation can go somewhere else.
pub struct Plain {
    /// Standard error, if it is a terminal. The prompt goes there, because the conversation can go into a file.
    prompt: Option<Waiting>,
    /// Writes a line.
    say: fn(&dyn Display) -> io::Result<()>,
    /// The start of a line.
    partial: Vec<u8>,
    requests: VecDeque<Request>,
    is_prompt_shown: bool,
}

impl Plain {
    fn open() -> io::Result<Self> {
        let prompt = io::stderr().is_terminal().then(Standard::error).transpose()?;
        Ok(Self { prompt: prompt.map(Waiting::new), say: stdio::say, ..Self::silent() })
    }

    /// A terminal that shows nothing.
    pub fn silent() -> Self {
        Self {
            prompt: None,
            say: |_| Ok(()),
            partial: Vec::new(),
            requests: VecDeque::new(),
            is_prompt_shown: false,
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.partial.extend(bytes);
        if bytes.is_empty() && !self.partial.is_empty() {
            // The last line has no line break.
            self.partial.push(b'\n');
        }
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line = self.partial.drain(..=end).take(end).collect();
            let line = String::from_utf8(line);
            self.requests.push_back(line.map_or(Request::NotUtf8, Request::Send));
        }
        if bytes.is_empty() {
            self.requests.push_back(Request::End);
        }
    }

    fn next(&mut self, is_idle: bool) -> Option<Request> {
        let request = if is_idle { self.requests.pop_front() } else { None };
        // If the user typed the request, its line break has ended the prompt's line.
        self.is_prompt_shown &= request.is_none();
        request
    }

    fn say(&mut self, line: &dyn Display) -> io::Result<()> {
        if std::mem::take(&mut self.is_prompt_shown) {
            self.write_prompt("\n");
        }
        (self.say)(line)
    }

    fn prompt(&mut self) {
        if !std::mem::replace(&mut self.is_prompt_shown, true) {
            self.write_prompt(PROMPT);
        }
    }

    fn write_prompt(&mut self, text: &str) {
        if let Some(prompt) = &mut self.prompt {
            // The prompt is a convenience, so a failure does not matter.
            let _ = prompt.write_all(text.as_bytes());
        }
    }
}
