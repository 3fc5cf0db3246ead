//! Signals, status lines, and an output that is closed or full.

use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::Signal;

use super::peers::{self, serve};
use super::pinger::{Pinger, command, json, text};
use super::piped::{Client, Ended, spawn};

#[test]
fn a_signal_to_stop_prints_the_summary() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut pinger = Pinger::start(&["-i", "20ms", &serve(peers::faithful)]);
        (1..=3).for_each(|k| drop(pinger.expect(&format!("seq={k} time="))));
        pinger.signal(signal);
        let line = pinger.expect(" sent, ");
        let sent: u64 = line.split(' ').next().unwrap().parse().unwrap();
        // If an echo is outstanding, its message is neither received nor lost.
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

/// Asserts that the program was interrupted before any echo came.
#[track_caller]
fn assert_interrupted(ended: &Ended) {
    assert_eq!(ended.stderr, "resound: interrupted before any echo came back\n");
    assert_eq!(ended.code, Some(130));
}

/// timeout(1) sends SIGTERM to its child and then to its group. Failed when the second one killed the program.
#[test]
fn several_signals_at_once_are_one_request() {
    let mut pinger = Pinger::start(&["-i", "1h", &serve(peers::faithful)]);
    pinger.expect("seq=1 time=");
    pinger.signal(Signal::STOP);
    [Signal::TERM, Signal::HUP, Signal::TERM].iter().for_each(|signal| pinger.signal(*signal));
    pinger.signal(Signal::CONT);
    pinger.expect("1 sent, 1 received, 0 lost (0 %), ");
    pinger.expect("echo min/avg/max/mdev = ");
    let ended = pinger.end();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

#[test]
fn a_lost_echo_is_a_failure_also_after_an_interrupt() {
    let addr = serve(peers::losing_the_first());
    let mut pinger = Pinger::start(&["-i", "20ms", &addr]);
    pinger.expect("seq=2 time=");
    let ended = pinger.interrupt();
    assert!(text(&ended).contains("\nfailures: 1 closed\n"), "{}", text(&ended));
    ended.assert_failed("1 of ");
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
    assert_interrupted(&ended);
}

/// A full accept queue leaves a connecting client without any answer, as a firewall does.
#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_while_connecting_takes_effect_at_once() {
    let (_listener, _queue, addr) = full();
    let mut pinger = Pinger::start(&["-W", "1h", &addr]);
    pinger.expect("PING ");
    // The program watches for signals before it sleeps.
    pinger.wait_until_asleep();
    let ended = pinger.interrupt();
    assert!(
        text(&ended).contains("1 sent, 0 received, 0 lost (0 %), 0 wrong, "),
        "{}",
        text(&ended)
    );
    assert!(text(&ended).contains(", 1 still under way, "), "{}", text(&ended));
    assert_interrupted(&ended);
}

#[test]
#[cfg(target_os = "linux")]
fn a_server_that_does_not_answer_fails_after_the_timeout() {
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

/// All echoes have come, so the result does not depend on how the server closes.
#[test]
fn a_server_that_never_closes_does_not_hold_up_the_end() {
    let (_keep, gate) = mpsc::channel::<()>();
    let addr = serve(move |stream| {
        peers::faithful(stream.try_clone()?)?;
        gate.recv().map_err(io::Error::other)
    });
    let ended = Pinger::start(&["-c", "1", &addr]).end();
    assert!(text(&ended).contains("1 sent, 1 received, 0 lost (0 %), 0 wrong, "), "{ended:?}");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

/// Failed when the line went to standard output, except with `--json`.
#[test]
fn ctrl_backslash_prints_a_status_line_on_standard_error() {
    for args in [&["-i", "1h"][..], &["-q", "-i", "1h"], &["--json", "-i", "1h"]] {
        let (echoed, is_echoed) = mpsc::channel();
        let addr = serve(move |stream| {
            peers::echo_all(&stream, |echo| {
                echoed.send(()).unwrap();
                echo
            })
        });
        let mut pinger = Pinger::start(&[args, &[&addr]].concat());
        is_echoed.recv().unwrap();
        // The first ones may come before the echo does.
        let mut statuses = std::iter::repeat_with(|| pinger.status());
        let line = statuses.find(|line| line.contains("1 received")).unwrap();
        let counts = "1 sent, 1 received, 0 lost (0 %), 0 wrong, 0 reconnects; echo min/";
        assert!(line.starts_with(counts) && line.ends_with(" ms\n"), "{line}");
        let ended = pinger.interrupt();
        assert!(!text(&ended).contains(counts), "{}", text(&ended));
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn the_status_line_names_the_echo_that_is_outstanding() {
    let (_keep, gate) = mpsc::channel::<()>();
    let addr = serve(move |_stream| gate.recv().map_err(io::Error::other));
    let mut pinger = Pinger::start(&["-W", "1h", &addr]);
    pinger.expect("connected to ");
    let line = pinger.status();
    let counts =
        "1 sent, 0 received, 0 lost (0 %), 0 wrong, 0 reconnects; waiting for seq=1 since ";
    assert!(line.starts_with(counts), "{line}");
    assert_interrupted(&pinger.interrupt());
}

#[test]
#[cfg(target_os = "linux")]
fn the_status_line_names_the_server_that_has_not_answered() {
    let (_listener, _queue, addr) = full();
    for quiet in [&[][..], &["-q"]] {
        let mut pinger = Pinger::start(&[&["-W", "1h", &addr], quiet].concat());
        pinger.expect("PING ");
        let counts = "1 sent, 0 received, 0 lost (0 %), 0 wrong, 0 reconnects";
        assert_eq!(pinger.status(), format!("{counts}; connecting to {addr}\n"));
        assert_interrupted(&pinger.interrupt());
    }
}

#[test]
fn json_is_printed_after_an_interrupt_too() {
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
    assert_eq!((&json["end"], json["error"].is_null()), (&"interrupted".into(), true));
    assert_eq!(ended.code, Some(0));
}

/// `resound ping … | head -1`. Failed with an error about the closed pipe.
#[test]
fn a_closed_pipe_ends_the_program_by_sigpipe() {
    for args in [&["-i", "1ms"][..], &["-q", "-c", "1"], &["--json", "-c", "1"]] {
        let mut child = spawn(&mut command(&[args, &[&serve(peers::faithful)]].concat()));
        drop(child.stdout.take());
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::PIPE.as_raw()), "{args:?}: {status}");
        let mut stderr = String::new();
        child.stderr.unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(stderr, "", "{args:?}");
    }
}

/// The pipe takes a small part of the lines, and another program has made it non-blocking. Failed when the
/// program ended at the first line for which there was no room.
#[test]
#[cfg(target_os = "linux")]
fn an_output_that_is_non_blocking_and_full_gets_every_line_whole() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
    let mut command = command(&["-i", "1ms", "-c", "300", &serve(peers::faithful)]);
    let child = spawn(command.stdout(writer));
    drop(command);
    while rustix::io::ioctl_fionread(&reader).unwrap() < 4000 {
        std::thread::yield_now();
    }
    let mut text = String::new();
    File::from(reader).read_to_string(&mut text).unwrap();
    let echoes: Vec<_> = text.lines().filter(|line| line.starts_with("56 bytes from ")).collect();
    assert_eq!(echoes.len(), 300, "{text}");
    assert!(echoes.iter().all(|line| line.ends_with(" ms")), "{text}");
    assert!(text.contains("\n300 sent, 300 received, 0 lost (0 %), 0 wrong, "), "{text}");
    assert_eq!(Client::collect(child).end().code, Some(0));
}

#[test]
fn a_full_output_is_reported() {
    for more in [&["-i", "1ms"][..], &["-q", "-c", "1"], &["--json", "-c", "1"]] {
        let mut command = command(&[more, &[&serve(peers::faithful)]].concat());
        command.stdout(File::options().write(true).open("/dev/full").unwrap());
        let ended = Client::start(&mut command).end();
        ended.assert_failed("cannot write to standard output: no space left on device");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
}
