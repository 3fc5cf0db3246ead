//! What the observer is told of the calls that go through to a stream.

use std::time::Duration;

use super::*;

/// Answers every call with the same.
struct Answers(Result<usize, ErrorKind>);

impl Read for Answers {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(self.0?)
    }
}

impl Write for Answers {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Ok(self.0?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.0.map(drop)?)
    }
}

/// Every event, as it is shown.
#[derive(Default)]
struct Told(Vec<String>);

impl Observer for Told {
    fn observe(&mut self, _: &Endpoint, event: Event<'_>) {
        self.0.push(format!("{event:?}"));
    }
}

/// What the observer was told of a call that was answered so, and whether the connection was stamped.
#[track_caller]
fn told(
    answer: Result<usize, ErrorKind>,
    call: fn(&mut Tap<'_, Answers, Told>) -> io::Result<usize>,
) -> (Vec<String>, bool) {
    let (mut io, peer, mut observer) = (Answers(answer), Endpoint::Unix(None), Told::default());
    let (mut active, now) = (Instant::now(), Instant::now() + Duration::from_secs(1));
    let observing = &mut observer;
    let mut tap =
        Tap { io: &mut io, peer: &peer, observer: observing, active: &mut active, now: &now };
    assert_eq!(call(&mut tap).map_err(|e| e.kind()), answer, "it comes through unchanged");
    (observer.0, active == now)
}

#[test]
fn bytes_that_move_are_told_and_so_is_a_peer_that_takes_no_more() {
    let nothing = (vec![], false);
    let read = |answer| told(answer, |tap| tap.read(&mut [0; 8]));
    assert_eq!(read(Ok(5)), (vec!["Read(5)".into()], false));
    assert_eq!(read(Ok(0)), nothing);
    assert_eq!(read(Err(ErrorKind::WouldBlock)), nothing);
    let write = |answer| told(answer, |tap| tap.write(&[0; 8]));
    assert_eq!(write(Ok(5)), (vec!["Wrote(5)".into()], true));
    assert_eq!(write(Err(ErrorKind::WouldBlock)), (vec!["Blocked".into()], false));
    assert_eq!(write(Err(ErrorKind::Interrupted)), nothing);
    assert_eq!(write(Err(ErrorKind::BrokenPipe)), nothing);
    let flush = |answer| told(answer, |tap| tap.flush().map(|()| 0));
    assert_eq!(flush(Ok(0)), nothing);
    assert_eq!(flush(Err(ErrorKind::BrokenPipe)), nothing);
}
