//! Why a command failed, on standard error and as an exit code.

use std::io;
use std::process::ExitCode;

use super::logging::{self, Format};
use crate::stdio::complain;
use crate::text::Escaped;

/// Why a command failed, as a line for people, and the exit code for that.
#[derive(Debug)]
pub struct Failure {
    pub(super) message: String,
    pub(super) code: u8,
}

impl Failure {
    /// The command ran and failed.
    pub(super) fn run(message: &str) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// The arguments are wrong.
    pub(super) fn usage(message: &str) -> Self {
        Self { message: message.into(), code: 2 }
    }
}

/// The exit code that a shell gives to a program that SIGINT ended.
pub(super) const INTERRUPTED: u8 = 130;

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // This kind means that a signal ended the command early. A system call that a signal interrupts is
        // repeated, so its error does not come here.
        let code = if error.kind() == io::ErrorKind::Interrupted { INTERRUPTED } else { 1 };
        Self { message: error.to_string(), code }
    }
}

impl Failure {
    /// Prints the reason on standard error, and returns the exit code.
    pub(super) fn report(&self) -> ExitCode {
        self.report_as(Format::Text)
    }

    /// Prints the reason as a line that fits the log: a program that reads the log need not know others.
    pub(super) fn report_as(&self, format: Format) -> ExitCode {
        complain(&match format {
            Format::Text => self.line(),
            Format::Json => logging::failure(&self.message),
        });
        ExitCode::from(self.code)
    }

    /// The message as one line. A text that it quotes can have line ends.
    fn line(&self) -> String {
        format!("resound: {}", shortened(&Escaped(&self.message).to_string()))
    }
}

/// Cuts the middle out of a line that is too long to read. Its end says why, so it stays.
fn shortened(line: &str) -> String {
    const MOST_CHARS: usize = 1000;
    let (n, half) = (line.chars().count(), MOST_CHARS / 2);
    if n <= MOST_CHARS {
        return line.into();
    }
    let chars = || line.chars();
    chars().take(half).chain(" … ".chars()).chain(chars().skip(n - half)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_escaped_line_of_limited_length() {
        assert_eq!(Failure::run("a\n\u{1b}b").line(), "resound: a\\n\\u{1b}b");
        let line = Failure::usage(&format!("ö{}z", "y".repeat(5000))).line();
        assert!(line.starts_with("resound: öyyy") && line.ends_with("yyyz"), "{line}");
        assert_eq!(line.chars().count(), "resound: ".len() + 1003);
        let just = "x".repeat(1000);
        assert_eq!(Failure::run(&just).line(), format!("resound: {just}"));
    }
}
