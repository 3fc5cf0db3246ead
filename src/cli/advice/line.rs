//! The arguments, read without an error even if clap refuses them.

use std::ffi::OsString;

use clap::{Arg, Command};

use super::synonyms::{is_host, is_port};

pub(in super::super) struct Line<'a> {
    grammar: &'a Command,
    /// The command that was given, if it is one.
    command: Option<&'a Command>,
    /// All words but the command.
    words: Vec<String>,
}

impl<'a> Line<'a> {
    pub(in super::super) fn new(grammar: &'a Command, args: &[OsString]) -> Self {
        let words = args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned());
        let mut words: Vec<_> = words.collect();
        let named = |word: &String| grammar.get_subcommands().find(|one| one.get_name() == word);
        let found = words.iter().enumerate().find_map(|(i, word)| Some((i, named(word)?)));
        let command = found.map(|(i, command)| {
            words.remove(i);
            command
        });
        Self { grammar, command, words }
    }

    /// The name of the command, or an empty one.
    pub(super) fn command(&self) -> &str {
        self.command.map_or("", Command::get_name)
    }

    /// Whether the program has this command.
    pub(super) fn has(&self, command: &str) -> bool {
        self.grammar.find_subcommand(command).is_some()
    }

    /// The commands that serve and measure. The others are about the program itself.
    pub(super) fn commands(&self) -> Vec<&str> {
        let names = self.grammar.get_subcommands().map(Command::get_name);
        names.filter(|name| !["completions", "man", "help"].contains(name)).collect()
    }

    /// The commands that have this option.
    pub(super) fn owners(&self, option: &str) -> Vec<&str> {
        let owns = |command: &&Command| command.get_arguments().any(|arg| is_called(arg, option));
        self.grammar.get_subcommands().filter(owns).map(Command::get_name).collect()
    }

    /// The word after this one.
    pub(super) fn next(&self, word: &str) -> Option<&str> {
        let at = self.words.iter().position(|one| one == word)?;
        self.words.get(at + 1).map(String::as_str)
    }

    /// The value of the first such option that is given.
    pub(super) fn value_of(&self, is_meant: impl Fn(&str) -> bool) -> Option<&str> {
        self.words.iter().enumerate().find_map(|(i, word)| {
            if is_meant(word) {
                return self.words.get(i + 1).map(String::as_str);
            }
            let (name, value) = word.split_once('=').or_else(|| word.split_at_checked(2))?;
            (is_meant(name) && !value.is_empty()).then_some(value)
        })
    }

    /// Whether other programs take a port by this option, and the command has no such option.
    pub(super) fn is_foreign_port(&self, option: &str) -> bool {
        is_port(option) && self.argument(option).is_none()
    }

    /// The words that are neither options nor their values.
    pub(super) fn positionals(&self) -> Vec<&str> {
        let mut words = self.words.iter().map(String::as_str);
        let mut found = Vec::new();
        while let Some(word) = words.next() {
            if word == "--" {
                found.extend(words.by_ref());
            } else if !is_option(word) {
                found.push(word);
            } else if self.takes_next(word) {
                words.next();
            }
        }
        found
    }

    /// Whether the value of this option is the next word. Of several short options in one word, as in `-qc`,
    /// only the last can take it.
    fn takes_next(&self, word: &str) -> bool {
        let option = match word.char_indices().next_back() {
            Some((at, _)) if !word.starts_with("--") => &format!("-{}", &word[at..]),
            _ => word,
        };
        match self.argument(option) {
            Some(arg) => arg.get_action().takes_values(),
            None => is_host(option) || is_port(option),
        }
    }

    fn argument(&self, option: &str) -> Option<&Arg> {
        let of_command = self.command.into_iter().flat_map(Command::get_arguments);
        of_command.chain(self.grammar.get_arguments()).find(|arg| is_called(arg, option))
    }
}

/// Whether it looks like an option.
pub(super) fn is_option(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-')
}

fn is_called(arg: &Arg, option: &str) -> bool {
    match option.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| option[1..].starts_with(short)),
    }
}
