//! Addresses on the command line. The error for a text that is none says what the user probably meant.

use std::ffi::OsStr;
use std::fmt;
#[cfg(feature = "clients")]
use std::ops::RangeInclusive;
use std::str::FromStr;

#[cfg(feature = "clients")]
use super::Failure;
#[cfg(feature = "clients")]
use crate::client::probe::datagrams::{LEAST_BYTES, MOST_BYTES};
use crate::net::{Addr, ParseAddrError, has_scheme, is_name_char};
use crate::text::Excerpt;

/// For examples.
const PORT: &str = "7007";

/// The help of an option that takes an address to listen at.
pub(super) const LISTEN_HELP: &str = "Where to listen [default: 127.0.0.1:7007]

HOST:PORT, [IPV6]:PORT, udp:HOST:PORT, unix:PATH or unix:@NAME (Linux: a socket without a file). Give the option several \
times to listen at several addresses. The server listens at all addresses of a name. PORT can be a service, such as \
echo. With port 0, the system chooses a free port, and the log names it. [::]:PORT takes IPv4 too, unless an IPv4 \
address with the same port is given.

udp:HOST:PORT answers datagrams, except those that come from a port below 1024 or from the port of one of the server's \
UDP addresses, and those that were sent to many hosts. Otherwise two servers could answer each other without an end.

proxy+ADDR expects each connection from a proxy that names its client in a PROXY header of version 1 or 2 (HAProxy's \
send-proxy, nginx's proxy_protocol on). The client's address then counts for the limits and stands in the log. Over \
TCP, --proxy-from names the proxies; each process that may connect to a Unix socket is one.

If a service manager passes sockets (LISTEN_FDS, as systemd does for a .socket unit), the server takes them over \
instead of the default address. Addresses of this option come in addition. --backlog, --reuse-port and \
--unix-mode are not for passed sockets, which have their own.";

/// Stands before the address of a proxied listener.
const PROXIED: &str = "proxy+";

/// An address to listen at, and whether proxies connect there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListenAddr {
    pub(super) addr: Addr,
    pub(super) is_proxied: bool,
}

impl FromStr for ListenAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = strip_proxied(text) else {
            let addr = text.parse().map_err(|fault| with_example(text.as_ref(), &fault))?;
            return Ok(Self { addr, is_proxied: false });
        };
        if has_scheme(rest, "udp:") {
            return Err(
                "a proxy names the client of a stream, and UDP has none; write udp:HOST:PORT"
                    .into(),
            );
        }
        if strip_proxied(rest).is_some() {
            return Err(format!("write {PROXIED} once"));
        }
        let addr = rest.parse().map_err(|fault| with_example(rest.as_ref(), &fault))?;
        Ok(Self { addr, is_proxied: true })
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_proxied { PROXIED } else { "" }, self.addr)
    }
}

/// Reads an address to listen at.
pub(super) fn listen_addr(text: &str) -> Result<ListenAddr, String> {
    let (each, separator) = (text.split(','), " --listen ");
    let is_addr = |text: &str| text.parse::<ListenAddr>().is_ok();
    let is_list = each.clone().count() > 1 && each.clone().all(is_addr);
    text.parse().map_err(|fault| match is_list {
        true => {
            let each = each.collect::<Vec<_>>().join(separator);
            format!("give each by itself:{separator}{each}")
        }
        false => fault,
    })
}

/// Reads the one address to serve metrics at.
pub(super) fn metrics_addr(text: &str) -> Result<Addr, String> {
    if strip_proxied(text).is_some() {
        return Err("metrics take no PROXY header; write HOST:PORT or unix:PATH".into());
    }
    match text.parse().map_err(|fault| with_example(text.as_ref(), &fault))? {
        Addr::Udp { .. } => Err("HTTP needs TCP; write HOST:PORT or unix:PATH".into()),
        addr => Ok(addr),
    }
}

/// Reads an address to connect to.
pub(super) fn server_addr(text: impl AsRef<OsStr>) -> Result<Addr, String> {
    let text = text.as_ref();
    if let Some(rest) = text.to_str().and_then(|text| strip_proxied(text)) {
        return Err(format!("{PROXIED} is for listeners; write {rest}, with --send-proxy v2"));
    }
    Addr::of_server(text).map_err(|fault| with_example(text, &fault))
}

/// Why a client over UDP cannot wait for its server.
#[cfg(feature = "clients")]
pub(super) const NO_WAIT_OVER_UDP: &str =
    "UDP has no connection to wait for: leave --wait out, or use TCP";

/// Why a client over UDP sends no PROXY header.
#[cfg(feature = "clients")]
pub(super) const NO_HEADER_OVER_UDP: &str =
    "a PROXY header begins a connection, and UDP has none: leave --send-proxy out";

/// Refuses sizes of messages that no datagram can have.
///
/// # Errors
///
/// Which sizes are allowed.
#[cfg(feature = "clients")]
pub(super) fn check_datagram_sizes(sizes: &RangeInclusive<usize>) -> Result<(), Failure> {
    if (LEAST_BYTES..=MOST_BYTES).contains(sizes.start()) && *sizes.end() <= MOST_BYTES {
        return Ok(());
    }
    Err(Failure::usage(&format!(
        "a datagram has {LEAST_BYTES} to {MOST_BYTES} bytes, and its number takes {LEAST_BYTES} of them: give --size \
         something between"
    )))
}

/// Refuses a UDP address, for a command that speaks over a stream.
///
/// # Errors
///
/// What speaks UDP instead.
#[cfg(feature = "clients")]
pub(super) fn expect_stream(server: &Addr) -> Result<(), Failure> {
    match server {
        Addr::Udp { .. } => Err(Failure::usage(&format!(
            "{} is a UDP address, and this command needs a stream: resound ping and resound load speak UDP",
            shown(server)
        ))),
        _ => Ok(()),
    }
}

/// What stands behind `proxy+`, if that is there.
fn strip_proxied(text: &str) -> Option<&str> {
    has_scheme(text, PROXIED).then(|| &text[PROXIED.len()..])
}

fn with_example(text: &OsStr, fault: &ParseAddrError) -> String {
    match text.to_str() {
        Some(text) if !has_scheme(text, "unix:") => match guess(text) {
            Some(path @ Addr::Unix(_)) => format!("a path needs unix: before it; write {path}"),
            Some(addr @ Addr::Udp { .. }) => {
                format!("{fault}; write udp:HOST:PORT, such as {}", shown(&addr))
            }
            Some(addr) => format!("{fault}; write HOST:PORT, such as {}", shown(&addr)),
            None => format!("{fault}; write HOST:PORT, such as 127.0.0.1:{PORT}"),
        },
        _ => fault.to_string(),
    }
}

/// The address to connect to that a text most likely means, if it is none itself.
pub(super) fn guess(text: &str) -> Option<Addr> {
    if text.starts_with(['/', '.', '~']) && text.contains('/') {
        return Addr::of_server(format!("unix:{text}")).ok();
    }
    let (_, rest) = text.split_once("://").unwrap_or(("", text));
    let (rest, _) = rest.split_once('/').unwrap_or((rest, ""));
    let udp = if has_scheme(text, "udp:") { "udp:" } else { "" };
    let scheme = ["tcp:", "udp:"].into_iter().find(|scheme| has_scheme(rest, scheme));
    let rest = &rest[scheme.map_or(0, str::len)..];
    let (host, port) = match rest.rsplit_once(':') {
        Some(pair) => pair,
        None if rest.bytes().all(|byte| byte.is_ascii_digit()) => ("", rest),
        None => (rest, PORT),
    };
    let host = match host.trim_matches(['[', ']']) {
        "" => "127.0.0.1".into(),
        "*" => "0.0.0.0".into(),
        host if is_name(host) => host.to_string(),
        host => format!("[{host}]"),
    };
    let whole = format!("[{}]:{PORT}", rest.trim_matches(['[', ']']));
    let candidates = [format!("{host}:{port}"), whole, format!("{host}:{PORT}")];
    candidates.iter().find_map(|text| Addr::of_server(format!("{udp}{text}")).ok())
}

/// Whether it reads as the name of a host: RFC 1123, section 2.1. An IPv4 address does too.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_name_char)
}

/// An address for a line that quotes it.
pub(super) fn shown(addr: &Addr) -> String {
    Excerpt(&addr.to_string()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_the_address_that_was_probably_meant() {
        const NO_HOST: &str = "there is no host";
        const NO_PORT: &str = "there is no port";
        const BRACKETS: &str = "an IPv6 address needs brackets";
        const NO_IPV6: &str = "the brackets hold no IPv6 address";
        const SCHEME: &str = "only unix: or udp: can stand before an address";
        const NO_SERVICE: &str = " is neither a port up to 65535 nor a service of /etc/services";
        for (text, fault, example) in [
            ("", NO_PORT, "127.0.0.1:7007"),
            ("+7007", NO_PORT, "127.0.0.1:7007"),
            ("a b", NO_PORT, "127.0.0.1:7007"),
            ("7007", NO_HOST, "127.0.0.1:7007"),
            ("70070", NO_HOST, "127.0.0.1:7007"),
            (":7107", NO_HOST, "127.0.0.1:7107"),
            ("*:7107", "a host cannot contain '*'", "0.0.0.0:7107"),
            // Failed when the example had another host than the text.
            ("localhost", NO_PORT, "localhost:7007"),
            ("127.0.0.1", NO_PORT, "127.0.0.1:7007"),
            ("::1", NO_PORT, "[::1]:7007"),
            ("[fe80::1%lo]", NO_PORT, "[fe80::1%lo]:7007"),
            ("::1:7107", BRACKETS, "[::1]:7107"),
            ("fe80::1%lo:echo", BRACKETS, "[fe80::1%lo]:7"),
            ("[localhost]:7107", NO_IPV6, "localhost:7107"),
            ("[127.0.0.1]:7107", NO_IPV6, "127.0.0.1:7107"),
            ("::1]:7107", "a host cannot contain ':'", "[::1]:7107"),
            ("a/b:7", "a host cannot contain '/'", "a:7007"),
            ("http://localhost:7107/", SCHEME, "localhost:7107"),
            ("http://localhost/x", SCHEME, "localhost:7007"),
            ("tcp://[::1]:7", SCHEME, "[::1]:7"),
            ("TCP:[::1]:7", SCHEME, "[::1]:7"),
            ("localhost:0", "a client cannot connect to port 0", "localhost:7007"),
            ("localhost:7107/", &format!("\"7107/\"{NO_SERVICE}"), "localhost:7107"),
            ("localhost:ecko", &format!("\"ecko\"{NO_SERVICE}"), "localhost:7007"),
        ] {
            let expected = format!("{fault}; write HOST:PORT, such as {example}");
            assert_eq!(server_addr(text).unwrap_err(), expected, "{text:?}");
        }
        for (text, path) in [
            ("/tmp/s.sock", "unix:/tmp/s.sock"),
            ("./s:7", "unix:./s:7"),
            ("~/\u{1b}", "unix:~/\\u{1b}"),
        ] {
            let expected = format!("a path needs unix: before it; write {path}");
            assert_eq!(server_addr(text).unwrap_err(), expected, "{text:?}");
        }
    }

    /// Failed when the example for udp:localhost was a TCP address.
    #[test]
    fn the_example_for_a_udp_address_is_one() {
        for (text, fault, example) in [
            ("udp:localhost", "there is no port", "udp:localhost:7007"),
            ("Udp:7107", "there is no host", "udp:127.0.0.1:7107"),
            ("udp:::1:7", "an IPv6 address needs brackets", "udp:[::1]:7"),
            ("udp:", "there is no port", "udp:127.0.0.1:7007"),
        ] {
            let expected = format!("{fault}; write udp:HOST:PORT, such as {example}");
            assert_eq!(listen_addr(text).unwrap_err(), expected, "{text:?}");
        }
        let scheme = listen_addr("udp://[::1]:7").unwrap_err();
        let expected = "only unix: or udp: can stand before an address; write udp:HOST:PORT, such as udp:[::1]:7";
        assert_eq!(scheme, expected);
    }

    #[test]
    fn a_unix_address_gets_no_example_of_another_kind() {
        for text in ["unix:", "UNIX:"] {
            let expected = "there is no path after unix:; write, say, unix:/run/echo.sock";
            assert_eq!(server_addr(text).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_list_of_addresses_is_split() {
        let expected = "give each by itself: --listen a:1 --listen proxy+[::1]:2";
        assert_eq!(listen_addr("a:1,proxy+[::1]:2").unwrap_err(), expected);
        assert_eq!(listen_addr("localhost:0").unwrap().to_string(), "localhost:0");
    }

    /// Failed when the server looked the name up first, and when it was the system that refused the address.
    #[test]
    fn metrics_have_a_plain_stream_address() {
        for text in ["proxy+127.0.0.1:9464", "PROXY+unix:/run/m", "proxy+udp:[::1]:7", "proxy+"] {
            let fault = "metrics take no PROXY header; write HOST:PORT or unix:PATH";
            assert_eq!(metrics_addr(text).unwrap_err(), fault, "{text}");
        }
        for text in ["udp:127.0.0.1:9464", "UDP:localhost:7"] {
            let fault = "HTTP needs TCP; write HOST:PORT or unix:PATH";
            assert_eq!(metrics_addr(text).unwrap_err(), fault, "{text}");
        }
        for text in ["127.0.0.1:9464", "unix:/run/metrics", "unix:proxy+", "proxy:9464"] {
            assert_eq!(metrics_addr(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_proxied_listener_has_a_stream_address() {
        for (text, shown) in [
            ("proxy+127.0.0.1:0", "proxy+127.0.0.1:0"),
            ("PROXY+[::1]:7", "proxy+[::1]:7"),
            ("proxy+unix:/run/echo", "proxy+unix:/run/echo"),
            ("proxy+localhost:echo", "proxy+localhost:7"),
        ] {
            let addr = listen_addr(text).unwrap();
            assert_eq!((addr.to_string().as_str(), addr.is_proxied), (shown, true));
        }
        for (text, fault) in [
            ("proxy+", "there is no port; write HOST:PORT, such as 127.0.0.1:7007"),
            ("proxy+7007", "there is no host; write HOST:PORT, such as 127.0.0.1:7007"),
            ("proxy+unix:", "there is no path after unix:; write, say, unix:/run/echo.sock"),
            ("proxy+proxy+[::1]:7", "write proxy+ once"),
            (
                "proxy+UDP:[::1]:7",
                "a proxy names the client of a stream, and UDP has none; write udp:HOST:PORT",
            ),
        ] {
            assert_eq!(listen_addr(text).unwrap_err(), fault, "{text}");
        }
        let expected = "proxy+ is for listeners; write [::1]:7, with --send-proxy v2";
        assert_eq!(server_addr("proxy+[::1]:7").unwrap_err(), expected);
    }
}
