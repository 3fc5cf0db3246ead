//! Lines of source, from the stacks that `strace -k` writes and the symbols of the program.
//!
//! strace names a function and an address. addr2line(1) finds the line of source for an address, if it is installed and
//! the program has symbols. The place of a call is the first frame in source of the program itself: not of the C
//! library, of the runtime, or of a package from a registry.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::env;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// The most addresses that are looked up, and the most bytes of a source file that are taken into the trace.
const MOST_ADDRESSES: usize = 1 << 14;
const LONGEST_SOURCE: u64 = 1 << 20;

/// Paths with one of these parts belong to others.
const FOREIGN: [&str; 8] = [
    "/rustc/",
    "/.cargo/registry/",
    "/.rustup/",
    "/usr/include/",
    "/usr/src/",
    "/usr/lib/",
    "/build/",
    "/go/src/",
];

#[derive(Debug, Default)]
pub(super) struct Places {
    /// The addresses in each binary.
    addresses: BTreeMap<String, BTreeSet<u64>>,
    total: usize,
    /// The place of each frame that has one.
    found: HashMap<(String, u64), String>,
    /// The path of each source file, by the name that places have for it.
    files: HashMap<String, String>,
    written: HashSet<String>,
}

impl Places {
    /// Notes a frame of the first reading.
    pub(super) fn note(&mut self, frame: &str) {
        if let Some((binary, address)) = address(frame)
            && self.total < MOST_ADDRESSES
            && !is_system(binary)
        {
            self.total +=
                usize::from(self.addresses.entry(binary.into()).or_default().insert(address));
        }
    }

    /// Looks all noted addresses up. Without addr2line or symbols, it finds none.
    pub(super) fn look_up(&mut self) {
        let root = env::current_dir().map(|dir| format!("{}/", dir.display())).unwrap_or_default();
        for (binary, addresses) in std::mem::take(&mut self.addresses) {
            let output = addr2line(&binary, &addresses).unwrap_or_default();
            for (address, path, line) in own_lines(&output) {
                let file = path.strip_prefix(&root).unwrap_or(path).to_string();
                self.found.insert((binary.clone(), address), format!("{file}:{line}"));
                self.files.insert(file, path.into());
            }
        }
    }

    /// The place of a frame.
    pub(super) fn of(&self, frame: &str) -> Option<&str> {
        let (binary, address) = address(frame)?;
        self.found.get(&(binary.into(), address)).map(String::as_str)
    }

    /// The source file of a place, and its text, the first time that it is asked for.
    pub(super) fn source(&mut self, place: &str) -> Option<(String, String)> {
        let (file, _) = place.rsplit_once(':')?;
        let path = self.files.get(file)?;
        if !self.written.insert(file.into()) {
            return None;
        }
        let is_short =
            fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= LONGEST_SOURCE);
        Some((file.into(), is_short.then(|| fs::read_to_string(path).ok())??))
    }
}

/// The binary and the address of a frame: `/usr/bin/x(main+0x7) [0x1234]`.
fn address(frame: &str) -> Option<(&str, u64)> {
    let (rest, address) = frame.rsplit_once(" [0x")?;
    let address = u64::from_str_radix(address.split(']').next()?, 16).ok()?;
    let (binary, _) = rest.rsplit_once('(')?;
    Some((binary, address))
}

/// Whether a binary is a library of the system: the program's own frames come after it.
fn is_system(binary: &str) -> bool {
    let name = binary.rsplit('/').next().unwrap_or(binary);
    !binary.starts_with('/')
        || ["libc.", "libc-", "ld-linux", "libpthread", "ld-musl"]
            .iter()
            .any(|start| name.starts_with(start))
}

/// What addr2line says of these addresses: for each, a line with the address, then one for each function that was
/// inlined there, from the inside out.
fn addr2line(binary: &str, addresses: &BTreeSet<u64>) -> Option<String> {
    if !Path::new(binary).is_file() {
        return None;
    }
    let mut child = Command::new("addr2line")
        .args(["-a", "-i", "-e", binary])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    // A frame has the address to which the call returns: the call itself stands before that.
    let text: String =
        addresses.iter().map(|address| format!("{:#x}\n", address.saturating_sub(1))).collect();
    // On a thread of its own, since both pipes can be full.
    let writer = thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().ok()?;
    let _ = writer.join();
    String::from_utf8(output.stdout).ok()
}

/// For each address, the first line of source that is the program's own.
fn own_lines(output: &str) -> Vec<(u64, &str, u32)> {
    let mut found: Vec<(u64, &str, u32)> = Vec::new();
    let mut address = None;
    for line in output.lines() {
        if let Some(digits) = line.strip_prefix("0x") {
            address = u64::from_str_radix(digits, 16).ok().map(|before| before.saturating_add(1));
        } else if let (Some(at), Some((path, number))) = (address, source_line(line)) {
            found.push((at, path, number));
            address = None;
        }
    }
    found
}

/// A line of addr2line that names source of the program itself: `/home/me/echo.c:42`.
fn source_line(line: &str) -> Option<(&str, u32)> {
    let (path, number) = line.split(" (discriminator").next()?.rsplit_once(':')?;
    let number = number.parse().ok().filter(|number| *number > 0)?;
    let is_own = path.starts_with('/') && !FOREIGN.iter().any(|part| path.contains(part));
    is_own.then_some((path, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_own_frame_is_the_place() {
        let output = "0x0000000000001233\n/rustc/abc/library/std/src/net.rs:5\n/home/me/echo.rs:42 (discriminator 2)\n/home/me/main.rs:7\n\
                      0x0000000000001300\n??:0\n0x0000000000001400\n??:?\n";
        assert_eq!(own_lines(output), [(0x1234, "/home/me/echo.rs", 42)]);
    }

    #[test]
    fn frames_are_parsed() {
        assert_eq!(address("/usr/bin/x(main+0x7) [0x1234]"), Some(("/usr/bin/x", 0x1234)));
        assert_eq!(address("/a (b)/x(f(int)+0x7) [0x1]").map(|(_, at)| at), Some(1));
        assert_eq!(address("unexpected_backtracing_error [0x7f]"), None);
        assert_eq!(address("x [0xzz]"), None);
    }
}
