//! The servers that `resound` is compared with, and the code that finds, builds and starts them.
//!
//! Each is the same small echo server, written as the documentation of its runtime suggests: TCP without Nagle's
//! delay, and reads of 64 KiB. If the idiom of the runtime brings its own buffer, the source says so. None of them is
//! tuned or hardened. Linux only.
//!
//! ```no_run
//! use resound_peers::{Places, peer};
//!
//! resound_peers::raise_descriptor_limit()?;
//! let tokio = peer("tokio").expect("it is one of them");
//! let running = tokio.find(&Places::beside_me()?)?.start(&[])?;
//! println!("process {} listens on {}", running.pid(), running.addr());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod list;
mod make;
mod find;
mod start;
pub mod program;

pub use find::{Found, Missing, Places, c_generator};
pub use list::{ALL, Limits, Peer, peer};
pub use start::{Running, raise_descriptor_limit};
