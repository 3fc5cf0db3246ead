//! How it ends before all is sent, and what becomes of its own output.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::Signal;

use super::peers::{self, serve};
use super::pinger::{Pinger, command, json, text};
use super::piped::{Client, spawn};

#[test]
fn ctrl_c_and_sigterm_print_the_summary() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut pinger = Pinger::start(&["-i", "20ms", &serve(peers::faithful)]);
        (1..=3).for_each(|k| drop(pinger.expect(&format!("seq={k} time="))));
        pinger.signal(signal);
        let line = pinger.expect(" sent, ");
        let sent: u64 = line.split(' ').next().unwrap().parse().unwrap();
        // Where it is interrupted with an echo outstanding, that is neither received nor lost.
        let all = format!("{sent} sent, {sent} received, 0 lost (0 %), 0 wrong, 0 reconnects, ");
        let but_one = format!("{sent} sent, {} received, 0 lost (0 %)", sent - 1);
        let is_whole = line.starts_with(&all) && !line.contains("under way");
        assert!(
            is_whole || line.starts_with(&but_one) && line.contains("1 still under way"),
            "{line}"
        );
        assert!(sent >= 3, "{line}");
        pinger.expect("echo min/avg/max/mdev = ");
        let ended = pinger.end();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{signal:?}");
    }
}

#[test]
fn ctrl_c_during_an_hour_of_waiting_takes_effect_at_once() {
    let (_keep, gate) = mpsc::channel::<()>();
    let addr = serve(move |_stream| gate.recv().map_err(io::Error::other));
    let mut pinger = Pinger::start(&["-i", "1h", "-W", "1h", &addr]);
    pinger.expect("connected to ");
    let ended = pinger.interrupt();
    let counts =
        "1 sent, 0 received, 0 lost (0 %), 0 wrong, 0 reconnects, 1 still under way, time ";
    assert!(text(&ended).contains(counts), "{}", text(&ended));
    ended.assert_failed("no echo came back");
}

/// A full accept queue leaves a connecting client without any answer, as a firewall does.
#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_while_connecting_takes_effect_at_once() {
    let (_listener, _queue, addr) = full();
    let mut pinger = Pinger::start(&["-W", "1h", &addr]);
    pinger.expect("PING ");
    // Before it watches for signals it waits for nothing.
    pinger.wait_until_asleep();
    let ended = pinger.interrupt();
    assert!(
        text(&ended).contains("1 sent, 0 received, 0 lost (0 %), 0 wrong, "),
        "{}",
        text(&ended)
    );
    assert!(text(&ended).contains(", 1 still under way, "), "{}", text(&ended));
    ended.assert_failed("no echo came back");
}

#[test]
#[cfg(target_os = "linux")]
fn a_connection_that_is_not_answered_is_given_up() {
    let (_listener, _queue, addr) = full();
    let ended = Pinger::start(&["-W", "200ms", &addr]).end();
    ended.assert_failed(&format!("cannot connect to {addr}: no answer within 200 ms; "));
}

/// A listener with a full accept queue.
fn full() -> (socket2::Socket, Vec<TcpStream>, String) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let connect = || TcpStream::connect_timeout(&addr, Duration::from_millis(200)).ok();
    let queue = std::iter::from_fn(connect).collect();
    (socket, queue, addr.to_string())
}

/// All echoes have come: whether the server ends the connection too is its own affair.
#[test]
fn a_server_that_does_not_say_goodbye_is_not_waited_for_long() {
    let (_keep, gate) = mpsc::channel::<()>();
    let addr = serve(move |stream| {
        peers::faithful(stream.try_clone()?)?;
        gate.recv().map_err(io::Error::other)
    });
    let ended = Pinger::start(&["-c", "1", &addr]).end();
    assert!(text(&ended).contains("1 sent, 1 received, 0 lost (0 %), 0 wrong, "), "{ended:?}");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

#[test]
fn ctrl_backslash_shows_how_things_stand() {
    let mut pinger = Pinger::start(&["-i", "1h", &serve(peers::faithful)]);
    pinger.expect("seq=1 time=");
    pinger.signal(Signal::QUIT);
    let line = pinger.expect("1 sent, 1 received, 0 lost (0 %), 0 wrong, 0 reconnects; echo min/");
    assert!(line.ends_with(" ms"), "{line}");
    let ended = pinger.interrupt();
    assert!(text(&ended).contains("ping statistics"), "{}", text(&ended));
    assert_eq!(ended.code, Some(0));
}

#[test]
fn json_is_printed_when_interrupted_too() {
    let (counted, messages) = mpsc::channel();
    let addr = serve(move |stream| {
        peers::echo_all(&stream, |echo| {
            counted.send(()).unwrap();
            echo
        })
    });
    let pinger = Pinger::start(&["--json", "-i", "10ms", &addr]);
    (0..3).for_each(|_| messages.recv().unwrap());
    let ended = pinger.interrupt();
    let json = json(&ended);
    let n = |key: &str| json["messages"][key].as_u64().unwrap();
    assert!(n("sent") >= 3 && n("sent") == n("received") + n("under_way"), "{json}");
    assert_eq!(ended.code, Some(0));
}

#[test]
fn an_output_that_is_closed_is_told() {
    let mut child = spawn(&mut command(&["-i", "1ms", &serve(peers::faithful)]));
    drop(child.stdout.take());
    Client::collect(child).end().assert_failed("cannot write to standard output: broken pipe");
}

#[test]
fn an_output_that_is_full_is_told() {
    for more in [&["-i", "1ms"][..], &["-q", "-c", "1"], &["--json", "-c", "1"]] {
        let mut command = command(&[more, &[&serve(peers::faithful)]].concat());
        command.stdout(File::options().write(true).open("/dev/full").unwrap());
        let ended = Client::start(&mut command).end();
        ended.assert_failed("cannot write to standard output: no space left on device");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
}
