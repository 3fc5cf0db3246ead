//! `build.rs` by itself, in folders with and without a repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use tempfile::TempDir;

use crate::programs::{program, run};

/// The build script as a program, and a folder to run it in.
struct Script {
    program: PathBuf,
    folder: PathBuf,
    _dir: TempDir,
}

impl Script {
    /// Compiles the script. The folder that it runs in is empty.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (script, folder) = (dir.path().join("script"), dir.path().join("folder"));
        fs::create_dir(&folder).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        run(program("rustc").args(["--edition", "2024", "-o"]).arg(&script).arg(source));
        Self { program: script, folder, _dir: dir }
    }

    fn git(&self, args: &[&str]) -> String {
        let who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"];
        run(program("git").args(who).args(args).current_dir(&self.folder))
    }

    fn commit(&self) -> String {
        self.git(&["commit", "-q", "--allow-empty", "-m", "x"]);
        self.git(&["rev-parse", "HEAD"]).trim().into()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("TARGET", "x-y-z").current_dir(&self.folder);
        command
    }

    /// The commit that it finds, and the newest change of what it watches.
    #[track_caller]
    fn found(&self) -> (String, SystemTime) {
        let said = run(&mut self.command());
        let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)).expect(&said);
        assert_eq!(value("cargo::rustc-env=RESOUND_TARGET="), "x-y-z");
        let watched = said.lines().filter_map(|line| line.strip_prefix("cargo::rerun-if-changed="));
        let watched = watched.filter(|path| *path != "build.rs").map(|path| self.folder.join(path));
        let newest = watched.map(|path| newest(&path)).max().unwrap_or(SystemTime::UNIX_EPOCH);
        (value("cargo::rustc-env=RESOUND_COMMIT=").into(), newest)
    }

    /// It finds the commit, and runs again after the next one.
    #[track_caller]
    fn expect_commit(&self, commit: &str) {
        let (found, before) = self.found();
        assert!(found.len() == 12 && commit.starts_with(&found), "{found} and {commit}");
        let next = self.commit();
        let (found, after) = self.found();
        assert!(after > before && next.starts_with(&found), "{found} and {next}");
    }
}

/// As cargo looks: a folder changes with each file in it. A missing file would count as changed each time.
#[track_caller]
fn newest(path: &Path) -> SystemTime {
    let own = fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let within = own.is_dir().then(|| fs::read_dir(path).unwrap());
    let within = within.into_iter().flatten().map(|entry| newest(&entry.unwrap().path()));
    within.chain([own.modified().unwrap()]).max().unwrap()
}

#[test]
fn the_commit_is_found_on_a_branch_without_one_in_a_worktree_and_if_it_is_packed() {
    let mut script = Script::new();
    script.git(&["init", "-q", "."]);
    script.expect_commit(&script.commit());
    script.git(&["switch", "-q", "-c", "feature/nested"]);
    script.expect_commit(&script.commit());
    script.git(&["pack-refs", "--all"]);
    let packed = script.git(&["rev-parse", "HEAD"]);
    script.expect_commit(packed.trim());
    script.git(&["switch", "-q", "--detach"]);
    script.expect_commit(&script.commit());
    script.git(&["worktree", "add", "-q", "-b", "other", "../worktree"]);
    script.folder = script.folder.parent().unwrap().join("worktree");
    script.expect_commit(&script.commit());
}

#[test]
fn there_is_no_commit_without_git_without_a_repository_and_in_another_ones() {
    let mut script = Script::new();
    assert_eq!(script.found().0, "", "no repository");
    script.git(&["init", "-q", "."]);
    assert_eq!(script.found().0, "", "no commit yet");
    script.commit();
    let said = run(script.command().env("PATH", "/nowhere"));
    assert!(said.contains("RESOUND_COMMIT=\n"), "no git: {said}");
    script.folder = script.folder.join("vendored");
    fs::create_dir(&script.folder).unwrap();
    assert_eq!(script.found().0, "", "a folder of another repository");
}
