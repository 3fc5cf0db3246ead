//! Measures the cells: each is a number of connections and a message size, with every server under load and the
//! reference in between.

use std::error::Error;
use std::fs;
use std::time::{Duration, SystemTime};

use resound::client::latency::Latency;
use resound::client::load::{
    self, End, Interval, Length, Options, Outcome, Progress, Reporter, Stage,
};
use resound_peers::Running;

use super::contender::Contender;
use super::processors::Processors;
use super::results::{CellResults, Run, ServerResults, Settings};

/// The start of a run, which is not measured.
const WARMUP: Duration = Duration::from_millis(200);

/// A server that does not answer for this long has no figures.
const TIMEOUT: Duration = Duration::from_secs(20);

/// With more connections than this, servers with a process for each connection are left out.
const MOST_PROCESSES: usize = 100;

/// Cells with more bytes in flight than this are left out. They need a kernel that gives sockets far more memory than
/// usual: `tcp_mem`, tcp(7).
const MOST_BYTES_IN_FLIGHT: usize = 2 << 30;

/// The throughput and the rate that the time of a measurement allows for. A server that is ten times as fast gets ten
/// echoes on each connection.
const BYTES_PER_SECOND: f64 = 200e6;
const ECHOES_PER_SECOND: f64 = 10e3;

/// How many servers are measured between two runs of the reference.
const SERVERS_PER_REFERENCE: usize = 2;

/// What a run measures.
#[derive(Clone, Copy)]
pub struct Cell {
    pub connections: usize,
    pub message_bytes: usize,
}

impl Cell {
    /// How long to measure: at least `least`, and long enough for some echoes on each connection.
    fn time(&self, least: Duration) -> Duration {
        let by_echoes = self.connections as f64 / ECHOES_PER_SECOND;
        let by_bytes = (self.connections * self.message_bytes) as f64 / BYTES_PER_SECOND;
        least.max(Duration::from_secs_f64(by_echoes.max(by_bytes)))
    }
}

/// Measures every server in every cell within its limits.
pub fn measure(
    servers: &[Contender],
    cells: &[Cell],
    processors: &Processors,
    settings: &Settings,
) -> Vec<CellResults> {
    let cells =
        cells.iter().filter(|cell| cell.connections * cell.message_bytes < MOST_BYTES_IN_FLIGHT);
    let each = cells.map(|cell| {
        let mut results = CellResults {
            connections: cell.connections,
            message_bytes: cell.message_bytes,
            servers: servers.iter().map(|server| begin(server, cell)).collect(),
        };
        for round in 0..settings.rounds {
            eprintln!(
                "{} connections, {} bytes: round {} of {}",
                cell.connections,
                cell.message_bytes,
                round + 1,
                settings.rounds
            );
            play_round(servers, cell, &mut results.servers, round as usize, processors, settings);
        }
        results
    });
    each.collect()
}

/// The empty results of a server, or the reason why there will be none.
fn begin(server: &Contender, cell: &Cell) -> ServerResults {
    let most = server.most_connections();
    let trouble = if cell.connections > most {
        Some(format!("it handles up to {most} connections here"))
    } else if cell.connections > MOST_PROCESSES && !server.limits().is_one_process {
        Some("it starts a process for each connection".into())
    } else if cell.message_bytes > server.limits().message_bytes {
        Some("it cannot handle messages of this size".into())
    } else {
        None
    };
    ServerResults { server: server.name.clone(), pairs: Vec::new(), trouble }
}

/// The order of servers in a round: forwards, then backwards, then both again with the next server first. So no server
/// always follows the same one, and none always follows the reference.
fn order(servers: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..servers).map(move |i| {
        let i = if round.is_multiple_of(2) { i } else { servers - 1 - i };
        (i + round / 2) % servers
    })
}

/// Measures all servers once, in the order of the round.
fn play_round(
    servers: &[Contender],
    cell: &Cell,
    results: &mut [ServerResults],
    round: usize,
    processors: &Processors,
    settings: &Settings,
) {
    let in_turn = order(servers.len() - 1, round).map(|i| 1 + i);
    let able: Vec<_> = in_turn.filter(|i| results[*i].is_able()).collect();
    let time = Duration::from_secs_f64(settings.seconds);
    let run = |server| run(server, cell, time, processors).map_err(|e| e.to_string());
    for group in able.chunks(SERVERS_PER_REFERENCE) {
        // A second attempt, because without it the other servers of the group would have no figures.
        let reference = run(&servers[0]).or_else(|_| run(&servers[0]));
        for &i in group {
            match reference.clone().and_then(|reference| Ok([reference, run(&servers[i])?])) {
                Ok(pair) => results[i].pairs.push(pair),
                Err(e) => {
                    eprintln!("{}: {e}", servers[i].name);
                    results[i].trouble = Some(e);
                }
            }
        }
    }
}

/// Starts a server, loads it, and stops it.
fn run(
    server: &Contender,
    cell: &Cell,
    time: Duration,
    processors: &Processors,
) -> Result<Run, Box<dyn Error>> {
    let running = server.start(processors)?;
    let options = options(&running, cell, cell.time(time))?;
    let mut meter = Meter::new(&running);
    let outcome = load::run(&options, &mut meter);
    if outcome.end == End::Interrupted {
        // The load has caught the signal, which was meant for the whole comparison.
        drop(running);
        eprintln!("interrupted");
        std::process::exit(1);
    }
    expect_fine(&outcome)?;
    let [before, after] = meter.ends()?;
    let echoes = after.echoes.saturating_sub(before.echoes) as f64;
    if echoes == 0.0 {
        return Err("not a single echo came back while it was measured".into());
    }
    let cpu = after.cpu.checked_sub(before.cpu).ok_or("its threads ended while it was measured")?;
    Ok(Run {
        echoes_per_second: outcome.rate(),
        cpu_seconds_per_echo: cpu.as_secs_f64() / echoes,
        p50_seconds: outcome.response.percentile(50.0).as_secs_f64(),
        p99_seconds: outcome.response.percentile(99.0).as_secs_f64(),
    })
}

/// A closed loop, with one message of each connection in flight.
fn options(running: &Running, cell: &Cell, time: Duration) -> Result<Options, Box<dyn Error>> {
    Ok(Options {
        server: running.addr().to_string().parse()?,
        connections: cell.connections,
        length: Length::Time(time),
        rate: None,
        sizes: cell.message_bytes..=cell.message_bytes,
        depth: 1,
        connect_rate: None,
        warmup: WARMUP,
        timeout: TIMEOUT,
        wait: Duration::ZERO,
        sources: Vec::new(),
        send_proxy: None,
        reconnect_every: None,
        keep_going: false,
        interval: Duration::from_secs(1),
        spin: Duration::ZERO,
    })
}

fn expect_fine(outcome: &Outcome) -> Result<(), String> {
    match (outcome.failures.first(), outcome.end) {
        (Some(trouble), _) => Err(trouble.to_string()),
        (None, End::Complete) => Ok(()),
        (None, end) => Err(format!("the run did not end as planned: {end:?}")),
    }
}

/// Reads the server's processor time three times in the measured part. More often would disturb the run: with thousands
/// of threads, a reading takes long.
struct Meter<'a> {
    running: &'a Running,
    readings: Vec<Reading>,
}

#[derive(Clone, Copy)]
struct Reading {
    echoes: u64,
    cpu: Duration,
}

impl<'a> Meter<'a> {
    fn new(running: &'a Running) -> Self {
        Self { running, readings: Vec::new() }
    }

    fn ends(&self) -> Result<[Reading; 2], Box<dyn Error>> {
        match self.readings[..] {
            [before, .., after] => Ok([before, after]),
            _ => Err("it took too short a time to measure".into()),
        }
    }
}

impl Reporter for Meter<'_> {
    fn start(&mut self, _: SystemTime) {}

    fn interval(&mut self, _: &Interval, _: &Latency) {}

    fn progress(&mut self, progress: &Progress) {
        let is_time = match self.readings.len() {
            0 => progress.fraction > 0.15,
            1 => progress.fraction > 0.5,
            2 => progress.fraction > 0.85,
            _ => false,
        };
        if progress.stage == Stage::Measuring && is_time {
            let cpu = cpu_time(&self.running.pids());
            self.readings.push(Reading { echoes: progress.messages, cpu });
        }
    }
}

/// Processor time that the threads of these processes have used so far, in nanoseconds: `schedstat`, proc(5).
pub fn cpu_time(pids: &[u32]) -> Duration {
    let threads = pids.iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok());
    let times = threads.flatten().flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    });
    times.map(Duration::from_nanos).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn every_server_has_different_neighbours_in_each_round() {
        for servers in 2..=16 {
            let rounds: Vec<Vec<_>> = (0..6).map(|round| order(servers, round).collect()).collect();
            for server in 0..servers {
                let places = rounds.iter().map(|round| {
                    let of_server: Vec<_> = (0..servers).filter(|i| round[*i] == server).collect();
                    assert_eq!(of_server.len(), 1, "{servers}: {round:?}");
                    of_server[0]
                });
                let first_after_reference = places.filter(|place| place % 2 == 0).count();
                assert!((1..6).contains(&first_after_reference), "{servers}: {rounds:?}");
            }
        }
    }

    #[test]
    fn processor_time_is_what_a_process_has_used() {
        let me = [std::process::id()];
        let before = cpu_time(&me);
        let start = Instant::now();
        let mut n = 0u64;
        // If the thread of another test ends, its time leaves the sum, so the sum can fall.
        while cpu_time(&me).saturating_sub(before) < Duration::from_millis(20) {
            n = std::hint::black_box(n + 1);
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "the processor time does not grow: {before:?}, {n}"
            );
        }
        assert!(cpu_time(&[]).is_zero());
    }
}
