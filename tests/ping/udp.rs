//! Pings over UDP.

use std::net::UdpSocket;
use std::thread;

use crate::pinger::{json, ping, text};
use crate::server::Server;

fn server(args: &[&str]) -> Server {
    Server::start_at(&["udp:127.0.0.1:0"], args)
}

#[test]
fn a_ping_over_udp_counts_what_only_datagrams_can_be() {
    let server = server(&[]);
    let addr = server.addr();
    for size in ["8", "56", "65507"] {
        let ended = ping(&[addr, "-c", "3", "-i", "1ms", "-s", size]);
        let said = text(&ended);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(said.starts_with(&format!("PING {addr} ({addr}) {size} bytes over UDP\n")));
        assert!(said.contains(&format!("{size} bytes from {addr}: seq=3 time=")), "{said}");
        let counts = "3 sent, 3 received, 0 lost (0 %), 0 late, 0 wrong, 0 duplicates, 0 reordered";
        assert!(said.contains(counts), "{said}");
    }
    let object = json(&ping(&[addr, "-c", "1", "--json"]));
    assert_eq!(object["messages"]["received"], 1);
    let counts = serde_json::json!({ "late": 0, "duplicates": 0, "reordered": 0 });
    assert_eq!(object["datagrams"], counts);
    assert!(server.stop().contains("10 datagrams of "));
}

/// A server that loses, doubles and reorders, so that every count has its own value.
#[test]
fn lost_doubled_and_reordered_echoes_are_counted_apart() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = format!("udp:{}", socket.local_addr().unwrap());
    let server = thread::spawn(move || {
        let mut buffer = [0; 100];
        let mut kept = Vec::new();
        for number in 1..=6 {
            let (len, from) = socket.recv_from(&mut buffer).unwrap();
            let message = buffer[..len].to_vec();
            let echoes: Vec<Vec<u8>> = match number {
                1 => vec![],
                2 => {
                    kept.push(message);
                    vec![]
                }
                4 => vec![message.clone(), message],
                5 => vec![message, kept.remove(0)],
                _ => vec![message],
            };
            for echo in echoes {
                socket.send_to(&echo, from).unwrap();
            }
        }
    });
    // The timeout is far longer than five intervals, so only the first message misses it.
    let ended = ping(&[&addr, "-c", "6", "-i", "10ms", "-W", "3s"]);
    server.join().unwrap();
    let said = text(&ended);
    let counts = "6 sent, 5 received, 1 lost (16.7 %), 0 late, 0 wrong, 1 duplicate, 1 reordered";
    assert!(said.contains(counts), "{said}");
    assert_eq!(
        (ended.code, &*ended.stderr),
        (Some(1), "resound: 1 of 6 echoes did not come back\n")
    );
}

#[test]
fn a_port_without_a_server_loses_each_message_at_once() {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ended = ping(&[&format!("udp:{free}"), "-c", "2", "-i", "10ms", "-W", "30s"]);
    assert_eq!(ended.code, Some(1));
    assert!(text(&ended).contains("seq=1: connection refused\nseq=2: connection refused\n"));
}

#[test]
fn what_udp_does_not_have_is_refused_in_one_line() {
    let size = "a datagram has 8 to 65507 bytes, and its number takes 8 of them: give --size something between";
    let wait = "UDP has no connection to wait for: leave --wait out, or use TCP";
    let header = "a PROXY header begins a connection, and UDP has none: leave --send-proxy out";
    for (args, why) in
        [("-s7", size), ("-s65508", size), ("--wait=1s", wait), ("--send-proxy=v1", header)]
    {
        let ended = ping(&["udp:127.0.0.1:7007", args]);
        assert_eq!((ended.code, ended.stderr), (Some(2), format!("resound: {why}\n")));
    }
}
