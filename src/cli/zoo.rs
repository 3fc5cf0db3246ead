//! `resound zoo`: the specimens, and hints to what is wrong with each.

use clap::{Args, Subcommand};

use super::Failure;
use crate::client::check::zoo::{SPECIMENS, Specimen};
use crate::stdio::say;
use crate::text::wrapped;

/// The width of a line.
const COLUMNS: usize = 100;

/// The arguments of `resound zoo`.
#[derive(Args, Debug)]
pub struct Zoo {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the servers of the zoo, and the mistake of each
    List,
    /// Print a hint to the mistake of a server
    Hint {
        /// The server's name, as in the list
        name: String,
        /// Which hint: 1 says where to look, 2 what happens there, 3 what to change
        #[arg(value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=3))]
        number: u8,
    },
}

impl Zoo {
    /// Prints what was asked for.
    ///
    /// # Errors
    ///
    /// If there is no such server.
    pub fn run(self) -> Result<(), Failure> {
        match self.what {
            What::List => Ok(say(&list().trim_end())?),
            What::Hint { name, number } => Ok(say(&hint(&name, number)?)?),
        }
    }
}

fn list() -> String {
    SPECIMENS.iter().map(|Specimen { name, title, .. }| format!("{name:<24}it {title}\n")).collect()
}

fn hint(name: &str, number: u8) -> Result<String, Failure> {
    let found = SPECIMENS.iter().find(|specimen| specimen.name == name);
    let Some(Specimen { hints, chapter, .. }) = found else {
        let line = format!("there is no server \"{name}\" in the zoo: see resound zoo list");
        return Err(Failure::usage(&line));
    };
    let text = wrapped(hints[usize::from(number) - 1], 0, COLUMNS);
    let more = match number {
        3 => format!(
            "The mended server is the diff beside examples/zoo/src/{}.rs.",
            name.replace('-', "_")
        ),
        n => format!("The next hint: resound zoo hint {name} {}", n + 1),
    };
    Ok(format!("{text}\n\nThe chapter: docs/guide/src/{chapter}.md. {more}"))
}
