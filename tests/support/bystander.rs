//! Somebody who pings from before a fault until after it, and what the fault must leave as it was.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::server::{Server, eventually};
use crate::wire::{expect_echo, pattern};

/// No fault here, and no pause of the server's, lasts half as long, even on a busy machine.
const MAX_ANSWER: Duration = Duration::from_secs(10);

/// How long it rests after each answer.
const REST: Duration = Duration::from_millis(5);

/// What the allocator may keep of what a fault made it take: it gives back what lies free at the end of its
/// heap once that is twice the largest piece that was ever freed, which is as large as a read: 256 KiB.
const MAX_KEPT_KIB: usize = 1024;

/// The time over which an idle server is watched, and the processor time that it may use in it.
const IDLE: Duration = Duration::from_millis(200);
const MAX_IDLE_USE: Duration = Duration::from_millis(20);

/// Pings all the time, on a thread of its own.
pub struct Bystander {
    pinger: JoinHandle<Duration>,
    leaves: Arc<AtomicBool>,
    descriptors: usize,
    own_kib: usize,
}

impl Bystander {
    /// Begins, and notes what there is before the fault.
    #[track_caller]
    pub fn beside(server: &Server) -> Self {
        let stream = server.connect();
        // As much as one read takes, for the server to have used what it needs for anybody.
        expect_echo(&stream, &pattern(0, 256 << 10));
        let leaves = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&leaves);
        Self {
            pinger: thread::spawn(move || ping_until(&stream, &told)),
            leaves,
            descriptors: server.descriptors(),
            own_kib: server.status_kib("RssAnon"),
        }
    }

    /// Expects that it was answered all along, that what the fault took is given back, and that the server
    /// has nothing to do now.
    #[track_caller]
    pub fn expect_all_as_before(self, server: &Server) {
        let before = self.own_kib;
        self.expect_idle(server);
        let kept = server.status_kib("RssAnon").saturating_sub(before);
        assert!(kept <= MAX_KEPT_KIB, "{kept} KiB are kept");
    }

    /// The same, whatever the allocator keeps.
    #[track_caller]
    pub fn expect_idle(self, server: &Server) {
        eventually(|| (server.descriptors() <= self.descriptors).then_some(()));
        assert_eq!(server.descriptors(), self.descriptors);
        self.leaves.store(true, Relaxed);
        let longest = self.pinger.join().expect("the bystander is served");
        assert!(longest <= MAX_ANSWER, "the bystander once waited for {longest:?}");
        eventually(|| (server.descriptors() < self.descriptors).then_some(()));
        let before = server.cpu_time();
        thread::sleep(IDLE);
        let used = server.cpu_time() - before;
        assert!(used <= MAX_IDLE_USE, "{used:?} in {IDLE:?} of silence");
    }
}

/// Pings until it is told to leave, and gives the longest that it had to wait.
fn ping_until(mut stream: &TcpStream, leaves: &AtomicBool) -> Duration {
    let mut longest = Duration::ZERO;
    for number in 0.. {
        let is_last = leaves.load(Relaxed);
        let (since, message) = (Instant::now(), pattern(number, 64));
        stream.write_all(&message).unwrap();
        let mut echo = [0; 64];
        stream.read_exact(&mut echo).unwrap();
        assert!(echo[..] == message, "the bystander's echo differs");
        longest = longest.max(since.elapsed());
        if is_last {
            break;
        }
        thread::sleep(REST);
    }
    longest
}
