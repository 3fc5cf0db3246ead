//! A bystander: a client that pings from before a fault until after it. It also checks that the server is
//! afterwards as it was before.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::server::{Server, eventually};
use crate::wire::{expect_echo, pattern};

/// The longest wait for an answer that passes. No fault, and no pause of the server, lasts half as long, even
/// on a busy machine.
const MAX_ANSWER: Duration = Duration::from_secs(10);

/// The pause after each answer.
const PAUSE: Duration = Duration::from_millis(5);

/// Memory that the allocator may keep after a fault. It returns the free end of its heap once that end is
/// twice as large as the largest block that was ever freed, and that block is one read: 256 KiB.
const MAX_KEPT_KIB: usize = 1024;

/// An idle server is watched for this time, and may use this much processor time in it.
const IDLE: Duration = Duration::from_millis(200);
const MAX_IDLE_USE: Duration = Duration::from_millis(20);

/// Pings without end, on its own thread.
pub struct Bystander {
    /// Returns the longest wait for an answer.
    pinger: JoinHandle<Duration>,
    must_stop: Arc<AtomicBool>,
    descriptors: usize,
    own_kib: usize,
}

impl Bystander {
    /// Starts to ping, and notes the server's descriptors and memory before the fault.
    #[track_caller]
    pub fn beside(server: &Server) -> Self {
        let stream = server.connect();
        // As long as the longest read, so that the server has what it needs to serve any connection.
        expect_echo(&stream, &pattern(0, 256 << 10));
        let must_stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&must_stop);
        Self {
            pinger: thread::spawn(move || ping_until(&stream, &flag)),
            must_stop,
            descriptors: server.descriptors(),
            own_kib: server.status_kib("RssAnon"),
        }
    }

    /// Expects that every ping was answered, that the server has released what the fault made it take, and
    /// that it is idle.
    #[track_caller]
    pub fn expect_all_as_before(self, server: &Server) {
        let before = self.own_kib;
        self.expect_idle(server);
        let kept = server.status_kib("RssAnon").saturating_sub(before);
        assert!(kept <= MAX_KEPT_KIB, "{kept} KiB are kept");
    }

    /// Expects the same, except that the allocator may keep any amount of memory.
    #[track_caller]
    pub fn expect_idle(self, server: &Server) {
        eventually(|| (server.descriptors() <= self.descriptors).then_some(()));
        assert_eq!(server.descriptors(), self.descriptors);
        self.must_stop.store(true, Relaxed);
        let longest = self.pinger.join().expect("the bystander is served");
        assert!(longest <= MAX_ANSWER, "the bystander once waited for {longest:?}");
        eventually(|| (server.descriptors() < self.descriptors).then_some(()));
        let used = server.cpu_used_in(IDLE);
        assert!(used <= MAX_IDLE_USE, "{used:?} in {IDLE:?} of silence");
    }
}

/// Pings until `must_stop` is set, and returns the longest wait for an answer.
fn ping_until(mut stream: &TcpStream, must_stop: &AtomicBool) -> Duration {
    let mut longest = Duration::ZERO;
    for number in 0.. {
        let is_last = must_stop.load(Relaxed);
        let (since, message) = (Instant::now(), pattern(number, 64));
        stream.write_all(&message).unwrap();
        let mut echo = [0; 64];
        stream.read_exact(&mut echo).unwrap();
        assert!(echo[..] == message, "the bystander's echo differs");
        longest = longest.max(since.elapsed());
        if is_last {
            break;
        }
        thread::sleep(PAUSE); // It pings up to 200 times a second, and leaves the processor to others.
    }
    longest
}
