//! The program without the feature `clients`: `cargo test --no-default-features`.

#![cfg(not(feature = "clients"))]
#![allow(clippy::unwrap_used, reason = "clippy allows it in tests, but not in their helpers")]

#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "support/command.rs"]
mod command;
#[path = "support/deadline.rs"]
mod deadline;

use command::resound;

const CLIENTS: [&str; 3] = ["connect", "ping", "load"];

/// The line on standard error if the arguments are refused.
#[track_caller]
fn refused(args: &[&str]) -> String {
    let output = resound(args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
    said
}

#[test]
fn the_help_the_manual_and_the_completions_name_no_client() {
    const HELP: [&[&str]; 2] = [&["--help"], &["serve", "--help"]];
    const MANUAL: [&[&str]; 5] = [
        &["man"],
        &["man", "serve"],
        &["completions", "bash"],
        &["completions", "zsh"],
        &["completions", "fish"],
    ];
    let manual = MANUAL.iter().filter(|_| cfg!(feature = "manual"));
    for args in HELP.iter().chain(manual).copied() {
        let output = resound(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap().replace('\\', "");
        for name in CLIENTS {
            // Completions in zsh and bash name a command after such a mark.
            for mark in ["resound ", "resound-", "resound__subcmd__", "'"] {
                let name = format!("{mark}{name}");
                assert!(!text.contains(&name), "{args:?} has {name}: {text}");
            }
        }
    }
}

#[test]
fn a_client_is_refused_with_the_reason() {
    for name in CLIENTS {
        let said = refused(&[name, "127.0.0.1:7"]);
        let reason = "this program was built without the clients, and so without ";
        assert!(said.contains(&format!("{reason}{name};")), "{said}");
    }
    // What other programs call a client.
    assert!(refused(&["bench"]).contains("and so without load"));
}

#[test]
fn advice_names_no_client() {
    for (args, advice) in [
        (
            &["127.0.0.1:7107"][..],
            "write a command before it: resound serve --listen 127.0.0.1:7107;",
        ),
        (&["--port", "7107"], "write resound serve --listen 127.0.0.1:7107;"),
        (&["echo"], "write resound serve;"),
        (&["xyzzy"], "write serve;"),
    ] {
        let said = refused(args);
        assert!(said.contains(advice), "{args:?}: {said}");
    }
}
