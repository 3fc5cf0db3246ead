//! `resound trace lint` on straces of other servers: it names the mistake of each server of the zoo, as `resound check`
//! does, and finds none in those that are mended, nor in a server in C and in proxies of others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::command::output;
use crate::programs::{program, run};
use crate::zoo::zoo;

/// Of each server of the zoo, the case that convicts it.
const CASES: [(&str, &str); 18] = [
    ("undrained-edge", "bytes/sizes"),
    ("undrained-listener", "many/burst"),
    ("lost-tail", "pressure/read-late"),
    ("sent-twice", "pressure/read-late"),
    ("half-close-drops-tail", "end/half-close-8m"),
    ("hang-up-first", "end/with-data"),
    ("end-ignored", "end/closes"),
    ("always-writable", "process/idle"),
    ("whole-buffer", "bytes/one"),
    ("short-read-ends", "end/not-before"),
    ("text-only", "bytes/all-values"),
    ("unbounded-output", "pressure/bounded"),
    ("blocking-socket", "many/second"),
    ("accept-error-ends", "process/out-of-descriptors"),
    ("emfile-spin", "process/out-of-descriptors"),
    ("deaf-listener", "process/out-of-descriptors"),
    ("greedy-peer", "hostile/flood"),
    ("stuck-back-pressure", "pressure/read-late"),
];

/// A server that `resound check` checks while strace records it.
struct Recorded {
    /// What the check found out.
    report: Value,
    straces: Vec<PathBuf>,
    _dir: TempDir,
}

impl Recorded {
    /// `server`: a command for sh, in which `{port}` stands for the port.
    fn new(server: &str, cases: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The check starts a server again that has died. Each has a file of its own.
        let file = dir.path().join("$$.strace");
        let traced = format!("exec strace -f -ttt -T -yy -o {} {server}", file.display());
        let mut command = resound();
        command.args(["check", "--json", "--seed", "7"]);
        command.args(cases.iter().flat_map(|case| ["--only", case]));
        let output = output(command.args(["--", "sh", "-c", &traced]));
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|e| panic!("{server}: {e}: {output:?}"));
        let files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        Self { report, straces: files.collect(), _dir: dir }
    }

    /// The mistakes that the traces show, one line each.
    fn mistakes(&self) -> Vec<String> {
        assert!(!self.straces.is_empty(), "strace has written nothing");
        let mut found: Vec<_> = self.straces.iter().flat_map(|strace| lint(strace)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The specimens that the check names for the cases that failed. Empty for a case without a diagnosis.
    fn convicted_as(&self) -> Vec<&str> {
        let cases = self.report["cases"].as_array().unwrap().iter();
        let failed = cases.filter(|case| case["verdict"] == "fail");
        failed.map(|case| case["diagnosis"]["specimen"].as_str().unwrap_or_default()).collect()
    }
}

fn resound() -> Command {
    Command::new(env!("CARGO_BIN_EXE_resound"))
}

/// Imports an strace, and returns the specimens that lint names; of a mistake without one, its line.
fn lint(strace: &Path) -> Vec<String> {
    let trace = strace.with_extension("jsonl");
    run(resound().args(["trace", "import"]).arg(strace).arg("-o").arg(&trace));
    let Output { status, stdout, .. } = output(resound().args(["trace", "lint"]).arg(&trace));
    let text = String::from_utf8(stdout).unwrap();
    let found: Vec<_> =
        text.split("\n\n").filter(|part| part.starts_with("record ")).map(named).collect();
    assert_eq!(status.code(), Some(i32::from(!found.is_empty())), "{text}");
    found
}

fn named(finding: &str) -> String {
    match finding.split_once("resound zoo hint ") {
        Some((_, name)) => name.split(';').next().unwrap_or_default().into(),
        None => finding.into(),
    }
}

/// Two at a time: most of the time of a check is waiting.
fn each(act: impl Fn(&(&str, &str)) + Sync) {
    let (one, other) = CASES.split_at(CASES.len() / 2);
    thread::scope(|scope| {
        for half in [one, other] {
            scope.spawn(|| half.iter().for_each(&act));
        }
    });
}

#[test]
fn lint_and_check_name_the_same_mistake_of_each_server_of_the_zoo() {
    let zoo = zoo();
    each(|(name, case)| {
        let recorded = Recorded::new(&format!("{zoo} {name} {{port}}"), &[case]);
        // While strace slows the server down, the check may see too little for a diagnosis.
        let convicted = recorded.convicted_as();
        let agrees = convicted.iter().all(|specimen| specimen.is_empty() || specimen == name);
        assert!(agrees && !convicted.is_empty(), "{name}: {:#}", recorded.report);
        assert_eq!(recorded.mistakes(), [*name], "of {name}");
    });
}

#[test]
fn lint_finds_nothing_in_the_mended_servers_of_the_zoo() {
    let zoo = zoo();
    each(|(name, case)| {
        let recorded = Recorded::new(&format!("{zoo} {name} --mended {{port}}"), &[case]);
        assert_eq!(recorded.mistakes(), [""; 0], "of {name}, mended");
    });
}

/// Cases that use a server in every usual way.
const USUAL: [&str; 6] =
    ["bytes/sizes", "many/burst", "many/mixed", "end", "pressure/read-late", "hostile/reset"];

#[test]
fn lint_finds_nothing_in_resound() {
    let server = format!("{} serve -l 127.0.0.1:{{port}}", env!("CARGO_BIN_EXE_resound"));
    let cases = [&USUAL[..], &["process/out-of-descriptors"]].concat();
    assert_eq!(Recorded::new(&server, &cases).mistakes(), [""; 0]);
}

/// It is edge-triggered and correct, but for what it does without descriptors: lint names that. With `-k`, the trace has
/// its lines of source.
#[test]
fn lint_reads_a_server_in_c() {
    let dir = tempfile::tempdir().unwrap();
    let server = dir.path().join("reference");
    run(program("cc").args(["-g", "-O1", "-o"]).arg(&server).arg("benches/peers/c/reference.c"));
    let command = format!("{} 127.0.0.1:{{port}}", server.display());
    assert_eq!(Recorded::new(&command, &USUAL).mistakes(), [""; 0]);
    let short = Recorded::new(&format!("-k {command}"), &["process/out-of-descriptors"]);
    assert_eq!(short.mistakes(), ["deaf-listener"]);
    let trace = fs::read_to_string(short.straces[0].with_extension("jsonl")).unwrap();
    assert!(trace.contains("\"place\":\"benches/peers/c/reference.c:"), "{trace}");
    assert!(trace.contains("\"name\":\"source\""), "{trace}");
}

/// Two proxies that are known to be right. They move bytes between two connections, with several processes or threads.
#[test]
fn lint_finds_nothing_in_proxies_of_others() {
    let echo = crate::server::Server::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    for (name, config, command) in [
        ("nginx", include_str!("lint/nginx.conf"), "nginx -e stderr -p DIR -c DIR/nginx"),
        ("haproxy", include_str!("lint/haproxy.cfg"), "haproxy -q -f DIR/haproxy"),
    ] {
        let here = dir.path().to_str().unwrap();
        program(name);
        let config = config.replace("ECHO", echo.addr());
        fs::write(dir.path().join(name), config.replace("DIR", here)).unwrap();
        let set_port = format!("sh -c \"sed -i s/PORT/{{port}}/ DIR/{name}; exec {command}\"");
        let recorded = Recorded::new(&set_port.replace("DIR", here), &USUAL[..4]);
        let first = &recorded.report["cases"][0];
        assert_eq!(first["verdict"], "pass", "{name} does not serve: {:#}", recorded.report);
        assert_eq!(recorded.mistakes(), [""; 0], "{name}");
    }
}
