//! Echoes over loopback: a server in its own process, and clients that check every byte.
//!
//! The benchmark times a round: one message on every connection, there and back. Each cell of connections × message
//! size is a criterion group, so that the report shows `resound` and the peers of `benches/peers` in one plot.

use std::env;
use std::time::Duration;

use criterion::{
    BenchmarkGroup, Criterion, PlottingBackend, SamplingMode, Throughput, measurement::WallTime,
};

use clients::Clients;
use servers::Server;

#[path = "support/clients.rs"]
mod clients;
#[path = "support/servers.rs"]
mod servers;

const CONNECTIONS: [usize; 3] = [1, 50, 500];
const SIZES: [(&str, usize); 4] = [("64", 64), ("1k", 1 << 10), ("16k", 16 << 10), ("1m", 1 << 20)];

/// The cell in which peers run too if nothing is timed.
const TRIED: (usize, &str) = (50, "64");

fn main() {
    let mut criterion = Criterion::default()
        // Criterion would use gnuplot if it is installed, and the report would look different.
        .plotting_backend(PlottingBackend::Plotters)
        .configure_from_args();
    grid(&mut criterion);
    spin(&mut criterion);
    criterion.final_summary();
}

/// Connections × message size.
fn grid(criterion: &mut Criterion) {
    let (resound, peers) = (Server::resound(&[]), servers::peers());
    for (size, bytes) in SIZES {
        for connections in CONNECTIONS {
            let mut group = criterion.benchmark_group(format!("echo/{connections}x{size}"));
            // A round takes between microseconds and seconds.
            group.sampling_mode(SamplingMode::Flat).sample_size(10);
            group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
            bench(&mut group, &resound.name, &resound, connections, bytes);
            if is_timed() || TRIED == (connections, size) {
                for peer in peers.iter().filter(|peer| peer.is_up_to(connections, bytes)) {
                    bench(&mut group, &peer.name, peer, connections, bytes);
                }
            }
            group.finish();
        }
    }
}

/// A single connection, with a server that sleeps at once and with one that first polls for 50 µs.
fn spin(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spin");
    for (name, args) in [("off", &[][..]), ("50us", &["--spin", "50us"])] {
        bench(&mut group, name, &Server::resound(args), 1, 64);
    }
    group.finish();
}

fn bench(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    server: &Server,
    connections: usize,
    bytes: usize,
) {
    // Server and clients start when they are first needed, because the command line may select other benchmarks. The
    // clients come first in the tuple, so that they are dropped before the server.
    let mut running = None;
    group.throughput(Throughput::ElementsAndBytes {
        elements: connections as u64,
        bytes: (connections * bytes) as u64,
    });
    group.bench_function(name, |b| {
        let (clients, _) = running.get_or_insert_with(|| {
            let server = server.start();
            let clients = Clients::connect(server.addr, connections, bytes);
            (clients.expect("the server is listening"), server)
        });
        b.iter_custom(|rounds| clients.play(rounds as usize));
    });
}

/// Whether criterion measures, or only runs everything once. `cargo bench` passes `--bench`.
fn is_timed() -> bool {
    let is_given = |option: &str| env::args().any(|arg| arg == option);
    is_given("--bench") && !is_given("--test")
}
