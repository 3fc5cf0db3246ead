//! All cases, in the order in which they are tried.

use super::case::Case;
use super::profile::Profile;
use crate::net::Endpoint;

mod bytes;
mod many;
mod ends;
mod pressure;
mod hostile;
mod process;
pub(super) mod datagrams;

/// Cases that only bytes pass which are no lines of text.
const NO_LINES: [&str; 7] = [
    "bytes/one",
    "bytes/word",
    "bytes/all-values",
    "bytes/nul",
    "bytes/line-ends",
    "bytes/invalid-utf8",
    "bytes/split-utf8",
];

/// All cases, from the easiest to the hardest; those for datagrams are the last.
pub(super) fn all() -> impl Iterator<Item = &'static Case> {
    of_streams().chain(datagrams::CASES)
}

/// The cases for this server.
pub(super) fn for_server(server: &Endpoint, profile: Profile) -> Vec<&'static Case> {
    match server {
        Endpoint::Udp(_) => datagrams::CASES.iter().collect(),
        _ => of_streams()
            .filter(|case| profile == Profile::Bytes || !NO_LINES.contains(&case.id))
            .collect(),
    }
}

/// The cases for a server that is no UDP socket.
pub(super) fn of_streams() -> impl Iterator<Item = &'static Case> {
    let parts =
        [bytes::CASES, many::CASES, ends::CASES, pressure::CASES, hostile::CASES, process::CASES];
    parts.into_iter().flatten()
}
