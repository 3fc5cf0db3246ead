//! What a class takes for an echo.

/// What a class takes for an echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// RFC 862: all bytes.
    Bytes,
    /// Each line of text.
    Line,
}
