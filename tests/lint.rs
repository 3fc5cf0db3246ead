//! `resound trace import` and `resound trace lint`: their files, their output and their exit codes.

#![allow(clippy::unwrap_used, reason = "clippy allows it in tests, but not in their helpers")]

use std::fs;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "support/command.rs"]
mod command;
#[path = "support/deadline.rs"]
mod deadline;

use command::{command, finish};

/// A server that waits for events, and then for one client on a blocking socket.
const BLOCKS: &str = r#"7 1795898411.000000 listen(3<TCP:[127.0.0.1:7007]>, 128) = 0 <0.000010>
7 1795898411.000100 epoll_create1(EPOLL_CLOEXEC) = 4<anon_inode:[eventpoll]> <0.000010>
7 1795898411.000200 epoll_ctl(4<anon_inode:[eventpoll]>, EPOLL_CTL_ADD, 3<TCP:[127.0.0.1:7007]>, {events=EPOLLIN|EPOLLET, data={u32=9, u64=9}}) = 0 <0.000010>
7 1795898411.000300 epoll_wait(4<anon_inode:[eventpoll]>, [{events=EPOLLIN, data={u32=9, u64=9}}], 1024, -1) = 1 <0.100000>
7 1795898411.100400 accept4(3<TCP:[127.0.0.1:7007]>, {sa_family=AF_INET}, [128 => 16], SOCK_CLOEXEC) = 5<TCP:[127.0.0.1:7007->127.0.0.1:40000]> <0.000010>
7 1795898411.100500 recvfrom(5<TCP:[127.0.0.1:7007->127.0.0.1:40000]>, "\33[2J", 4096, 0, NULL, NULL) = 4 <2.500000>
"#;

/// A directory in which to run commands.
struct Here(TempDir);

impl Here {
    fn with(strace: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("run.strace"), strace).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs `resound trace WORDS` here. Returns its exit code, its output and what it says on standard error.
    fn trace(&self, words: &str) -> (Option<i32>, String, String) {
        let args: Vec<_> = ["trace"].into_iter().chain(words.split(' ')).collect();
        let Output { status, stdout, stderr } = finish(command(&args).current_dir(self.path()));
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    /// The line on standard error of a command that fails with this code.
    #[track_caller]
    fn failure(&self, words: &str, code: i32) -> String {
        let (exit, _, said) = self.trace(words);
        assert_eq!(exit, Some(code), "{words}: {said}");
        let line = said.strip_prefix("resound: ").and_then(|said| said.strip_suffix('\n'));
        let line = line.filter(|line| !line.contains('\n'));
        line.unwrap_or_else(|| panic!("{words}: {said}")).into()
    }
}

#[test]
fn a_mistake_is_named_with_its_record() {
    let here = Here::with(BLOCKS);
    assert_eq!(
        here.trace("import run.strace -o run.jsonl"),
        (Some(0), String::new(), String::new())
    );
    let (code, found, said) = here.trace("lint run.jsonl");
    assert_eq!(code, Some(1));
    assert_eq!(
        found,
        "record 8 at 2.600490 s, #1: it waits for one client, and serves no other meanwhile\n  \
         A read on a blocking socket waited for 2500 ms, and its thread served no other client meanwhile.\n  \
         Sure. See: resound zoo hint blocking-socket; docs/guide/src/blocking.md\n\n\
         9 records, 1 connection: 1 mistake\n"
    );
    assert_eq!(said, "resound: the trace shows 1 mistake\n");
    // Its line in the file, after the header.
    let trace = fs::read_to_string(here.path().join("run.jsonl")).unwrap();
    assert!(trace.lines().nth(8).unwrap().contains("connection:read"));
    assert!(!trace.contains("[2J"), "bytes of a peer");
}

#[test]
fn a_server_without_a_mistake_passes() {
    let here = Here::with(&BLOCKS.replace("SOCK_CLOEXEC)", "SOCK_CLOEXEC|SOCK_NONBLOCK)"));
    here.trace("import run.strace -o run.jsonl");
    let (code, found, said) = here.trace("lint run.jsonl");
    assert_eq!(
        (code, &*found, &*said),
        (Some(0), "9 records, 1 connection: no mistake found\n", "")
    );
}

#[test]
fn a_trace_goes_to_standard_output_too() {
    let here = Here::with(BLOCKS);
    let (code, trace, _) = here.trace("import run.strace -o -");
    assert_eq!((code, trace.lines().count()), (Some(0), 10));
}

#[test]
fn a_trace_that_breaks_off_is_read_up_to_there() {
    let here = Here::with(BLOCKS);
    here.trace("import run.strace -o run.jsonl");
    let mut trace = fs::read(here.path().join("run.jsonl")).unwrap();
    trace.truncate(trace.len() - 20);
    fs::write(here.path().join("run.jsonl"), trace).unwrap();
    let (code, found, _) = here.trace("lint run.jsonl");
    assert_eq!(code, Some(1));
    assert!(found.ends_with("1 mistake\nThe trace breaks off: line 10 breaks off. What comes before that was read.\n"), "{found}");
}

#[test]
fn files_that_cannot_be_read_are_refused() {
    let here = Here::with("7 20:41:30 close(3) = 0\n");
    fs::create_dir(here.path().join("dir")).unwrap();
    fs::write(here.path().join("noise"), [0, 255, 10, 27]).unwrap();
    for (words, expected) in [
        (
            "import run.strace -o t",
            "cannot read run.strace: its calls have no times since 1970: record it with strace -f -ttt -T -yy -o FILE PROGRAM",
        ),
        ("import noise -o t", "cannot read noise: it is no output of strace"),
        ("import none -o t", "cannot read none: "),
        ("import dir -o t", "cannot read dir: "),
        ("import /dev/null -o t", "cannot read /dev/null: it is read twice"),
        ("lint none", "cannot read none: "),
        ("lint noise", "cannot read noise: it is no trace"),
        ("lint run.strace", "cannot read run.strace: it is no trace"),
        ("lint dir", "cannot read dir: "),
    ] {
        let said = here.failure(words, 2);
        assert!(said.starts_with(expected), "{words}: {said}");
        assert!(!here.path().join("t").exists(), "{words}");
    }
    let client =
        "{\"schema\":\"resound-trace\",\"version\":1,\"vantage\":\"client\",\"program\":\"x\"}\n";
    fs::write(here.path().join("client"), client).unwrap();
    assert!(here.failure("lint client", 2).contains("of a client"));
}

#[test]
fn a_trace_that_cannot_be_written_is_an_error() {
    let here = Here::with(BLOCKS);
    assert!(
        here.failure("import run.strace -o /dev/full", 1).starts_with("cannot write /dev/full: ")
    );
    assert!(here.failure("import run.strace -o none/t", 1).starts_with("cannot write none/t: "));
}
