//! One connection of `resound` on a model of a kernel, for `docs/playground/index.html`.
//!
//! `src/conn.rs` is compiled here as it is. Around it are a kernel with two socket buffers, a peer, and a reactor for
//! one connection, which makes classic mistakes on request. The page drives them step by step, and shows the records
//! of what they did.

/// The files of `resound` that the playground is about, from their own folder.
#[path = "../../src"]
mod resound {
    #[allow(dead_code, reason = "the server uses more of it")]
    pub(crate) mod memory;
    pub mod conn;
}

pub use resound::conn;
use resound::memory; // `conn` finds it at the root of its crate.

mod log;
mod kernel;
mod peer;
mod socket;
mod server;
pub mod world;
pub mod walk;
mod exports;
