//! What the stream says when something is wrong, with the server or with its own ends.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::pattern::{MIB, MUCH, pattern};
use super::peers::{self, serve};
use super::piped::{Client, command, run, spawn};

#[test]
fn a_wrong_byte_in_much_is_found() {
    let addr = serve(|stream| {
        io::copy(&mut (&stream).take(MIB), &mut &stream)?;
        let mut one = [0];
        (&stream).read_exact(&mut one)?;
        (&stream).write_all(&[one[0] ^ 1])?;
        peers::faithful(stream)
    });
    let ended = run(&[&addr], pattern(2 * MIB));
    ended.assert_failed("the echo is wrong");
    assert_eq!(ended.stdout.len() as u64, MIB, "and it is not passed on, nor is what follows it");
}

/// A multiple of the polynomial of CRC-32, which leaves that checksum as it was.
#[test]
fn bytes_altered_so_that_a_checksum_stays_the_same_are_found() {
    const SEEN_BY_NO_CHECKSUM: [u8; 5] = [0x41, 0x06, 0x71, 0xdb, 0x01];
    for at in [0, 70, 90_000, 3 * MIB] {
        let addr = serve(move |stream| {
            io::copy(&mut (&stream).take(at), &mut &stream)?;
            let mut few = [0; 5];
            (&stream).read_exact(&mut few)?;
            (&stream)
                .write_all(&std::array::from_fn::<_, 5, _>(|i| few[i] ^ SEEN_BY_NO_CHECKSUM[i]))?;
            peers::faithful(stream)
        });
        let ended = run(&[&addr], pattern(at + 1000));
        ended.assert_failed("the echo is wrong");
        assert!(ended.stdout.len() as u64 <= at, "{}", ended.stdout.len());
    }
}

/// More is on its way than is kept to be compared byte by byte.
#[test]
fn a_wrong_byte_in_an_echo_that_comes_as_a_whole_in_the_end_is_found() {
    const WRONG: usize = 5 * MIB as usize + 12_345;
    let addr = serve(|stream| {
        let mut all = Vec::new();
        (&stream).read_to_end(&mut all)?;
        all[WRONG] ^= 0x80;
        (&stream).write_all(&all)
    });
    let ended = run(&[&addr], pattern(9 * MIB));
    ended
        .assert_failed("the echo is wrong: of the 65536 bytes from offset 5242880 on, some differ");
    assert_eq!(ended.stdout.len() as u64, 5 * MIB);
}

#[test]
fn swapped_bytes_are_wrong_too() {
    let ended = run(&[&serve(peers::saying(b"12"))], &b"21"[..]);
    ended.assert_failed("the echo is wrong, first at offset 0: sent 0x32 (2), received 0x31 (1)");
    assert_eq!(ended.stdout, b"");
}

#[test]
fn more_than_was_sent_is_wrong() {
    let ended = run(&[&serve(peers::adding)], &b"hello\n"[..]);
    ended.assert_failed("the server sent more than it got: 9 bytes back for 6");
    assert_eq!(ended.stdout, b"hello\n");
}

/// Failed when nobody looked at what came after the last byte that was owed.
#[test]
fn what_comes_after_a_right_echo_is_too_much() {
    let addr = serve(|stream| {
        peers::faithful(stream.try_clone()?)?;
        // That it comes late is what this is about.
        thread::sleep(Duration::from_millis(100));
        (&stream).write_all(b"more")
    });
    let ended = run(&[&addr], &b"hello\n"[..]);
    ended.assert_failed("the server sent more than it got: 10 bytes back for 6");
    assert_eq!(ended.stdout, b"hello\n");
}

/// Its end is waited for, but not for long; and no longer than it takes.
#[test]
fn a_server_that_keeps_the_connection_after_the_echo_is_left_in_a_while() {
    let took = |addr: &str| {
        let since = Instant::now();
        run(&[addr], &b"hello\n"[..]).assert_fine(b"hello\n");
        since.elapsed()
    };
    let kept = took(&serve(|stream| {
        peers::faithful(stream.try_clone()?)?;
        loop {
            thread::park();
        }
    }));
    assert!((1..20).contains(&kept.as_secs()), "{kept:?}");
    let addr = serve(peers::faithful);
    let least = (0..5).map(|_| took(&addr)).min();
    assert!(least < Some(Duration::from_secs(1)), "{least:?}");
}

/// Once all has come back, it is no matter how the connection ends.
#[test]
fn a_reset_after_the_whole_echo_is_an_end_too() {
    let addr = serve(|stream| {
        peers::faithful(stream.try_clone()?)?;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
    });
    run(&[&addr], &b"hello\n"[..]).assert_fine(b"hello\n");
}

/// Failed when nothing was said of the place.
#[test]
fn a_wrong_echo_is_told_with_what_was_right_before_it() {
    let mut command = command(&[&serve(peers::altering)]);
    let mut child = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    stdin.write_all(b"right").unwrap();
    stdout.read_exact(&mut [0; 5]).unwrap();
    stdin.write_all(b"box").unwrap();
    drop(stdin);
    stdout.read_exact(&mut [0; 2]).unwrap();
    child.stdout = Some(stdout);
    let ended = Client::collect(child).end();
    ended.assert_failed("the echo is wrong, first at offset 7: sent 0x78 (x), received 0x58 (X)");
    assert_eq!(ended.stdout, b"");
}

#[test]
fn a_server_that_closes_early_is_told_with_what_came_back() {
    // At once, and not only when the patience is over.
    let addr = serve(peers::closing_after_three_bytes);
    let ended = run(&["-W", "3600s", &addr], &b"hello\n"[..]);
    ended.assert_failed("the server closed the connection after 3 of 6 bytes");
    assert_eq!(ended.stdout, b"hel");
}

#[test]
fn a_server_that_resets_the_connection_is_told_with_the_cause() {
    let addr = serve(|stream| {
        let mut three = [0; 3];
        (&stream).read_exact(&mut three)?;
        // What was left unread makes the kernel answer with a reset.
        Ok(())
    });
    let ended = run(&[&addr], &b"hello\n"[..]);
    ended.assert_failed(
        "the server broke the connection (connection reset by peer) after 0 of 6 bytes",
    );
}

#[test]
fn a_server_that_closes_after_the_whole_echo_did_what_was_asked() {
    let ended = run(&[&serve(peers::closing_after_one_echo)], &b"hello\n"[..]);
    ended.assert_fine(b"hello\n");
}

#[test]
fn a_server_that_closes_is_not_waited_for_while_the_input_stays_open() {
    let mut command = command(&["-W", "300ms", &serve(peers::closing_after_one_echo)]);
    let mut client = Client::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut stdin = client.child.stdin.take().unwrap();
    stdin.write_all(b"hello\n").unwrap();
    let ended = client.end();
    let line = "the server closed the connection after 6 of 6 bytes, before the input ended";
    ended.assert_failed(line);
    assert_eq!(ended.stdout, b"hello\n");
}

#[test]
fn an_echo_that_never_comes_is_given_up() {
    let ended = run(&["-W", "300ms", &serve(peers::silent)], &b"hello\n"[..]);
    ended.assert_failed("no echo within 300 ms: 0 of 6 bytes came back; giving up");
}

#[test]
fn a_server_that_takes_nothing_is_given_up() {
    let (_keep, gate) = mpsc::channel::<()>();
    let addr = serve(move |_stream| gate.recv().map_err(io::Error::other));
    run(&["-W", "300ms", &addr], pattern(MUCH)).assert_failed("no echo within 300 ms: 0 of ");
}

#[test]
fn an_input_that_cannot_be_read_is_told() {
    let mut command = command(&[&serve(peers::faithful)]);
    let ended = Client::start(command.stdin(File::open("/").unwrap()).stdout(Stdio::piped())).end();
    ended.assert_failed("cannot read from standard input: is a directory");
}

#[test]
fn a_server_that_is_not_there_is_told_with_the_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    for args in [&[&*addr][..], &["--reconnect", &*addr]] {
        let ended = run(args, &b"hello"[..]);
        ended.assert_failed(&format!("cannot connect to {addr}: connection refused"));
    }
    let ended = run(&["no.such.host.invalid:7"], &b"hello"[..]);
    ended.assert_failed("cannot resolve no.such.host.invalid:7: ");
}
