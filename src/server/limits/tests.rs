use super::*;

fn config(pending_limit_bytes: usize, max_connections: usize) -> Config {
    Config {
        max_connections,
        max_per_ip: Some(2),
        buffer_bytes: 1000,
        pending_limit_bytes,
        ..Config::default()
    }
}

/// The worst case: all that is read becomes pending.
#[test]
fn the_limit_holds_and_each_connection_may_read_beside_any_number_of_stuck_peers() {
    for (bytes, connections) in [(20, 10), (4_000, 10), (10_000, 100), (1_000_000, 100)] {
        let mut limit = PendingLimit::new(&config(bytes, connections));
        let mut held = Vec::new();
        for _ in 0..connections {
            let budget = limit.read_budget();
            assert!((1..=1000).contains(&budget), "{budget} with {held:?}");
            limit.account(0, budget);
            held.push(budget);
        }
        assert!(held.iter().sum::<usize>() <= bytes, "{bytes} are exceeded by {held:?}");
        // When all of it is written, reads may be as large as at first.
        held.iter().for_each(|n| limit.account(*n, 0));
        assert_eq!(
            limit.read_budget(),
            PendingLimit::new(&config(bytes, connections)).read_budget()
        );
    }
}

#[test]
fn nothing_pending_leaves_the_whole_buffer() {
    let mut limit = PendingLimit::new(&config(10_000, 10));
    assert_eq!(limit.read_budget(), 1000);
    limit.account(0, 4_200);
    assert_eq!(limit.read_budget(), 500, "the reserved part");
    limit.account(4_200, 0);
    assert_eq!(limit.read_budget(), 1000);
}

#[test]
fn held_memory_shrinks_the_next_read() {
    let mut limit =
        PendingLimit::new(&Config { buffer_bytes: 1 << 20, ..config(2_000_000, 1_000) });
    limit.account(0, 500_000);
    assert_eq!(
        limit.read_budget(),
        500_000 / (1 + PRESSURE as usize),
        "with half of what is shared"
    );
    limit.account(0, 499_999);
    assert_eq!(limit.read_budget(), 1_000, "and never less than its reserved part");
}

/// With the defaults, each stuck peer makes reads a little smaller, and 300 of them leave reads of a useful size.
#[test]
fn reads_shrink_gradually() {
    let defaults = Config { buffer_bytes: 256 << 10, ..config(64 << 20, 20_000) };
    let mut limit = PendingLimit::new(&defaults);
    let mut budget = limit.read_budget();
    assert_eq!(budget, 256 << 10);
    for _ in 0..300 {
        limit.account(0, budget);
        assert!(
            limit.read_budget() <= budget && limit.read_budget() > budget / 2,
            "{budget} => {}",
            limit.read_budget()
        );
        budget = limit.read_budget();
    }
    assert!(budget > 16 << 10, "300 stuck peers leave {budget} bytes for a read");
}

fn inet(text: &str) -> Endpoint {
    Endpoint::Inet(text.parse().unwrap())
}

#[track_caller]
fn admit(admission: &mut Admission, peer: &str) -> Permit {
    admission.admit(&inet(peer)).unwrap()
}

#[track_caller]
fn refuse(admission: &mut Admission, peer: &str, expected: Refusal) {
    assert_eq!(admission.admit(&inet(peer)).unwrap_err().why, expected);
}

#[test]
fn each_address_has_its_own_count() {
    let mut admission = Admission::new(&config(1000, 100));
    let one = admit(&mut admission, "127.0.0.1:1");
    let mapped = admit(&mut admission, "[::ffff:127.0.0.1]:3");
    refuse(&mut admission, "127.0.0.1:2", Refusal::MaxPerIp);
    let other = admit(&mut admission, "127.0.0.2:1");
    assert_eq!(admission.connections(), 3);
    admission.release(one);
    let same = admit(&mut admission, "127.0.0.1:2");
    refuse(&mut admission, "127.0.0.1:1", Refusal::MaxPerIp);
    for permit in [same, mapped, other] {
        admission.release(permit);
    }
    assert_eq!(admission.connections(), 0);
    assert!(admission.per_network.is_empty(), "an address without connections is still counted");
}

#[test]
fn connections_over_unix_sockets_count_for_no_address() {
    let mut admission = Admission::new(&config(1000, 5));
    for _ in 0..5 {
        assert!(admission.admit(&Endpoint::Unix(None)).is_ok());
    }
    let sixth = admission.admit(&Endpoint::Unix(None));
    assert_eq!(sixth.unwrap_err(), Refused::at_limit(Refusal::MaxConnections, 5, 5));
}

#[test]
fn connections_are_counted_over_all_addresses() {
    let mut admission = Admission::new(&config(1000, 2));
    let _one = admit(&mut admission, "127.0.0.1:1");
    let two = admit(&mut admission, "127.0.0.2:1");
    refuse(&mut admission, "127.0.0.3:1", Refusal::MaxConnections);
    admission.release(two);
    let _three = admit(&mut admission, "127.0.0.3:1");
}

/// Failed when a peer could exceed the limit with other addresses of its network.
#[test]
fn ipv6_is_counted_by_its_64_network_and_mapped_ipv4_by_its_address() {
    let mut admission = Admission::new(&config(1000, 100));
    let _one = admit(&mut admission, "[fd00:0:0:1::1]:1");
    let two = admit(&mut admission, "[fd00:0:0:1:ffff:2:3:4]:1");
    refuse(&mut admission, "[fd00:0:0:1::2]:1", Refusal::MaxPerIp);
    let _neighbour = admit(&mut admission, "[fd00:0:0:2::1]:1");
    // All mapped addresses are in one /64 network.
    for mapped in ["[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.1]:2", "[::ffff:10.0.0.2]:1"] {
        let _ = admit(&mut admission, mapped);
    }
    refuse(&mut admission, "10.0.0.1:3", Refusal::MaxPerIp);
    admission.release(two);
    let _three = admit(&mut admission, "[fd00:0:0:1::2]:1");
}

/// IPv4 addresses stand behind a reserved prefix of IPv6, which ::1 shares.
#[test]
fn the_loopback_of_ipv6_is_counted_apart_from_ipv4() {
    let mut admission = Admission::new(&config(1000, 100));
    for peer in ["[::1]:1", "[::1]:2", "0.0.0.1:1", "0.0.0.1:2", "127.0.0.1:1"] {
        let _ = admit(&mut admission, peer);
    }
    refuse(&mut admission, "[::1]:3", Refusal::MaxPerIp);
    refuse(&mut admission, "0.0.0.1:3", Refusal::MaxPerIp);
}
