//! The Debian package that `deploy/deb` builds: checked by lintian, and installed and removed in a real root. The
//! units of systemd that it brings.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::programs::{Under, calls, made, program, run};
use crate::server::Server;
use crate::wire::expect_echo;

const UNITS: [&str; 3] = ["resound.service", "resound@1.service", "resound.socket"];

/// The most that systemd-analyze security may find. 10 is everything.
const MAX_EXPOSURE: f64 = 1.5;

/// The package of this version.
fn package() -> PathBuf {
    made(&format!("target/debian/resound_{}-1_amd64.deb", env!("CARGO_PKG_VERSION")))
}

/// The minimal Debian that ci/real makes.
struct Root(PathBuf);

impl Root {
    fn new() -> Self {
        let root = Self(made("target/real-root"));
        // A test that failed before may have left it there.
        root.dpkg(&["-P", "resound"]);
        root
    }

    /// Runs dpkg in the root.
    fn dpkg(&self, args: &[&str]) -> String {
        run(program("chroot").arg(&self.0).arg("dpkg").args(args))
    }

    /// Every file and folder, but not what dpkg notes for itself.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                }
                files.push(entry.path().strip_prefix(&self.0).unwrap().into());
            }
        }
        files.retain(|file: &PathBuf| !file.starts_with("var/lib/dpkg"));
        files.sort();
        files
    }
}

#[test]
fn lintian_finds_nothing_in_the_package() {
    let found =
        run(program("lintian").args(["--allow-root", "--fail-on", "error,warning"]).arg(package()));
    assert_eq!(found, "");
}

#[test]
fn the_package_installs_works_and_leaves_nothing() {
    let root = Root::new();
    let before = root.files();
    fs::copy(package(), root.0.join("tmp/resound.deb")).unwrap();
    root.dpkg(&["-i", "/tmp/resound.deb"]);
    fs::remove_file(root.0.join("tmp/resound.deb")).unwrap();
    let installed = root.files();
    for file in [
        "usr/bin/resound",
        "etc/default/resound",
        "usr/lib/systemd/system/resound.service",
        "usr/lib/systemd/system/resound@.service",
        "usr/lib/systemd/system/resound.socket",
        "usr/share/bash-completion/completions/resound",
        "usr/share/zsh/vendor-completions/_resound",
        "usr/share/fish/vendor_completions.d/resound.fish",
        "usr/share/doc/resound/copyright",
        "usr/share/doc/resound/changelog.gz",
        "usr/share/doc/resound/changelog.Debian.gz",
        "usr/share/man/man1/resound.1.gz",
        "usr/share/man/man1/resound-serve.1.gz",
        "usr/share/man/man1/resound-load.1.gz",
    ] {
        assert!(installed.contains(&file.into()), "{file} is not installed");
    }
    serves_in(&root);
    root.dpkg(&["-r", "resound"]);
    let kept = root.files();
    assert!(
        kept.contains(&"etc/default/resound".into()) && !kept.contains(&"usr/bin/resound".into())
    );
    root.dpkg(&["-P", "resound"]);
    let left = |file: &&PathBuf| !before.contains(file);
    assert_eq!(root.files().iter().filter(left).collect::<Vec<_>>(), [] as [&PathBuf; 0]);
}

/// The program finds the libraries that the package asks for.
#[track_caller]
fn serves_in(root: &Root) {
    let mut chroot = program("chroot");
    chroot.arg(&root.0).args(["resound", "serve", "--listen", "127.0.0.1:0"]);
    let mut server = Server::start_command(&mut chroot, 1);
    expect_echo(server.connect(), b"hello");
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0), "{:#?}", server.log());
}

/// A command among the files of the package, as if it were installed here.
fn among_the_files(command: &str) -> Command {
    let dir = tempfile::tempdir().unwrap();
    let mut unshare = program("unshare");
    let script = format!(
        "set -e; trap 'rm -r \"$2\"' EXIT; dpkg-deb -x \"$1\" \"$2\"
        mount -t overlay overlay -o lowerdir=\"$2/usr:/usr\" /usr
        cd /usr/lib/systemd/system; {command}"
    );
    unshare.args(["-m", "sh", "-c", &script, "sh"]).arg(package()).arg(dir.keep());
    unshare
}

#[test]
fn systemd_understands_the_units() {
    let verify = format!("systemd-analyze verify {} 2>&1", UNITS.join(" "));
    program("systemd-analyze");
    assert_eq!(run(&mut among_the_files(&verify)), "");
}

#[test]
fn the_services_are_hardly_exposed() {
    for unit in ["resound.service", "resound@.service"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd").join(unit);
        let mut analyze = program("systemd-analyze");
        let found = run(analyze.args(["security", "--offline=true", "--no-pager"]).arg(&path));
        let (_, exposure) = found.rsplit_once("exposure level for ").expect(&found);
        let exposure = exposure.split_whitespace().nth(1).unwrap();
        assert!(exposure.parse::<f64>().unwrap() <= MAX_EXPOSURE, "{unit}: {exposure}");
    }
}

/// Without this, the kernel would refuse a call, and the server would fail on machines with systemd only.
#[test]
fn the_units_allow_each_system_call_that_the_server_makes() {
    let unit = fs::read_to_string(made("deploy/systemd/resound.service")).unwrap();
    let mut allowed = BTreeSet::new();
    for filter in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let calls = filter.trim_start_matches('~').split(' ').flat_map(calls_in).collect();
        allowed = match filter.starts_with('~') {
            true => &allowed - &calls,
            false => &allowed | &calls,
        };
    }
    let server = Under::strace(&["-ttt"], &["--metrics", "127.0.0.1:0", "--spin", "50us"]);
    expect_echo(server.connect(), b"hello");
    let (trace, _) = server.stop();
    let made = calls(&trace);
    assert!(made.len() > 50, "{trace}");
    let refused = made.iter().map(|call| call.name).filter(|name| !allowed.contains(*name));
    assert_eq!(refused.collect::<BTreeSet<_>>(), BTreeSet::new());
}

/// A system call, or the calls of a group such as `@system-service`.
fn calls_in(name: &str) -> BTreeSet<String> {
    if !name.starts_with('@') {
        return BTreeSet::from([name.to_string()]);
    }
    let listed = run(program("systemd-analyze").args(["syscall-filter", "--no-pager", name]));
    // The first line is the name of the group, and a comment says what it is for.
    let members = listed.lines().skip(1).map(str::trim);
    members.filter(|name| !name.is_empty() && !name.starts_with('#')).flat_map(calls_in).collect()
}
