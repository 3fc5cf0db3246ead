//! A server that takes part in the comparison.

use std::error::Error;
use std::io;

use resound_peers::{Found, Limits, Missing, Places, Running, peer, raise_descriptor_limit};

use super::processors::Processors;
use super::results::Server;

/// The server with which all others are compared.
pub const REFERENCE: &str = "reference";

/// A server that is ready to start, with its arguments.
pub struct Contender {
    pub name: String,
    found: Found,
    args: Vec<String>,
}

impl From<Found> for Contender {
    fn from(found: Found) -> Self {
        Self { name: found.peer.name.into(), found, args: Vec::new() }
    }
}

impl Contender {
    /// `resound` with further options.
    pub fn variant(options: &str, places: &Places) -> Result<Self, Missing> {
        let resound = peer("resound").ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Self {
            name: format!("resound {options}"),
            found: resound.find(places)?,
            args: options.split_whitespace().map(Into::into).collect(),
        })
    }

    pub fn is_reference(&self) -> bool {
        self.name == REFERENCE
    }

    /// Starts it on the server's processor.
    pub fn start(&self, processors: &Processors) -> Result<Running, Box<dyn Error>> {
        let args: Vec<_> = self.args.iter().map(String::as_str).collect();
        Ok(processors.on_servers(|| self.found.start(&args))??)
    }

    pub fn limits(&self) -> Limits {
        self.found.peer.limits
    }

    /// The most connections that it can have at a time on this machine.
    pub fn most_connections(&self) -> usize {
        let descriptors = raise_descriptor_limit();
        descriptors.map_or(0, |descriptors| self.limits().connections_with(descriptors))
    }

    /// What the page says about it.
    pub fn described(&self) -> Server {
        Server { name: self.name.clone(), runtime: self.found.peer.runtime.into() }
    }
}
