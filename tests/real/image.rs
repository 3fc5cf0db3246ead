//! The image of `deploy/Dockerfile`: built by buildah, and run by runc without any rights.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::output;
use crate::programs::{made, program, run, within_process};
use crate::server::{Server, connect};
use crate::wire::{expect_echo, pattern};

const ADDR: &str = "127.0.0.1:7007";

/// A name that only the hosts file of the container knows.
const NAME: &str = "echo.test";

/// An image that buildah has built, in a storage of its own.
struct Image {
    dir: TempDir,
    /// Its settings, as Docker knows them.
    config: Value,
    /// Where its files are.
    root: PathBuf,
}

impl Image {
    fn build() -> Self {
        made("target/x86_64-unknown-linux-gnu/release/resound");
        let dir = tempfile::tempdir().unwrap();
        // HEALTHCHECK is a setting of Docker's format. Nothing runs while it is built, so no isolation is needed.
        let build = ["build", "--isolation", "chroot", "--format", "docker", "-t", "resound"];
        let mut building = buildah(dir.path(), &build);
        run(building
            .args(["-f", "deploy/Dockerfile", "."])
            .current_dir(env!("CARGO_MANIFEST_DIR")));
        let inspected = run(&mut buildah(dir.path(), &["inspect", "--type", "image", "resound"]));
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        let name = run(&mut buildah(dir.path(), &["from", "localhost/resound"]));
        let root = run(&mut buildah(dir.path(), &["mount", name.trim()]));
        Self { config: inspected["Docker"]["config"].clone(), root: root.trim().into(), dir }
    }

    /// Starts a container with the command of the image, and waits until it listens.
    fn start(self) -> Container {
        let bundle = self.dir.path().join("bundle");
        fs::create_dir(&bundle).unwrap();
        run(program("runc").args(["spec", "--bundle"]).arg(&bundle));
        let path = bundle.join("config.json");
        let mut spec = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        self.restrict(&mut spec);
        fs::write(&path, spec.to_string()).unwrap();
        let mut run = runc(self.dir.path(), &["run", "--bundle"]);
        let server = Server::start_command(run.arg(&bundle).arg("echo"), 2);
        Container { server, image: self }
    }

    /// The user and the command are those of the image. The rest is what Kubernetes calls restricted.
    fn restrict(&self, spec: &mut Value) {
        let words = |name: &str| self.config[name].as_array().unwrap().clone();
        let user: Vec<u32> = self.user().split(':').map(|id| id.parse().unwrap()).collect();
        let process = &mut spec["process"];
        process["terminal"] = json!(false);
        process["user"] = json!({ "uid": user[0], "gid": user[1] });
        process["args"] = [words("Entrypoint"), words("Cmd")].concat().into();
        process["capabilities"] = json!({});
        process["noNewPrivileges"] = json!(true);
        spec["root"] = json!({ "path": self.root, "readonly": true });
        let hosts = self.dir.path().join("hosts");
        fs::write(&hosts, format!("127.0.0.1 {NAME}\n")).unwrap();
        spec["mounts"].as_array_mut().unwrap().push(json!({
            "destination": "/etc/hosts", "type": "bind", "source": hosts, "options": ["bind", "ro"],
        }));
    }

    fn user(&self) -> &str {
        self.config["User"].as_str().unwrap()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = output(&mut runc(self.dir.path(), &["delete", "--force", "echo"]));
        let _ = output(&mut buildah(self.dir.path(), &["umount", "--all"]));
    }
}

/// A storage of its own: the test leaves none of it behind, and it needs no file system that can be stacked.
fn buildah(dir: &Path, args: &[&str]) -> Command {
    let mut buildah = program("buildah");
    buildah.args(["--storage-driver", "vfs", "--root"]).arg(dir.join("storage"));
    buildah.arg("--runroot").arg(dir.join("run")).args(args);
    buildah
}

fn runc(dir: &Path, args: &[&str]) -> Command {
    let mut runc = program("runc");
    runc.arg("--root").arg(dir.join("containers")).args(args);
    runc
}

/// A container that serves.
struct Container {
    /// runc, which passes on the log of the server.
    server: Server,
    image: Image,
}

impl Container {
    fn runc(&self, args: &[&str]) -> Command {
        runc(self.image.dir.path(), args)
    }

    /// The server itself.
    fn pid(&self) -> Pid {
        let state: Value = serde_json::from_str(&run(&mut self.runc(&["state", "echo"]))).unwrap();
        Pid::from_raw(state["pid"].as_i64().unwrap() as i32).unwrap()
    }

    fn connect(&self) -> TcpStream {
        within_process(self.pid(), || connect(ADDR))
    }

    /// What the kernel says of the server.
    fn status(&self, name: &str) -> String {
        let status = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let status = fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn the_image_holds_the_program_alone() {
    let image = Image::build();
    let files = fs::read_dir(&image.root).unwrap().map(|file| file.unwrap().file_name());
    assert_eq!(files.collect::<Vec<_>>(), ["resound"]);
    assert_eq!(image.user(), "65532:65532");
    let ports = image.config["ExposedPorts"].as_object().unwrap();
    assert_eq!(ports.keys().collect::<Vec<_>>(), ["7007/tcp", "7007/udp"]);
}

#[test]
fn a_container_without_any_rights_echoes_and_drains() {
    let mut container = Image::build().start();
    assert_eq!(container.status("Uid:"), "65532 65532 65532 65532");
    assert_eq!(container.status("CapBnd:"), "0000000000000000");
    assert_eq!(container.status("NoNewPrivs:"), "1");
    let mounts = format!("/proc/{}/mountinfo", container.pid().as_raw_nonzero());
    let mounts = fs::read_to_string(mounts).unwrap();
    let is_root = |line: &&str| line.split(' ').nth(4) == Some("/");
    let root = mounts.lines().find(is_root).unwrap();
    assert!(root.split(' ').nth(5).unwrap().starts_with("ro,"), "{root}");

    // The health check, and one through a name: the C library of a static program looks it up without any other file.
    let check = container.image.config["Healthcheck"]["Test"].as_array().unwrap().clone();
    let check: Vec<_> = check.iter().skip(1).map(|word| word.as_str().unwrap()).collect();
    run(container.runc(&["exec", "echo"]).args(check));
    let by_name = ["exec", "echo", "/resound", "ping", "-c", "1", &format!("{NAME}:7007")];
    let pinged = run(&mut container.runc(&by_name));
    assert!(pinged.contains("1 received"), "{pinged}");

    // What is on its way when the signal comes is echoed, and the exit code is 0.
    let (idle, mut busy) = (container.connect(), container.connect());
    expect_echo(&idle, b"hello");
    let message = pattern(7, 1 << 20);
    let mut writer = busy.try_clone().unwrap();
    let sent = message.clone();
    let writes = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut first = [0; 1];
    busy.read_exact(&mut first).unwrap();
    run(&mut container.runc(&["kill", "echo", "TERM"]));
    let mut rest = Vec::new();
    busy.read_to_end(&mut rest).unwrap();
    writes.join().unwrap();
    assert!(first[0] == message[0] && rest == message[1..], "{} bytes came back", rest.len());
    assert_eq!(container.server.wait().code(), Some(0), "{:#?}", container.server.log());
    let log = container.server.log();
    assert!(log.last().unwrap().contains("stopped: "), "{log:#?}");
}
