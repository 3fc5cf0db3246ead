//! Which build this is.

/// The commit from which the program was built. Empty if that was not in a repository.
pub(crate) const COMMIT: &str = env!("RESOUND_COMMIT");

/// The system that the program was built for.
pub(crate) const TARGET: &str = env!("RESOUND_TARGET");

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
