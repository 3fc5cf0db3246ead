//! Builds the peers that Cargo does not build.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::find::{Missing, program};
use crate::list::Library;

/// Builds a peer written in C, unless it is up to date.
pub(crate) fn c(source: &Path, library: Option<&Library>, dir: &Path) -> Result<PathBuf, Missing> {
    let cc = program("cc", "gcc")?;
    if let Some(library) = library {
        expect_header(&cc, library)?;
    }
    let libraries = library.map(|library| format!("-l{}", library.name));
    unless_fresh(source, dir, |product| {
        let mut cc = Command::new(&cc);
        cc.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-o"]).arg(product).arg(source);
        cc.args(&libraries);
        cc
    })
}

/// Builds a peer written in Go, unless it is up to date.
pub(crate) fn go(source: &Path, dir: &Path) -> Result<PathBuf, Missing> {
    let go = program("go", "golang-go")?;
    unless_fresh(source, dir, |product| {
        let mut go = Command::new(&go);
        go.args(["build", "-o"]).arg(product).arg(source);
        go
    })
}

/// Asks the compiler whether it finds a header. Only the compiler knows where it looks.
fn expect_header(cc: &Path, library: &Library) -> Result<(), Missing> {
    let mut cc = Command::new(cc)
        .args(["-E", "-x", "c", "-o", "/dev/null", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = cc.stdin.take() {
        writeln!(stdin, "#include <{}>", library.header)?;
    }
    if cc.wait()?.success() {
        return Ok(());
    }
    Err(Missing::Absent(format!(
        "there is no {}: Debian has it in {}",
        library.header, library.package
    )))
}

/// Builds the product unless it is newer than its sources. Other processes never see it half-built.
fn unless_fresh(
    source: &Path,
    dir: &Path,
    compiler: impl FnOnce(&Path) -> Command,
) -> Result<PathBuf, Missing> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let product = dir.join(source.file_stem().unwrap_or_default());
    if is_fresh(&product, source)? {
        return Ok(product);
    }
    fs::create_dir_all(dir)?;
    let draft = product.with_extension(process::id().to_string());
    let outcome = compiler(&draft).stdin(Stdio::null()).output()?;
    if !outcome.status.success() {
        let error = String::from_utf8_lossy(&outcome.stderr);
        return Err(Missing::Broken(format!("does not compile: {}", error.trim())));
    }
    fs::rename(draft, &product)?;
    Ok(product)
}

/// Whether the product is newer than every file beside its source, headers included.
fn is_fresh(product: &Path, source: &Path) -> io::Result<bool> {
    let Ok(built) = product.metadata().and_then(|product| product.modified()) else {
        return Ok(false);
    };
    for entry in source.parent().unwrap_or(source).read_dir()? {
        if entry?.metadata()?.modified()? >= built {
            return Ok(false);
        }
    }
    Ok(true)
}
