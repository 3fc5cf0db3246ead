//! What clap cannot know: what the user probably meant by arguments that make no sense.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::address::{guess, shown};
use crate::net::Addr;
use crate::text::Excerpt;
use line::is_option;
use synonyms::is_host;

pub(super) use line::Line;

mod synonyms;
mod line;

/// What to write instead of the argument that `error` is about, if there is a guess.
pub(super) fn advice(error: &clap::Error, line: &Line<'_>) -> Option<String> {
    match error.kind() {
        ErrorKind::InvalidSubcommand => command(named(error, ContextKind::InvalidSubcommand), line)
            .or_else(|| {
                let is_unlike_any = error.get(ContextKind::SuggestedSubcommand).is_none();
                is_unlike_any.then(|| format!("write {}", listing(&line.commands(), "or")))
            }),
        ErrorKind::UnknownArgument => match named(error, ContextKind::InvalidArg) {
            wrong if is_option(wrong) => option(wrong, line),
            wrong => word(wrong, line),
        },
        _ => None,
    }
}

/// What to write if the host and the port of an address are two words, as nc(1) takes them. This replaces the
/// error: clap complains about one of the words alone.
pub(super) fn address(error: &clap::Error, line: &Line<'_>) -> Option<String> {
    match error.kind() {
        ErrorKind::UnknownArgument => pair(named(error, ContextKind::InvalidArg), line),
        ErrorKind::ValueValidation => pair(named(error, ContextKind::InvalidValue), line),
        _ => None,
    }
}

fn named(error: &clap::Error, kind: ContextKind) -> &str {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text,
        _ => "",
    }
}

/// For a word that is no command.
fn command(wrong: &str, line: &Line<'_>) -> Option<String> {
    if let Some(addr) = from_here(wrong, line.next(wrong)) {
        let serve = format!("resound serve --listen {addr}");
        return Some(match line.has("connect") {
            true => format!("write a command before it: resound connect {addr}, or {serve}"),
            false => format!("write a command before it: {serve}"),
        });
    }
    let name = synonyms::command(wrong)?;
    Some(match synonyms::is_client(name) && !line.has(name) {
        true => format!("this program was built without the clients, and so without {name}"),
        false => format!("write resound {name}"),
    })
}

/// For an option that the command does not have.
fn option(wrong: &str, line: &Line<'_>) -> Option<String> {
    if is_host(wrong) || line.is_foreign_port(wrong) {
        return Some(server(line));
    }
    let owners = line.owners(wrong);
    synonyms::option(line.command(), wrong).map(str::to_string).or_else(|| {
        (!owners.is_empty()).then(|| format!("that is an option of {}", listing(&owners, "and")))
    })
}

/// For a word that is no option and one too many.
fn word(wrong: &str, line: &Line<'_>) -> Option<String> {
    let positionals = line.positionals();
    let at = positionals.iter().position(|word| *word == wrong)?;
    match (line.command(), from_here(wrong, positionals.get(at + 1).copied())) {
        ("serve", Some(addr)) => Some(format!("write --listen {addr}")),
        ("serve", None) => Some("serve takes options only; --listen says where".into()),
        ("connect", None) => Some(format!(
            "what to send comes from standard input, as in: echo hello | resound connect {}",
            Excerpt(positionals[0])
        )),
        _ => None,
    }
}

/// For a host or a port that other programs take by an option.
fn server(line: &Line<'_>) -> String {
    let host = line.value_of(is_host).or_else(|| line.value_of(|name| name == "--listen"));
    let host = host.or_else(|| line.positionals().into_iter().next()).unwrap_or("127.0.0.1");
    let port = line.value_of(|name| line.is_foreign_port(name)).unwrap_or("7007");
    let addr = together(host, port).or_else(|| alone(host)).unwrap_or_else(|| "HOST:PORT".into());
    match line.command() {
        "" if line.has("connect") => {
            format!("write resound serve --listen {addr}, or resound connect {addr}")
        }
        "" => format!("write resound serve --listen {addr}"),
        "serve" => format!("write --listen {addr}"),
        name => format!("write resound {name} {addr}"),
    }
}

/// For two words that are one address together.
fn pair(wrong: &str, line: &Line<'_>) -> Option<String> {
    let words = match (line.command(), line.value_of(|name| matches!(name, "-l" | "--listen"))) {
        ("serve", Some(host)) => vec![host, *line.positionals().first()?],
        ("serve", None) => return None,
        _ => line.positionals(),
    };
    words.windows(2).filter(|pair| pair.contains(&wrong)).find_map(|pair| {
        let (one, other) = (pair[0], pair[1]);
        let addr = together(one, other)?;
        Some(format!("write {addr} instead of {} {}", Excerpt(one), Excerpt(other)))
    })
}

/// The address that begins with this word.
fn from_here(word: &str, next: Option<&str>) -> Option<String> {
    next.and_then(|port| together(word, port)).or_else(|| alone(word))
}

/// A host and a port, in either order, as one address.
fn together(one: &str, other: &str) -> Option<String> {
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    let (host, port) = if is_port(one) { (other, one) } else { (one, other) };
    let is_host = !host.starts_with('-') && !is_port(host) && Addr::of_server(host).is_err();
    let addr = guess(&format!("{host}:{port}")).filter(|_| is_host && is_port(port))?;
    Some(shown(&addr))
}

/// The address that a word is, or stands for: a port, a host or a path.
fn alone(word: &str) -> Option<String> {
    let can_be =
        word == "localhost" || word.contains(['.', ':', '/']) || word.parse::<u16>().is_ok();
    let addr = Addr::of_server(word).ok().or_else(|| guess(word)).filter(|_| can_be)?;
    Some(shown(&addr))
}

fn listing(names: &[&str], last: &str) -> String {
    match names {
        [others @ .., one] if !others.is_empty() => format!("{} {last} {one}", others.join(", ")),
        names => names.concat(),
    }
}
