//! Any peer, any system: the fuzzer's bytes decide what a socket answers, and how the connection is driven.
//!
//! The crate's own tests run *every* short script. This target looks for what only long scripts show, and scratch
//! buffers of changing size.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resound::conn::Next;

use kit::checked::Checked;
use script::Bytes;

#[allow(dead_code, reason = "each user of the kit needs a part of it")]
#[path = "../../../tests/kit/mod.rs"]
mod kit;
mod script;

/// Drives that a connection may take after the script: to stall, to flush, to shut down writing, to end.
const DRIVES_AT_THE_END: usize = 6;

fuzz_target!(|bytes: &[u8]| {
    let mut script = Bytes::new(bytes);
    let new = if script.once() { Checked::once } else { Checked::new };
    // Each drive takes a byte of the script while there are any.
    run(new(1, script), bytes.len() + DRIVES_AT_THE_END);
});

fn run(mut run: Checked<Bytes>, max_drives: usize) {
    for _ in 0..max_drives {
        let before = run.socket.script.before_drive();
        if before.finish {
            run.finish();
        }
        run.scratch.resize(before.scratch_bytes, 0);
        run.socket.calls.clear();
        match run.drive(before.short_read) {
            Ok(Next::Close) | Err(_) => return,
            Ok(Next::Wait) => run.socket.script.on_wait(),
            Ok(Next::Yield | Next::ShutdownWrite) => {}
        }
    }
    panic!("it never ends; last {:?}", run.socket.calls);
}
