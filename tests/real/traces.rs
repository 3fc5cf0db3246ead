//! Traces: what a library for JSON Schema finds in those of real runs, and what it costs to write one.

use std::fs;
use std::io::Write;
use std::net::{Shutdown, UdpSocket};
use std::path::Path;
use std::process::Output;

use rustix::process::Signal;

use crate::accuracy::at_high_priority;
use crate::command::resound;
use crate::cost::figure;
use crate::loader::fine;
use crate::programs::{made, python};
use crate::server::{Server, connect};
use crate::wire::{
    connect_with_little_room, expect_bytes, expect_closed, expect_echo, expect_end, pattern, reset,
    send_until_stuck,
};

/// The rate of a traced server, in parts of that of one that is not.
const LEAST_RATE: f64 = 0.5;

const ROUNDS: usize = 5;

/// Reads a schema and the lines of traces, and prints the names of the records that it has found no fault with.
const VALIDATE: &str = "
import json, sys
from jsonschema import Draft202012Validator
schema = json.load(open(sys.argv[1]))
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
names = set()
for path in sys.argv[2:]:
    for number, line in enumerate(open(path), 1):
        record = json.loads(line)
        for error in validator.iter_errors(record):
            sys.exit(f'{path}:{number}: {error.json_path}: {error.message}')
        names.add(record.get('name', 'header'))
print(*sorted(names))
";

fn validate(traces: &[&Path]) -> Output {
    let schema = made("docs/trace.schema.json");
    python().args(["-c", VALIDATE]).arg(schema).args(traces).output().unwrap()
}

/// A trace of a server that has met all that can be had without a fault of the system.
fn eventful(path: &Path) {
    let addrs = ["127.0.0.1:0", "proxy+127.0.0.1:0", "udp:127.0.0.1:0"];
    let options = ["--trace-kernel", "--idle-timeout", "1s", "--max-connections", "3"];
    let options = [&options[..], &["--proxy-from", "127.0.0.0/8", "--drain-delay", "100ms"]];
    let trace = ["--trace", path.to_str().unwrap()];
    let server = Server::start_at(&addrs, &[&options.concat()[..], &trace].concat());
    let slow = connect_with_little_room(server.addr());
    send_until_stuck(&slow, &pattern(1, 16 << 20));
    let proxied = connect(server.addrs()[1].trim_start_matches("proxy+"));
    (&proxied).write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 7\r\nhello").unwrap();
    expect_bytes(&proxied, b"hello");
    let idle = server.connect();
    expect_echo(&idle, b"then nothing");
    expect_closed(server.connect());
    expect_closed(&idle);
    reset(slow);
    proxied.shutdown(Shutdown::Write).unwrap();
    expect_end(&proxied);
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.connect(server.addrs()[2].trim_start_matches("udp:")).unwrap();
    datagrams.send(b"ping").unwrap();
    assert_eq!(datagrams.recv(&mut [0; 9]).unwrap(), 4);
    server.stop();
}

#[test]
fn traces_of_real_runs_keep_to_their_schema() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    eventful(&path("server"));
    let once = Server::start(&["--once"]);
    let args =
        ["check", once.addr(), "--only", "bytes", "--trace", path("client").to_str().unwrap()]
            .map(str::to_owned);
    assert_eq!(resound(&args).status.code(), Some(1));
    let found = validate(&[&path("server"), &path("client")]);
    let names = String::from_utf8(found.stdout).unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let expected = "case:began case:ended connection:accepted connection:blocked connection:closed \
                    connection:connected connection:connecting connection:expired connection:header \
                    connection:pending connection:proxied connection:read connection:received \
                    connection:refused connection:sent connection:shutdown connection:write \
                    connection:yielded datagram:echoed header listener:accept reactor:deregistered \
                    reactor:ready reactor:registered reactor:waits reactor:woke server:drain_delayed \
                    server:draining server:listening source trace:end";
    assert_eq!(names.trim(), expected);
    // A key of another type is found.
    let text = fs::read_to_string(path("server")).unwrap();
    let wrong = text.replacen("\"asked\":", "\"asked\":-", 1);
    fs::write(path("wrong"), wrong).unwrap();
    assert!(!validate(&[&path("wrong")]).status.success());
}

/// The rate of a load on a server with these options.
fn rate(args: &[&str], load: &[&str]) -> f64 {
    let server = Server::start(args);
    let report = fine(&[&[server.addr()], load].concat());
    server.signal(Signal::TERM);
    report["rate_messages_per_second"].as_f64().unwrap()
}

/// Side by side, round by round: what slows the machine slows both.
#[test]
fn a_traced_server_keeps_more_than_half_of_its_rate() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trace");
    let traced = ["--trace", path.to_str().unwrap(), "--trace-limit", "4g"];
    at_high_priority(|| {
        for connections in ["1", "50"] {
            let load = ["-c", connections, "-d", "500ms", "-s", "64"];
            let mut ratios: Vec<_> =
                (0..ROUNDS).map(|_| rate(&traced, &load) / rate(&[], &load)).collect();
            ratios.sort_by(f64::total_cmp);
            let median = ratios[ROUNDS / 2];
            figure(
                "rate of a traced server, in parts of one that is not",
                format_args!("{median:.2} with {connections} connections of {ratios:.2?}"),
            );
            assert!(median >= LEAST_RATE);
        }
    });
}
