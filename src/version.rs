//! Which build this is.

/// The commit from which the program was built. Empty if that was not in a repository.
const COMMIT: &str = env!("RESOUND_COMMIT");

/// The version, and the commit and the target of the build.
pub(crate) const VERSION: &str = match COMMIT.is_empty() {
    true => concat!(env!("CARGO_PKG_VERSION"), " (", env!("RESOUND_TARGET"), ")"),
    false => concat!(
        env!("CARGO_PKG_VERSION"),
        " (",
        env!("RESOUND_COMMIT"),
        ", ",
        env!("RESOUND_TARGET"),
        ")"
    ),
};
