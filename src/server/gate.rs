//! Who may connect, before the limits are asked.

use std::time::Instant;

use super::config::Config;
use super::rate::Rate;
use super::source_rates::SourceRates;
use crate::net::{Access, Endpoint};
use crate::observe::{Refusal, Refused};

/// Judges connections by the addresses of their clients, and by how many come.
#[derive(Debug)]
pub(super) struct Gate {
    access: Access,
    /// The rate of all connections, and its token bucket.
    all: Option<(Rate, u64)>,
    each: Option<SourceRates>,
}

impl Gate {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self {
            access: config.access.clone(),
            all: config.accept_rate.map(|rate| (Rate::new(rate, now), 0)),
            each: config.accept_rate_per_ip.map(|rate| SourceRates::new(rate, now)),
        }
    }

    /// Lets a client in by its address, or says why not. A Unix peer has none: the permissions of the socket's file
    /// judge it.
    pub(super) fn judge_client(&mut self, client: &Endpoint, now: Instant) -> Result<(), Refused> {
        let Some(ip) = client.ip() else { return Ok(()) };
        if !self.access.is_allowed(ip) {
            return Err(Refusal::Denied.into());
        }
        let may = self.each.as_mut().is_none_or(|rates| rates.take(ip, now));
        if may { Ok(()) } else { Err(Refusal::AcceptRatePerIp.into()) }
    }

    /// Lets one more connection in, of any client, or says why not.
    pub(super) fn judge_accept(&mut self, now: Instant) -> Result<(), Refused> {
        let may = self.all.as_mut().is_none_or(|(rate, bucket)| rate.take(bucket, now));
        if may { Ok(()) } else { Err(Refusal::AcceptRate.into()) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::parse_network;

    fn client(text: &str) -> Endpoint {
        Endpoint::Inet(text.parse().unwrap())
    }

    #[test]
    fn connections_come_at_the_rate_and_some_at_once() {
        let start = Instant::now();
        let config = Config { accept_rate: Some(10.0), ..Config::default() };
        let mut gate = Gate::new(&config, start);
        let mut let_in = |now| (0..100).filter(|_| gate.judge_accept(now).is_ok()).count();
        assert_eq!(let_in(start), 10);
        assert_eq!(let_in(start + Duration::from_millis(100)), 1);
        assert_eq!(let_in(start + Duration::from_secs(60)), 10);
        let mut unlimited = Gate::new(&Config::default(), start);
        assert!((0..100_000).all(|_| unlimited.judge_accept(start).is_ok()));
    }

    /// Failed when a client that is denied took from the rate of its network.
    #[test]
    fn each_client_has_a_rate_of_its_own_and_unix_peers_have_none() {
        let now = Instant::now();
        let deny = ["10.0.0.2", "fd00:0:0:1::1"].map(|text| parse_network(text).unwrap());
        let deny = deny.into_iter().collect();
        let config = Config {
            accept_rate_per_ip: Some(1.0),
            access: Access { deny, ..Access::default() },
            ..Config::default()
        };
        let mut gate = Gate::new(&config, now);
        let mut judge = |peer: &Endpoint| gate.judge_client(peer, now).map_err(|no| no.why);
        assert_eq!(judge(&client("10.0.0.1:1")), Ok(()));
        assert_eq!(judge(&client("10.0.0.1:2")), Err(Refusal::AcceptRatePerIp));
        assert_eq!(judge(&client("[::ffff:10.0.0.1]:3")), Err(Refusal::AcceptRatePerIp));
        assert_eq!(judge(&client("10.0.0.2:1")), Err(Refusal::Denied));
        assert_eq!(judge(&client("10.0.0.3:1")), Ok(()));
        assert_eq!(judge(&client("[fd00::1]:1")), Ok(()));
        assert_eq!(judge(&client("[fd00::2]:1")), Err(Refusal::AcceptRatePerIp), "the same /64");
        assert_eq!(judge(&client("[fd00:0:0:1::1]:1")), Err(Refusal::Denied));
        assert_eq!(judge(&client("[fd00:0:0:1::2]:1")), Ok(()), "a neighbour of the denied one");
        assert!((0..10).all(|_| judge(&Endpoint::Unix(None)).is_ok()));
    }
}
