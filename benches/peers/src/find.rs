//! Finds the peers that are available, and says why the others are not.

use std::env;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::list::{Peer, Source};
use crate::make;

/// Where to look for the programs.
#[derive(Clone, Debug)]
pub struct Places {
    /// The directory with the binaries of this package. What Cargo does not build goes into a directory below it.
    pub binaries: PathBuf,
    /// The `resound` to compare with.
    pub resound: PathBuf,
    /// A virtual environment for the peers written in Python. Without it, the system's Python runs them.
    pub venv: PathBuf,
}

impl Places {
    /// The places beside this program, which is one of this package's binaries.
    pub fn beside_me() -> io::Result<Self> {
        Ok(Self::beside(&env::current_exe()?))
    }

    /// The places beside a binary of this package. For `target/peers`, `resound` is that of `target/release`.
    pub fn beside(binary: &Path) -> Self {
        let binaries = binary.parent().unwrap_or(binary).to_path_buf();
        let target = binaries.parent().unwrap_or(&binaries);
        let (resound, venv) = (target.join("release/resound"), target.join("peers-venv"));
        Self { binaries, resound, venv }
    }

    /// The directory for what Cargo does not build.
    fn outside(&self) -> PathBuf {
        self.binaries.join("outside")
    }
}

/// A minimal load generator in C. Builds it if necessary. Its arguments are the server's address, the number of
/// connections, the bytes of a message, and seconds.
pub fn c_generator(places: &Places) -> Result<PathBuf, Missing> {
    make::c(&source("c", "generator.c"), None, &places.outside())
}

/// Why a peer is not available.
#[derive(Debug)]
pub enum Missing {
    /// This machine lacks something that the peer needs.
    Absent(String),
    /// Everything is there, but it does not work.
    Broken(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (Self::Absent(why) | Self::Broken(why)) = self;
        f.write_str(why)
    }
}

impl Error for Missing {}

impl From<io::Error> for Missing {
    fn from(e: io::Error) -> Self {
        Self::Broken(e.to_string())
    }
}

/// An available peer, built and ready to start.
#[derive(Debug)]
pub struct Found {
    /// Which peer it is.
    pub peer: &'static Peer,
    program: PathBuf,
    /// The script that its program runs, if the program is an interpreter.
    script: Option<PathBuf>,
}

impl Peer {
    /// Looks for the peer, and builds it if necessary, unless Cargo builds it.
    pub fn find(&'static self, places: &Places) -> Result<Found, Missing> {
        let outside = places.outside();
        let mut script = None;
        let program = match &self.source {
            Source::Resound => built(places.resound.clone(), "cargo build --release"),
            Source::Cargo("monoio-echo") if !monoio::utils::detect_uring() => {
                Err(Missing::Absent("this kernel has no io_uring, or forbids it".into()))
            }
            Source::Cargo(name) => {
                built(places.binaries.join(name), "cargo build --profile peers -p resound-peers")
            }
            Source::C { file, library } => make::c(&source("c", file), library.as_ref(), &outside),
            Source::Go { file } => make::go(&source("go", file), &outside),
            Source::Python { file, module } => {
                script = Some(source("scripts", file));
                python(places, *module)
            }
            Source::Node { file } => {
                script = Some(source("scripts", file));
                program("node", "nodejs")
            }
            Source::Program(name) => program(name, name),
        }?;
        Ok(Found { peer: self, program, script })
    }

    /// What builds it.
    pub fn made_by(&self) -> &'static str {
        match &self.source {
            Source::Resound | Source::Cargo(_) => "cargo",
            Source::C { .. } => "cc -O2",
            Source::Go { .. } => "go build",
            Source::Python { .. } | Source::Node { .. } | Source::Program(_) => "-",
        }
    }
}

impl Found {
    /// The command that runs the peer on this address, with further arguments. If the peer cannot pick a free port for
    /// port 0, this picks one; another program could take that port before the peer listens on it.
    pub fn command(&self, mut addr: SocketAddr, args: &[String]) -> io::Result<Command> {
        if addr.port() == 0 && !self.peer.limits.picks_port {
            addr = TcpListener::bind(addr)?.local_addr()?;
        }
        let mut command = Command::new(&self.program);
        command.args(&self.script);
        command.args(self.peer.args.iter().map(|arg| {
            arg.replace("{addr}", &addr.to_string())
                .replace("{host}", &addr.ip().to_string())
                .replace("{port}", &addr.port().to_string())
        }));
        command.args(args);
        Ok(command)
    }
}

/// A file of this package.
fn source(dir: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(dir).join(file)
}

fn built(path: PathBuf, how: &str) -> Result<PathBuf, Missing> {
    if path.is_file() {
        return Ok(path);
    }
    Err(Missing::Absent(format!("there is no {}: {how} makes it", path.display())))
}

/// A program in `PATH`.
pub(crate) fn program(name: &str, package: &str) -> Result<PathBuf, Missing> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        Missing::Absent(format!("{name} is not installed: Debian has it in {package}"))
    })
}

/// A Python that has the module. The virtual environment may have it from PyPI.
fn python(places: &Places, module: Option<&str>) -> Result<PathBuf, Missing> {
    let own = places.venv.join("bin/python3");
    let python = if own.is_file() { own } else { program("python3", "python3")? };
    let Some(module) = module else { return Ok(python) };
    let import = format!("import {module}");
    let imported =
        Command::new(&python).args(["-c", &import]).stderr(Stdio::null()).status()?.success();
    if imported {
        return Ok(python);
    }
    Err(Missing::Absent(format!("{} has no {module}: ci/peers installs it", python.display())))
}
