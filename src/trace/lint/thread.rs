//! What a thread has done since it last began to wait.

use std::collections::HashMap;

use super::Moment;

/// A thread.
#[derive(Debug, Default)]
pub(super) struct Thread {
    /// How often it has begun to wait.
    pub(super) turns: u64,
    /// Whether it waits now, and whether that wait can end by itself.
    pub(super) wait: Option<Wait>,
    pub(super) turn: Turn,
    /// Turns in a row that achieved nothing.
    pub(super) fruitless: Fruitless,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// Whether it can sleep: its timeout is not 0.
    pub(super) can_sleep: bool,
}

/// What happened since a wait ended.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) began: f64,
    /// Events of the wait, and how many of them are of connections or listeners that the trace knows.
    pub(super) events: u64,
    pub(super) known: u64,
    /// Events that only say that a connection is writable.
    pub(super) only_writable: u64,
    /// Events of listeners.
    pub(super) of_listeners: u64,
    /// A signal ended the wait, and the thread has done nothing since.
    pub(super) is_interrupted: bool,
    /// Something was read, written, accepted, shut down or closed.
    pub(super) is_fruitful: bool,
    /// The reads of each connection that moved bytes, and those bytes.
    pub(super) reads: HashMap<String, (u64, u64)>,
    /// A connection whose turn is reported as too long already.
    pub(super) is_reported: bool,
}

#[derive(Debug, Default)]
pub(super) struct Fruitless {
    pub(super) turns: u64,
    pub(super) only_writable: u64,
    pub(super) first: Option<Moment>,
    /// The connection of the last of them.
    pub(super) group: String,
}
