//! The life of a Unix socket's file.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener as Server};
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FlockOperation, Mode, flock, mkfifoat};
use tempfile::TempDir;

use super::*;
use crate::net::unix::{self, Lock, lock};

/// A directory of the test's own, and the path of a socket in it.
fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo.sock");
    (dir, path)
}

fn at(path: &Path) -> Endpoint {
    Endpoint::Unix(Some(path.into()))
}

fn listen(path: &Path) -> io::Result<Listener> {
    bind_endpoint(&at(path), PLAIN)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Leaves a socket as a killed server does.
fn leave_stale(path: &Path) {
    drop(Server::bind(path).unwrap());
    assert!(path.exists());
}

/// Checks that listening at `path` fails with this reason, and changes nothing there.
#[track_caller]
fn is_refused(path: &Path, reason: &str) {
    let before = identity(path);
    let error = listen(path).unwrap_err();
    let expected = format!("cannot listen on unix:{}: {reason}", path.display());
    assert_eq!(error.to_string(), expected);
    assert_eq!(identity(path), before);
}

const LIVE: &str = "a program is listening there; stop it, or choose another path";
const NO_SOCKET: &str =
    "there is something that is not a socket; remove it, or choose another path";

#[test]
fn bytes_pass_and_the_file_is_removed_at_the_end() {
    let (_dir, path) = place();
    let mut listener = listen(&path).unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    assert_eq!(listener.local_addr().unwrap(), at(&path));
    let (mut client, mut server, own, seen) = pair(&mut listener);
    assert_eq!((own, seen), (Endpoint::Unix(None), Endpoint::Unix(None)));
    pass_bytes(&mut client, &mut server);
    pass_bytes(&mut server, &mut client);
    server.shutdown_write().unwrap();
    assert_eq!(eventually(|| client.read(&mut [0; 8])).unwrap(), 0);
    drop(listener);
    assert_eq!(identity(&path), None);
}

#[test]
fn reads_and_accepts_would_block_if_there_is_nothing() {
    let (_dir, path) = place();
    let blocks = |r: io::Result<usize>| assert_eq!(r.unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut listener = listen(&path).unwrap();
    blocks(listener.accept().map(|_| 0));
    let (mut client, mut server, ..) = pair(&mut listener);
    blocks(client.read(&mut [0; 8]));
    blocks(server.read(&mut [0; 8]));
}

#[test]
fn a_stale_socket_is_replaced() {
    let (_dir, path) = place();
    leave_stale(&path);
    let mut listener = listen(&path).unwrap();
    let (mut client, mut server, ..) = pair(&mut listener);
    pass_bytes(&mut client, &mut server);
}

#[test]
fn a_killed_server_can_start_again() {
    let (_dir, path) = place();
    for _ in 0..3 {
        let mut listener = listen(&path).unwrap();
        let file = listener.take_file();
        drop(listener);
        // A killed server does not drop it.
        std::mem::forget(file);
        assert!(path.exists());
    }
}

#[test]
fn a_live_server_is_left_alone() {
    let (_dir, path) = place();
    let server = Server::bind(&path).unwrap();
    is_refused(&path, LIVE);
    let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    client.write_all(b"x").unwrap();
    let mut heard = String::new();
    // The first connection came from `listen`, which looked whether the server lives.
    while heard.is_empty() {
        let (mut accepted, _) = server.accept().unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        accepted.read_to_string(&mut heard).unwrap();
    }
    assert_eq!(heard, "x");
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_with_a_full_accept_queue_is_left_alone() {
    let (_dir, path) = place();
    let _server = bind_endpoint(&at(&path), ListenOptions { backlog: 0, ..PLAIN }).unwrap();
    let _waiting = Socket::connect(&at(&path)).unwrap();
    is_refused(&path, LIVE);
}

#[test]
fn another_type_of_socket_is_left_alone() {
    let (_dir, path) = place();
    let server = UnixDatagram::bind(&path).unwrap();
    is_refused(&path, LIVE);
    drop(server);
    listen(&path).unwrap();
}

#[test]
fn a_file_is_left_alone() {
    let (_dir, path) = place();
    fs::write(&path, "precious").unwrap();
    is_refused(&path, NO_SOCKET);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_directory_is_left_alone() {
    let (_dir, path) = place();
    fs::create_dir(&path).unwrap();
    is_refused(&path, NO_SOCKET);
}

#[test]
fn a_symbolic_link_is_left_alone_wherever_it_leads() {
    let (dir, path) = place();
    let target = dir.path().join("target");
    symlink(&target, &path).unwrap();
    is_refused(&path, NO_SOCKET);
    leave_stale(&target);
    let stale = identity(&target);
    is_refused(&path, NO_SOCKET);
    assert_eq!((identity(&target), fs::read_link(&path).unwrap()), (stale, target));
}

#[test]
fn the_error_for_a_missing_directory_says_so() {
    let (dir, _) = place();
    is_refused(
        &dir.path().join("missing/echo.sock"),
        "no such file or directory; make the directory first",
    );
}

#[test]
fn a_file_that_another_server_replaced_is_not_removed() {
    let (_dir, path) = place();
    let ours = listen(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let theirs = Server::bind(&path).unwrap();
    let before = identity(&path);
    drop(ours);
    assert_eq!(identity(&path), before);
    Socket::connect(&at(&path)).unwrap();
    theirs.accept().unwrap();
}

#[test]
fn a_file_that_is_removed_already_is_no_error() {
    let (_dir, path) = place();
    let listener = listen(&path).unwrap();
    fs::remove_file(&path).unwrap();
    drop(listener);
    assert_eq!(identity(&path), None);
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_can_listen_at_the_longest_path_but_not_at_a_longer_one() {
    let (dir, _) = place();
    let bytes = dir.path().as_os_str().len() + 1;
    let longest = dir.path().join("x".repeat(107 - bytes));
    let mut listener = listen(&longest).unwrap();
    assert_eq!(listener.local_addr().unwrap(), at(&longest));
    pair(&mut listener);
    let longer = dir.path().join("x".repeat(108 - bytes));
    assert_eq!(listen(&longer).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(identity(&longer), None);
}

#[test]
fn a_socket_without_a_path_can_neither_listen_nor_be_connected_to() {
    let nowhere = Endpoint::Unix(None);
    assert_eq!(
        bind_endpoint(&nowhere, PLAIN).unwrap_err().to_string(),
        "cannot listen on unix:(unnamed): the socket has no path"
    );
    assert_eq!(Socket::connect(&nowhere).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_connection_without_a_server_is_refused() {
    let (_dir, path) = place();
    let kind = |path: &Path| Socket::connect(&at(path)).unwrap_err().kind();
    assert_eq!(kind(&path), ErrorKind::NotFound);
    leave_stale(&path);
    assert_eq!(kind(&path), ErrorKind::ConnectionRefused);
}

#[cfg(target_os = "linux")]
#[test]
fn the_kernel_holds_as_many_connections_as_the_backlog_says() {
    let (_dir, path) = place();
    let _listener = bind_endpoint(&at(&path), ListenOptions { backlog: 2, ..PLAIN }).unwrap();
    // Linux holds one more than the backlog: unix_recvq_full() in net/unix/af_unix.c.
    let _held = [(); 3].map(|()| Socket::connect(&at(&path)).unwrap());
    assert_eq!(Socket::connect(&at(&path)).unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// Without the lock, each of two servers that start at once could take the other's new socket for stale.
#[test]
fn a_server_that_is_just_starting_is_left_alone() {
    let (_dir, path) = place();
    leave_stale(&path);
    let starting = Lock::of(&path).unwrap();
    let error = listen(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on unix:{}: another program is starting or stopping there; try again",
            path.display()
        )
    );
    assert!(path.exists());
    drop(starting);
    listen(&path).unwrap();
}

/// Failed when the directory was locked: any user who may read it can do that.
#[test]
fn a_lock_on_the_directory_does_not_keep_a_server_from_starting() {
    let (dir, path) = place();
    let directory = fs::File::open(dir.path()).unwrap();
    flock(&directory, FlockOperation::LockExclusive).unwrap();
    listen(&path).unwrap();
    let lock = Lock::of(&path).unwrap();
    let file = lock_file(&path).metadata().unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    drop(lock);
}

/// Failed when the directory was locked: of two servers that started in it at once, one failed.
#[test]
fn two_servers_can_start_in_one_directory_at_once() {
    let (dir, path) = place();
    let _starting = Lock::of(&dir.path().join("other.sock")).unwrap();
    listen(&path).unwrap();
}

#[test]
fn the_lock_file_of_a_killed_server_blocks_no_start_and_is_removed() {
    let (dir, path) = place();
    fs::write(lock_file(&path), "").unwrap();
    let listener = listen(&path).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the socket alone");
    drop(listener);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Failed when the server locked any file that it could open, and removed it afterwards.
#[test]
fn a_lock_file_of_another_kind_is_named_in_the_error_and_left_alone() {
    let (dir, path) = place();
    let (lock, target) = (lock_file(&path), dir.path().join("target"));
    let make: [(&str, &dyn Fn()); 6] = [
        ("a link to nothing", &|| symlink(&target, &lock).unwrap()),
        ("text", &|| fs::write(&lock, "precious").unwrap()),
        ("a directory", &|| fs::create_dir(&lock).unwrap()),
        ("a named pipe", &|| {
            mkfifoat(CWD, &lock, Mode::from_raw_mode(0o600)).unwrap();
        }),
        ("a socket", &|| drop(Server::bind(&lock).unwrap())),
        ("a link to a file of ours, in a second place", &|| {
            fs::write(dir.path().join("other"), "").unwrap();
            fs::hard_link(dir.path().join("other"), &lock).unwrap();
        }),
    ];
    for (what, make) in make {
        make();
        let before = fs::symlink_metadata(&lock).unwrap();
        let refused = format!(
            "{} is not an empty file of this user; remove it, or choose another path",
            lock.display()
        );
        is_refused(&path, &refused);
        let after = fs::symlink_metadata(&lock).unwrap();
        assert_eq!((after.ino(), after.len()), (before.ino(), before.len()), "{what}");
        assert!(!path.exists() && !target.exists(), "{what}");
        if after.is_dir() { fs::remove_dir(&lock) } else { fs::remove_file(&lock) }.unwrap();
    }
    listen(&path).unwrap();
}

/// Another user could trick a server that runs as root with it. Only root can run this test.
#[test]
fn the_lock_file_of_another_user_is_refused() {
    let (_dir, path) = place();
    let lock = lock_file(&path);
    fs::write(&lock, "").unwrap();
    if std::os::unix::fs::chown(&lock, Some(12345), None).is_err() {
        return;
    }
    let error = listen(&path).unwrap_err().to_string();
    assert!(error.contains(&format!("{} is not an empty file", lock.display())), "{error}");
    assert!(lock.exists());
}

#[test]
fn a_server_that_ends_leaves_its_file_if_the_lock_is_taken() {
    let (_dir, path) = place();
    let listener = listen(&path).unwrap();
    let busy = Lock::of(&path).unwrap();
    drop(listener);
    assert!(path.exists(), "it was removed without the lock");
    drop(busy);
    listen(&path).unwrap();
}

#[test]
fn a_file_that_was_taken_away_outlives_its_listener() {
    let (_dir, path) = place();
    let mut listener = listen(&path).unwrap();
    let file = listener.take_file();
    drop(listener);
    assert!(path.exists());
    assert_eq!(Socket::connect(&at(&path)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    drop(file);
    assert!(!path.exists());
}

/// A second server replaces the first while that one finishes, and its file can get the same number. Failed when only
/// the numbers were compared.
#[test]
fn the_file_of_a_successor_is_not_removed() {
    for _ in 0..20 {
        let (_dir, path) = place();
        let mut first = listen(&path).unwrap();
        let file = first.take_file();
        drop(first);
        let second = listen(&path).unwrap();
        drop(file);
        Socket::connect(&at(&path)).unwrap();
        drop(second);
        assert!(!path.exists());
    }
}

#[test]
fn the_file_has_the_permissions_that_were_asked_for() {
    let (_dir, path) = place();
    for unix_mode in [0o600, 0o660, 0o666, 0o777, 0o000] {
        let _listener = bind_endpoint(&at(&path), ListenOptions { unix_mode, ..PLAIN }).unwrap();
        let found = fs::symlink_metadata(&path).unwrap();
        assert_eq!(found.permissions().mode() & 0o7777, unix_mode, "{unix_mode:o}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_socket_has_no_file_and_its_name_is_free_at_once_again() {
    let name = format!("resound-test-{}", std::process::id());
    let addr: Addr = format!("unix:@{name}").parse().unwrap();
    for _ in 0..2 {
        let mut listener = bind(&addr.to_string(), PLAIN).unwrap();
        assert!(listener.take_file().is_none());
        assert_eq!(listener.local_addr().unwrap().to_string(), addr.to_string());
        let (mut client, mut server, ..) = pair(&mut listener);
        pass_bytes(&mut client, &mut server);
        pass_bytes(&mut server, &mut client);
        let error = bind(&addr.to_string(), PLAIN).unwrap_err().to_string();
        let why = "a program is listening there; stop it, or choose another name";
        assert_eq!(error, format!("cannot listen on {addr}: {why}"));
    }
    let refused = Socket::connect(&addr.resolve().unwrap()[0]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

/// Failed when the option was not set, on kernels that have it.
#[cfg(target_os = "linux")]
#[test]
fn the_kernel_refuses_descriptors_that_a_client_passes() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let (_dir, path) = place();
    let mut listener = listen(&path).unwrap();
    let pass = |client: &Socket| {
        let Socket::Unix(client) = client else { unreachable!() };
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let (stdin, bytes) = (io::stdin(), [io::IoSlice::new(b"x")]);
        let descriptors = [stdin.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        sendmsg(client, &bytes, &mut control, SendFlags::empty())
    };
    // Before it is accepted, and after.
    let early = Socket::connect(&at(&path)).unwrap();
    let passed = pass(&early);
    if !has_pass_rights() {
        return assert_eq!(passed, Ok(1));
    }
    assert_eq!(passed, Err(Errno::PERM));
    drop(early);
    eventually(|| listener.accept()).unwrap();
    let (mut client, mut server, ..) = pair(&mut listener);
    assert_eq!(pass(&client), Err(Errno::PERM));
    pass_bytes(&mut client, &mut server);
}

/// Whether this is Linux 6.16 or later.
#[cfg(target_os = "linux")]
fn has_pass_rights() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(16))
}

/// Failed when a lock on a removed file counted: another program could lock the next file.
#[test]
fn a_lock_on_a_removed_file_gives_no_right() {
    let (_dir, path) = place();
    let opened = lock::open_lock(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(!lock::try_lock(&opened, &path));
    let next = lock::open_lock(&path).unwrap();
    assert!(!lock::try_lock(&opened, &path), "another file is in its place");
    assert!(lock::try_lock(&next, &path));
    let third = lock::open_lock(&path).unwrap();
    assert!(!lock::try_lock(&third, &path), "the lock is taken");
}

/// When a thread gets the lock, its file can be removed already, and another thread can lock the next one.
#[test]
fn a_lock_has_one_holder_at_a_time() {
    let (_dir, path) = place();
    let is_held = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let Ok(lock) = Lock::of(&path) else { continue };
                    assert!(!is_held.swap(true, Ordering::SeqCst), "held by two");
                    // Lets the other threads try.
                    (0..20).for_each(|_| thread::yield_now());
                    is_held.store(false, Ordering::SeqCst);
                    drop(lock);
                }
            });
        }
    });
}

/// None of them takes the new socket of another for stale.
#[test]
fn of_several_servers_that_start_at_once_one_listens() {
    for _ in 0..50 {
        let (_dir, path) = place();
        leave_stale(&path);
        let all = Barrier::new(4);
        let start = || {
            all.wait();
            listen(&path)
        };
        let listening = thread::scope(|scope| {
            let starting = [(); 4].map(|()| scope.spawn(start));
            starting.map(|one| one.join().unwrap()).into_iter().filter_map(Result::ok).count()
        });
        assert_eq!(listening, 1);
    }
}

fn lock_file(path: &Path) -> PathBuf {
    path.with_extension("sock.lock")
}

#[test]
fn a_path_that_is_too_long_for_the_file_system_is_an_error() {
    let (dir, _) = place();
    is_refused(&dir.path().join("x".repeat(300)), "file name too long");
}

/// A socket that this user may not connect to can be live or stale.
#[cfg(target_os = "linux")]
#[test]
fn a_socket_without_permission_to_connect_is_left_alone() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let (_dir, path) = place();
    leave_stale(&path);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may always connect, unless the thread drops that capability.
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut mine = capabilities(None).unwrap();
            mine.effective -= CapabilitySet::DAC_OVERRIDE;
            set_capabilities(None, mine).unwrap();
            is_refused(
                &path,
                "permission denied; choose a port above 1023, or a directory you may write to",
            );
        });
    });
}

/// Its server can remove it after the first look at it, before the attempt to connect.
#[test]
fn a_socket_that_was_just_removed_is_neither_stale_nor_live() {
    assert!(!unix::is_stale(Err(ErrorKind::NotFound.into())).unwrap());
}
