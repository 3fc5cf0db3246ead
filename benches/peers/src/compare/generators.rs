//! Compares `resound load` with a minimal C generator: how much load each makes with one processor.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use resound_peers::Places;
use serde::Deserialize;

use super::contender::Contender;
use super::processors::Processors;
use super::results::{Generated, Generator, Settings};

/// Connections, and bytes of a message.
const CELLS: &[(usize, usize)] =
    &[(1, 64), (50, 64), (1000, 64), (50, 1 << 10), (50, 16 << 10), (50, 1 << 20)];

/// Loads the server at an address, for a number of seconds.
type Load = fn(&Path, &str, &Generator, f64) -> Result<Generated, Box<dyn Error>>;

pub fn measure(
    server: &Contender,
    places: &Places,
    processors: &Processors,
    settings: &Settings,
) -> Result<Vec<Generator>, Box<dyn Error>> {
    let c = resound_peers::c_generator(places)?;
    let both: [Load; 2] = [by_c, by_resound];
    let programs = [c, places.resound.clone()];
    let mut generators = Vec::new();
    for &(connections, message_bytes) in CELLS {
        eprintln!("generators: {connections} connections, {message_bytes} bytes");
        let mut generator = Generator { connections, message_bytes, rounds: Vec::new() };
        for round in 0..settings.rounds {
            let mut pair = [None; 2];
            // The two generators take turns in going first.
            for i in [round as usize % 2, (round as usize + 1) % 2] {
                let running = server.start(processors)?;
                let addr = running.addr().to_string();
                pair[i] = Some(both[i](&programs[i], &addr, &generator, settings.seconds)?);
            }
            if let [Some(c), Some(resound)] = pair {
                generator.rounds.push([c, resound]);
            }
        }
        generators.push(generator);
    }
    Ok(generators)
}

fn by_c(
    program: &Path,
    addr: &str,
    cell: &Generator,
    seconds: f64,
) -> Result<Generated, Box<dyn Error>> {
    let args = [cell.connections.to_string(), cell.message_bytes.to_string(), seconds.to_string()];
    let text = output(Command::new(program).arg(addr).args(args))?;
    let (rate, cpu) = text.trim().split_once(' ').ok_or("the C generator prints two figures")?;
    Ok(Generated { messages_per_second: rate.parse()?, cpu_seconds_per_message: cpu.parse()? })
}

/// The fields of docs/load-json.md that matter here.
#[derive(Deserialize)]
struct Report {
    rate_messages_per_second: f64,
    messages_in_time: u64,
    generator: ReportOfGenerator,
}

#[derive(Deserialize)]
struct ReportOfGenerator {
    cpu_seconds: f64,
}

fn by_resound(
    program: &Path,
    addr: &str,
    cell: &Generator,
    seconds: f64,
) -> Result<Generated, Box<dyn Error>> {
    let (connections, size) = (cell.connections.to_string(), cell.message_bytes.to_string());
    let duration = format!("{}us", (seconds * 1e6).round());
    let mut command = Command::new(program);
    command.args([
        "load",
        "-q",
        "--json",
        "-",
        "-c",
        &connections,
        "-s",
        &size,
        "-d",
        &duration,
        addr,
    ]);
    let report: Report = serde_json::from_str(&output(&mut command)?)?;
    Ok(Generated {
        messages_per_second: report.rate_messages_per_second,
        cpu_seconds_per_message: report.generator.cpu_seconds / report.messages_in_time as f64,
    })
}

/// The output of a program, if it succeeds.
fn output(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let output = command.output()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr).trim().to_string();
        return Err(format!("{}: {error}", command.get_program().to_string_lossy()).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
