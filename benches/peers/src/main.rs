//! Lists the peers, runs them, and compares them.

use std::error::Error;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use compare::Compare;
use resound_peers::{ALL, Peer, Places, peer};

mod compare;

/// The servers that resound is compared with.
#[derive(Parser)]
#[command(max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The resound to compare with, unless it is the one of `cargo build --release`
    #[arg(long, value_name = "PATH", global = true)]
    resound: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Build and start each peer once; show which are available, and why the others are not
    List {
        /// For programs: name, most connections and longest message in bytes of each available peer, separated by
        /// tabs; starts no peer
        #[arg(long)]
        plain: bool,
    },
    /// Run a peer until it is stopped
    Run {
        /// Its name in `list`
        #[arg(value_parser = known)]
        name: &'static Peer,
        /// The address to listen on; port 0 takes a free one
        #[arg(default_value = "127.0.0.1:7007")]
        addr: SocketAddr,
        /// Further arguments for the peer, such as the buffer size in bytes for the reference
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Measure all available peers against the reference, and write the results
    Compare(Compare),
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Box<dyn Error>> {
    let mut places = Places::beside_me()?;
    places.resound = cli.resound.unwrap_or(places.resound);
    let descriptors = resound_peers::raise_descriptor_limit()?;
    match cli.command {
        Command::List { plain: true } => list_plainly(&places, descriptors),
        Command::List { plain: false } => ALL.iter().for_each(|peer| show(peer, &places)),
        Command::Run { name: peer, addr, args } => {
            let error = peer.find(&places)?.command(addr, &args)?.exec();
            return Err(format!("{} cannot be run: {error}", peer.name).into());
        }
        Command::Compare(compare) => compare.run(&places)?,
    }
    Ok(())
}

fn show(peer: &'static Peer, places: &Places) {
    let state = match peer.find(places) {
        Err(missing) => format!("left out: {missing}"),
        Ok(found) => match found.start(&[]) {
            Err(e) => format!("left out: {e}"),
            Ok(_) => "available".into(),
        },
    };
    println!("{:13} {:28} {:9} {state}", peer.name, peer.runtime, peer.made_by());
}

fn list_plainly(places: &Places, descriptors: u64) {
    for Peer { name, limits, .. } in ALL.iter().filter(|peer| peer.find(places).is_ok()) {
        let connections = limits.connections_with(descriptors);
        println!("{name}\t{connections}\t{}", limits.message_bytes);
    }
}

fn known(name: &str) -> Result<&'static Peer, String> {
    let names = || ALL.iter().map(|peer| peer.name).collect::<Vec<_>>().join(", ");
    peer(name).ok_or_else(|| format!("the peers are {}", names()))
}
