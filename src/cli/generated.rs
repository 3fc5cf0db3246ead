//! Completions for shells and pages of the manual, made from the grammar of the command line. So they name what this
//! build has, and no others.

use clap::{Arg, ArgAction, Args, Command, ValueEnum};
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
    let synopsis = synopsis(&subject);
    let subject = subject.override_usage(synopsis);
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

/// A command and its arguments, on one line. clap_mangen leaves out the values of options, unless it is given a usage.
fn synopsis(command: &Command) -> String {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let mut words = vec![name.to_string()];
    words.extend(command.get_opts().chain(flags(command)).map(|arg| {
        let short = arg.get_short().map(|short| format!("-{short}|")).unwrap_or_default();
        let repeats = if matches!(arg.get_action(), ArgAction::Append) { "..." } else { "" };
        format!("[{short}{arg}]{repeats}")
    }));
    words.extend(command.get_positionals().map(Arg::to_string));
    words.extend(command.has_subcommands().then(|| "<COMMAND>".to_string()));
    words.join(" ")
}

/// The options of a command that have no values.
fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.get_action().takes_values())
}

fn print(text: &[u8]) -> Result<(), Failure> {
    Ok(say(&String::from_utf8_lossy(text).trim_end())?)
}
