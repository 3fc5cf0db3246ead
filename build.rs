//! Tells `src/version.rs` from which commit and for which target it is built.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    println!("cargo::rustc-env=RESOUND_TARGET={target}");
    let commit = commit();
    println!("cargo::rustc-env=RESOUND_COMMIT={}", commit.as_deref().unwrap_or_default());
    if commit.is_some() {
        watch_head();
    }
}

/// The commit, if this is the root of a git repository. A package from a registry has none, or lies in the repository
/// of another project.
fn commit() -> Option<String> {
    let is_root = git(&["rev-parse", "--show-prefix"])?.is_empty();
    // git shows more digits if these could mean several objects.
    git(&["rev-parse", "--short=12", "HEAD"]).filter(|_| is_root)
}

/// Runs this script again if HEAD names another branch or commit, or the branch another commit.
fn watch_head() {
    // Without a branch, the commit stands in HEAD itself.
    let branch = git(&["symbolic-ref", "-q", "HEAD"]);
    for name in ["HEAD".into()].into_iter().chain(branch) {
        let path = git(&["rev-parse", "--git-path", &name]).map(PathBuf::from);
        // A packed branch has no file. With the next commit it gets one, in the folder that is watched instead: a
        // missing file counts as changed, so this script would run each time.
        let path = path.as_deref().and_then(|path| path.ancestors().find(|path| path.exists()));
        path.iter().for_each(|path| println!("cargo::rerun-if-changed={}", path.display()));
    }
}

/// What git prints, if it is there and succeeds.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(text.trim().into())
}
