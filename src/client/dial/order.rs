//! The order in which to try a server's addresses.

use std::collections::VecDeque;

use super::Family;
use crate::net::Endpoint;

/// The addresses of `family`, or of both families in turn. The system's first choice comes first: RFC 8305,
/// section 4. But the address that answered last time comes before all others.
pub(in crate::client) fn order(
    peers: Vec<Endpoint>,
    family: Option<Family>,
    preferred: Option<&Endpoint>,
) -> VecDeque<Endpoint> {
    let is_wanted = |peer: &Endpoint| family.is_none() || family_of(peer) == family;
    let peers: Vec<_> = peers.into_iter().filter(is_wanted).collect();
    let first = peers.first().and_then(family_of);
    let (one, other): (Vec<_>, Vec<_>) =
        peers.into_iter().partition(|peer| family_of(peer) == first);
    let mut ordered = interleaved(one, other);
    if let Some(at) = ordered.iter().position(|peer| Some(peer) == preferred) {
        ordered[..=at].rotate_right(1);
    }
    ordered.into()
}

fn interleaved(one: Vec<Endpoint>, other: Vec<Endpoint>) -> Vec<Endpoint> {
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = [one.next(), other.next()];
        if pair == [None, None] {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

fn family_of(peer: &Endpoint) -> Option<Family> {
    peer.ip().map(|ip| Family::of(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(texts: &[&str]) -> Vec<Endpoint> {
        texts.iter().map(|text| Endpoint::Inet(text.parse().unwrap())).collect()
    }

    #[track_caller]
    fn check(given: &[&str], family: Option<Family>, preferred: Option<&str>, expected: &[&str]) {
        let preferred = preferred.map(|text| Endpoint::Inet(text.parse().unwrap()));
        let ordered = order(peers(given), family, preferred.as_ref());
        assert_eq!(Vec::from(ordered), peers(expected));
    }

    #[test]
    fn families_take_turns_from_the_first_on() {
        let given = ["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1"];
        check(&given, None, None, &["[::1]:1", "1.0.0.1:1", "[::2]:1", "[::3]:1"]);
        let given = ["1.0.0.1:1", "1.0.0.2:1", "[::1]:1", "[::2]:1"];
        check(&given, None, None, &["1.0.0.1:1", "[::1]:1", "1.0.0.2:1", "[::2]:1"]);
    }

    #[test]
    fn only_the_wanted_family_is_left() {
        let given = ["[::1]:1", "1.0.0.1:1", "[::2]:1"];
        check(&given, Some(Family::V6), None, &["[::1]:1", "[::2]:1"]);
        check(&given, Some(Family::V4), None, &["1.0.0.1:1"]);
        check(&given[..1], Some(Family::V4), None, &[]);
    }

    #[test]
    fn the_address_that_answered_last_time_comes_first_if_it_is_still_there() {
        let given = ["1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1"];
        check(&given, None, Some("1.0.0.3:1"), &["1.0.0.3:1", "1.0.0.1:1", "1.0.0.2:1"]);
        check(&given, None, Some("1.0.0.9:1"), &given);
    }
}
