//! Why no address of a server answered, in one line.

use std::io::{self, ErrorKind};

use rustix::io::Errno;

use super::helped;
use crate::net::{Addr, Endpoint, reason};

/// No more addresses than this are named for one reason.
const NAMED: usize = 3;

/// Addresses that failed, and why.
#[derive(Debug, Default)]
pub(super) struct Failures(Vec<(Endpoint, io::Error)>);

impl Failures {
    pub(super) fn push(&mut self, peer: Endpoint, error: io::Error) {
        self.0.push((peer, error));
    }

    /// Whether it may be otherwise a little later, if only for one of the addresses.
    pub(super) fn may_pass(&self) -> bool {
        self.0.iter().any(|(_, error)| is_passing(error))
    }

    /// A line for people, with the kind of the first reason in it.
    ///
    /// What this machine lacks (IPv6, say) is left out if another address failed for a reason of the
    /// server's: that is what can be mended.
    pub(super) fn error(mut self, server: &Addr) -> io::Error {
        if self.0.iter().any(|(_, error)| !is_own_lack(error)) {
            self.0.retain(|(_, error)| !is_own_lack(error));
        }
        let Some((_, first)) = self.0.first() else {
            return io::Error::other(format!("cannot connect to {server}: it has no address"));
        };
        let kind = first.kind();
        let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
        for (peer, error) in &self.0 {
            let reason = reason(error);
            match reasons.iter_mut().find(|(other, _)| *other == reason) {
                Some((_, peers)) => peers.push(peer.to_string()),
                None => reasons.push((reason, vec![peer.to_string()])),
            }
        }
        let phrase =
            |(reason, peers): &(String, Vec<String>)| format!("{}: {reason}", either(peers));
        let phrases: Vec<_> = reasons.iter().map(phrase).collect();
        let line = format!("cannot connect to {}", phrases.join(", or to "));
        helped(io::Error::new(kind, line))
    }
}

fn either(peers: &[String]) -> String {
    let (named, more) = peers.split_at(peers.len().min(NAMED));
    match more.len() {
        0 => named.join(" or "),
        n => format!("{} or {n} more", named.join(", ")),
    }
}

/// Whether it is this machine that cannot use such an address.
fn is_own_lack(error: &io::Error) -> bool {
    let lacks = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL, Errno::NETUNREACH];
    error.raw_os_error().is_some_and(|code| lacks.iter().any(|lack| lack.raw_os_error() == code))
}

/// Whether a server that starts, or a network that comes up, ends it.
fn is_passing(error: &io::Error) -> bool {
    let kinds = [
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionReset,
        ErrorKind::ConnectionAborted,
        ErrorKind::NotFound,
        ErrorKind::TimedOut,
        ErrorKind::WouldBlock,
        ErrorKind::HostUnreachable,
        ErrorKind::NetworkUnreachable,
        ErrorKind::NetworkDown,
        ErrorKind::AddrNotAvailable,
    ];
    kinds.contains(&error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(failures: &[(&str, Errno)]) -> String {
        let mut all = Failures::default();
        for (peer, errno) in failures {
            all.push(Endpoint::Inet(peer.parse().unwrap()), (*errno).into());
        }
        all.error(&"name:7".parse().unwrap()).to_string()
    }

    const HELP: &str = "nothing listens there: is the server running?";

    #[test]
    fn each_reason_is_named_once_with_its_addresses() {
        let refused = |peer| (peer, Errno::CONNREFUSED);
        let one = line(&[refused("1.0.0.1:7")]);
        assert_eq!(one, format!("cannot connect to 1.0.0.1:7: connection refused; {HELP}"));
        let two = line(&[refused("1.0.0.1:7"), refused("[::1]:7")]);
        let expected = "cannot connect to 1.0.0.1:7 or [::1]:7: connection refused; ";
        assert_eq!(two, format!("{expected}{HELP}"));
        let mixed = line(&[refused("1.0.0.1:7"), ("1.0.0.2:7", Errno::HOSTUNREACH)]);
        let expected =
            "cannot connect to 1.0.0.1:7: connection refused, or to 1.0.0.2:7: no route to host; ";
        assert_eq!(mixed, format!("{expected}{HELP}"));
        let many: Vec<_> = (1..=5).map(|n| format!("1.0.0.{n}:7")).collect();
        let many: Vec<_> = many.iter().map(|peer| refused(peer)).collect();
        let expected = "1.0.0.1:7, 1.0.0.2:7, 1.0.0.3:7 or 2 more: connection refused; ";
        assert!(line(&many).contains(expected), "{}", line(&many));
    }

    #[test]
    fn what_this_machine_lacks_is_named_only_if_there_is_nothing_else() {
        let lack = ("[::1]:7", Errno::AFNOSUPPORT);
        assert!(!line(&[lack, ("1.0.0.1:7", Errno::CONNREFUSED)]).contains("[::1]"));
        let line = line(&[lack]);
        assert!(line.contains("[::1]:7: address family not supported"), "{line}");
    }

    #[test]
    fn a_server_that_is_not_up_may_come_up_and_a_wrong_file_stays_wrong() {
        let may_pass = |errno: Errno| is_passing(&errno.into());
        for errno in [Errno::CONNREFUSED, Errno::NOENT, Errno::HOSTUNREACH, Errno::NETUNREACH] {
            assert!(may_pass(errno), "{errno}");
        }
        for errno in [Errno::ACCESS, Errno::PROTOTYPE, Errno::AFNOSUPPORT] {
            assert!(!may_pass(errno), "{errno}");
        }
    }
}
