//! How often each source may have something, in a table of fixed size.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Instant;

use super::limits::Network;
use super::rate::Rate;

/// Rows of the table. A source belongs to one row.
const ROWS: usize = 1024;

/// Sources for which a row has a place.
const PLACES: usize = 4;

/// Limits the rate of each source: of an IPv4 address, or of a /64 network of IPv6.
///
/// The table has room for some 4,096 sources and never grows, so a flood from forged addresses costs no memory. A source
/// for which its row has no place takes the place of the one that has used least, *with* what that one has used. So
/// sources that share a row can only get less than their rate, and each row gets four rates or less. No peer can
/// choose which sources share a row: the key of the hash is random. Each place is a token bucket.
#[derive(Debug)]
pub(super) struct SourceRates {
    rows: Box<[[Place; PLACES]]>,
    hasher: RandomState,
    /// The row of the source that was last asked for. A source often comes several times in a row, and to hash it takes
    /// as long as all the rest.
    last: Option<(Network, usize)>,
    rate: Rate,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    source: Option<Network>,
    full_at: u64,
}

impl SourceRates {
    /// Allows each source `per_second`, which is more than 0.
    pub(super) fn new(per_second: f64, now: Instant) -> Self {
        Self {
            rows: vec![[Place::default(); PLACES]; ROWS].into(),
            hasher: RandomState::new(),
            last: None,
            rate: Rate::new(per_second, now),
        }
    }

    /// Whether `source` may have one more at `now`. If so, it is counted.
    pub(super) fn take(&mut self, source: IpAddr, now: Instant) -> bool {
        let source = Network::of_ip(source);
        let row = self.row_of(source);
        let place = place_of(source, &mut self.rows[row]);
        place.source = Some(source);
        self.rate.take(&mut place.full_at, now)
    }

    fn row_of(&mut self, source: Network) -> usize {
        match self.last {
            Some((last, row)) if last == source => row,
            _ => {
                let row = self.hasher.hash_one(source) as usize % ROWS;
                self.last = Some((source, row));
                row
            }
        }
    }
}

/// The place of a source, or the one that it takes over.
fn place_of(source: Network, row: &mut [Place; PLACES]) -> &mut Place {
    let own = row.iter().position(|place| place.source == Some(source));
    let least_used = || (0..PLACES).min_by_key(|i| row[*i].full_at).unwrap_or_default();
    let index = own.unwrap_or_else(least_used);
    &mut row[index]
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use super::*;

    fn source(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(n).into()
    }

    /// How many of `tries` evenly spaced attempts a source has in a time.
    fn taken(rates: &mut SourceRates, from: Instant, tries: u32, within: Duration) -> u32 {
        let at = |i| from + within * i / tries;
        (0..tries).filter(|i| rates.take(source(1), at(*i))).count() as u32
    }

    #[test]
    fn a_source_gets_its_rate_and_a_burst_at_the_start() {
        let now = Instant::now();
        for (rate, burst) in [(1.0, 1), (5.0, 5), (100.0, 100), (1000.0, 100), (10_000.0, 1000)] {
            let mut rates = SourceRates::new(rate, now);
            let second = Duration::from_secs(1);
            let at_once = taken(&mut rates, now, 20_000, Duration::ZERO);
            assert_eq!(at_once, burst, "{rate}");
            let later = taken(&mut rates, now + second, 300_000, 10 * second);
            let expected = 10 * rate as u32 + burst;
            assert!((expected - 2..=expected).contains(&later), "{rate}: {later}");
        }
    }

    #[test]
    fn a_rate_below_one_a_second_lets_one_through_at_a_time() {
        let now = Instant::now();
        let mut rates = SourceRates::new(1.0 / 60.0, now);
        let mut allowed = Vec::new();
        for second in 0..200 {
            if rates.take(source(1), now + Duration::from_secs(second)) {
                allowed.push(second);
            }
        }
        assert_eq!(allowed, [0, 60, 120, 180]);
    }

    #[test]
    fn addresses_of_one_network_share_a_rate_and_others_do_not() {
        let now = Instant::now();
        let mut rates = SourceRates::new(1.0, now);
        let mut take = |ip: &str| rates.take(ip.parse().unwrap(), now);
        assert!(take("10.0.0.1") && take("10.0.0.2"));
        assert!(!take("::ffff:10.0.0.1"), "it is 10.0.0.1");
        assert!(take("2001:db8:0:1::1") && take("2001:db8:0:2::1"));
        assert!(!take("2001:db8:0:1::ffff"), "it is of the same /64");
        assert!(take(&Ipv6Addr::LOCALHOST.to_string()));
    }

    /// The limit of a flood from more sources than the table has places for. Failed when a source that took a place over
    /// began with a full bucket.
    #[test]
    fn a_row_gets_four_rates_however_many_sources_share_it() {
        let now = Instant::now();
        let mut rates = SourceRates::new(1.0, now);
        let taken = (0..200_000).filter(|n| rates.take(source(*n), now)).count();
        assert_eq!(taken, ROWS * PLACES);
        // Those that come again begin with nothing.
        assert!((0..200_000).all(|n| !rates.take(source(n), now)));
    }

    /// A flood from ever more sources takes what a row has, but not for longer than it lasts.
    #[test]
    fn a_source_has_its_rate_again_after_a_flood_from_more_sources_than_places() {
        let start = Instant::now();
        let mut rates = SourceRates::new(10.0, start);
        let own = source(0);
        assert!(rates.take(own, start));
        let second = Duration::from_secs(1);
        for n in 1..200_000 {
            rates.take(source(n), start + second);
        }
        assert!(!rates.take(own, start + second), "the flood has taken the place and its tokens");
        let after = start + 2 * second;
        assert_eq!((0..100).filter(|_| rates.take(own, after)).count(), 10);
    }

    /// A source that is known stays known while others come and go.
    #[test]
    fn the_place_that_is_taken_over_is_the_one_that_is_used_least() {
        let place = |n, full_at| Place { source: Some(Network::of_ip(source(n))), full_at };
        let mut row = [place(1, 40), place(2, 20), place(3, 30), Place::default()];
        let own = |row: &mut _, n| place_of(Network::of_ip(source(n)), row).full_at;
        assert_eq!([own(&mut row, 1), own(&mut row, 2), own(&mut row, 3)], [40, 20, 30]);
        assert_eq!(own(&mut row, 4), 0, "a free place comes first");
        row[3] = place(4, 50);
        assert_eq!(own(&mut row, 5), 20);
    }
}
