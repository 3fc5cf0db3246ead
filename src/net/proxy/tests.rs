//! Every header of the standard, split at every byte, and what is none.

use proptest::prelude::*;

use super::*;

const V2: &str = "\r\n\r\n\0\r\nQUIT\n";

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap();
    [V2_START, &[command, family], &length.to_be_bytes(), rest].concat()
}

/// An IPv4 client, 192.0.2.7:5000, and a field that this server does not know.
fn v2_ipv4() -> Vec<u8> {
    v2(0x21, 0x11, b"\xc0\x00\x02\x07\x0a\x00\x00\x01\x13\x88\x00\x07\xe0\x00\x02hi")
}

fn v2_ipv6() -> Vec<u8> {
    let (client, server) = ([0x20; 16], [0x21; 16]);
    v2(0x21, 0x21, &[&client[..], &server, b"\x13\x88\x00\x07"].concat())
}

/// Each kind of header, with the client that it names.
fn headers() -> Vec<(Vec<u8>, Option<&'static str>)> {
    vec![
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 7\r\n".into(), Some("192.0.2.7:5000")),
        (b"PROXY TCP6 2001:db8::1 ::1 5000 7\r\n".into(), Some("[2001:db8::1]:5000")),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 7\r\n".into(), Some("192.0.2.7:1")),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 0 0\r\n".into(), Some("192.0.2.7:0")),
        (b"PROXY UNKNOWN\r\n".into(), None),
        (b"PROXY UNKNOWN \r\n".into(), None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".into(), None),
        (v2_ipv4(), Some("192.0.2.7:5000")),
        (v2_ipv6(), Some("[2020:2020:2020:2020:2020:2020:2020:2020]:5000")),
        // Over UDP, by a proxy that says so.
        (v2(0x21, 0x12, &v2_ipv4()[16..]), Some("192.0.2.7:5000")),
        (v2(0x21, 0x00, b""), None),
        (v2(0x21, 0x00, b"anything"), None),
        (v2(0x21, 0x31, &[0; 216]), None),
        (v2(0x20, 0x00, b""), None),
        // The family and the rest of LOCAL mean nothing.
        (v2(0x20, 0x11, b""), None),
        (v2(0x20, 0xff, b"\x01"), None),
        (v2(0x20, 0x11, &v2_ipv4()[16..]), None),
        (v2(0x21, 0x00, &[0; MAX_HEADER_BYTES - 16]), None),
    ]
}

fn complete(bytes: usize, client: Option<&str>) -> Result<Header, HeaderFault> {
    let client = client.map(|client| Endpoint::Inet(client.parse().unwrap()));
    Ok(Header::Complete { bytes, client })
}

#[test]
fn a_header_is_found_as_soon_as_its_last_byte_is_there() {
    for (header, client) in headers() {
        let whole = complete(header.len(), client);
        for end in 0..header.len() {
            assert_eq!(Header::parse(&header[..end]), Ok(Header::Incomplete), "{end} of {whole:?}");
        }
        for behind in ["", "\r\n", "PROXY UNKNOWN\r\n", V2, "x"] {
            let stream = [&header, behind.as_bytes()].concat();
            assert_eq!(Header::parse(&stream), whole, "before {behind:?}");
        }
    }
}

#[test]
fn what_does_not_begin_like_a_header_is_refused_at_its_first_wrong_byte() {
    for (start, n) in [
        ("GET / HTTP/1.1\r\n", 1),
        ("proxy TCP4", 1),
        ("\0", 1),
        (" PROXY", 1),
        ("PROX TCP4", 5),
        ("PROXY\tTCP4", 6),
        ("\r\n\r\n\0\r\nQUIT\r", 12),
        ("\n", 1),
    ] {
        assert_eq!(Header::parse(&start.as_bytes()[..n - 1]), Ok(Header::Incomplete), "{start:?}");
        assert_eq!(Header::parse(&start.as_bytes()[..n]), Err(HeaderFault::Missing), "{start:?}");
    }
}

#[test]
fn a_header_that_breaks_the_standard_is_malformed() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 192.0.2.7 10.0.0.1 5000 7\r\n",
        "PROXY tcp4 192.0.2.7 10.0.0.1 5000 7\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 5000\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 5000 7 9\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 5000 65536\r\n",
        "PROXY TCP4 192.0.2.7  10.0.0.1 5000 7\r\n",
        "PROXY TCP4 192.0.2.256 10.0.0.1 5000 7\r\n",
        "PROXY TCP4 2001:db8::1 ::1 5000 7\r\n",
        "PROXY TCP6 192.0.2.7 10.0.0.1 5000 7\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 5000 7\n",
        "PROXY UNKNOWN\n",
        "PROXY TCP4 \u{e9} 10.0.0.1 5000 7\r\n",
        // All of these passed when the library alone was asked.
        "PROXY UNKNOWNX\r\n",
        "PROXY UNKNOWN\t192.0.2.7\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 +5000 7\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 5000 +7\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 05000 7\r\n",
        "PROXY TCP6 2001:db8::1 ::1 5000 07\r\n",
        "PROXY TCP6 2001:db8::1 ::1 00 7\r\n",
    ] {
        assert_eq!(Header::parse(line.as_bytes()), Err(HeaderFault::Malformed), "{line:?}");
    }
    for header in [
        v2(0x21, 0x11, b"too few"),
        v2(0x21, 0x21, &v2_ipv4()[16..]),
        v2(0x21, 0x31, &[0; 215]),
        v2(0x21, 0x41, &[0; 300]),
        v2(0x21, 0x13, &[0; 300]),
    ] {
        assert_eq!(Header::parse(&header), Err(HeaderFault::Malformed), "{header:?}");
    }
}

/// A version or command that is not known is refused before the rest comes, however long that claims to be.
#[test]
fn an_unknown_version_or_command_is_malformed() {
    for command in (0..=u8::MAX).filter(|command| !matches!(command, 0x20 | 0x21)) {
        let start = [V2_START, &[command, 0x11, 0xff, 0xff]].concat();
        assert_eq!(Header::parse(&start), Err(HeaderFault::Malformed), "{command:#x}");
    }
}

#[test]
fn a_header_over_its_limit_is_refused_before_it_has_come() {
    let line = format!("PROXY UNKNOWN {}", "x".repeat(200));
    assert_eq!(Header::parse(&line.as_bytes()[..106]), Ok(Header::Incomplete));
    assert_eq!(Header::parse(&line.as_bytes()[..107]), Err(HeaderFault::Oversized));
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(Header::parse(longest.as_bytes()), complete(107, None));
    for command in [0x20, 0x21] {
        let over = (MAX_HEADER_BYTES - 16 + 1) as u16;
        let start = [V2_START, &[command, 0], &over.to_be_bytes()].concat();
        assert_eq!(Header::parse(&start), Err(HeaderFault::Oversized));
    }
}

#[test]
fn a_header_names_the_ends_of_a_connection_if_both_have_addresses() {
    let inet = |text: &str| Endpoint::Inet(text.parse().unwrap());
    let unix = Endpoint::Unix(None);
    for (client, server, line, named) in [
        (inet("192.0.2.7:5000"), inet("10.0.0.1:7"), "TCP4 192.0.2.7 10.0.0.1 5000 7", true),
        (inet("[fe80::1%3]:5000"), inet("[::1]:7"), "TCP6 fe80::1 ::1 5000 7", true),
        (inet("192.0.2.7:5000"), inet("[::1]:7"), "UNKNOWN", false),
        (unix.clone(), unix, "UNKNOWN", false),
    ] {
        let v1 = HeaderVersion::V1.encode(&client, &server).unwrap();
        assert_eq!(String::from_utf8_lossy(&v1), format!("PROXY {line}\r\n"));
        let v2 = HeaderVersion::V2.encode(&client, &server).unwrap();
        for header in [v1, v2] {
            let client = named.then(|| client.to_string().replace("%3", ""));
            assert_eq!(Header::parse(&header), complete(header.len(), client.as_deref()));
        }
    }
}

proptest! {
    /// More bytes never change a verdict, and a header is never longer than what there is.
    #[test]
    fn a_verdict_is_final(
        start in prop::sample::select(vec![&b"PROXY "[..], b"PROXY TCP4 1.1.1.1 ", V2_START, b""]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let stream = [start, &rest].concat();
        let mut last = Ok(Header::Incomplete);
        for end in 0..=stream.len() {
            let now = Header::parse(&stream[..end]);
            if let Ok(Header::Complete { bytes, .. }) = now {
                prop_assert!(bytes <= end);
            }
            prop_assert!(last == Ok(Header::Incomplete) || last == now, "{last:?}, then {now:?}");
            last = now;
        }
    }
}
