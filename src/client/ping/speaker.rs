//! What a ping says, and for how long nothing took it.

use std::io;
use std::time::{Duration, Instant};

use super::notice::Notice;
use crate::client::standstill::TOLERANCE;

/// Hands notices on, and finds out for how long that blocked: a terminal can be stopped by Ctrl-S, and a pipe
/// can be full.
pub(super) struct Speaker<S> {
    say: S,
    blocked: Duration,
}

impl<S: FnMut(&Notice<'_>) -> io::Result<()>> Speaker<S> {
    pub(super) fn new(say: S) -> Self {
        Self { say, blocked: Duration::ZERO }
    }

    pub(super) fn say(&mut self, notice: &Notice<'_>) -> io::Result<()> {
        let began = Instant::now();
        let said = (self.say)(notice);
        let took = began.elapsed();
        if took >= TOLERANCE {
            self.blocked += took;
        }
        said
    }

    /// For how long it blocked since this was last asked; nothing, usually.
    pub(super) fn take_blocked(&mut self) -> Duration {
        std::mem::take(&mut self.blocked)
    }
}
