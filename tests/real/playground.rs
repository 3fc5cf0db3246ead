//! The page of the playground: its module does what a native build does, and the page shows it in a real browser. That
//! the module is what the sources give is for `playground/build --check`, which ci/real calls.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::programs::{program, python, run};

const PAGE: &str = "docs/playground/index.html";

/// Random walks, 100,000 steps together: the first seed, how many walks, and the steps of each.
const WALKS: [&str; 3] = ["1", "100", "1000"];

/// A browser that shows the page.
fn browser(act: &str) -> Command {
    program("chromium");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = python();
    python.arg(root.join("tests/real/playground.py")).arg(root.join(PAGE)).arg(act);
    python
}

#[test]
fn webassembly_and_a_native_build_agree_on_random_walks() {
    let webassembly = run(browser("walk").args(WALKS));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--release", "-q", "-p", "resound-playground", "--example", "walk", "--"]);
    let native = run(cargo.args(WALKS));
    assert_eq!(native.lines().count(), 100);
    assert_eq!(webassembly, native);
}

#[test]
fn the_playground_works_in_a_browser() {
    run(&mut browser("check"));
}

/// What `resound trace lint` says of the trace that the page saves, and whether it finds a mistake.
fn lint(link: &str) -> (bool, String) {
    let dir = TempDir::new().unwrap();
    let trace = dir.path().join("playground.jsonl");
    fs::write(&trace, run(browser("trace").args([link, "200"]))).unwrap();
    let mut lint = Command::new(env!("CARGO_BIN_EXE_resound"));
    let output = lint.args(["trace", "lint"]).arg(trace).output().unwrap();
    (!output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn lint_finds_in_a_saved_trace_what_the_page_shows_in_red() {
    let (is_found, words) = lint("#");
    assert!(!is_found, "{words}");
    for (settings, mistake) in [
        ("#scratch=1024&writes=4096&mistakes=undrained-edge", "undrained-edge"),
        ("#level=1&paused=1&message=1024&mistakes=always-writable", "always-writable"),
    ] {
        let (is_found, words) = lint(settings);
        assert!(is_found && words.contains(&format!("resound zoo hint {mistake}")), "{words}");
    }
}
