use std::collections::VecDeque;
use std::io::{Read, Write};

use mio::{Interest, Registry, Token};

use super::*;
use crate::net::Stream;

/// Answers each accept from a script, and says that the queue is empty after its end.
struct Scripted(VecDeque<Result<(), Errno>>);

/// A connection that is there, and no more.
#[derive(Debug)]
struct Dummy;

macro_rules! unpolled {
    ($type:ty) => {
        impl Source for $type {
            fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
                Ok(())
            }
            fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
                Ok(())
            }
            fn deregister(&mut self, _: &Registry) -> io::Result<()> {
                Ok(())
            }
        }
    };
}

unpolled!(Scripted);
unpolled!(Dummy);

impl Read for Dummy {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

impl Write for Dummy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Dummy {
    fn short_read_drains(&self) -> bool {
        false
    }
    fn shutdown_write(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Listen for Scripted {
    type Stream = Dummy;

    fn accept(&mut self) -> io::Result<(Dummy, Endpoint)> {
        self.0.pop_front().unwrap_or(Err(Errno::AGAIN))?;
        Ok((Dummy, Endpoint::Unix(None)))
    }
}

fn acceptor(script: impl IntoIterator<Item = Result<(), Errno>>) -> Acceptor<Scripted> {
    Acceptor::new(Scripted(script.into_iter().collect()), "here".into())
}

#[test]
fn an_error_of_one_connection_is_passed_over() {
    let now = Instant::now();
    for errno in [
        Errno::CONNABORTED,
        Errno::PROTO,
        Errno::PERM,
        Errno::INTR,
        Errno::NETDOWN,
        Errno::NONET,
        Errno::HOSTUNREACH,
        Errno::TIMEDOUT,
    ] {
        let mut acceptor = acceptor([Err(errno), Ok(())]);
        assert!(matches!(acceptor.next(now), Next::NotThisOne(_)), "{errno:?}");
        assert!(matches!(acceptor.next(now), Next::Connection(..)), "{errno:?}");
        assert!(matches!(acceptor.next(now), Next::NoMore), "{errno:?}");
        assert_eq!(acceptor.retry_at(), None, "{errno:?}");
    }
}

#[test]
fn exhaustion_rests_until_the_time_to_retry_or_until_something_is_set_free() {
    let now = Instant::now();
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::INVAL] {
        let mut acceptor = acceptor([Err(errno), Ok(()), Err(errno), Ok(())]);
        assert!(matches!(acceptor.next(now), Next::NoMore), "{errno:?}");
        let retry = acceptor.retry_at().unwrap();
        assert!(retry > now && retry <= now + Duration::from_secs(1));
        // An edge before that is no reason to try: the script would go on.
        assert!(matches!(acceptor.next(retry - Duration::from_millis(1)), Next::NoMore));
        assert!(matches!(acceptor.next(retry), Next::Connection(..)));
        assert!(matches!(acceptor.next(retry), Next::NoMore));
        // Still the same episode; and an end of a connection ends the rest.
        acceptor.cut_rest_short(retry);
        assert!(matches!(acceptor.next(retry), Next::Connection(..)));
        assert!(acceptor.retry_at().is_some(), "the queue has not been emptied yet");
        assert!(matches!(acceptor.next(retry), Next::NoMore));
        assert_eq!(acceptor.retry_at(), None, "the episode is over");
    }
}

/// A server at the edge of its descriptors fails and recovers all the time, which is one trouble.
#[test]
fn one_trouble_is_complained_of_once() {
    let start = Instant::now();
    let mut acceptor = acceptor([]);
    let mut complaints = Vec::new();
    for second in 0..130 {
        let now = start + Duration::from_secs(second);
        acceptor.listener.0 = [Err(Errno::MFILE), Err(Errno::AGAIN)].into();
        assert!(matches!(acceptor.next(now), Next::NoMore));
        if acceptor.complained_at == Some(now) {
            complaints.push(second);
        }
        acceptor.cut_rest_short(now);
        assert!(matches!(acceptor.next(now), Next::NoMore));
        assert_eq!(acceptor.retry_at(), None, "recovered");
    }
    assert_eq!(complaints, [0, 60, 120]);
}

#[test]
fn setting_something_free_means_nothing_while_all_is_well() {
    let mut acceptor = acceptor([]);
    acceptor.cut_rest_short(Instant::now());
    assert_eq!(acceptor.retry_at(), None);
}
