//! Each kind of file, full and empty, and its flags afterwards.

use std::os::unix::net::UnixStream;

use rustix::fs::{Mode, OFlags, fcntl_getfl, mkfifoat, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::*;

fn is_non_blocking(file: impl AsFd) -> bool {
    fcntl_getfl(file).unwrap().contains(OFlags::NONBLOCK)
}

/// Reads nothing, fills up, reads what was written, and finds the flags of both ends as they were.
fn check(reader: &File, writer: &File, name: &str) {
    let mut input = Standard::new(reader.as_fd()).unwrap();
    let mut output = Standard::new(writer.as_fd()).unwrap();
    let nothing = input.read(&mut [0; 9]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock, "{name}");
    let mut written = 0;
    let full = loop {
        match output.write(&[b'x'; 3000]) {
            Ok(n) => written += n,
            Err(e) => break e,
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock, "{name}");
    let mut read = 0;
    while let Ok(n) = input.read(&mut [0; 5000]) {
        read += n;
    }
    assert_eq!((read, read > 4096), (written, true), "{name}");
    assert!(!is_non_blocking(reader) && !is_non_blocking(writer), "{name}");
}

#[test]
fn pipes_and_sockets_never_block_and_keep_their_flags() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    check(&reader.into(), &writer.into(), "pipe");
    let (one, other) = UnixStream::pair().unwrap();
    let file = |socket: UnixStream| File::from(std::os::fd::OwnedFd::from(socket));
    check(&file(one), &file(other), "socket");
}

/// A named pipe does not know `RWF_NOWAIT`.
#[test]
fn a_named_pipe_is_opened_again_and_keeps_its_flags() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    mkfifoat(rustix::fs::CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
    let both = File::options().read(true).write(true).open(&path).unwrap();
    check(&both, &both, "fifo");
}

/// The way that is left without a description of its own, as without procfs.
#[test]
fn a_pipe_that_must_be_polled_first_never_blocks() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let polled = |file| Standard { file, access: Access::PollFirst };
    let (mut input, mut output) = (polled(File::from(reader)), polled(File::from(writer)));
    assert_eq!(input.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
    while let Ok(n) = output.write(&[0; 10_000]) {
        assert!(n <= PIPE_BYTES);
    }
    assert_eq!(input.read(&mut [0; 9]).unwrap(), 9);
}

#[test]
fn a_terminal_without_a_reader_never_blocks_and_keeps_its_flags() {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let mut output = Standard::new(slave.as_fd()).unwrap();
    assert_eq!(output.access, Access::Plain);
    let full = loop {
        if let Err(e) = output.write(&[b'x'; 3000]) {
            break e;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    assert!(!is_non_blocking(&slave));
}

#[test]
fn a_write_to_a_full_device_fails_and_does_not_wait() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut waiting = Waiting::new(Standard::new(full.as_fd()).unwrap());
    assert_eq!(waiting.write(b"x").unwrap_err().kind(), ErrorKind::StorageFull);
}

#[test]
fn a_wait_ends_at_its_time_limit_or_when_there_is_room() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let mut standard = Standard::new(writer.as_fd()).unwrap();
    while standard.write(&[0; 1000]).is_ok() {}
    let mut waiting = Waiting { standard, give_up: Some(Instant::now()) };
    assert_eq!(waiting.write(&[0; 1000]).unwrap_err().kind(), ErrorKind::TimedOut);
    waiting.give_up = None;
    let drained = std::thread::spawn(move || io::copy(&mut File::from(reader), &mut io::sink()));
    waiting.write_all(&[0; 200_000]).unwrap();
    drop((waiting, writer));
    assert!(drained.join().unwrap().unwrap() > 200_000);
}
