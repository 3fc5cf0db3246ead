use std::io;

use super::*;
use crate::conn::{Readiness, Turn};

const SECOND: Duration = Duration::from_secs(1);

fn config(idle: Option<Duration>, stall: Option<Duration>) -> Config {
    Config {
        max_connections: 10,
        max_per_ip: None,
        idle_timeout: idle,
        stall_timeout: stall,
        drain_timeout: SECOND,
        buffer_bytes: 1024,
        pending_limit_bytes: 1024,
        spin: None,
        once: false,
    }
}

/// A peer that sends one byte and takes nothing.
struct Stuck(Option<u8>);

impl io::Read for Stuck {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer[0] = self.0.take().ok_or(io::ErrorKind::WouldBlock)?;
        Ok(1)
    }
}

impl io::Write for Stuck {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stuck_echo() -> Echo {
    let mut echo = Echo::new();
    let turn = echo.drive(&mut Stuck(Some(1)), Readiness::ReadOn, &mut [0; 8]).unwrap();
    assert_eq!((turn, echo.held_bytes()), (Turn::Wait, 1));
    echo
}

#[test]
fn what_a_connection_waits_for_decides_its_deadline() {
    let now = Instant::now();
    let mut deadlines = Deadlines::new(&config(Some(2 * SECOND), Some(3 * SECOND)), now);
    let (idle, stuck) = (Echo::new(), stuck_echo());
    let at = |deadlines: &Deadlines, echo| deadlines.of(echo, now).map(|(at, _)| at - now);
    assert_eq!(at(&deadlines, &idle), Some(2 * SECOND));
    assert_eq!(at(&deadlines, &stuck), Some(3 * SECOND));
    assert!(matches!(deadlines.of(&idle, now), Some((_, Expiry::Idle))));
    assert!(matches!(deadlines.of(&stuck, now), Some((_, Expiry::Close(Closed::Stalled)))));
    deadlines.drain(now);
    assert!(matches!(deadlines.of(&idle, now), Some((_, Expiry::Quiet))));
    assert!(matches!(deadlines.of(&stuck, now), Some((_, Expiry::Close(Closed::Stalled)))));
}

#[test]
fn without_timeouts_nothing_is_ever_due() {
    let now = Instant::now();
    let mut deadlines = Deadlines::new(&config(None, None), now);
    assert_eq!(deadlines.next(), None);
    assert_eq!(deadlines.slice(10, now + 1000 * SECOND), None);
    assert!(deadlines.of(&Echo::new(), now).is_none());
}

/// However the deadlines lie, no pass is later than the gap after any of them, and none comes so often
/// that it would spin.
#[test]
fn a_pass_comes_soon_after_every_deadline() {
    let start = Instant::now();
    let timeout = 16 * SECOND;
    for known in [None, Some(1), Some(500), Some(5_000), Some(15_999)] {
        let mut deadlines = Deadlines::new(&config(Some(timeout), None), start);
        if let Some(ms) = known {
            deadlines.note(start + Duration::from_millis(ms));
        }
        let due = deadlines.next().unwrap();
        let earliest = start + known.map_or(timeout, Duration::from_millis);
        assert!(due >= earliest && due <= earliest + SECOND, "{known:?}: {:?}", due - start);
        assert_eq!(deadlines.slice(10, due - Duration::from_nanos(1)), None);
        assert_eq!(deadlines.slice(10, due), Some(0..10));
        assert!(deadlines.next().unwrap() >= due + SECOND, "the next follows too soon");
    }
}

#[test]
fn of_all_that_is_noted_the_earliest_counts() {
    let start = Instant::now();
    let mut deadlines = Deadlines::new(&config(None, Some(SECOND)), start);
    for (noted, earliest) in [(5, 5), (7, 5), (3, 3), (3, 3), (4, 3)] {
        deadlines.note(start + noted * SECOND);
        assert_eq!(deadlines.next(), Some(start + earliest * SECOND));
    }
}

/// How far apart they are follows from the shortest time that anybody can be given.
#[test]
fn passes_keep_their_distance() {
    let start = Instant::now();
    let ms = Duration::from_millis;
    let passes = [
        (Some(ms(320)), None, ms(20)),
        (Some(60 * SECOND), Some(ms(160)), ms(10)),
        (None, None, LINGER / LATENESS),
        (Some(ms(1)), None, MIN_GAP),
    ];
    for (idle, stall, gap) in passes {
        let mut deadlines = Deadlines::new(&config(idle, stall), start);
        deadlines.note(start);
        assert_eq!(deadlines.next(), Some(start + gap), "{idle:?}, {stall:?}");
    }
}

#[test]
fn a_long_pass_is_cut_in_slices_that_follow_at_once() {
    let start = Instant::now();
    let mut deadlines = Deadlines::new(&config(Some(SECOND), None), start);
    let now = start + SECOND;
    let bound = 2 * SLOTS_PER_TURN + 7;
    assert_eq!(deadlines.slice(bound, now), Some(0..SLOTS_PER_TURN));
    // What is noted on the way counts for the next pass, and does not end this one.
    deadlines.note(now + SECOND / 2);
    assert!(deadlines.next().unwrap() <= now);
    assert_eq!(deadlines.slice(bound, now), Some(SLOTS_PER_TURN..2 * SLOTS_PER_TURN));
    assert_eq!(deadlines.slice(bound, now), Some(2 * SLOTS_PER_TURN..bound));
    assert_eq!(deadlines.next(), Some(now + SECOND / 2));
}

#[test]
fn draining_starts_a_pass_that_finds_who_was_quiet_already() {
    let start = Instant::now();
    let mut deadlines = Deadlines::new(&config(None, Some(60 * SECOND)), start);
    let now = start + 10 * SECOND;
    deadlines.drain(now);
    assert!(deadlines.next().unwrap() <= now);
    assert_eq!(deadlines.slice(3, now), Some(0..3));
    let (at, _) = deadlines.of(&Echo::new(), start).unwrap();
    assert!(at <= now);
}

#[test]
fn the_clock_stands_still_while_the_server_does() {
    let start = Instant::now();
    let mut clock = ServedClock::new(start);
    let at = |seconds: u32| start + seconds * SECOND;
    assert_eq!(clock.served(at(1)), at(1));
    // It meant to sleep for 5 seconds, and did.
    assert_eq!(clock.patience(Some(at(6))), Some(5 * SECOND));
    assert_eq!(clock.served(at(6)), at(6));
    // It meant to sleep for 5 seconds, and was stopped for a minute.
    clock.patience(Some(at(11)));
    assert_eq!(clock.served(at(71)), at(11));
    // From then on it goes as before.
    assert_eq!(clock.patience(Some(at(12))), Some(SECOND));
    assert_eq!(clock.served(at(72)), at(12));
    // A short delay is nobody's fault.
    clock.patience(Some(at(11)));
    assert_eq!(clock.served(at(73)), at(13));
    // With nothing to wait for, no sleep is too long.
    assert_eq!(clock.patience(None), None);
    assert_eq!(clock.served(at(1000)), at(940));
}

#[test]
fn oversleeping_begins_after_a_second() {
    let start = Instant::now();
    let overslept = OVERSLEPT + Duration::from_nanos(1);
    for (late, served) in [(OVERSLEPT, SECOND + OVERSLEPT), (overslept, SECOND)] {
        let mut clock = ServedClock::new(start);
        clock.patience(Some(start + SECOND));
        assert_eq!(clock.served(start + SECOND + late), start + served, "{late:?} late");
    }
}
