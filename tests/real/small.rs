//! The small program that `deploy/small` builds: the server alone, in one static file.

use std::fs;

use crate::cost::figure;
use crate::programs::{made, program, run};
use crate::server::Server;
use crate::wire::expect_echo;

/// 1.9 MiB. The C library and Rust's standard library take about 1.2 MiB of it: a program that prints the addresses of
/// a name is as large.
const MAX_FILE_BYTES: u64 = 1_992_294;

/// Nearly all of it is the program itself, which the kernel maps in pieces of 64 KiB.
const MAX_STARTED_KIB: usize = 2048;

const MAX_STARTED_OWN_KIB: usize = 300;

const PROGRAM: &str = "target/x86_64-unknown-linux-gnu/small/resound";

/// `-R` switches off the random layout of the address space, which decides how much the kernel maps.
#[test]
fn the_small_program_is_small_when_started() {
    let path = made(PROGRAM);
    let bytes = fs::metadata(&path).unwrap().len();
    let mut serve = program("setarch");
    serve.arg("-R").arg(&path).args(["serve", "--listen", "127.0.0.1:0"]);
    let server = Server::start_command(&mut serve, 1);
    let (all, own) = (server.status_kib("VmRSS"), server.status_kib("RssAnon"));
    figure("bytes of the small program", bytes);
    figure("KiB resident when it has started", format_args!("{all}, of them its own: {own}"));
    assert!(bytes <= MAX_FILE_BYTES && all <= MAX_STARTED_KIB && own <= MAX_STARTED_OWN_KIB);
    expect_echo(server.connect(), b"and it echoes");
    server.stop();
}

#[test]
fn the_small_program_needs_no_library_and_has_no_client() {
    let headers =
        run(program("readelf").args(["--program-headers", "--dynamic"]).arg(made(PROGRAM)));
    assert!(!headers.contains("INTERP") && !headers.contains("(NEEDED)"), "{headers}");
    let help = run(std::process::Command::new(made(PROGRAM)).arg("--help"));
    assert!(help.contains("serve") && !help.contains("ping"), "{help}");
}
