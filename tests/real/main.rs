//! `resound` with real programs around it: tracers that count its system calls or make them fail, and other clients
//! and servers.
//!
//! These tests need strace, valgrind, nc, socat, ncat, HAProxy, nginx, systemd-socket-activate, a Python package, and
//! root. `ci/real` installs what is missing and runs them. A test whose program is missing fails.

#![allow(clippy::unwrap_used, reason = "clippy allows it in tests, but not in their helpers")]

#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../support/blocks.rs"]
mod blocks;
#[path = "../support/bystander.rs"]
mod bystander;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../support/command.rs"]
mod command;
#[path = "../support/deadline.rs"]
mod deadline;
#[allow(dead_code, reason = "each user of the kit needs a part of it")]
#[path = "../kit/mod.rs"]
mod kit;
#[path = "../load/loader.rs"]
mod loader;
#[path = "../support/passed.rs"]
mod passed;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../support/passing.rs"]
mod passing;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../support/long_stream.rs"]
mod long_stream;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../support/piped.rs"]
mod piped;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../support/scraped.rs"]
mod scraped;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../support/server.rs"]
mod server;
#[path = "../support/soak.rs"]
mod soak_time;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../support/unix.rs"]
mod unix;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../support/wire.rs"]
mod wire;

mod many;
mod programs;

mod accuracy;
mod balancers;
mod build_script;
mod cost;
mod guide;
mod hostile;
mod image;
mod kernel;
mod lint;
mod load;
mod manifests;
mod masses;
mod load_cost;
mod metrics;
mod packages;
mod page;
mod peers;
mod playground;
mod proxy;
mod addresses;
mod reach;
mod restart;
mod scale;
mod shells;
mod small;
mod soak;
mod time;
mod traced;
mod traces;
mod udp;
mod zoo;
