//! Measures how long servers take to start, and how much memory they then use.

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use resound_peers::Running;

use super::contender::Contender;
use super::processors::Processors;
use super::results::Start;

const ROUNDS: usize = 20;

/// The number of idle connections.
const IDLE: usize = 15_000;

/// A server that does not answer on the last idle connection within this time cannot have that many.
const TIMEOUT: Duration = Duration::from_secs(20);

pub fn measure(
    servers: &[Contender],
    processors: &Processors,
) -> Result<Vec<Start>, Box<dyn Error>> {
    let mut starts = Vec::new();
    for server in servers {
        eprintln!("{} starts", server.name);
        let running = server.start(processors)?;
        starts.push(Start {
            server: server.name.clone(),
            seconds: Vec::new(),
            resident_kib: resident_kib(&running)?,
            resident_with_crowd_kib: with_idle_connections(server, &running)?,
            crowd: IDLE,
        });
    }
    for _ in 0..ROUNDS {
        for (server, start) in servers.iter().zip(&mut starts) {
            let begun = Instant::now();
            let running = server.start(processors)?;
            start.seconds.push(begun.elapsed().as_secs_f64());
            drop(running);
        }
    }
    Ok(starts)
}

/// The resident memory of all its processes: proc(5).
fn resident_kib(running: &Running) -> Result<u64, Box<dyn Error>> {
    let mut sum = 0;
    for pid in running.pids() {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next());
        sum += kib.ok_or("a process has no VmRSS")?.parse::<u64>()?;
    }
    Ok(sum)
}

/// The resident memory with the idle connections, if the server can have that many.
fn with_idle_connections(
    server: &Contender,
    running: &Running,
) -> Result<Option<u64>, Box<dyn Error>> {
    if IDLE > server.most_connections() || !server.limits().is_one_process {
        return Ok(None);
    }
    let mut idle = Vec::with_capacity(IDLE);
    while idle.len() < IDLE {
        let Ok(peer) = TcpStream::connect_timeout(&running.addr(), TIMEOUT) else {
            return Ok(None);
        };
        idle.push(peer);
    }
    // The server accepts connections in their order, so an echo on the last one shows that it has all of them.
    let Some(last) = idle.last_mut() else { return Ok(None) };
    last.set_read_timeout(Some(TIMEOUT))?;
    last.write_all(b"!")?;
    match last.read_exact(&mut [0]) {
        Ok(()) => resident_kib(running).map(Some),
        Err(_) => Ok(None),
    }
}
