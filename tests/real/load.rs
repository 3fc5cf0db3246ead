//! `resound load` in its own namespaces: with a full disk, few ports, and link-local addresses.

use std::process::Output;

use serde_json::Value;

use crate::programs::program;

/// Runs a script in its own mount and network namespaces. `$1` is `resound`, and a server listens on port 7007 of
/// every address.
fn in_namespaces(script: &str) -> Output {
    const SERVE: &str = "set -e; ip link set lo up; mount -t tmpfs -o size=64k none /mnt; cd /mnt
        \"$1\" serve -q -l '[::]:7007' & server=$!
        trap 'kill $server' EXIT
        \"$1\" load --wait 20s -c 1 -n 1 127.0.0.1:7007 >&2\n";
    let script = format!("{SERVE}{script}");
    let mut unshare = program("unshare");
    unshare.args(["-mn", "--propagation", "private", "sh", "-c", &script, "sh"]);
    unshare.arg(env!("CARGO_BIN_EXE_resound")).output().unwrap()
}

#[track_caller]
fn expect(output: &Output, words: &[&str]) {
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    for word in words {
        assert!(stdout.contains(word), "no {word:?} in {stdout}\n{stderr}");
    }
}

/// The disk of the new report is full. Neither the old report nor the other one is lost.
#[test]
fn a_full_disk_leaves_the_old_report_as_it_was() {
    let output = in_namespaces(
        "\"$1\" load -c 1 -n 10 --json /mnt/run.json 127.0.0.1:7007 >&2
        head -c 4k /dev/zero | tr '\\0' x > /mnt/run.html
        cp /mnt/run.json /tmp/before.$$
        dd if=/dev/zero of=/mnt/filler bs=1k 2> /dev/null || true
        \"$1\" load -c 1 -n 10 --json /mnt/run.json --report /mnt/run.html 127.0.0.1:7007 2>&1 || echo code $?
        cmp /tmp/before.$$ /mnt/run.json && echo the same
        wc -c < /mnt/run.html
        ls -A /mnt | wc -l
        rm /tmp/before.$$",
    );
    expect(
        &output,
        &["cannot write /mnt/run.json: no space left on device", "code 1\nthe same\n4096\n3\n"],
    );
}

/// Each address has sixteen ports.
#[test]
fn used_up_ports_are_reported_and_more_sources_help() {
    let output = in_namespaces(
        "echo 40000 40015 > /proc/sys/net/ipv4/ip_local_port_range
        \"$1\" load -c 30 -n 300 --source-ip 127.0.0.2 127.0.0.1:7007 2>&1 || echo code $?
        \"$1\" load -c 30 -n 300 --source-ip 127.0.0.3,127.0.0.4 127.0.0.1:7007 && echo fine",
    );
    let help =
        "the ports of 127.0.0.2 are used up; give more addresses to connect from, by --source-ip";
    expect(&output, &[help, "code 1", "\nfine\n"]);
}

#[test]
fn a_link_local_source_needs_its_interface() {
    let output = in_namespaces(
        "ip link add here type veth peer name there; ip link set here up; ip link set there up; ip -6 addr add fe80::17/64 dev here nodad
        \"$1\" load -c 2 -n 20 --source-ip fe80::17%here --json - '[fe80::17%here]:7007' > report
        \"$1\" load --source-ip fe80::17 '[fe80::17%here]:7007' 2>&1 || echo code $?
        echo; cat report",
    );
    let hint = "a link-local address needs its interface: write fe80::17%here";
    expect(&output, &[hint, "code 2"]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let report: Value = serde_json::from_str(&stdout[stdout.find("\n{").unwrap()..]).unwrap();
    assert_eq!(report["messages"], 20, "{report:#}");
}
