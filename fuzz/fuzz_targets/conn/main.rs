//! Any peer, any system: the fuzzer's bytes decide what a socket answers, and how [`Echo`] is driven.
//!
//! The crate's own tests run *every* short script; this looks for what only long ones do, and for what
//! scratch buffers of changing size do.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resound::conn::{Echo, Next};

use laws::Laws;
use peer::Peer;
use script::{MAX_SCRATCH_BYTES, Script};

mod laws;
mod peer;
mod script;

/// Drives that a connection may take when its script is over: to stall, to flush, to shut, to end.
const DRIVES_AT_THE_END: usize = 6;

fuzz_target!(|bytes: &[u8]| {
    let mut script = Script::new(bytes);
    let once = script.once();
    let echo = if once { Echo::once() } else { Echo::new() };
    // Every drive takes a byte of the script, as long as there are any.
    run(echo, Peer::new(script, Laws::new(once)), bytes.len() + DRIVES_AT_THE_END);
});

fn run(mut echo: Echo, mut peer: Peer, max_drives: usize) {
    let mut space = vec![0; MAX_SCRATCH_BYTES];
    for _ in 0..max_drives {
        let before = peer.script.before();
        if before.finish {
            echo.finish();
        }
        let scratch = &mut space[..before.scratch_bytes];
        // What a drive leaves in the scratch is not to matter to the next.
        scratch.fill(0xff);
        peer.laws.begin(before);
        let drive = echo.drive(&mut peer, before.hint, scratch);
        let turn = drive.next.map_err(|e| e.kind());
        peer.laws.end(turn, &echo);
        match turn {
            Ok(Next::Close) | Err(_) => return,
            Ok(Next::Wait) => peer.script.woken(),
            Ok(Next::Yield | Next::ShutdownWrite) => {}
        }
    }
    panic!("it never ends; so far {:?}", peer.laws.trace());
}
