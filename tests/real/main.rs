//! `resound` among programs that are not ours: the tracers that count what it costs and make its system
//! calls fail, and the other ends that it will meet.
//!
//! Needs strace, valgrind, nc, socat, ncat, a package of Python's and the rights of root. `ci/real` installs what is missing and
//! runs all of this; where a part is missing still, tests fail.

// Clippy allows it in functions marked as tests only, and not in what they stand on.
#![allow(clippy::unwrap_used)]

#[path = "../support/bystander.rs"]
mod bystander;
#[path = "../support/deadline.rs"]
mod deadline;
#[path = "../load/loader.rs"]
mod loader;
#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "../support/pattern.rs"]
mod pattern;
#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "../support/piped.rs"]
mod piped;
#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "../sim/rng.rs"]
mod rng;
#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "../support/server.rs"]
mod server;
#[path = "../support/soak.rs"]
mod soak_time;
#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "../support/wire.rs"]
mod wire;

mod programs;

mod accuracy;
mod cost;
mod hostile;
mod kernel;
mod load;
mod masses;
mod load_cost;
mod peers;
mod addresses;
mod reach;
mod soak;
mod time;
mod traced;
