//! `resound-peers compare`: all servers beside each other, each on a processor of its own beside the load.
//!
//! What differs from one machine to the next, and from one minute to the next, are the figures; what lasts is
//! how one server stands beside another. So every server is measured right after the reference, and stands
//! in the tables as its ratio to that; of several rounds, the median.

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

/// Where the document is, and where what it shows is.
const DOCUMENT: &str = "benchmarks.md";
const FIGURES: &str = "benchmarks";

/// The figures themselves, from which the document is made.
const RESULTS: &str = "results.json";

#[derive(Args)]
pub struct Compare {
    /// The servers beside the reference, as `list` calls them; all that are here by default
    #[arg(long, value_delimiter = ',', value_name = "NAME", value_parser = super::known)]
    peers: Vec<&'static Peer>,
    /// resound once more, with these options of serve: '--buffer 64k'
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    variant: Vec<String>,
    /// Numbers of connections
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = units::count, default_value = "1,50,1k,15k")]
    connections: Vec<usize>,
    /// Sizes of messages
    #[arg(long, value_delimiter = ',', value_name = "SIZE", value_parser = units::size, default_value = "64,1k,16k,1m")]
    sizes: Vec<usize>,
    /// How often everything is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each measurement takes
    #[arg(long, value_name = "D", value_parser = units::duration, default_value = "1s")]
    time: Duration,
    /// Leave out how they start, and the generators
    #[arg(long)]
    only_cells: bool,
    /// The directory for benchmarks.md, and for the directory with its plots and figures
    #[arg(long, value_name = "DIR", default_value = "docs")]
    out: PathBuf,
    /// Measure nothing, and make the document from the figures that are there
    #[arg(long)]
    render: bool,
}

impl Compare {
    pub fn run(&self, places: &Places) -> Result<(), Box<dyn Error>> {
        let figures = self.out.join(FIGURES);
        // Before anything that takes time.
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
        let reference = reference.ok_or("the reference is not here: it takes a C compiler")?;
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

    /// The reference first, then those that are here; and why the others are not.
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

/// An argument as a shell would take it, as far as it concerns those there are here.
fn quoted(argument: String) -> String {
    if argument.contains(' ') { format!("'{argument}'") } else { argument }
}
