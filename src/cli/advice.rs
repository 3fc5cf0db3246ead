//! What was probably meant by arguments that make no sense.

use clap::error::{ContextKind, ErrorKind};

use super::refusal::listed;
use crate::text::Excerpt;
use address::{alone, is_address, together};
use line::is_option;
use synonyms::is_host;

pub(super) use line::Line;

mod address;
mod line;
mod synonyms;

/// What to write.
pub(super) enum Advice {
    /// After what is wrong.
    Instead(String),
    /// It says what is wrong too.
    Whole(String),
}

/// What to write instead of what `error` is about, if there is a guess.
pub(super) fn advice(error: &clap::Error, line: &Line<'_>) -> Option<Advice> {
    let wrong = listed(error, ContextKind::InvalidArg);
    let text = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let wrong = listed(error, ContextKind::InvalidSubcommand);
            let similar = listed(error, ContextKind::SuggestedSubcommand);
            let similar = (!similar.is_empty()).then(|| format!("write resound {similar}"));
            command(&wrong, line).or(similar).unwrap_or_else(|| commands(line))
        }
        ErrorKind::MissingSubcommand => commands(line),
        ErrorKind::UnknownArgument if is_option(&wrong) => {
            let similar = listed(error, ContextKind::SuggestedArg);
            let similar = (!similar.is_empty()).then(|| format!("write {similar}"));
            option(&wrong, line).or(similar)?
        }
        ErrorKind::UnknownArgument => return word(&wrong, line),
        ErrorKind::ValueValidation => {
            let value = listed(error, ContextKind::InvalidValue);
            return pair(&value, line).or_else(|| port_apart(&wrong, line));
        }
        _ => return None,
    };
    Some(Advice::Instead(text))
}

/// For a word that is no command.
fn command(wrong: &str, line: &Line<'_>) -> Option<String> {
    if let Some(addr) = from_here(wrong, line.next(wrong)) {
        return Some(format!(
            "write a command before it: resound connect {addr}, or resound serve --listen {addr}"
        ));
    }
    synonyms::command(wrong).map(|name| format!("write resound {name}"))
}

fn commands(line: &Line<'_>) -> String {
    format!("write {}", listing(&line.commands(), "or"))
}

fn listing(names: &[&str], last: &str) -> String {
    match names {
        [others @ .., one] if !others.is_empty() => format!("{} {last} {one}", others.join(", ")),
        names => names.concat(),
    }
}

/// For an option that the command does not have.
fn option(wrong: &str, line: &Line<'_>) -> Option<String> {
    if is_host(wrong) || line.is_foreign_port(wrong) {
        return Some(server(line));
    }
    if let Some(advice) = synonyms::option(line.command(), wrong) {
        return Some(advice.into());
    }
    if wrong[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return Some("no number here can be negative".into());
    }
    let owners = line.owners(wrong);
    let example = owners.first()?;
    let owners = listing(&owners, "and");
    Some(match line.is_before_command(wrong) {
        true => format!("write it after its command, as in resound {example} {wrong}"),
        false => format!("that is an option of {owners}"),
    })
}

/// How the address is written that other programs take by options.
fn server(line: &Line<'_>) -> String {
    let host = line.value_of(is_host).or_else(|| line.value_of(|name| name == "--listen"));
    let host = host.or_else(|| line.positionals().into_iter().next()).unwrap_or("127.0.0.1");
    let port = line.value_of(|name| line.is_foreign_port(name)).unwrap_or("7007");
    let addr = together(host, port).or_else(|| alone(host)).unwrap_or_else(|| "HOST:PORT".into());
    match line.command() {
        "" => format!("write resound serve --listen {addr}, or resound connect {addr}"),
        "serve" => format!("write --listen {addr}"),
        name => format!("write resound {name} {addr}"),
    }
}

/// For an address whose port was given by an option.
fn port_apart(arg: &str, line: &Line<'_>) -> Option<Advice> {
    line.value_of(|name| line.is_foreign_port(name)).filter(|_| arg.contains("<ADDR>"))?;
    Some(Advice::Instead(server(line)))
}

/// For a word that is no option and one too many.
fn word(wrong: &str, line: &Line<'_>) -> Option<Advice> {
    if let Some(pair) = pair(wrong, line) {
        return Some(pair);
    }
    let positionals = line.positionals();
    let at = positionals.iter().position(|word| *word == wrong)?;
    let text = match (line.command(), from_here(wrong, positionals.get(at + 1).copied())) {
        ("serve", Some(addr)) => format!("write --listen {addr}"),
        ("serve", None) => "serve takes options only; --listen says where".into(),
        _ if is_address(wrong) => "write one server".into(),
        ("connect", None) => format!(
            "what to send comes from standard input, as in: echo hello | resound connect {}",
            Excerpt(positionals[0])
        ),
        _ => return None,
    };
    Some(Advice::Instead(text))
}

/// The address that begins with this word.
fn from_here(word: &str, next: Option<&str>) -> Option<String> {
    next.and_then(|port| together(word, port)).or_else(|| alone(word))
}

/// For a host and a port that were given apart, as nc(1) takes them.
fn pair(wrong: &str, line: &Line<'_>) -> Option<Advice> {
    let words = match (line.command(), line.value_of(|name| matches!(name, "-l" | "--listen"))) {
        ("serve", Some(host)) => vec![host, *line.positionals().first()?],
        ("serve", None) => return None,
        _ => line.positionals(),
    };
    let pair = words.windows(2).find(|pair| pair.contains(&wrong) && !is_address(pair[0]))?;
    let together = together(pair[0], pair[1])?;
    let (one, other) = (Excerpt(pair[0]), Excerpt(pair[1]));
    Some(Advice::Whole(format!("write {together} instead of {one} {other}")))
}
