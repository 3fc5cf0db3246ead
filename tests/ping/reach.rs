//! Servers that are not up yet or have no room, a stopped client, and a name.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::thread;

use super::peers::{self, serve};
use super::pinger::{Pinger, command, json, ping, text};
use super::piped::Client;

/// An address at which nothing listens.
fn closed() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Echoes on the first connection.
fn serve_one(listener: TcpListener) {
    thread::spawn(move || peers::faithful(listener.accept().unwrap().0));
}

#[test]
fn a_server_that_comes_up_later_is_waited_for() {
    let addr = closed();
    let mut pinger = Pinger::start(&["--wait", "50s", "-c", "2", "-i", "10ms", &addr]);
    let line = pinger.expect("trying again");
    let expected = format!("cannot connect to {addr}: connection refused; nothing listens there: ");
    assert!(line.starts_with(&expected), "{line}");
    assert!(line.ends_with("; trying again for up to 50 s"), "{line}");
    serve_one(TcpListener::bind(&addr).unwrap());
    pinger.expect(&format!("connected to {addr} from "));
    pinger.expect("2 sent, 2 received, 0 lost (0 %), 0 wrong, 0 reconnects, ");
    let ended = pinger.end();
    assert_eq!(text(&ended).matches("trying again").count(), 1, "{}", text(&ended));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

#[test]
fn a_unix_server_that_comes_up_later_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let addr = format!("unix:{}", path.display());
    let mut pinger = Pinger::start(&["-q", "--wait", "50s", "-c", "1", &addr]);
    pinger.expect("; trying again for up to 50 s");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept()?;
        std::io::copy(&mut &stream, &mut &stream)
    });
    pinger.expect("1 sent, 1 received, 0 lost (0 %), ");
    assert_eq!(pinger.end().code, Some(0));
}

#[test]
fn a_server_that_does_not_come_up_is_given_up() {
    for addr in [closed(), "no.such.host.invalid:7".into(), "unix:/no/such/socket".into()] {
        let ended = ping(&["--json", "--wait", "500ms", &addr]);
        let lines: Vec<_> = ended.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{ended:?}");
        assert!(lines[0].contains("; trying again for up to 500 ms"), "{ended:?}");
        assert!(lines[1].ends_with("; waited for 500 ms"), "{ended:?}");
        let json = json(&ended);
        assert_eq!(
            (&json["end"], &json["wait_nanoseconds"]),
            (&"failed".into(), &500_000_000.into())
        );
        assert_eq!(ended.code, Some(1));
    }
}

/// `--wait` counts for the first connection only.
#[test]
fn a_server_that_goes_down_later_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let mut pinger = Pinger::start(&["--wait", "1h", "-c", "2", "-i", "10ms", &addr]);
    let (stream, _) = listener.accept().unwrap();
    drop(listener);
    std::io::copy(&mut std::io::Read::take(&stream, 56), &mut &stream).unwrap();
    drop(stream);
    pinger.expect("seq=2: ");
    pinger.end().assert_failed("1 of 2 echoes did not come back");
}

#[test]
fn a_wait_for_a_server_can_be_interrupted() {
    let mut pinger = Pinger::start(&["--wait", "1h", &closed()]);
    pinger.expect("trying again");
    let ended = pinger.interrupt();
    assert_eq!(ended.code, Some(130), "{ended:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_unix_server_with_a_full_accept_queue_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let listener = UnixListener::from(OwnedFd::from(socket));
    let _queued = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let addr = format!("unix:{}", path.display());
    let ended = ping(&["-W", "100ms", &addr]);
    ended.assert_failed(&format!("cannot connect to {addr}: no room within 100 ms; "));

    let mut pinger = Pinger::start(&["-c", "1", "-W", "50s", &addr]);
    pinger.expect("PING ");
    pinger.wait_until_asleep();
    thread::spawn(move || {
        let (_first, (second, _)) = (listener.accept()?, listener.accept()?);
        std::io::copy(&mut &second, &mut &second)
    });
    pinger.expect("1 sent, 1 received, 0 lost (0 %), ");
    assert_eq!(pinger.end().code, Some(0));
}

/// Failed when the echo, which had come long before, counted as late.
#[test]
#[cfg(target_os = "linux")]
fn a_client_that_was_stopped_calls_nothing_late() {
    use rustix::process::Signal;
    use std::io::{Read, Write};
    use std::time::Duration;
    /// Longer than the timeout: the test is about this time.
    const STOP: Duration = Duration::from_millis(1200);
    let (tell, is_asked) = std::sync::mpsc::channel();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let addr = serve(move |stream| {
        let mut message = [0; 56];
        (&stream).read_exact(&mut message)?;
        tell.send(()).unwrap();
        gate.recv().map_err(std::io::Error::other)?;
        (&stream).write_all(&message)?;
        peers::faithful(stream)
    });
    let mut pinger = Pinger::start(&["-c", "2", "-i", "10ms", "-W", "1s", &addr]);
    is_asked.recv().unwrap();
    pinger.signal(Signal::STOP);
    open.send(()).unwrap();
    thread::sleep(STOP);
    pinger.signal(Signal::CONT);
    pinger.expect("2 sent, 2 received, 0 lost (0 %), 0 wrong, 0 reconnects, ");
    pinger.expect("this program was stopped for ");
    let ended = pinger.end();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

/// Only a name needs a look-up, which runs on a thread of its own.
#[test]
fn localhost_is_found_by_its_name() {
    let addr = serve(peers::faithful);
    let port = addr.rsplit_once(':').unwrap().1;
    let mut command = command(&["-c", "1", &format!("localhost:{port}")]);
    let ended = Client::start(&mut command).end();
    assert!(text(&ended).contains(&format!("\nconnected to {addr} from ")), "{}", text(&ended));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}
