//! The small program that `deploy/small` builds: the server alone, in one static file. Beside it, the whole program as
//! one static file, as `deploy/Dockerfile` takes it.

use std::fs;
use std::process::Command;

use crate::cost::{figure, instructions_per_echo};
use crate::programs::{made, program, run};
use crate::server::Server;
use crate::wire::expect_echo;

/// 1.9 MiB. The C library and Rust's standard library take about 1.2 MiB of it: a program that prints the addresses of
/// a name is as large.
const MAX_FILE_BYTES: u64 = 1_992_294;

/// Nearly all of it is the program itself, which the kernel maps in pieces of 64 KiB.
const MAX_STARTED_KIB: usize = 2048;

const MAX_STARTED_OWN_KIB: usize = 300;

/// In user space. It is built for size, so an echo takes more than with the whole program.
const MAX_INSTRUCTIONS_PER_ECHO: f64 = 250.0;

const PROGRAM: &str = "target/x86_64-unknown-linux-gnu/small/resound";

const WHOLE: &str = "target/x86_64-unknown-linux-gnu/release/resound";

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

/// The memory of a started server in KiB: what is resident, and what of that is its own. `-R` switches off the random
/// layout of the address space, which decides how much the kernel maps.
fn started(path: &str) -> (usize, usize) {
    let server = Server::start_command(program("setarch").arg("-R").arg(made(path)).args(SERVE), 1);
    let kib = (server.status_kib("VmRSS"), server.status_kib("RssAnon"));
    expect_echo(server.connect(), b"and it echoes");
    server.stop();
    kib
}

#[test]
fn the_small_program_is_small_when_started() {
    let bytes = fs::metadata(made(PROGRAM)).unwrap().len();
    figure("bytes of the small program", bytes);
    let (all, own) = started(PROGRAM);
    figure("KiB resident when it has started", format_args!("{all}, of them its own: {own}"));
    assert!(bytes <= MAX_FILE_BYTES && all <= MAX_STARTED_KIB && own <= MAX_STARTED_OWN_KIB);
    let (whole, own_of_whole) = started(WHOLE);
    figure(
        "KiB resident when the whole program has started, as one static file",
        format_args!("{whole}, of them its own: {own_of_whole}"),
    );
    assert!(all < whole);
}

#[test]
fn an_echo_of_the_small_program_takes_few_instructions() {
    let mut serve = Command::new(made(PROGRAM));
    let instructions = instructions_per_echo(serve.args(SERVE));
    figure(
        "instructions an echo of the small program, in user space",
        format_args!("{instructions:.1}"),
    );
    assert!(instructions <= MAX_INSTRUCTIONS_PER_ECHO);
}

#[test]
fn the_small_program_needs_no_library_and_has_no_client() {
    let headers =
        run(program("readelf").args(["--program-headers", "--dynamic"]).arg(made(PROGRAM)));
    assert!(!headers.contains("INTERP") && !headers.contains("(NEEDED)"), "{headers}");
    let help = run(Command::new(made(PROGRAM)).arg("--help"));
    assert!(help.contains("serve") && !help.contains("ping"), "{help}");
}
