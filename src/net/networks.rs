//! Sets of networks of IP addresses.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// A set of networks of IP addresses. An IPv4 address is the same within IPv6 (`::ffff:192.0.2.1`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// Sorted, and none within another, so that a search finds the only one that can hold an address.
    disjoint: Vec<IpNet>,
}

impl Networks {
    /// Whether there is no network in it.
    pub fn is_empty(&self) -> bool {
        self.disjoint.is_empty()
    }

    /// Whether one of the networks holds this address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let after = self.disjoint.partition_point(|network| network.network() <= ip);
        after.checked_sub(1).is_some_and(|i| self.disjoint[i].contains(&ip))
    }
}

/// Which clients may connect, by their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Only these, or all if it is empty.
    pub allow: Networks,
    /// Not these, even if they are allowed.
    pub deny: Networks,
}

impl Access {
    /// Whether a client with this address may connect.
    pub fn is_allowed(&self, ip: IpAddr) -> bool {
        let is_listed = self.allow.is_empty() || self.allow.contains(ip);
        is_listed && !self.deny.contains(ip)
    }
}

impl FromIterator<IpNet> for Networks {
    /// Bits behind the prefix of a network mean nothing.
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let networks: Vec<_> = networks.into_iter().map(canonical).collect();
        let mut disjoint = IpNet::aggregate(&networks);
        disjoint.sort_unstable();
        Self { disjoint }
    }
}

/// An IPv4 network has one form, even if it is written as one of IPv6.
fn canonical(network: IpNet) -> IpNet {
    const V4_IN_V6_BITS: u8 = 96;
    match (network.network().to_canonical(), network.prefix_len().checked_sub(V4_IN_V6_BITS)) {
        (IpAddr::V4(ip), Some(prefix)) if network.addr().is_ipv6() => {
            Ipv4Net::new(ip, prefix).map_or(network, IpNet::V4)
        }
        _ => network,
    }
}

/// Reads a network as users write it: an address with the length of its prefix in bits, such as `10.0.0.0/8`, or an
/// address that is alone in its network.
///
/// # Errors
///
/// Why the text is no network, and what would be one.
pub fn parse_network(text: &str) -> Result<IpNet, String> {
    let (ip, prefix) = match text.split_once('/') {
        Some((ip, prefix)) => (ip, Some(prefix)),
        None => (text, None),
    };
    let unread = |_| "write an IP address or a network, such as 10.0.0.0/8 or fd00::/8".to_string();
    let ip: IpAddr = ip.parse().map_err(unread)?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    // `parse` would take a sign as well.
    let prefix = match prefix {
        Some(text) => text.parse().ok().filter(|_| !text.starts_with('+')),
        None => Some(most),
    };
    let network = prefix.and_then(|prefix| IpNet::new(ip, prefix).ok());
    network.ok_or_else(|| format!("after the slash, write the bits of the prefix, 0 to {most}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn networks(text: &str) -> Networks {
        text.split(' ').map(|text| parse_network(text).unwrap()).collect()
    }

    fn contains(networks: &Networks, ip: &str) -> bool {
        networks.contains(ip.parse().unwrap())
    }

    #[test]
    fn an_address_is_found_in_its_network_up_to_both_ends() {
        let networks = networks("10.0.0.0/8 192.0.2.7 fd00::/8 2001:db8::1");
        for inside in
            ["10.0.0.0", "10.255.255.255", "192.0.2.7", "fd00::", "fdff::1", "2001:db8::1"]
        {
            assert!(contains(&networks, inside), "{inside}");
        }
        for outside in ["9.255.255.255", "11.0.0.0", "192.0.2.6", "192.0.2.8", "fe00::", "fcff::"] {
            assert!(!contains(&networks, outside), "{outside}");
        }
        assert!(!contains(&Networks::default(), "10.0.0.1") && Networks::default().is_empty());
    }

    #[test]
    fn networks_within_others_and_beside_others_are_found() {
        let networks =
            networks("10.1.0.0/16 10.0.0.0/8 10.1.2.3 12.0.0.0/8 11.0.0.0/8 10.200.0.0/16");
        for inside in ["10.0.0.1", "10.1.2.4", "10.255.0.1", "11.0.0.0", "12.255.255.255"] {
            assert!(contains(&networks, inside), "{inside}");
        }
        assert!(!contains(&networks, "13.0.0.0"));
    }

    #[test]
    fn what_is_denied_stays_out_and_what_is_allowed_keeps_others_out() {
        let all = Networks::default();
        let (lan, one) = (networks("10.0.0.0/8 fd00::/8"), networks("10.0.0.1 fd00::1"));
        for (allow, deny, expected) in [
            (&all, &all, [true, true, true]),
            (&lan, &all, [true, true, false]),
            (&all, &lan, [false, false, true]),
            (&lan, &one, [false, true, false]),
            // An exception from a denied network needs the networks around it instead.
            (&one, &lan, [false, false, false]),
        ] {
            let access = Access { allow: allow.clone(), deny: deny.clone() };
            for ips in [["10.0.0.1", "10.0.0.2", "11.0.0.1"], ["fd00::1", "fd00::2", "fe00::1"]] {
                let allowed = ips.map(|ip| access.is_allowed(ip.parse().unwrap()));
                assert_eq!(allowed, expected, "{ips:?} with {access:?}");
            }
        }
    }

    #[test]
    fn ipv4_is_the_same_within_ipv6() {
        for text in ["10.0.0.0/8", "::ffff:10.0.0.0/104"] {
            let networks = networks(text);
            for (ip, expected) in [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("::1", false)] {
                assert_eq!(contains(&networks, ip), expected, "{ip} in {text}");
            }
        }
        let all_of_ipv6 = networks("::/0");
        assert!(contains(&all_of_ipv6, "::1") && !contains(&all_of_ipv6, "127.0.0.1"));
        let all_of_ipv4 = networks("0.0.0.0/0");
        assert!(!contains(&all_of_ipv4, "::1") && contains(&all_of_ipv4, "255.255.255.255"));
    }

    #[test]
    fn bits_behind_the_prefix_mean_nothing() {
        let networks = networks("10.1.2.3/8 fd00::1/8");
        assert!(contains(&networks, "10.200.0.1") && contains(&networks, "fd77::"));
    }

    #[test]
    fn a_text_that_is_no_network_is_explained() {
        for text in [
            "",
            "/8",
            "10.0.0",
            "10.0.0.0.0/8",
            "010.0.0.1",
            "localhost",
            "[::1]",
            "::1%lo",
            "*",
            "10.0.0.1:7",
        ] {
            let error = parse_network(text).unwrap_err();
            assert!(error.starts_with("write an IP address or a network"), "{text:?}: {error}");
        }
        for (text, most) in [
            ("10.0.0.0/33", 32),
            ("10.0.0.0/", 32),
            ("10.0.0.0/-1", 32),
            ("10.0.0.0/+8", 32),
            ("10.0.0.0/8/8", 32),
            ("10.0.0.0/255.0.0.0", 32),
            ("::/129", 128),
            ("::/256", 128),
        ] {
            let error = parse_network(text).unwrap_err();
            assert!(error.ends_with(&format!("0 to {most}")), "{text:?}: {error}");
        }
    }

    fn some_network() -> impl Strategy<Value = IpNet> {
        // Close together, so that networks overlap, touch and differ.
        let v4 = (0..64_u32, 24..=32_u8)
            .prop_map(|(low, prefix)| (IpAddr::from(low.to_be_bytes()), prefix));
        let v6 = (0..64_u128, 120..=128_u8)
            .prop_map(|(low, prefix)| (IpAddr::from(low.to_be_bytes()), prefix));
        prop_oneof![v4, v6].prop_map(|(ip, prefix)| IpNet::new(ip, prefix).unwrap())
    }

    proptest! {
        #[test]
        fn a_set_contains_what_one_of_its_networks_contains(
            all in prop::collection::vec(some_network(), 0..8),
            probe in some_network(),
        ) {
            let ip = probe.addr();
            let expected = all.iter().any(|network| network.contains(&ip));
            prop_assert_eq!(all.into_iter().collect::<Networks>().contains(ip), expected);
        }
    }
}
