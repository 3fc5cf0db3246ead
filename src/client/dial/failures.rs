//! One line that says why no address of a server answered.

use std::io::{self, ErrorKind};

use rustix::io::Errno;

use super::helped;
use crate::net::{Addr, Endpoint, reason};

/// The most addresses that the line names for one reason.
const NAMED: usize = 3;

/// Addresses that failed, and why.
#[derive(Debug, Default)]
pub(super) struct Failures(Vec<(Endpoint, io::Error)>);

impl Failures {
    pub(super) fn push(&mut self, peer: Endpoint, error: io::Error) {
        self.0.push((peer, error));
    }

    /// Whether a later attempt may succeed, at least at one of the addresses.
    pub(super) fn may_pass(&self) -> bool {
        self.0.iter().any(|(_, error)| is_passing(error))
    }

    /// A line for people. The kind of the error is that of the first reason.
    ///
    /// It leaves out what this machine lacks (IPv6, for example) if another address failed on the server's side:
    /// the user can mend only that.
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

/// Whether this machine cannot use such an address.
fn is_own_lack(error: &io::Error) -> bool {
    let lacks = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL, Errno::NETUNREACH];
    error.raw_os_error().is_some_and(|code| lacks.iter().any(|lack| lack.raw_os_error() == code))
}

/// Whether the failure may pass, because a server starts or a network comes up.
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
    fn the_line_names_each_reason_once_with_its_addresses() {
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
    fn the_line_names_what_this_machine_lacks_only_if_there_is_no_other_reason() {
        let lack = ("[::1]:7", Errno::AFNOSUPPORT);
        assert!(!line(&[lack, ("1.0.0.1:7", Errno::CONNREFUSED)]).contains("[::1]"));
        let line = line(&[lack]);
        assert!(line.contains("[::1]:7: address family not supported"), "{line}");
    }

    #[test]
    fn a_refusal_may_pass_and_a_wrong_file_stays_wrong() {
        let may_pass = |errno: Errno| is_passing(&errno.into());
        for errno in [Errno::CONNREFUSED, Errno::NOENT, Errno::HOSTUNREACH, Errno::NETUNREACH] {
            assert!(may_pass(errno), "{errno}");
        }
        for errno in [Errno::ACCESS, Errno::PROTOTYPE, Errno::AFNOSUPPORT] {
            assert!(!may_pass(errno), "{errno}");
        }
    }
}
