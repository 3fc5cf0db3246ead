//! What a stream reports if something is wrong with the server, or with its own input and output.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::long_stream::{MIB, MUCH, long_stream};
use super::peers::{self, serve};
use super::piped::{Client, command, run, spawn_piped};

#[test]
fn a_wrong_byte_in_a_long_stream_is_found() {
    let addr = serve(|stream| {
        io::copy(&mut (&stream).take(MIB), &mut &stream)?;
        let mut one = [0];
        (&stream).read_exact(&mut one)?;
        (&stream).write_all(&[one[0] ^ 1])?;
        peers::faithful(stream)
    });
    let ended = run(&[&addr], long_stream(2 * MIB));
    ended.assert_failed("the echo is wrong");
    assert_eq!(
        ended.stdout.len() as u64,
        MIB,
        "the wrong byte and all that follows it stay out of the output"
    );
}

/// The change is a multiple of the polynomial of CRC-32, so it does not change that checksum.
#[test]
fn changes_that_a_checksum_does_not_see_are_found() {
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
        let ended = run(&[&addr], long_stream(at + 1000));
        ended.assert_failed("the echo is wrong");
        assert!(ended.stdout.len() as u64 <= at, "{}", ended.stdout.len());
    }
}

/// More bytes are on their way than the client keeps to compare one by one.
#[test]
fn a_wrong_byte_is_found_if_the_server_echoes_only_at_the_end() {
    const WRONG: usize = 5 * MIB as usize + 12_345;
    let addr = serve(|stream| {
        let mut all = Vec::new();
        (&stream).read_to_end(&mut all)?;
        all[WRONG] ^= 0x80;
        (&stream).write_all(&all)
    });
    let ended = run(&[&addr], long_stream(9 * MIB));
    ended
        .assert_failed("the echo is wrong: of the 65536 bytes from offset 5242880 on, some differ");
    assert_eq!(ended.stdout.len() as u64, 5 * MIB);
}

#[test]
fn swapped_bytes_are_wrong() {
    let ended = run(&[&serve(peers::saying(b"12"))], &b"21"[..]);
    ended.assert_failed("the echo is wrong, first at offset 0: sent 0x32 (2), received 0x31 (1)");
    assert_eq!(ended.stdout, b"");
}

#[test]
fn more_bytes_than_were_sent_are_wrong() {
    let ended = run(&[&serve(peers::adding)], &b"hello\n"[..]);
    ended.assert_failed("the server sent more than it got: 9 bytes back for 6");
    assert_eq!(ended.stdout, b"hello\n");
}

/// Failed when the client did not read on after the last byte of the echo.
#[test]
fn bytes_after_a_right_echo_are_too_many_even_if_they_come_late() {
    let addr = serve(|stream| {
        peers::faithful(stream.try_clone()?)?;
        // The bytes come late, which is what this test needs.
        thread::sleep(Duration::from_millis(100));
        (&stream).write_all(b"more")
    });
    let ended = run(&[&addr], &b"hello\n"[..]);
    ended.assert_failed("the server sent more than it got: 10 bytes back for 6");
    assert_eq!(ended.stdout, b"hello\n");
}

/// The client waits for the server to close, but not for long, and no longer than necessary.
#[test]
fn the_client_ends_soon_if_the_server_keeps_the_connection_after_the_echo() {
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
    assert!(kept >= Duration::from_secs(1), "{kept:?}");
    let addr = serve(peers::faithful);
    let least = (0..5).map(|_| took(&addr)).min();
    assert!(least < Some(Duration::from_secs(1)), "{least:?}");
}

/// Once all has come back, it does not matter how the connection ends.
#[test]
fn a_reset_after_the_whole_echo_is_no_failure() {
    let addr = serve(|stream| {
        peers::faithful(stream.try_clone()?)?;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
    });
    run(&[&addr], &b"hello\n"[..]).assert_fine(b"hello\n");
}

/// Failed when the line did not name the offset.
#[test]
fn the_offset_of_a_wrong_byte_counts_from_the_start_of_the_stream() {
    let (mut child, mut stdin, mut stdout) = spawn_piped(&[&serve(peers::altering)]);
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
fn a_server_that_closes_early_is_reported_with_what_came_back() {
    // At once, and not only after the timeout.
    let addr = serve(peers::closing_after_three_bytes);
    let ended = run(&["-W", "3600s", &addr], &b"hello\n"[..]);
    ended.assert_failed("the server closed the connection after 3 of 6 bytes");
    assert_eq!(ended.stdout, b"hel");
}

#[test]
fn a_server_that_resets_the_connection_is_reported_with_the_cause() {
    let addr = serve(|stream| {
        let mut three = [0; 3];
        (&stream).read_exact(&mut three)?;
        // The kernel answers with a reset, because some bytes are unread.
        Ok(())
    });
    let ended = run(&[&addr], &b"hello\n"[..]);
    ended.assert_failed(
        "the server broke the connection (connection reset by peer) after 0 of 6 bytes",
    );
}

#[test]
fn a_server_may_close_after_the_whole_echo() {
    let ended = run(&[&serve(peers::closing_after_one_echo)], &b"hello\n"[..]);
    ended.assert_fine(b"hello\n");
}

#[test]
fn a_server_that_closes_before_the_input_ends_is_a_failure_after_the_timeout() {
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
fn an_echo_that_never_comes_ends_the_client_after_the_timeout() {
    let ended = run(&["-W", "300ms", &serve(peers::silent)], &b"hello\n"[..]);
    ended.assert_failed("no echo within 300 ms: 0 of 6 bytes came back; giving up");
}

#[test]
fn a_server_that_reads_nothing_ends_the_client_after_the_timeout() {
    let (_keep, gate) = mpsc::channel::<()>();
    let addr = serve(move |_stream| gate.recv().map_err(io::Error::other));
    run(&["-W", "300ms", &addr], long_stream(MUCH)).assert_failed("no echo within 300 ms: 0 of ");
}

#[test]
fn an_input_that_cannot_be_read_is_reported() {
    let mut command = command(&[&serve(peers::faithful)]);
    let ended = Client::start(command.stdin(File::open("/").unwrap()).stdout(Stdio::piped())).end();
    ended.assert_failed("cannot read from standard input: is a directory");
}

#[test]
fn a_server_that_is_not_there_is_reported_with_the_cause() {
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
