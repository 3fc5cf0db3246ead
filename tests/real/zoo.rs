//! The servers of the zoo: `resound check` convicts each, and names its mistake. Mended, each passes.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

use crate::programs::program;

/// Of each server, the cases that must fail, and the beginnings of those that can fail too, by the same mistake. No others
/// may. The first that fails must be named for it.
const MISTAKES: [(&str, &[&str], &[&str]); 18] = [
    ("undrained-edge", &["bytes/sizes"], &["bytes/", "many/mixed", "end/"]),
    ("undrained-listener", &[], &["many/second", "many/at-once", "many/burst", "sanity/last"]),
    ("lost-tail", &["pressure/read-late"], &["bytes/16m", "end/half-close-8m", "pressure/"]),
    ("sent-twice", &["pressure/read-late"], &["bytes/16m", "end/half-close-8m", "pressure/"]),
    ("half-close-drops-tail", &["end/half-close-8m"], &["end/half-close-64k"]),
    ("hang-up-first", &[], &["end/with-data", "end/half-close-64k"]),
    ("end-ignored", &["end/closes"], &["process/"]),
    ("always-writable", &["process/idle"], &["process/"]),
    ("whole-buffer", &["sanity/first"], &[]),
    ("short-read-ends", &["bytes/dribbled"], &["bytes/", "many/", "end/", "hostile/", "process/"]),
    ("text-only", &["bytes/all-values"], &["bytes/", "many/mixed", "end/"]),
    ("unbounded-output", &["pressure/bounded"], &[]),
    ("blocking-socket", &["many/second"], &["process/"]),
    ("accept-error-ends", &["process/out-of-descriptors"], &[]),
    ("emfile-spin", &["process/out-of-descriptors"], &[]),
    ("deaf-listener", &["process/out-of-descriptors"], &[]),
    ("greedy-peer", &["hostile/flood"], &[]),
    (
        "stuck-back-pressure",
        &["pressure/read-late"],
        &["bytes/16m", "pressure/", "end/half-close-8m"],
    ),
];

/// The program that holds all of them.
pub fn zoo() -> String {
    let mut cargo = program(env!("CARGO"));
    cargo.args(["build", "--release", "-q", "-p", "resound-zoo"]);
    assert!(cargo.status().unwrap().success());
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_resound")).parent().unwrap();
    folder.join("resound-zoo").to_str().unwrap().into()
}

fn check(words: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resound"));
    let output =
        command.args(["check", "--json", "--seed", "7", "--"]).args(words).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// The cases that failed, with the specimen that each was diagnosed as.
fn failures(report: &Value) -> Vec<(String, String)> {
    let cases = report["cases"].as_array().unwrap().iter();
    let failed = cases.filter(|case| case["verdict"] == "fail");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    failed.map(|case| (text(&case["id"]), text(&case["diagnosis"]["specimen"]))).collect()
}

/// Two at a time: most of the time of a check is waiting.
fn each(act: impl Fn(&(&str, &[&str], &[&str])) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(mistake) = MISTAKES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    act(mistake);
                }
            });
        }
    });
}

#[test]
fn each_server_of_the_zoo_is_convicted_and_its_mistake_named() {
    let zoo = zoo();
    each(|(name, must, may)| {
        let report = check(&[&zoo, name, "{port}"]);
        let failed = failures(&report);
        assert!(report["seconds"].as_f64().unwrap() <= 45.0, "{name}: {report:#}");
        let first = failed.first().unwrap_or_else(|| panic!("{name} passes"));
        assert_eq!(&first.1, name, "{name}: {failed:?}");
        let ids: Vec<_> = failed.iter().map(|(id, _)| id.as_str()).collect();
        assert!(must.iter().all(|id| ids.contains(id)), "{name}: {ids:?}");
        let may_fail =
            |id: &str| must.contains(&id) || may.iter().any(|start| id.starts_with(start));
        assert!(ids.iter().all(|id| may_fail(id)), "{name}: {ids:?}");
    });
}

#[test]
fn each_server_of_the_zoo_passes_when_it_is_mended() {
    let zoo = zoo();
    each(|(name, ..)| {
        let report = check(&[&zoo, name, "--mended", "{port}"]);
        assert!(failures(&report).is_empty(), "{name}: {:?}", failures(&report));
        assert_eq!(report["not_run"], 0, "{name}: {report:#}");
    });
}
