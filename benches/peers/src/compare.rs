//! `resound-peers compare`: measures all servers. The server has one processor, and the load has another.
//!
//! Absolute figures differ from machine to machine and from minute to minute. Ratios between servers last longer. So
//! each server is measured right after the reference, and the tables show the ratio of the two: the median of several
//! rounds.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use resound::units;
use resound_peers::{ALL, Peer, Places};

use cells::Cell;
use contender::{Contender, REFERENCE};
use results::{Results, Settings};

mod processors;
mod contender;
mod results;
mod figure;
mod cells;
mod starts;
mod generators;
mod document;
mod plot;

/// The page, and the directory of its pictures and figures.
const DOCUMENT: &str = "benchmarks.md";
const FIGURES: &str = "benchmarks";

/// The file of the figures, from which the page is made.
const RESULTS: &str = "results.json";

#[derive(Args)]
pub struct Compare {
    /// The servers to compare with the reference, by their names in `list`; by default all available ones
    #[arg(long, value_delimiter = ',', value_name = "NAME", value_parser = super::known)]
    peers: Vec<&'static Peer>,
    /// Add resound with these options of serve, such as '--buffer 64k'
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    variant: Vec<String>,
    /// Numbers of connections
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = units::count, default_value = "1,50,1k,15k")]
    connections: Vec<usize>,
    /// Sizes of messages
    #[arg(long, value_delimiter = ',', value_name = "SIZE", value_parser = units::size, default_value = "64,1k,16k,1m")]
    sizes: Vec<usize>,
    /// How many times to measure everything
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each measurement takes
    #[arg(long, value_name = "D", value_parser = units::duration, default_value = "1s")]
    time: Duration,
    /// Measure neither the start of the servers nor the generators
    #[arg(long)]
    only_cells: bool,
    /// The directory for benchmarks.md and for its directory of plots and figures
    #[arg(long, value_name = "DIR", default_value = "docs")]
    out: PathBuf,
    /// Measure nothing; write the page from the figures of an earlier run
    #[arg(long)]
    render: bool,
}

impl Compare {
    pub fn run(&self, places: &Places) -> Result<(), Box<dyn Error>> {
        let figures = self.out.join(FIGURES);
        // First, so that a failure does not cost an hour of measurements.
        fs::create_dir_all(&figures)
            .map_err(|e| format!("cannot make {}: {e}", figures.display()))?;
        let path = figures.join(RESULTS);
        let results = if self.render { read(&path)? } else { self.measure(places)? };
        write(&path, &(serde_json::to_string(&results)? + "\n"))?;
        for (name, svg) in plot::all(&results)? {
            write(&figures.join(name), &svg)?;
        }
        write(&self.out.join(DOCUMENT), &document::markdown(&results))
    }

    fn measure(&self, places: &Places) -> Result<Results, Box<dyn Error>> {
        let processors = processors::two()?;
        let (mut servers, left_out) = self.servers(places);
        for options in &self.variant {
            servers.push(Contender::variant(options, places)?);
        }
        let reference = servers.first().filter(|first| first.is_reference());
        let reference = reference.ok_or("the reference is not available: it needs a C compiler")?;
        let settings = Settings {
            arguments: std::env::args().skip(1).map(quoted).collect(),
            rounds: self.rounds,
            seconds: self.time.as_secs_f64(),
        };
        let (mut starts, mut generators) = (Vec::new(), Vec::new());
        if !self.only_cells {
            starts = starts::measure(&servers, &processors)?;
            generators = generators::measure(reference, places, &processors, &settings)?;
        }
        let cells = cells::measure(&servers, &self.cells(), &processors, &settings);
        Ok(Results {
            machine: results::Machine::here(),
            settings,
            servers: servers.iter().map(Contender::described).collect(),
            left_out,
            starts,
            generators,
            cells,
        })
    }

    /// The available servers, the reference first; and the others, with the reasons why they are not available.
    fn servers(&self, places: &Places) -> (Vec<Contender>, Vec<(String, String)>) {
        let is_asked_for = |peer: &Peer| {
            peer.name == REFERENCE
                || self.peers.is_empty()
                || self.peers.iter().any(|asked| asked.name == peer.name)
        };
        let (mut here, mut left_out) = (Vec::new(), Vec::new());
        for peer in ALL.iter().filter(|peer| is_asked_for(peer)) {
            match peer.find(places) {
                Ok(found) => here.push(found.into()),
                Err(missing) => left_out.push((peer.name.into(), missing.to_string())),
            }
        }
        (here, left_out)
    }

    fn cells(&self) -> Vec<Cell> {
        let sizes = self.sizes.iter();
        let pairs = sizes.flat_map(|size| self.connections.iter().map(|n| (*n, *size)));
        pairs.map(|(connections, message_bytes)| Cell { connections, message_bytes }).collect()
    }
}

fn read(path: &Path) -> Result<Results, Box<dyn Error>> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|e| format!("cannot read {}: {e}; measure first", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn write(path: &Path, text: &str) -> Result<(), Box<dyn Error>> {
    fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()).into())
}

/// Quotes an argument for a shell. This is enough for the arguments of `compare`.
fn quoted(argument: String) -> String {
    if argument.contains(' ') { format!("'{argument}'") } else { argument }
}
