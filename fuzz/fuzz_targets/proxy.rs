//! Any beginning of a stream as a PROXY header: a verdict does not depend on how the bytes come, and a second reader of
//! the standard names the same client.

#![no_main]

use std::net::{IpAddr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use resound::net::Endpoint;
use resound::net::proxy::{Header, HeaderFault, MAX_HEADER_BYTES};

const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fuzz_target!(|stream: &[u8]| {
    let verdict = Header::parse(stream);
    for end in 0..stream.len().min(2 * MAX_HEADER_BYTES) {
        let earlier = Header::parse(&stream[..end]);
        assert!(earlier == Ok(Header::Incomplete) || earlier == verdict, "at {end}: {earlier:?}");
    }
    match &verdict {
        Ok(Header::Complete { bytes, client }) => complete(&stream[..*bytes], client.as_ref()),
        Ok(Header::Incomplete) => assert!(stream.len() < MAX_HEADER_BYTES, "it waits for ever"),
        Err(HeaderFault::Missing) => {
            assert!(!stream.starts_with(b"PROXY ") && !stream.starts_with(V2_START));
        }
        Err(HeaderFault::Malformed | HeaderFault::Oversized) => assert!(stream.len() >= 7),
    }
});

/// The header is of one version, and names the client that its bytes say.
fn complete(header: &[u8], client: Option<&Endpoint>) {
    let client = client.map(|client| match client {
        Endpoint::Inet(addr) => (addr.ip(), addr.port()),
        other => panic!("{other} is no address of a header"),
    });
    let expected = if header.starts_with(V2_START) { named_by_v2(header) } else { named_by_v1(header) };
    assert_eq!(client, expected, "{}", header.escape_ascii());
}

fn named_by_v1(header: &[u8]) -> Option<(IpAddr, u16)> {
    assert!(header.ends_with(b"\r\n") && header.len() <= 107);
    let line = String::from_utf8_lossy(&header[..header.len() - 2]);
    let words: Vec<_> = line.split(' ').collect();
    if words[1] == "UNKNOWN" {
        return None;
    }
    assert!(matches!(words[..], ["PROXY", "TCP4" | "TCP6", _, _, _, _]), "{line}");
    let ip: IpAddr = words[2].parse().expect("an address");
    assert_eq!(ip.is_ipv4(), words[1] == "TCP4");
    let [port, _] = [words[4], words[5]].map(|word| {
        let port: u16 = word.parse().expect("a port");
        assert_eq!(port.to_string(), word, "another way to write a port");
        port
    });
    Some((ip.to_canonical(), port))
}

fn named_by_v2(header: &[u8]) -> Option<(IpAddr, u16)> {
    let rest = usize::from(header[14]) << 8 | usize::from(header[15]);
    assert!(header.len() == 16 + rest && header.len() <= MAX_HEADER_BYTES);
    let port = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    match (header[12], header[13]) {
        (0x21, 0x11 | 0x12) => {
            let ip = <[u8; 4]>::try_from(&header[16..20]).expect("four bytes");
            Some(SocketAddr::from((ip, port(24))))
        }
        (0x21, 0x21 | 0x22) => {
            let ip = <[u8; 16]>::try_from(&header[16..32]).expect("sixteen bytes");
            Some(SocketAddr::from((ip, port(48))))
        }
        (0x20, _) | (0x21, 0x00 | 0x31 | 0x32) => None,
        other => panic!("{other:?} is no command and family"),
    }
    .map(|addr| (addr.ip().to_canonical(), addr.port()))
}
