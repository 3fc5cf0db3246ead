//! Addresses: read, written, resolved, and safe to log.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use proptest::prelude::*;

use super::*;

fn host(host: &str, port: u16) -> Addr {
    Addr::Inet { host: host.into(), port }
}

fn datagrams(host: &str, port: u16) -> Addr {
    Addr::Udp { host: host.into(), port }
}

fn file(path: &str) -> Addr {
    Addr::Unix(Path::new(path).into())
}

#[test]
fn an_address_is_displayed_as_it_was_written() {
    for (text, expected) in [
        ("127.0.0.1:7007", host("127.0.0.1", 7007)),
        ("0.0.0.0:0", host("0.0.0.0", 0)),
        ("localhost:65535", host("localhost", 65535)),
        ("echo.example.org:7", host("echo.example.org", 7)),
        ("[::1]:7007", host("::1", 7007)),
        ("[::ffff:127.0.0.1]:1", host("::ffff:127.0.0.1", 1)),
        ("udp:127.0.0.1:7007", datagrams("127.0.0.1", 7007)),
        ("udp:localhost:0", datagrams("localhost", 0)),
        ("udp:[::1]:7007", datagrams("::1", 7007)),
        ("udp:[fe80::1%lo]:7", datagrams("fe80::1%lo", 7)),
        ("unix:/run/echo.sock", file("/run/echo.sock")),
        ("unix:relative: with spaces", file("relative: with spaces")),
        ("unix:[::1]:7", file("[::1]:7")),
        ("unix:./@echo", file("./@echo")),
    ] {
        assert_eq!(text.parse(), Ok(expected.clone()), "{text}");
        assert_eq!(expected.to_string(), text);
    }
    assert_eq!("host:007".parse(), Ok(host("host", 7)));
}

#[test]
fn the_error_for_a_text_that_is_no_address_says_why() {
    const NO_HOST: &str = "there is no host";
    const NO_PORT: &str = "there is no port";
    const NO_IPV6: &str = "the brackets hold no IPv6 address";
    const BRACKETS: &str = "an IPv6 address needs brackets";
    const SCHEME: &str = "only unix: or udp: can stand before an address";
    const NO_PATH: &str = "there is no path after unix:; write, say, unix:/run/echo.sock";
    const ASCII: &str = "a host with other letters than ASCII has a form such as xn--bcher-kva";
    for (text, expected) in [
        ("", NO_PORT),
        ("+7007", NO_PORT),
        ("localhost", NO_PORT),
        ("127.0.0.1", NO_PORT),
        ("/tmp/s.sock", NO_PORT),
        ("::1", NO_PORT),
        ("[fe80::1%lo]", NO_PORT),
        ("7007", NO_HOST),
        ("70070", NO_HOST),
        (":7007", NO_HOST),
        (":", NO_HOST),
        ("1:2:7007", "a host cannot contain ':'"),
        ("::1]:7007", "a host cannot contain ':'"),
        ("[::g]", "a host cannot contain '['"),
        ("a/b:7", "a host cannot contain '/'"),
        ("a,b:2", "a host cannot contain ','"),
        ("*:7007", "a host cannot contain '*'"),
        ("[]:7007", NO_IPV6),
        ("[localhost]:7007", NO_IPV6),
        ("[127.0.0.1]:7007", NO_IPV6),
        ("[fe80::1%]:7007", NO_IPV6),
        ("[fe80::1%a%b]:7007", NO_IPV6),
        ("[fe80::1%a b]:7007", NO_IPV6),
        ("[127.0.0.1%lo]:7007", NO_IPV6),
        ("::1:7007", BRACKETS),
        ("fe80::1%lo:echo", BRACKETS),
        ("b\u{fc}cher.example:7", ASCII),
        ("\u{ff4c}ocalhost:7", ASCII),
        ("http://localhost:7007/", SCHEME),
        ("tcp://[::1]:7", SCHEME),
        ("TCP:[::1]:7", SCHEME),
        ("udp:", NO_PORT),
        ("udp:7007", NO_HOST),
        ("udp:localhost", NO_PORT),
        ("udp:udp:localhost:7", SCHEME),
        ("udp:unix:/tmp/s", SCHEME),
        ("udp://localhost:7", SCHEME),
        ("Udp:::1:7007", BRACKETS),
        ("unix:", NO_PATH),
        ("UNIX:", NO_PATH),
    ] {
        assert_eq!(text.parse::<Addr>().unwrap_err().to_string(), expected, "{text:?}");
    }
}

/// Failed when UNIX:/tmp/s was taken for a host, and the advice was to write UNIX: alone.
#[test]
fn a_scheme_can_be_in_capitals() {
    for text in ["UNIX:/tmp/s", "Unix:/tmp/s", "uNIx:/tmp/s"] {
        assert_eq!(text.parse(), Ok(file("/tmp/s")), "{text}");
        assert_eq!(Addr::of_server(text), Ok(file("/tmp/s")), "{text}");
    }
    assert_eq!("uni:7".parse(), Ok(host("uni", 7)));
    assert_eq!("UDP:127.0.0.1:7".parse(), Ok(datagrams("127.0.0.1", 7)));
}

#[test]
fn a_path_can_be_other_than_utf_8_but_a_host_cannot() {
    let path = OsStr::from_bytes(b"caf\xe9.sock");
    let text = OsStr::from_bytes(b"unix:caf\xe9.sock");
    assert_eq!(Addr::of_server(text), Ok(Addr::Unix(Path::new(path).into())));
    let host = Addr::of_server(OsStr::from_bytes(b"caf\xe9:7")).unwrap_err().to_string();
    assert_eq!(host, "\"caf\\xe9:7\" is not UTF-8, which only a path can be");
    let long = [&b"unix:\xff"[..], &[b'x'; 107]].concat();
    assert!(Addr::of_server(OsStr::from_bytes(&long)).is_err());
}

/// Failed when a line was as long as the argument that it quoted.
#[test]
fn a_long_text_is_quoted_only_in_part() {
    let long = "x".repeat(5000);
    let said = format!("a:{long}").parse::<Addr>().unwrap_err().to_string();
    assert!(said.chars().count() < 700 && said.contains("x…"), "{said}");
}

#[test]
fn a_port_can_be_a_service() {
    for text in ["localhost:echo", "localhost:ECHO"] {
        assert_eq!(text.parse(), Ok(host("localhost", 7)), "{text}");
        assert_eq!(Addr::of_server(text), Ok(host("localhost", 7)), "{text}");
    }
    assert_eq!("[::1]:echo".parse(), Ok(host("::1", 7)));
    let no = "\"ecko\" is neither a port up to 65535 nor a service of /etc/services";
    assert_eq!("localhost:ecko".parse::<Addr>().unwrap_err().to_string(), no);
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_socket_has_a_name_and_no_path() {
    let abstract_socket = |name: &[u8]| Addr::Abstract(name.into());
    for (text, name) in
        [("unix:@echo", "echo"), ("unix:@/run/a b@c", "/run/a b@c"), ("unix:@@", "@")]
    {
        let addr = abstract_socket(name.as_bytes());
        assert_eq!(text.parse(), Ok(addr.clone()));
        assert_eq!(addr.to_string(), text);
        assert_eq!(addr.resolve().unwrap()[0].to_string(), text);
    }
    assert_eq!("Unix:@x".parse(), Ok(abstract_socket(b"x")));
    let name = |bytes| format!("unix:@{}", "x".repeat(bytes)).parse::<Addr>();
    assert_eq!(name(107), Ok(abstract_socket(&[b'x'; 107])));
    let said = |bytes| name(bytes).unwrap_err().to_string();
    assert_eq!(said(0), "there is no name after unix:@; write, say, unix:@echo");
    assert_eq!(said(108), "the name after unix:@ has 108 bytes; the system allows 107");
}

/// A client can bind to any path and to any abstract name.
#[test]
fn a_path_is_not_displayed_as_an_abstract_name_and_names_are_escaped() {
    let path = Endpoint::Unix(Some(Path::new("@echo").into()));
    assert_eq!(path.to_string(), "unix:./@echo");
    let name = Endpoint::Abstract((*b"\0a\x1b[2J\xff").into());
    assert_eq!(name.to_string(), "unix:@\\u{0}a\\u{1b}[2J\u{fffd}");
}

/// Failed when a client tried port 0, and the error was that nothing listens there.
#[test]
fn port_0_is_no_address_to_connect_to() {
    for text in ["localhost:0", "[::1]:000"] {
        let expected = "a client cannot connect to port 0";
        assert_eq!(Addr::of_server(text).unwrap_err().to_string(), expected);
    }
    assert_eq!(Addr::of_server("localhost:1"), Ok(host("localhost", 1)));
    assert_eq!(Addr::of_server("unix:0"), Ok(file("0")));
}

/// Failed when a zone was taken for no IPv6 address.
#[cfg(target_os = "linux")]
#[test]
fn a_zone_is_an_interface_by_name_or_number() {
    for text in ["[fe80::1%lo]:7", "[fe80::1%1]:7"] {
        let addr: Addr = text.parse().unwrap();
        assert_eq!(addr.to_string(), text);
        let Endpoint::Inet(SocketAddr::V6(found)) = addr.resolve().unwrap()[0] else {
            panic!("no IPv6 address")
        };
        assert_eq!((found.scope_id(), found.port()), (1, 7), "{text}");
    }
    assert!(resolved("[fe80::1%nosuch0]:7").is_err());
}

#[test]
fn a_port_is_a_number_or_a_service() {
    for (port, shown) in [
        ("", ""),
        ("-1", "-1"),
        ("+7", "+7"),
        ("65536", "65536"),
        ("7007 ", "7007 "),
        (" 7", " 7"),
        ("7.0", "7.0"),
        ("0x7", "0x7"),
        ("99999999999999999999", "99999999999999999999"),
        ("\u{1b}[2J\n", "\\u{1b}[2J\\n"),
    ] {
        let said = format!("localhost:{port}").parse::<Addr>().unwrap_err().to_string();
        let expected =
            format!("\"{shown}\" is neither a port up to 65535 nor a service of /etc/services");
        assert_eq!(said, expected);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_has_at_most_the_length_that_the_system_allows() {
    let unix = |bytes| format!("unix:{}", "x".repeat(bytes)).parse::<Addr>();
    assert_eq!(unix(107), Ok(file(&"x".repeat(107))));
    for bytes in [108, 1000] {
        assert_eq!(
            unix(bytes).unwrap_err().to_string(),
            format!("the path after unix: has {bytes} bytes; the system allows 107")
        );
    }
}

fn resolved(text: &str) -> io::Result<Vec<Endpoint>> {
    text.parse::<Addr>().unwrap().resolve()
}

#[test]
fn numbers_resolve_to_themselves() {
    for addr in ["127.0.0.1:7", "0.0.0.0:0", "[::1]:7", "[::]:65535"] {
        assert_eq!(resolved(addr).unwrap(), [inet(addr)]);
        let datagrams = Endpoint::udp(addr.parse().unwrap());
        assert_eq!(datagrams.to_string(), format!("udp:{addr}"));
        assert_eq!(resolved(&format!("udp:{addr}")).unwrap(), [datagrams]);
    }
}

#[test]
fn paths_resolve_to_themselves() {
    let path = Path::new("/no/such").into();
    assert_eq!(resolved("unix:/no/such").unwrap(), [Endpoint::Unix(Some(path))]);
}

#[test]
fn localhost_resolves_to_each_loopback_address_once() {
    let found = resolved("localhost:7007").unwrap();
    assert!(!found.is_empty());
    for (i, endpoint) in found.iter().enumerate() {
        assert!(endpoint.ip().unwrap().is_loopback(), "{endpoint}");
        assert_eq!(port(endpoint), 7007);
        assert!(!found[..i].contains(endpoint), "{endpoint} twice in {found:?}");
    }
}

#[test]
fn the_error_for_an_unknown_name_says_what_to_do() {
    let said = resolved("nosuch.invalid:7").unwrap_err().to_string();
    let why = said
        .strip_prefix("cannot resolve nosuch.invalid:7: ")
        .and_then(|s| s.strip_suffix("; check the spelling, or write the host's IP address"))
        .unwrap_or_else(|| panic!("{said}"));
    // The reason depends on where the system looks names up.
    assert!(!why.is_empty() && !why.starts_with("failed to"), "{said}");
}

#[test]
fn addresses_and_endpoints_are_safe_to_log() {
    let path = "/tmp/\u{1b}[31m\n";
    let escaped = "unix:/tmp/\\u{1b}[31m\\n";
    assert_eq!(file(path).to_string(), escaped);
    assert_eq!(Endpoint::Unix(Some(Path::new(path).into())).to_string(), escaped);
    assert_eq!(host("a\nb", 7).to_string(), "a\\nb:7");
}

#[test]
fn an_endpoint_is_displayed_as_its_address_is_written() {
    for text in ["127.0.0.1:7007", "[::1]:7007"] {
        assert_eq!(inet(text).to_string(), text);
    }
    assert_eq!(Endpoint::Unix(None).to_string(), "unix:(unnamed)");
    assert_eq!(resolved("unix:/run/e").unwrap()[0].to_string(), "unix:/run/e");
}

#[test]
fn an_ipv4_address_in_an_ipv6_one_is_an_ipv4_address() {
    for (from, to) in [
        ("[::ffff:127.0.0.1]:7", "127.0.0.1:7"),
        ("[::ffff:0.0.0.0]:7", "0.0.0.0:7"),
        ("[fe80::1%2]:7", "[fe80::1%2]:7"),
        ("[::1]:7", "[::1]:7"),
    ] {
        assert_eq!(Endpoint::from(from.parse::<SocketAddr>().unwrap()).to_string(), to);
        assert_eq!(resolved(from).unwrap()[0].to_string(), to);
    }
}

#[test]
fn the_ip_of_an_endpoint_has_one_form() {
    for (endpoint, ip) in [
        ("127.0.0.1:7", "127.0.0.1"),
        ("[::ffff:127.0.0.1]:7", "127.0.0.1"),
        ("[::1]:7", "::1"),
        ("[2001:db8::1]:7", "2001:db8::1"),
    ] {
        assert_eq!(inet(endpoint).ip(), Some(ip.parse().unwrap()));
    }
    assert_eq!(Endpoint::Unix(None).ip(), None);
}

proptest! {
    #[test]
    fn no_text_panics(text in ".*") {
        let _ = text.parse::<Addr>();
    }

    /// What is displayed can be typed again if it needs no escapes.
    #[test]
    fn a_displayed_address_parses_to_the_same_address(text in "(udp:)?[a-z0-9.-]{1,20}:[0-9]{1,5}|unix:[ -~]{1,107}") {
        if let Ok(addr) = text.parse::<Addr>() {
            prop_assert_eq!(addr.to_string().parse(), Ok(addr));
        }
    }

    #[test]
    fn every_socket_address_parses(ip in any::<IpAddr>(), port: u16) {
        let at = SocketAddr::new(ip, port);
        let addr: Addr = at.to_string().parse().unwrap();
        prop_assert_eq!(addr.resolve().unwrap(), vec![Endpoint::from(at)]);
    }
}
