//! Ports by the names of their services.

use std::fs;

/// Known without the list, which a container may lack: RFC 862.
const ECHO: (&str, u16) = ("echo", 7);

/// The TCP port of a service: services(5).
pub(super) fn port_of(service: &str) -> Option<u16> {
    let list = fs::read("/etc/services").unwrap_or_default();
    let (echo, port) = ECHO;
    listed(service, &String::from_utf8_lossy(&list))
        .or_else(|| service.eq_ignore_ascii_case(echo).then_some(port))
}

fn listed(service: &str, list: &str) -> Option<u16> {
    list.lines().find_map(|line| {
        let line = line.split('#').next()?;
        let mut words = line.split_ascii_whitespace();
        let (name, at) = (words.next()?, words.next()?);
        let (port, "tcp") = at.split_once('/')? else { return None };
        let is_it = |name: &str| name.eq_ignore_ascii_case(service);
        (is_it(name) || words.any(is_it)).then(|| port.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_found_by_its_name_and_its_aliases() {
        let list = "# Services\n\ntcpmux\t1/tcp\necho 9/udp\necho 7/tcp ping-pong  pong # lower\n\
                    #gone 70/tcp\nbad x/tcp\nbad 99999/tcp\nshort\n9pfs 564/tcp\n";
        for (service, port) in [
            ("echo", Some(7)),
            ("ECHO", Some(7)),
            ("pong", Some(7)),
            ("9pfs", Some(564)),
            ("lower", None),
            ("gone", None),
            ("bad", None),
            ("short", None),
            ("", None),
        ] {
            assert_eq!(listed(service, list), port, "{service}");
        }
    }

    #[test]
    fn echo_needs_no_list() {
        assert_eq!(port_of("echo"), Some(7));
        assert_eq!(port_of("no such service"), None);
    }
}
