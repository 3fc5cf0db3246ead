//! What makes no sense is refused before anything is done, in one line that says what would.

use crate::loader::run;

#[track_caller]
fn expect_usage(args: &[&str], words: &[&str]) {
    let ended = run(&[&["127.0.0.1:9"], args].concat());
    assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
    assert!(ended.stdout.is_empty() && ended.stderr.lines().count() == 1, "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{args:?}: {word} is not in {}", ended.stderr);
    }
}

#[test]
fn impossible_options_are_refused_with_what_would_be_right() {
    for (args, words) in [
        (&["-r", "0"][..], &["--rate", "from 1"][..]),
        (&["-r", "max@p99"], &["--rate", "max@p99=1ms"]),
        (&["-p", "0"], &["--pipeline", "from 1"]),
        (&["-s", "0"], &["--size", "from 1"]),
        (&["-s", "4k-64"], &["--size", "smaller size comes first"]),
        (&["-c", "0"], &["--connections", "from 1"]),
        (&["-n", "0"], &["--count", "from 1"]),
        (&["-d", "0s"], &["--duration", "from 1ms"]),
        (&["-d", "1s", "-n", "5"], &["--duration", "cannot be used with", "--count"]),
        (&["-r", "max@p99=1ms", "-n", "5"], &["max@", "--duration"]),
        (&["--fail-if", "p99"], &["--fail-if", "p99>1ms"]),
        (&["--source-ip", "nowhere"], &["--source-ip"]),
    ] {
        expect_usage(args, words);
    }
}

/// Before the run: nothing listens on that port, which would be the other thing to say.
#[test]
fn a_report_that_cannot_be_written_is_refused_before_the_run() {
    for option in ["--json", "--hdr", "--report"] {
        let ended = run(&["127.0.0.1:9", "-n", "1", option, "/nowhere/at/all"]);
        ended.assert_failed("cannot write /nowhere/at/all: no such file or directory");
    }
}
