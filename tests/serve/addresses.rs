//! Where it can listen: names, both protocols, Unix sockets with a file and without.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FlockOperation, Mode, flock, mkfifoat};
use rustix::process::Signal;

use crate::deadline::end_in_time;
use crate::server::{Server, command, connect_unix};
use crate::wire::expect_echo;

fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

fn run(mut command: Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    end_in_time(&child);
    child.wait_with_output().unwrap()
}

/// Failed when it was shown as it comes, in an IPv6 address.
#[test]
fn ipv4_peers_of_an_ipv6_listener_are_shown_as_ipv4() {
    let mut server = Server::start_at(&["[::]:0"], &["-v"]);
    let port = server.addr().rsplit_once(':').unwrap().1.to_string();
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    let seen = format!("] {}: accepted", stream.local_addr().unwrap());
    server.expect_line(&seen);
    let mapped = format!("[::ffff:127.0.0.1]:{port}");
    expect_echo(TcpStream::connect(mapped).unwrap(), b"hello");
    server.expect_line("] 127.0.0.1:");
}

#[test]
fn an_abstract_socket_is_used_by_its_name() {
    let addr = format!("unix:@resound test {}", std::process::id());
    let server = Server::start_at(&[&addr], &[]);
    assert_eq!(server.addr(), addr);
    let output = run(command(&[&addr], &[]));
    let why = "a program is listening there; stop it, or choose another name";
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, format!("resound: cannot listen on {addr}: {why}\n"));
    let mut ping = Command::new(env!("CARGO_BIN_EXE_resound"));
    ping.args(["ping", "-c", "1", &addr]);
    let output = run(ping);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains(&format!("from {addr}: seq=1")));
    server.stop();
}

#[test]
fn a_scheme_may_be_in_capitals() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let upper = format!("UNIX:{}", path.display());
    let _server = Server::spawn(&mut command(&[&upper], &[]));
    expect_echo(connect_unix(&path), b"hello");
}

/// Whatever the umask is, before anything can connect. Failed when the umask alone decided.
#[test]
fn the_mode_of_a_socket_file_is_that_of_the_option() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    for umask in ["000", "077", "777"] {
        for (args, mode) in
            [(&[][..], 0o600), (&["--unix-mode", "0666"], 0o666), (&["--unix-mode", "660"], 0o660)]
        {
            let serve = command(&[&unix(&path)], args);
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]);
            let mut server = Server::spawn(shell.arg(serve.get_program()).args(serve.get_args()));
            server.expect_line("listening on ");
            let found = fs::symlink_metadata(&path).unwrap().permissions().mode();
            assert_eq!(found & 0o7777, mode, "umask {umask}, {args:?}");
            expect_echo(UnixStream::connect(&path).unwrap(), b"hello");
            server.stop();
        }
    }
}

/// To remove them must not delay the peers that are being finished, and a server that is stopping has to look
/// only once. Failed when each was waited for, for a second.
#[test]
fn socket_files_are_removed_last_and_their_locks_are_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..20).map(|i| dir.path().join(i.to_string())).collect();
    let addrs: Vec<_> = paths.iter().map(|path| unix(path)).collect();
    let addrs: Vec<_> = addrs.iter().map(String::as_str).collect();
    let mut server = Server::start_at(&addrs, &[]);
    // Another program has all of the locks but one.
    let locks: Vec<_> = paths[1..].iter().map(|path| lock(path)).collect();
    let stream = connect_unix(&paths[0]);
    expect_echo(&stream, b"hello");
    let since = Instant::now();
    server.signal(Signal::TERM);
    server.expect_line("stopping: ");
    expect_echo(&stream, b"still");
    assert!(paths.iter().all(|path| path.exists()), "removed before it has finished");
    drop(stream);
    assert_eq!(server.wait().code(), Some(0));
    // It was 20 s.
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert!(!paths[0].exists() && paths[1..].iter().all(|path| path.exists()));
    drop(locks);
    // What was left is stale, and no obstacle.
    let server = Server::start_at(&addrs, &[]);
    server.stop();
    assert!(paths.iter().all(|path| !path.exists()));
}

fn lock(path: &Path) -> File {
    let mut lock = path.as_os_str().to_os_string();
    lock.push(".lock");
    let file = File::create(lock).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    file
}

/// Failed when it was locked and removed, or waited for.
#[test]
fn something_else_at_the_path_of_a_lock_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let lock: PathBuf = dir.path().join("echo.lock");
    let make: [&dyn Fn(); 4] = [
        &|| fs::write(&lock, "precious").unwrap(),
        &|| mkfifoat(CWD, &lock, Mode::from_raw_mode(0o600)).unwrap(),
        &|| fs::create_dir(&lock).unwrap(),
        &|| std::os::unix::fs::symlink("/etc/passwd", &lock).unwrap(),
    ];
    for make in make {
        make();
        let kind = fs::symlink_metadata(&lock).unwrap().file_type();
        let output = run(command(&[&unix(&path)], &[]));
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            format!(
                "resound: cannot listen on {}: {} is not an empty file of this user; remove it, or choose \
                 another path\n",
                unix(&path),
                lock.display()
            )
        );
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(fs::symlink_metadata(&lock).unwrap().file_type(), kind);
        if kind.is_dir() { fs::remove_dir(&lock) } else { fs::remove_file(&lock) }.unwrap();
    }
}
