//! Any text as an [`Addr`]: parsed as the standard library and a second parser do, displayed so that it can be parsed
//! again, and always safe for a terminal.

#![no_main]

use std::net::SocketAddr;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use resound::net::{Addr, Endpoint};

/// unix(7).
const MAX_UNIX_PATH_BYTES: usize = 107;

fuzz_target!(|text: &str| {
    let parsed = text.parse::<Addr>();
    let (udp, host_port) = after_udp(text).map_or((false, text), |rest| (true, rest));
    if let Ok(addr) = host_port.parse() {
        let expected = if udp { Endpoint::udp(addr) } else { Endpoint::from(addr) };
        agrees_with_std(text, parsed.as_ref().ok(), expected);
    }
    assert!(parsed.is_ok() || !is_plain(text), "{text:?} is refused: {parsed:?}");
    let of_server = Addr::of_server(text).ok();
    let is_for_clients =
        |addr: &Addr| !matches!(addr, Addr::Inet { port: 0, .. } | Addr::Udp { port: 0, .. });
    assert_eq!(of_server, parsed.clone().ok().filter(is_for_clients), "{text:?}");
    match parsed {
        Ok(addr) => {
            read_rightly(text, &addr);
            written_rightly(&addr);
        }
        Err(error) => assert_safe(&error.to_string()),
    }
});

/// What follows `udp:`.
fn after_udp(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_at_checked(4)?;
    scheme.eq_ignore_ascii_case("udp:").then_some(rest)
}

/// Numbers need no look-up, so the endpoints that they resolve to are compared too.
fn agrees_with_std(text: &str, parsed: Option<&Addr>, expected: Endpoint) {
    if text.contains('%') {
        return; // Only the system knows the zone of [fe80::1%2]:7.
    }
    let resolved = parsed.map(|addr| addr.resolve().expect("a number"));
    assert_eq!(resolved, Some(vec![expected]), "{text:?}");
}

/// Whether it must be accepted: a short path, or a simple name and a port. std knows about numbers.
fn is_plain(text: &str) -> bool {
    let is_simple = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let Some((host, port)) = after_udp(text).unwrap_or(text).rsplit_once(':') else { return false };
    match host.to_ascii_lowercase().as_str() {
        "unix" if after_udp(text).is_none() => {
            !port.starts_with('@') && (1..=MAX_UNIX_PATH_BYTES).contains(&port.len())
        }
        "unix" | "udp" | "tcp" | "" => false,
        _ => host.chars().all(is_simple) && is_port(port),
    }
}

fn is_port(text: &str) -> bool {
    let value = text.bytes().try_fold(0_u64, |value, digit| {
        digit.is_ascii_digit().then(|| (value * 10 + u64::from(digit - b'0')).min(65_536))
    });
    !text.is_empty() && value.is_some_and(|value| value < 65_536)
}

/// The address has all of the text, without brackets and the leading zeros of the port.
fn read_rightly(text: &str, addr: &Addr) {
    match addr {
        Addr::Abstract(name) => {
            assert!(text[..5].eq_ignore_ascii_case("unix:"), "{text:?}");
            assert_eq!(text.as_bytes()[5..].strip_prefix(b"@"), Some(&**name));
            assert!((1..=MAX_UNIX_PATH_BYTES).contains(&name.len()), "{text:?}");
        }
        Addr::Unix(path) => {
            let path = path.to_str().expect("it was text");
            assert!(text[..5].eq_ignore_ascii_case("unix:") && !path.starts_with('@'), "{text:?}");
            assert_eq!(&text[5..], path);
            assert!((1..=MAX_UNIX_PATH_BYTES).contains(&path.len()), "{text:?}");
        }
        Addr::Inet { host, port } | Addr::Udp { host, port } => {
            assert_eq!(after_udp(text).is_some(), matches!(addr, Addr::Udp { .. }), "{text:?}");
            let text = after_udp(text).unwrap_or(text);
            let (before, after) = text.rsplit_once(':').expect("a port has a colon before it");
            let bracketed = format!("[{host}]");
            assert_eq!(before, if host.contains(':') { &bracketed } else { host });
            assert!(!host.is_empty() && !host.contains(['[', ']']), "{text:?}");
            let digits = after.trim_start_matches('0');
            if is_port(after) {
                assert_eq!(if digits.is_empty() { "0" } else { digits }, port.to_string());
            } else {
                // The name of a service, which the system knows.
                assert!(after.contains(|c: char| c.is_ascii_alphabetic()), "{text:?}");
            }
            assert!(host.is_ascii(), "{text:?}");
            assert!(!host.contains(':') || is_ipv6_with_port(text), "{text:?}");
            assert!(!host.contains(['/', ',']) && host != "*", "{text:?}");
        }
    }
}

/// Whether std parses it. std knows zones only by number, so the zone is left out.
fn is_ipv6_with_port(text: &str) -> bool {
    let (before, after) = text.rsplit_once(']').expect("a bracket before the port");
    let ip = before.split_once('%').map_or(before, |(ip, _)| ip);
    format!("{ip}]{after}").parse::<SocketAddr>().is_ok()
}

/// The displayed text parses to the same address, unless a character of it was escaped.
fn written_rightly(addr: &Addr) {
    let shown = addr.to_string();
    assert_safe(&shown);
    let raw = match addr {
        Addr::Inet { host, .. } | Addr::Udp { host, .. } => host,
        Addr::Abstract(name) => str::from_utf8(name).expect("it was text"),
        Addr::Unix(path) => path.to_str().expect("it was text"),
    };
    let again = shown.parse::<Addr>();
    if raw.chars().all(is_safe) {
        assert_eq!(again.as_ref(), Ok(addr), "{shown:?}");
    } else if let Ok(again) = again {
        assert_ne!(&again, addr, "{shown:?} cannot be two addresses");
        assert_eq!(again.to_string(), shown);
    } else {
        let too_long = shown.len() > "unix:".len() + MAX_UNIX_PATH_BYTES;
        assert!(too_long && Path::new(raw).as_os_str().len() < shown.len(), "{shown:?}");
    }
}

#[track_caller]
fn assert_safe(shown: &str) {
    assert!(shown.chars().all(is_safe), "{shown:?}");
}

/// Whether it neither acts on a terminal nor changes the order of the text beside it: it is no control character, no line
/// or paragraph separator, and none of Unicode's `Bidi_Control`.
fn is_safe(c: char) -> bool {
    let bidi = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !bidi && !matches!(c, '\u{2028}' | '\u{2029}')
}
