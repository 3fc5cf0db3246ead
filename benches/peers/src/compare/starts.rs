//! How long the servers take to start, and how much memory they have then.

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

/// Connections that do nothing.
const CROWD: usize = 15_000;

/// A server that does not answer the last of the crowd for this long has not got that many.
const PATIENCE: Duration = Duration::from_secs(20);

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
            resident_with_crowd_kib: beside_crowd(server, &running)?,
            crowd: CROWD,
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

/// Of all its processes, proc(5).
fn resident_kib(running: &Running) -> Result<u64, Box<dyn Error>> {
    let mut sum = 0;
    for pid in running.pids() {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next());
        sum += kib.ok_or("a process without memory")?.parse::<u64>()?;
    }
    Ok(sum)
}

/// What is resident once it has accepted a crowd, if it is up to that.
fn beside_crowd(server: &Contender, running: &Running) -> Result<Option<u64>, Box<dyn Error>> {
    if CROWD > server.most_connections() || !server.limits().is_one_process {
        return Ok(None);
    }
    let mut crowd = Vec::with_capacity(CROWD);
    while crowd.len() < CROWD {
        let Ok(peer) = TcpStream::connect_timeout(&running.addr(), PATIENCE) else {
            return Ok(None);
        };
        crowd.push(peer);
    }
    // It accepts them in the order in which they came.
    let Some(last) = crowd.last_mut() else { return Ok(None) };
    last.set_read_timeout(Some(PATIENCE))?;
    last.write_all(b"!")?;
    match last.read_exact(&mut [0]) {
        Ok(()) => resident_kib(running).map(Some),
        Err(_) => Ok(None),
    }
}
