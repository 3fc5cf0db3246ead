//! Several servers on one port, with more connections than one process may have.

use std::fs;
use std::thread;

use serde_json::Value;

use crate::cost::figure;
use crate::loader;
use crate::many::raise_descriptor_limit;
use crate::server::{Server, eventually};

/// The kernel shares the connections out by a hash, so each server gets a little more or less than its part.
const SERVERS: usize = 4;
const PER_CLIENT: usize = 15_000;
const CLIENTS: usize = 4;
const CONNECTIONS: usize = CLIENTS * PER_CLIENT;

/// Memory in user space, with what each server keeps once.
const MAX_BYTES_PER_CONNECTION: f64 = 128.0;

/// Linux gives each source address some 28,000 ports to one address.
const SOURCES_PER_CLIENT: usize = 3;

/// Each client connects, and sends on its connections in turn, so nearly all of them are idle.
fn sources(client: usize) -> String {
    let source = |i| format!("127.0.1.{}", client * SOURCES_PER_CLIENT + i + 1);
    (0..SOURCES_PER_CLIENT).map(source).collect::<Vec<_>>().join(",")
}

fn load(server: &str, client: usize) -> Value {
    let (connections, sources) = (PER_CLIENT.to_string(), sources(client));
    loader::fine(&[
        server,
        "-c",
        &connections,
        "--source-ip",
        &sources,
        "--rate",
        "500",
        "-d",
        "10s",
        "--warmup",
        "0s",
    ])
}

/// The TCP sockets of this machine that are connected or listen.
fn open_sockets() -> usize {
    let stat = fs::read_to_string("/proc/net/sockstat").unwrap();
    let tcp = stat.lines().find(|line| line.starts_with("TCP:")).unwrap();
    tcp.split_whitespace().skip_while(|word| *word != "inuse").nth(1).unwrap().parse().unwrap()
}

/// What the kernel has in its slabs, in KiB.
fn slab_kib() -> usize {
    let info = fs::read_to_string("/proc/meminfo").unwrap();
    let slab = info.lines().find(|line| line.starts_with("Slab:")).unwrap();
    slab.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn own_kib(servers: &[Server]) -> usize {
    servers.iter().map(|server| server.status_kib("RssAnon")).sum()
}

#[test]
fn sixty_thousand_connections_are_served_by_four_servers_on_one_port() {
    raise_descriptor_limit();
    let first = Server::start(&["--reuse-port"]);
    let addr = first.addr().to_string();
    let others = (1..SERVERS).map(|_| Server::start_at(&[&addr], &["--reuse-port"]));
    let servers: Vec<_> = [first].into_iter().chain(others).collect();
    let before = (own_kib(&servers), slab_kib(), open_sockets());
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn({
                    let addr = &addr;
                    move || load(addr, client)
                })
            })
            .collect();
        eventually(|| (open_sockets() >= before.2 + 2 * CONNECTIONS).then_some(()));
        let own = (own_kib(&servers) - before.0) as f64 * 1024.0 / CONNECTIONS as f64;
        let kernel = (slab_kib() - before.1) as f64 * 1024.0 / (2 * CONNECTIONS) as f64;
        figure("bytes an idle connection with 60,000, in user space", format_args!("{own:.1}"));
        figure("and in the kernel, for each end", format_args!("{kernel:.0}"));
        assert!(own <= MAX_BYTES_PER_CONNECTION);
        for client in clients {
            let report = client.join().unwrap();
            assert_eq!(report["connect_latency_nanoseconds"]["count"], PER_CLIENT, "{report:#}");
        }
    });
    let accepted = servers.into_iter().map(accepted_by).collect::<Vec<_>>();
    assert!(accepted.iter().all(|accepted| *accepted > CONNECTIONS / SERVERS / 2), "{accepted:?}");
    assert!(accepted.iter().sum::<usize>() >= CONNECTIONS, "{accepted:?}");
}

/// Stops a server. Returns how many connections it has accepted, as its summary says.
fn accepted_by(server: Server) -> usize {
    let summary = server.stop().replace(',', "");
    let before = summary.split_once(" connections").expect(&summary).0;
    before.rsplit_once(' ').unwrap().1.parse().unwrap()
}
