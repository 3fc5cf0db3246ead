//! The completions, in the shells that read them, and the pages, in the programs that format them.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use crate::programs::{program, run};

/// A shell that finds `resound` on its path, and runs a script.
fn shell(name: &str, options: &[&str], script: &str) -> Command {
    let folder = Path::new(env!("CARGO_BIN_EXE_resound")).parent().unwrap();
    let path = env::var_os("PATH").unwrap();
    let path = [folder.as_os_str(), &path].join(&OsString::from(":"));
    let mut shell = program(name);
    shell.args(options).args(["-c", script]).env("PATH", path);
    shell
}

#[test]
fn bash_completes_commands_and_options() {
    let complete = |words: &str| {
        let script = format!(
            "set -e; source <(resound completions bash); COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
            _resound resound \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        run(&mut shell("bash", &[], &script))
    };
    assert_eq!(complete("resound ser"), "serve\n");
    assert_eq!(complete("resound serve --drain-t"), "--drain-timeout\n");
    assert_eq!(complete("resound completions f"), "fish\n");
}

#[test]
fn fish_completes_commands_and_options() {
    let complete = |line: &str| {
        let script = format!("resound completions fish | source; complete -C '{line}'");
        run(&mut shell("fish", &["--no-config"], &script))
    };
    assert!(complete("resound ser").starts_with("serve\t"));
    assert!(complete("resound serve --drain-t").starts_with("--drain-timeout\t"));
}

/// Completion itself needs a terminal.
#[test]
fn zsh_finds_and_reads_the_completions() {
    let dir = tempfile::tempdir().unwrap();
    let script = run(Command::new(env!("CARGO_BIN_EXE_resound")).args(["completions", "zsh"]));
    fs::write(dir.path().join("_resound"), script).unwrap();
    let script = format!(
        "set -e; fpath=({} $fpath); autoload -U compinit; compinit -u -D
        autoload +X _resound; print $_comps[resound]",
        dir.path().display()
    );
    assert_eq!(run(&mut shell("zsh", &["-f"], &script)), "_resound\n");
}

#[test]
fn the_pages_are_formatted_without_a_warning() {
    for command in [&[][..], &["serve"], &["connect"], &["ping"], &["load"], &["man"]] {
        let page = run(Command::new(env!("CARGO_BIN_EXE_resound")).arg("man").args(command));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("page.1");
        fs::write(&file, page).unwrap();
        let mut man = program("man");
        man.args(["--warnings", "-l"]).arg(&file).env("MANPAGER", "cat");
        let formatted = crate::command::output(&mut man);
        let text = String::from_utf8(formatted.stdout).unwrap();
        assert!(text.contains("DESCRIPTION"), "{command:?}: {text}");
        assert_eq!(String::from_utf8(formatted.stderr).unwrap(), "", "{command:?}");
    }
}
