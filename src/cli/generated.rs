//! Completions for shells and pages of the manual, made from the grammar of the command line. So they name what this
//! build has, and nothing else.

use clap::{Args, Command, ValueEnum};
use clap_complete::aot;
use clap_mangen::Man;

use super::{Failure, grammar};
use crate::stdio::say;
use crate::text::Excerpt;

/// The arguments of `resound completions`.
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell that reads them
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    /// The first page of the manual, for scripts that ask here for all that is generated.
    #[value(hide = true)]
    Man,
}

impl Completions {
    /// Prints the completions.
    ///
    /// # Errors
    ///
    /// If standard output does not take them.
    pub fn run(&self) -> Result<(), Failure> {
        let shell = match self.shell {
            Shell::Bash => aot::Shell::Bash,
            Shell::Zsh => aot::Shell::Zsh,
            Shell::Fish => aot::Shell::Fish,
            Shell::Man => return print(&page(None)?),
        };
        let mut script = Vec::new();
        aot::generate(shell, &mut grammar(), "resound", &mut script);
        print(&script)
    }
}

/// The arguments of `resound man`.
#[derive(Args, Debug)]
pub struct Manual {
    /// The command that the page is about
    command: Option<String>,
}

impl Manual {
    /// Prints a page of the manual, as roff source: man(7).
    ///
    /// # Errors
    ///
    /// If there is no such command, or if standard output does not take the page.
    pub fn run(&self) -> Result<(), Failure> {
        print(&page(self.command.as_deref())?)
    }
}

/// The page about a command, or about the program.
fn page(command: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut program = grammar().disable_help_subcommand(true);
    program.build();
    let subject = match command {
        None => program,
        Some(name) => subject(&program, name)?,
    };
    let mut page = Vec::new();
    let page_of_manual = Man::new(subject).source(concat!("resound ", env!("CARGO_PKG_VERSION")));
    page_of_manual.manual("User Commands").render(&mut page)?;
    Ok(page)
}

/// A command, under the name of its page.
fn subject(program: &Command, name: &str) -> Result<Command, Failure> {
    let command = program.find_subcommand(name).ok_or_else(|| {
        let names: Vec<_> = program.get_subcommands().map(Command::get_name).collect();
        let wrong = Excerpt(name);
        Failure::usage(&format!("there is no command '{wrong}'; write {}", names.join(", ")))
    })?;
    Ok(command.clone().display_name(format!("resound-{name}")))
}

fn print(text: &[u8]) -> Result<(), Failure> {
    Ok(say(&String::from_utf8_lossy(text).trim_end())?)
}
