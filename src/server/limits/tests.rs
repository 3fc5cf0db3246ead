use super::*;

fn config(pending_limit_bytes: usize, max_connections: usize) -> Config {
    Config {
        max_connections,
        max_per_ip: Some(2),
        idle_timeout: None,
        stall_timeout: None,
        drain_timeout: Duration::ZERO,
        buffer_bytes: 1000,
        pending_limit_bytes,
        spin: None,
        once: false,
    }
}

/// The worst that peers can do: each that reads keeps all of it.
#[test]
fn however_many_are_stuck_the_limit_holds_and_everybody_may_read() {
    for (bytes, connections) in [(20, 10), (4_000, 10), (10_000, 100), (1_000_000, 100)] {
        let mut limit = PendingLimit::new(&config(bytes, connections));
        let mut held = Vec::new();
        for _ in 0..connections {
            let room = limit.room();
            assert!((1..=1000).contains(&room), "{room} with {held:?}");
            limit.hold(0, room);
            held.push(room);
        }
        assert!(held.iter().sum::<usize>() <= bytes, "{bytes} are exceeded by {held:?}");
        // And when they let go, there is as much room as at first.
        held.iter().for_each(|n| limit.hold(*n, 0));
        assert_eq!(limit.room(), PendingLimit::new(&config(bytes, connections)).room());
    }
}

#[test]
fn nothing_pending_leaves_the_whole_buffer() {
    let mut limit = PendingLimit::new(&config(10_000, 10));
    assert_eq!(limit.room(), 1000);
    limit.hold(0, 4_200);
    assert_eq!(limit.room(), 500, "what each has for itself");
    limit.hold(4_200, 0);
    assert_eq!(limit.room(), 1000);
}

#[test]
fn what_is_held_presses_on_what_is_left() {
    let mut limit =
        PendingLimit::new(&Config { buffer_bytes: 1 << 20, ..config(2_000_000, 1_000) });
    limit.hold(0, 500_000);
    assert_eq!(limit.room(), 500_000 / (1 + PRESSURE as usize), "with half of what is shared");
    limit.hold(0, 499_999);
    assert_eq!(limit.room(), 1_000, "and never less than its own");
}

/// With the defaults, a flooder more makes reads smaller, and none makes them tiny.
#[test]
fn reads_shrink_by_degrees() {
    let defaults = Config { buffer_bytes: 256 << 10, ..config(64 << 20, 20_000) };
    let mut limit = PendingLimit::new(&defaults);
    let mut room = limit.room();
    assert_eq!(room, 256 << 10);
    for _ in 0..300 {
        limit.hold(0, room);
        assert!(limit.room() <= room && limit.room() > room / 2, "{room} => {}", limit.room());
        room = limit.room();
    }
    assert!(room > 16 << 10, "after 300 there are {room} bytes left for a read");
}

fn inet(text: &str) -> Endpoint {
    Endpoint::Inet(text.parse().unwrap())
}

#[test]
fn each_address_is_counted_for_itself_and_given_back() {
    let mut admission = Admission::new(&config(1000, 100));
    let (one, same, mapped) =
        (inet("127.0.0.1:1"), inet("127.0.0.1:2"), inet("[::ffff:127.0.0.1]:3"));
    assert_eq!(admission.admit(&one), Ok(()));
    assert_eq!(admission.admit(&mapped), Ok(()));
    assert_eq!(admission.admit(&same), Err(Refusal::MaxPerIp));
    assert_eq!(admission.admit(&inet("127.0.0.2:1")), Ok(()));
    assert_eq!(admission.connections(), 3);
    admission.release(&one);
    assert_eq!(admission.admit(&same), Ok(()));
    assert_eq!(admission.admit(&one), Err(Refusal::MaxPerIp));
    for peer in [&same, &mapped, &inet("127.0.0.2:1")] {
        admission.release(peer);
    }
    assert_eq!(admission.connections(), 0);
    assert!(admission.per_network.is_empty(), "addresses are remembered for ever");
}

#[test]
fn unix_sockets_have_no_address_to_count() {
    let mut admission = Admission::new(&config(1000, 5));
    (0..5).for_each(|_| assert_eq!(admission.admit(&Endpoint::Unix(None)), Ok(())));
    assert_eq!(admission.admit(&Endpoint::Unix(None)), Err(Refusal::MaxConnections));
}

#[test]
fn the_most_connections_are_counted_over_all_addresses() {
    let mut admission = Admission::new(&config(1000, 2));
    assert_eq!(admission.admit(&inet("127.0.0.1:1")), Ok(()));
    assert_eq!(admission.admit(&inet("127.0.0.2:1")), Ok(()));
    assert_eq!(admission.admit(&inet("127.0.0.3:1")), Err(Refusal::MaxConnections));
    admission.release(&inet("127.0.0.2:1"));
    assert_eq!(admission.admit(&inet("127.0.0.3:1")), Ok(()));
}

/// Failed when a peer could pass the limit from other addresses of its own network.
#[test]
fn ipv6_is_counted_by_its_64_network_and_mapped_ipv4_by_its_address() {
    let mut admission = Admission::new(&config(1000, 100));
    let peers = ["[fd00:0:0:1::1]:1", "[fd00:0:0:1:ffff:2:3:4]:1", "[fd00:0:0:1::2]:1"].map(inet);
    assert_eq!(admission.admit(&peers[0]), Ok(()));
    assert_eq!(admission.admit(&peers[1]), Ok(()));
    assert_eq!(admission.admit(&peers[2]), Err(Refusal::MaxPerIp));
    assert_eq!(admission.admit(&inet("[fd00:0:0:2::1]:1")), Ok(()), "a neighbour");
    // All that is mapped is of one /64.
    for mapped in ["[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.1]:2", "[::ffff:10.0.0.2]:1"] {
        assert_eq!(admission.admit(&inet(mapped)), Ok(()));
    }
    assert_eq!(admission.admit(&inet("10.0.0.1:3")), Err(Refusal::MaxPerIp));
    admission.release(&peers[1]);
    assert_eq!(admission.admit(&peers[2]), Ok(()));
}
