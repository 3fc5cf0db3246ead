//! The guide, `docs/guide`: its commands run and print what it says, and its servers have the levels that it claims.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::blocks::{Block, blocks};
use crate::command::output;
use crate::programs::program;

/// Of each server, a check that it passes, and a case that it fails.
const SERVERS: [(&str, &str, Option<&str>); 9] = [
    ("one-client", "--level 2", Some("many/second")),
    ("thread-each", "--level 5", Some("process/out-of-descriptors")),
    ("busy-loop", "--level 2", Some("process/idle")),
    ("level-triggered", "--level 4", Some("pressure/others")),
    ("edge-triggered", "--level 4", Some("pressure/others")),
    ("back-pressure", "--level 3", Some("end/half-close-8m")),
    ("half-close", "--level 5", Some("process/out-of-descriptors")),
    ("accept-trouble", "--level 5", Some("hostile/flood")),
    ("fair", "--level 6", None),
];

/// A client that floods has to be faster than the server. On a busy machine, it sometimes is not.
const ATTEMPTS: usize = 5;

/// Far more than any command needs. One of them builds the programs.
const TIMEOUT: Duration = Duration::from_secs(900);

/// Stands behind the output of each command.
const MARK: &str = "-- the command has ended --";

/// A check that a page shows is left to the test below.
#[test]
fn each_server_of_the_guide_has_its_level_and_fails_what_the_guide_says() {
    let programs = programs();
    let shown: String = pages().iter().map(|page| fs::read_to_string(page).unwrap()).collect();
    each(2, &SERVERS, |(name, passes, fails)| {
        let words = format!("check {passes} -- resound-guide {name} {{port}}");
        if !shown.contains(&format!("$ resound {words}\n")) {
            let (code, report) = resound(&programs, &words);
            assert_eq!(code, Some(0), "{words}: {report}");
        }
        if let Some(id) = fails {
            let words = format!("check --only {id} -- resound-guide {name} {{port}}");
            let failure = format!("FAIL  {id}");
            let has_failed = |_| resound(&programs, &words).1.contains(&failure);
            assert!((0..ATTEMPTS).any(has_failed), "{name} passes {id}");
        }
    });
}

/// The exit code and the output of a command.
fn resound(programs: &Path, words: &str) -> (Option<i32>, String) {
    let mut command = Command::new(programs.join("resound"));
    let output = output(command.args(words.split_whitespace()).env("PATH", path(programs)));
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The chapters, the page before them, and the table of contents.
fn pages() -> Vec<PathBuf> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/src");
    let pages = fs::read_dir(guide).unwrap().map(|entry| entry.unwrap().path());
    pages.filter(|path| path.extension().is_some_and(|it| it == "md")).collect()
}

#[test]
fn each_command_of_the_guide_prints_what_the_guide_says() {
    let programs = programs();
    each(3, &pages(), |page| {
        let text = fs::read_to_string(page).unwrap();
        let mut session = Session::start(page, &programs);
        for block in blocks(&text).iter().filter(|block| block.language == "console") {
            session.replay(block);
        }
    });
}

/// The book is in `docs/guide/book` only for a reader who makes it there.
#[test]
fn the_guide_becomes_a_book_whose_pages_lead_to_each_other() {
    let book = tempfile::tempdir().unwrap();
    let mut mdbook = program("mdbook");
    mdbook.args(["build", "docs/guide", "-d"]).arg(book.path());
    let output = output(mdbook.current_dir(env!("CARGO_MANIFEST_DIR")));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !log.contains("WARN"), "{log}");
    let mut pages = 0;
    for page in fs::read_dir(book.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if page.extension().is_none_or(|extension| extension != "html") {
            continue;
        }
        pages += 1;
        let text = fs::read_to_string(&page).unwrap();
        let targets =
            text.split("href=\"").skip(1).filter_map(|rest| rest.split(['"', '#']).next());
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with("../"))
        {
            assert!(book.path().join(target).exists(), "{}: {target}", page.display());
        }
    }
    assert!(pages >= 8, "the book has only {pages} pages");
}

/// Several at a time: most of the time of a check is waiting.
fn each<T: Sync>(width: usize, items: &[T], act: impl Fn(&T) + Sync) {
    thread::scope(|scope| {
        for first in 0..width {
            let act = &act;
            scope.spawn(move || items.iter().skip(first).step_by(width).for_each(act));
        }
    });
}

/// The folder of `resound`, `resound-guide` and `resound-zoo`.
fn programs() -> PathBuf {
    let mut cargo = program(env!("CARGO"));
    cargo.args(["build", "-q", "-p", "resound-guide", "-p", "resound-zoo"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    assert!(cargo.status().unwrap().success());
    Path::new(env!("CARGO_BIN_EXE_resound")).parent().unwrap().to_owned()
}

/// The path of this process with that folder first.
fn path(programs: &Path) -> String {
    format!("{}:{}", programs.display(), env::var("PATH").unwrap())
}

/// A shell in which a reader types the commands of one page.
struct Session {
    page: PathBuf,
    shell: Child,
    stdin: ChildStdin,
    output: Receiver<String>,
    /// In place of port 7007.
    port: String,
}

impl Session {
    fn start(page: &Path, programs: &Path) -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut bash = program("bash");
        std::os::unix::process::CommandExt::process_group(&mut bash, 0);
        bash.args(["-c", "exec 2>&1; while IFS= read -r line; do eval \"$line\" < /dev/null; echo; echo \"$MARK\"; done"]);
        bash.env("PATH", path(programs)).env("MARK", MARK).current_dir(env!("CARGO_MANIFEST_DIR"));
        let mut shell = bash.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
        let (sender, output) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.for_each(|line| drop(sender.send(line)));
        });
        Self { page: page.into(), shell, stdin, output, port: port.to_string() }
    }

    /// Types each command of a block, and compares what it prints.
    fn replay(&mut self, block: &Block) {
        let lines: Vec<_> = block.lines.iter().map(|line| self.adapt(line)).collect();
        let mut lines = lines.into_iter().peekable();
        while let Some(line) = lines.next() {
            let command = line.strip_prefix("$ ").expect("a command comes first").to_owned();
            let mut expected = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                expected.push(line);
            }
            self.run(&command, &expected, block.line);
        }
    }

    /// Puts in a free port, and the programs of the profile under test.
    fn adapt(&self, line: &str) -> String {
        let line = line.replace("7007", &self.port);
        if cfg!(debug_assertions) {
            return line.replace("--release ", "").replace("target/release", "target/debug");
        }
        line
    }

    /// What a command in the background prints can come after its mark.
    fn run(&mut self, command: &str, expected: &[String], line: usize) {
        // A reader types more slowly than a server ends.
        let killed = command.strip_prefix("kill ");
        let wait = killed.map(|pid| format!("; wait {pid}")).unwrap_or_default();
        writeln!(self.stdin, "{command}{wait}").unwrap();
        let (mut printed, mut has_ended, until) = (Vec::new(), false, Instant::now() + TIMEOUT);
        while !(has_ended && matches(&printed, expected)) {
            let left = until.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(line) if line == MARK => has_ended = true,
                Ok(line) if line.is_empty() => {} // The shell prints one before the mark.
                Ok(line) => printed.push(line),
                Err(_) => break,
            }
            let is_done = has_ended && !command.ends_with('&');
            if is_done && !matches(&printed, expected) {
                break;
            }
        }
        let page = self.page.display();
        assert!(
            has_ended && matches(&printed, expected),
            "{page}:{line}: {command}\nexpected: {expected:#?}\nprinted: {printed:#?}"
        );
    }
}

/// Also what it has started.
impl Drop for Session {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.shell.id() as i32).unwrap();
        let _ = kill_process_group(group, Signal::KILL);
        self.shell.wait().unwrap();
    }
}

/// Whether lines are as expected, but for empty ones. A line `…` stands for any number of lines.
fn matches(lines: &[String], expected: &[String]) -> bool {
    let Some((first, rest)) = expected.split_first() else { return lines.is_empty() };
    match first.as_str() {
        "" => matches(lines, rest),
        "…" => (0..=lines.len()).any(|skipped| matches(&lines[skipped..], rest)),
        first => {
            let same = lines.split_first().filter(|(line, _)| line_matches(line, first));
            same.is_some_and(|(_, others)| matches(others, rest))
        }
    }
}

/// Whether a line is as expected, but for spaces at its end. `…` stands for any text.
fn line_matches(line: &str, expected: &str) -> bool {
    let parts: Vec<_> = expected.split('…').collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return false };
    let Some(mut rest) = line.trim_end().strip_prefix(first) else { return false };
    if parts.len() == 1 {
        return rest.is_empty();
    }
    for part in &parts[1..parts.len() - 1] {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[test]
fn an_ellipsis_stands_for_lines_or_for_a_part_of_one() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let is_match = |printed, expected| matches(&lines(printed), &lines(expected));
    assert!(is_match("a\nb\nc", "…\nc"));
    assert!(is_match("c", "…\nc\n…"));
    assert!(is_match("7 passed (seed 3)", "…\n… passed (seed …)"));
    assert!(!is_match("7 passed, 1 failed (seed 3)", "… passed (seed …)"));
    assert!(!is_match("a\nb", "a"));
    assert!(!is_match("a", "a\nb"));
}
