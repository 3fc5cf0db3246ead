//! What the program prints about itself: its version, completions for shells, and pages of the manual. All of it must
//! hold for the server-only build too.

#![allow(clippy::unwrap_used, reason = "clippy allows it in tests, but not in their helpers")]

use std::process::Command;

#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "support/command.rs"]
mod command;
#[path = "support/deadline.rs"]
mod deadline;

use command::resound;

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

#[track_caller]
fn printed(args: &[&str]) -> String {
    let output = resound(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that the help lists.
fn commands() -> Vec<String> {
    let help = printed(&["-h"]);
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.map(|line| line.split_whitespace().next().unwrap().to_string());
    let names: Vec<_> = names.filter(|name| name != "help").collect();
    assert!(names.iter().any(|name| name == "serve"), "{help}");
    names
}

/// The long options that the help of a command lists.
fn options(command: &str) -> Vec<String> {
    let help = printed(&[command, "--help"]);
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| line.split([' ', ',']).filter(|w| w.starts_with("--")));
    let names: Vec<_> = words.map(|word| word.trim_end_matches('.').to_string()).collect();
    assert!(names.contains(&"--version".into()), "{help}");
    names
}

/// What git says of the repository whose root this package is, if it is one.
fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().into())
    };
    let prefix: String = git(&["rev-parse", "--show-prefix"])?;
    git(&["rev-parse", "HEAD"]).filter(|_| prefix.is_empty())
}

#[test]
fn the_version_names_the_commit_and_the_target() {
    let version = printed(&["--version"]);
    let start = concat!("resound ", env!("CARGO_PKG_VERSION"), " (");
    let build = version.strip_prefix(start).and_then(|rest| rest.strip_suffix(")\n"));
    let build = build.unwrap_or_else(|| panic!("{version}"));
    let target = match (build.split_once(", "), commit()) {
        (Some((short, target)), Some(commit)) => {
            assert!(short.len() >= 12 && commit.starts_with(short), "{version}, and HEAD {commit}");
            target
        }
        (None, None) => build,
        (_, commit) => panic!("{version}, and HEAD {commit:?}"),
    };
    assert!(target.starts_with(std::env::consts::ARCH), "{version}");
    assert_eq!(printed(&["-V"]), version);
    // Failed when only `resound` had --version, and when `resound serve --version` printed resound-serve.
    for command in commands() {
        for flag in ["--version", "-V"] {
            assert_eq!(printed(&[&command, flag]), version, "{command} {flag}");
        }
    }
}

#[test]
fn completions_have_every_command_and_option() {
    let scripts = SHELLS.map(|shell| printed(&["completions", shell]));
    for command in commands() {
        for option in options(&command) {
            // fish writes an option without its hyphens: -l version.
            let in_fish = option.replace("--", "-l ");
            for (script, name) in scripts.iter().zip([&option, &option, &in_fish]) {
                assert!(script.contains(name.as_str()), "{command} {option} in {script}");
            }
        }
        scripts.iter().for_each(|script| assert!(script.contains(&command), "{command}"));
    }
}

#[test]
fn every_command_has_a_page_that_explains_its_options() {
    for command in commands() {
        let page = printed(&["man", &command]);
        assert!(page.contains(&format!(".TH resound-{command} 1 ")), "{page}");
        assert!(page.contains(&format!("\\fBresound {command}\\fR")), "{page}");
        let synopsis = synopsis(&page);
        for option in options(&command) {
            let explained = format!("\\fB{}\\fR", option.replace('-', "\\-"));
            assert!(page.contains(&explained), "{option} in {page}");
            assert!(synopsis.contains(&option), "{option} in {synopsis}");
        }
    }
}

/// The synopsis of a page, without escapes.
fn synopsis(page: &str) -> String {
    let mut lines = page.lines().skip_while(|line| *line != ".SH SYNOPSIS").skip(1);
    lines.next().unwrap().replace("\\-", "-").replace("\\fB", "").replace("\\fR", "")
}

/// Failed when it was `[--max-connections]`, as if it were a flag.
#[test]
fn the_synopsis_shows_the_values_of_options() {
    let synopsis = synopsis(&printed(&["man", "serve"]));
    assert!(synopsis.starts_with("resound serve [-l|--listen <ADDR>]... ["), "{synopsis}");
    for word in ["[--max-connections <N>]", "[--allow <CIDR>]...", "[--once]", "[-q|--quiet]"] {
        assert!(synopsis.contains(word), "{word} in {synopsis}");
    }
    assert!(synopsis.contains(" [-v|--verbose...]") && !synopsis.contains("]......"), "{synopsis}");
}

#[test]
fn the_page_of_the_program_lists_the_pages_of_its_commands() {
    let page = printed(&["man"]);
    assert!(page.contains(".TH resound 1 "), "{page}");
    let listed = page.lines().filter_map(|line| line.strip_prefix("resound\\-"));
    let listed: Vec<_> = listed.map(|line| line.trim_end_matches("(1)").to_string()).collect();
    assert_eq!(listed, commands());
    assert_eq!(printed(&["completions", "man"]), page);
}

#[test]
fn other_shells_and_unknown_commands_are_refused_in_one_line() {
    for (args, line) in [
        (&["completions", "tcsh"][..], "[possible values: bash, zsh, fish]"),
        (&["completions"], "required arguments were not provided: <SHELL>"),
        (&["man", "sevre"], "there is no command 'sevre'; write serve, "),
        (&["man", "help"], "there is no command 'help'; write serve, "),
        (&["man", "\u{1b}[2J"], "there is no command '\\u{1b}[2J'; write serve, "),
    ] {
        let output = resound(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}: {said}");
        assert!(said.lines().count() == 1 && said.contains(line), "{args:?}: {said}");
    }
}
