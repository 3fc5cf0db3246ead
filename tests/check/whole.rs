//! Whole checks.

use std::fs;
use std::io::Read;
use std::net::UdpSocket;
use std::thread;

use crate::checker::{case, check, serving, with_verdict};
use crate::server::Server;

const RESOUND: &str = env!("CARGO_BIN_EXE_resound");

#[test]
fn resound_passes_every_case() {
    let server = [RESOUND, "serve", "-q", "-l", "127.0.0.1:{port}"];
    let (code, report) = check(&[&["--"], &server[..]].concat());
    assert_eq!(code, Some(0), "{report:#}");
    assert!(with_verdict(&report, "fail").is_empty(), "{report:#}");
    // On a busy machine, there may be no time for the last ones.
    assert!(report["passed"].as_u64() >= Some(25), "{report:#}");
}

/// Thirty clients that come while the server is stopped are more than its accept queue holds. Their systems try again.
#[test]
fn a_short_accept_queue_is_no_mistake() {
    let server = [RESOUND, "serve", "-q", "--backlog", "1", "-l", "127.0.0.1:{port}"];
    let (code, report) = check(&[&["--only", "many/burst", "--"], &server[..]].concat());
    assert_eq!(code, Some(0), "{report:#}");
}

#[test]
fn a_short_accept_queue_of_a_unix_socket_is_no_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let addr = format!("unix:{}", folder.path().join("socket").display());
    let server = Server::start_at(&[&addr], &["--backlog", "1"]);
    let (code, report) = check(&[server.addr(), "--only", "many/"]);
    assert_eq!(code, Some(0), "{report:#}");
}

#[test]
fn a_command_can_listen_at_ipv6_alone() {
    let server = [RESOUND, "serve", "-q", "-l", "[::1]:{port}"];
    let (code, report) = check(&[&["--only", "bytes/one", "--"], &server[..]].concat());
    assert_eq!(code, Some(0), "{report:#}");
    assert!(report["server"].as_str().unwrap().starts_with("[::1]:"), "{report:#}");
}

/// A case is the same one alone and among others, if the seed is.
#[test]
fn the_bytes_of_a_case_follow_from_its_seed_alone() {
    let addr = serving(|mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            buffer.iter_mut().for_each(|byte| *byte &= 0x7f);
            let _ = std::io::Write::write_all(&mut stream, &buffer[..n]);
        }
    });
    let (_, all) = check(&[&addr, "--level", "2"]);
    let (_, alone) = check(&[&addr, "--only", "bytes/stale"]);
    let shown = |report| case(report, "bytes/stale")["cause"]["difference"].clone();
    assert!(shown(&all).is_object());
    assert_eq!(shown(&all), shown(&alone));
}

/// Without the process, what only that shows is not run, and that is no failure.
#[test]
fn an_address_alone_leaves_out_what_needs_the_process() {
    let addr = serving(|stream| {
        let mut reader = stream.try_clone().unwrap();
        let _ = std::io::copy(&mut reader, &mut &stream);
    });
    let (code, report) = check(&[&addr, "--level", "4"]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(with_verdict(&report, "not_run"), ["process/idle", "process/idle-after-end"]);
    let pid = std::process::id().to_string();
    let (_, report) = check(&[&addr, "--only", "process/idle", "--pid", &pid]);
    assert_ne!(case(&report, "process/idle")["verdict"], "not_run");
}

#[test]
fn datagrams_are_checked_over_udp() {
    let server = Server::start_at(&["udp:127.0.0.1:0"], &[]);
    let (code, report) = check(&[server.addr()]);
    assert_eq!((code, &report["passed"]), (Some(0), &10.into()), "{report:#}");
}

#[test]
fn an_answer_that_is_late_is_no_wrong_answer() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = format!("udp:{}", socket.local_addr().unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 2000];
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            let (socket, answer) = (socket.try_clone().unwrap(), buffer[..n].to_vec());
            thread::spawn(move || {
                thread::sleep(std::time::Duration::from_millis(650));
                socket.send_to(&answer, from).unwrap();
            });
        }
    });
    let (code, report) = check(&[&addr, "--only", "udp/stale"]);
    assert_eq!(code, Some(0), "{report:#}");
}

#[test]
fn a_datagram_that_is_cut_is_found() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = format!("udp:{}", socket.local_addr().unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..n], from).unwrap();
        }
    });
    let (code, report) = check(&[&addr]);
    assert_eq!(code, Some(1));
    let actual = &case(&report, "udp/sizes")["cause"]["actual"];
    assert_eq!(actual, "a datagram of 513 bytes came back as one of 512 bytes", "{report:#}");
    assert_eq!(with_verdict(&report, "fail"), ["udp/sizes", "udp/stale"], "{report:#}");
}

/// A server that dies is charged to the case that it died in, and started again.
#[test]
fn what_a_check_has_started_is_gone_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let script = format!(
        "{RESOUND} serve -q -l 127.0.0.1:$PORT & echo $! >> {pids}; echo $$ >> {pids}; wait",
        pids = pids.display()
    );
    let (code, report) = check(&["--only", "bytes/one", "--", "sh", "-c", &script]);
    assert_eq!(code, Some(0), "{report:#}");
    let mut text = String::new();
    fs::File::open(pids).unwrap().read_to_string(&mut text).unwrap();
    let all: Vec<i32> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(all.len(), 2);
    for pid in all {
        assert!(!is_running(pid), "{pid} is left");
    }
}

/// Whether a process runs. One that was ended, and that nobody has waited for yet, does not.
fn is_running(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
