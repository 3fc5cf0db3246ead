//! The results of the measurements, as they are stored.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Everything that the page shows.
#[derive(Serialize, Deserialize)]
pub struct Results {
    pub machine: Machine,
    pub settings: Settings,
    /// The servers, the reference first.
    pub servers: Vec<Server>,
    /// Servers that are not available, and why.
    pub left_out: Vec<(String, String)>,
    pub starts: Vec<Start>,
    pub generators: Vec<Generator>,
    pub cells: Vec<CellResults>,
}

#[derive(Serialize, Deserialize)]
pub struct Settings {
    /// The arguments of `compare`.
    pub arguments: Vec<String>,
    pub rounds: u32,
    /// How long each measurement took, unless its cell needs longer.
    pub seconds: f64,
}

/// The machine, and the programs on it.
#[derive(Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub logical_cpus: usize,
    pub kernel: String,
    /// Programs and their versions.
    pub versions: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
pub struct Server {
    pub name: String,
    pub runtime: String,
}

/// How a server starts.
#[derive(Serialize, Deserialize)]
pub struct Start {
    pub server: String,
    /// The time from just before the start until it reports where it listens, for each round.
    pub seconds: Vec<f64>,
    /// The resident memory then.
    pub resident_kib: u64,
    /// The resident memory with `crowd` idle connections, if it can have that many.
    pub resident_with_crowd_kib: Option<u64>,
    pub crowd: usize,
}

/// What two generators reached with the same server, one right after the other.
#[derive(Serialize, Deserialize)]
pub struct Generator {
    pub connections: usize,
    pub message_bytes: usize,
    /// The C generator's results and those of `resound load`, for each round.
    pub rounds: Vec<[Generated; 2]>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Generated {
    pub messages_per_second: f64,
    /// Processor time of the generator per message.
    pub cpu_seconds_per_message: f64,
}

/// The results for one number of connections and one message size.
#[derive(Serialize, Deserialize)]
pub struct CellResults {
    pub connections: usize,
    pub message_bytes: usize,
    /// The results of each server, in the order of the servers.
    pub servers: Vec<ServerResults>,
}

#[derive(Serialize, Deserialize)]
pub struct ServerResults {
    pub server: String,
    /// A run of the reference, and the run of this server right after it.
    pub pairs: Vec<[Run; 2]>,
    /// Why pairs are missing, if any are.
    pub trouble: Option<String>,
}

/// One measurement of one server.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Run {
    pub echoes_per_second: f64,
    /// Processor time of the server per echo, in the kernel and in user space.
    pub cpu_seconds_per_echo: f64,
    pub p50_seconds: f64,
    pub p99_seconds: f64,
}

impl Results {
    /// The cells grouped by message size, in their order.
    pub fn by_size(&self) -> Vec<(usize, Vec<&CellResults>)> {
        let mut sizes: Vec<(usize, Vec<&CellResults>)> = Vec::new();
        for cell in &self.cells {
            match sizes.iter_mut().find(|(bytes, _)| *bytes == cell.message_bytes) {
                Some((_, cells)) => cells.push(cell),
                None => sizes.push((cell.message_bytes, vec![cell])),
            }
        }
        sizes
    }
}

impl CellResults {
    /// The median of the figures of the reference itself.
    pub fn reference(&self, of: impl Fn(&Run) -> f64) -> Option<f64> {
        let pairs = self.servers.iter().flat_map(|server| &server.pairs);
        median(pairs.map(|[reference, _]| of(reference)))
    }
}

impl ServerResults {
    /// Whether this is a `resound`.
    pub fn is_ours(name: &str) -> bool {
        name.starts_with("resound")
    }

    /// Whether to measure it in the next round. A server that failed in one round may still succeed in the next.
    pub fn is_able(&self) -> bool {
        self.trouble.is_none() || !self.pairs.is_empty()
    }

    /// The median of the ratios between the server's figure and the reference's.
    pub fn ratio(&self, of: impl Fn(&Run) -> f64) -> Option<f64> {
        median(self.pairs.iter().map(|[reference, run]| of(run) / of(reference)))
    }
}

/// The middle value, or the mean of the two middle values.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let models = cpuinfo.lines().filter_map(|line| line.strip_prefix("model name"));
        let models: Vec<_> = models.map(|rest| rest.trim_start_matches([' ', '\t', ':'])).collect();
        Self {
            cpu: models.first().copied().unwrap_or("unknown").into(),
            logical_cpus: models.len(),
            kernel: read("/proc/sys/kernel/osrelease").trim().into(),
            versions: VERSIONS.iter().filter_map(|(name, args)| version(name, args)).collect(),
        }
    }
}

/// The programs with which servers are built or run, and how to ask for their versions.
const VERSIONS: &[(&str, &[&str])] = &[
    ("rustc", &["--version"]),
    ("cc", &["--version"]),
    ("go", &["version"]),
    ("node", &["--version"]),
    ("python3", &["--version"]),
    ("socat", &["-V"]),
    ("ncat", &["--version"]),
];

/// The first line with a digit in what a program says about its version, if the program is installed.
fn version(name: &str, args: &[&str]) -> Option<(String, String)> {
    let output = Command::new(name).args(args).output().ok()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let line = said.lines().find(|line| line.contains(|c: char| c.is_ascii_digit()))?;
    Some((name.into(), line.trim().into()))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Results with these rates, as if the server used all of its processor.
    pub fn server(name: &str, rates: &[[f64; 2]]) -> ServerResults {
        let run = |echoes_per_second: f64| Run {
            echoes_per_second,
            cpu_seconds_per_echo: 1.0 / echoes_per_second,
            p50_seconds: 1e-4,
            p99_seconds: 1e-3,
        };
        let pairs = rates.iter().map(|pair| pair.map(run)).collect();
        ServerResults { server: name.into(), pairs, trouble: None }
    }

    /// Two cells with three servers. One server has no figures in the second cell.
    pub fn results() -> Results {
        let cell = |connections, slow| CellResults {
            connections,
            message_bytes: 64,
            servers: vec![
                server("reference", &[]),
                server("slow", slow),
                server("resound", &[[100.0, 125.0], [10_000.0, 12_500.0]]),
            ],
        };
        let mut cells = vec![cell(1, &[[100.0, 50.0]]), cell(50, &[])];
        cells[1].servers[1].trouble = Some("it handles up to 1 connection here".into());
        let servers = ["reference", "slow", "resound"];
        let servers = servers.map(|name| Server { name: name.into(), runtime: "C".into() });
        Results {
            machine: Machine::here(),
            settings: Settings { arguments: Vec::new(), rounds: 2, seconds: 1.0 },
            servers: servers.into(),
            left_out: vec![("node".into(), "there is no node".into())],
            starts: Vec::new(),
            generators: Vec::new(),
            cells,
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 3.0, 2.0].into_iter()), Some(2.5));
        assert_eq!(median([].into_iter()), None);
    }

    #[test]
    fn a_server_is_compared_with_the_reference_of_its_own_round() {
        // The machine was twice as fast in the second round.
        let server = server("slow", &[[10.0, 5.0], [20.0, 10.0], [10.0, 9.0]]);
        assert_eq!(server.ratio(|run| run.echoes_per_second), Some(0.5));
        let cell = CellResults { connections: 1, message_bytes: 1, servers: vec![server] };
        assert_eq!(cell.reference(|run| run.echoes_per_second), Some(10.0));
    }
}
