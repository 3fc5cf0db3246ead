//! Addresses to listen on: IPv4 and IPv6, and Unix sockets with a file or with an abstract name.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FlockOperation, Mode, flock, mkfifoat};
use rustix::process::Signal;

#[cfg(feature = "clients")]
use crate::command::resound;
use crate::command::{after_script, output};
use crate::server::{Server, command};
use crate::unix::{SocketPath, connect_unix, unix_addr};
use crate::wire::expect_echo;

/// Failed when the log showed the IPv6 form that the kernel reports, such as ::ffff:127.0.0.1.
#[test]
fn ipv4_peers_of_an_ipv6_listener_are_shown_as_ipv4() {
    let mut server = Server::start_at(&["[::]:0"], &["-v"]);
    let port = server.addr().rsplit_once(':').unwrap().1.to_string();
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    let seen = format!("#1 {}: accepted", stream.local_addr().unwrap());
    server.expect_line(&seen);
    let mapped = format!("[::ffff:127.0.0.1]:{port}");
    expect_echo(TcpStream::connect(mapped).unwrap(), b"hello");
    server.expect_line("#2 127.0.0.1:");
}

#[cfg(feature = "clients")]
#[test]
fn an_abstract_socket_is_used_by_its_name() {
    let addr = format!("unix:@resound test {}", std::process::id());
    let server = Server::start_at(&[&addr], &[]);
    assert_eq!(server.addr(), addr);
    let output = output(&mut command(&[&addr], &[]));
    let why = "a program is listening there; stop it, or choose another name";
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, format!("resound: cannot listen on {addr}: {why}\n"));
    let output = resound(&["ping", "-c", "1", &addr]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains(&format!("from {addr}: seq=1")));
    server.stop();
}

#[test]
fn a_scheme_may_be_in_capitals() {
    let socket = SocketPath::new();
    let upper = format!("UNIX:{}", socket.path.display());
    let _server = Server::spawn(&mut command(&[&upper], &[]));
    expect_echo(connect_unix(&socket.path), b"hello");
}

/// The mode is set before a peer can connect, and does not depend on the umask. Failed when the umask decided.
#[test]
fn the_mode_of_a_socket_file_is_that_of_the_option() {
    let socket = SocketPath::new();
    for umask in ["000", "077", "777"] {
        for (args, mode) in
            [(&[][..], 0o600), (&["--unix-mode", "0666"], 0o666), (&["--unix-mode", "660"], 0o660)]
        {
            let serve = command(&[&socket.addr], args);
            let mut shell = after_script(&format!("umask {umask}"), &serve);
            let server = Server::start_command(&mut shell, 1);
            let found = fs::symlink_metadata(&socket.path).unwrap().permissions().mode();
            assert_eq!(found & 0o7777, mode, "umask {umask}, {args:?}");
            expect_echo(UnixStream::connect(&socket.path).unwrap(), b"hello");
            server.stop();
        }
    }
}

/// To remove a socket file, the server needs the file's lock. It must not wait for locks: that would delay the
/// connections that it still serves. Failed when it waited a second for each lock.
#[test]
fn socket_files_are_removed_last_and_their_locks_are_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..20).map(|i| dir.path().join(i.to_string())).collect();
    let addrs: Vec<_> = paths.iter().map(|path| unix_addr(path)).collect();
    let addrs: Vec<_> = addrs.iter().map(String::as_str).collect();
    let mut server = Server::start_at(&addrs, &[]);
    // Another program holds all locks but one.
    let locks: Vec<_> = paths[1..].iter().map(|path| lock(path)).collect();
    let stream = connect_unix(&paths[0]);
    expect_echo(&stream, b"hello");
    let since = Instant::now();
    server.signal(Signal::TERM);
    server.expect_line("stopping: ");
    expect_echo(&stream, b"still");
    assert!(paths.iter().all(|path| path.exists()), "a file was removed too early");
    drop(stream);
    assert_eq!(server.wait().code(), Some(0));
    // It would wait a second for each of the 19 locks.
    assert!(since.elapsed() < Duration::from_secs(19), "{:?}", since.elapsed());
    assert!(!paths[0].exists() && paths[1..].iter().all(|path| path.exists()));
    drop(locks);
    // The files that are left are stale, and the next server replaces them.
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

/// Failed when the server locked and removed what was there, or waited for it.
#[test]
fn something_else_at_the_path_of_a_lock_is_named_and_left_alone() {
    let socket = SocketPath::new();
    let lock = socket.dir.path().join("echo.lock");
    let make: [&dyn Fn(); 4] = [
        &|| fs::write(&lock, "precious").unwrap(),
        &|| mkfifoat(CWD, &lock, Mode::from_raw_mode(0o600)).unwrap(),
        &|| fs::create_dir(&lock).unwrap(),
        &|| std::os::unix::fs::symlink("/etc/passwd", &lock).unwrap(),
    ];
    for make in make {
        make();
        let kind = fs::symlink_metadata(&lock).unwrap().file_type();
        let output = output(&mut command(&[&socket.addr], &[]));
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            format!(
                "resound: cannot listen on {}: {} is not an empty file of this user; remove it, or choose \
                 another path\n",
                socket.addr,
                lock.display()
            )
        );
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(fs::symlink_metadata(&lock).unwrap().file_type(), kind);
        if kind.is_dir() { fs::remove_dir(&lock) } else { fs::remove_file(&lock) }.unwrap();
    }
}
