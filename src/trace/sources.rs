//! The sources of the server, of which a trace shows the lines that ran.

use std::panic::Location;

use serde::Serialize;

/// The files whose lines can be the place of a record, with their texts.
macro_rules! sources {
    ($($path:literal,)*) => {
        const SOURCES: &[(&str, &str)] =
            &[$((concat!("src/", $path), include_str!(concat!("../", $path))),)*];
    };
}

sources! {
    "conn.rs",
    "reactor.rs",
    "server.rs",
    "server/connection.rs",
    "server/proxy.rs",
    "server/accept.rs",
    "server/timeouts.rs",
    "server/waits.rs",
    "server/shutdown.rs",
}

/// The number of files.
pub(super) const COUNT: usize = SOURCES.len();

/// A line of one of these files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Which file, less than [`COUNT`].
    pub(super) source: usize,
    pub(super) line: u32,
}

impl Place {
    /// The place of a call, unless it comes from elsewhere: from a library, or by a pointer to the function.
    pub(super) fn of(caller: &Location<'_>) -> Option<Self> {
        // The compiler names a file as it was called: by a path from the root of the repository, or by a longer one.
        let file = caller.file();
        let source = SOURCES.iter().position(|(path, _)| file.ends_with(path))?;
        Some(Self { source, line: caller.line() })
    }

    /// The path of its file in the repository.
    pub(super) fn path(self) -> &'static str {
        SOURCES[self.source].0
    }

    /// All of its file.
    pub(super) fn source(self) -> Source {
        let (file, text) = SOURCES[self.source];
        Source { file, text }
    }
}

/// A file of the server.
#[derive(Serialize)]
pub(super) struct Source {
    file: &'static str,
    text: &'static str,
}
