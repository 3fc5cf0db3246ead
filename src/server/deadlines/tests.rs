use std::collections::VecDeque;
use std::io::ErrorKind;

use super::*;
use crate::conn::{Next, ShortRead};
use crate::kit::socket::Socket;

const SECOND: Duration = Duration::from_secs(1);
const INSTANT: Duration = Duration::from_nanos(1);

fn config(idle_timeout: Option<Duration>, stall_timeout: Option<Duration>) -> Config {
    Config { idle_timeout, stall_timeout, ..Config::default() }
}

/// The echo of a peer that has sent one byte, and takes nothing.
fn stuck_echo() -> Echo {
    let mut echo = Echo::new();
    let mut socket = Socket::new(VecDeque::from([Ok(1), Err(ErrorKind::WouldBlock)]));
    let drive = echo.drive(&mut socket, ShortRead::ProvesNothing, &mut [0; 8]);
    assert_eq!((drive.next.unwrap(), echo.buffered_bytes()), (Next::Wait, 1));
    echo
}

#[test]
fn what_a_connection_waits_for_decides_its_deadline() {
    let now = Instant::now();
    let mut deadlines = Deadlines::new(&config(Some(2 * SECOND), Some(3 * SECOND)), now);
    let (idle, stuck) = (Echo::new(), stuck_echo());
    let look = 3 * SECOND / LOOKS + INSTANT;
    assert_eq!(deadlines.of(&idle, 0, now), Some((now + 2 * SECOND, Expiry::Idle)));
    assert_eq!(deadlines.of(&stuck, 0, now), Some((now + look, Expiry::Stalled)));
    deadlines.drain(now);
    assert_eq!(deadlines.of(&idle, 0, now), Some((now + QUIET, Expiry::Quiet)));
    assert_eq!(deadlines.of(&stuck, 0, now), Some((now + look, Expiry::Stalled)));
    let mut lingering = Echo::new();
    lingering.abandon();
    assert_eq!(deadlines.of(&lingering, 0, now), Some((now + LINGER, Expiry::Lingering)));
    assert_eq!(deadlines.of(&lingering, 1, now), Some((now + look, Expiry::Lingering)));
}

/// However often it sweeps, the server looks at a peer that takes nothing once in each quarter of the timeout, and once
/// at its end.
#[test]
fn looks_come_at_quarters_and_at_the_end() {
    let start = Instant::now();
    let mut deadlines = Deadlines::new(&config(Some(SECOND / 10), Some(4 * SECOND)), start);
    let stuck = stuck_echo();
    let mut looks = Vec::new();
    for tenth in 1..=42 {
        let now = start + SECOND / 10 * tenth;
        assert!(deadlines.slice(1, now).is_some());
        let (at, _) = deadlines.of(&stuck, 0, start).unwrap();
        if at <= now {
            looks.push((tenth, deadlines.is_stalled(start, now)));
            let (next, _) = deadlines.after(now, &stuck, 0, start).unwrap();
            assert!(next > now && next <= now + SECOND);
        }
    }
    assert_eq!(looks, [(11, false), (21, false), (31, false), (41, true)]);
}

/// Without a stall timeout no peer is given up, but the server must still see when one has taken the rest.
#[test]
fn without_a_stall_timeout_a_lingering_peer_is_still_looked_at() {
    let now = Instant::now();
    let deadlines = Deadlines::new(&config(None, None), now);
    let mut lingering = Echo::new();
    lingering.abandon();
    assert_eq!(deadlines.of(&lingering, 1, now), Some((now + LINGER + INSTANT, Expiry::Lingering)));
    let later = deadlines.after(now + SECOND / 2 + LINGER, &lingering, 1, now);
    assert_eq!(later, Some((now + 2 * (LINGER + INSTANT), Expiry::Lingering)));
    assert!(!deadlines.is_stalled(now, now + 1000 * SECOND));
    assert_eq!(deadlines.of(&stuck_echo(), 0, now), None);
}

/// A server that is suspended in a wait cannot know since when, so waits are short compared with the timeouts.
#[test]
fn no_wait_is_longer_than_a_quarter_of_the_timeouts() {
    let now = Instant::now();
    let mut deadlines = Deadlines::new(&config(Some(8 * SECOND), Some(60 * SECOND)), now);
    assert_eq!(deadlines.next(now), Some(now + 2 * SECOND));
    assert_eq!(deadlines.next(now + 7 * SECOND), Some(now + 8 * SECOND));
    deadlines.drain(now);
    deadlines.slice(1, now + SECOND);
    assert_eq!(deadlines.next(now + SECOND), Some(now + SECOND + QUIET / LOOKS));
    let tiny = Deadlines::new(&config(Some(MIN_GAP), None), now);
    assert_eq!(tiny.next(now), Some(now + MIN_GAP));
}

#[test]
fn without_timeouts_nothing_is_ever_due() {
    let now = Instant::now();
    let mut deadlines = Deadlines::new(&config(None, None), now);
    assert_eq!(deadlines.due, None);
    assert_eq!(deadlines.slice(10, now + 1000 * SECOND), None);
    assert!(deadlines.of(&Echo::new(), 0, now).is_none());
}

/// A pass comes within the gap after each deadline, and the next pass comes no sooner than the gap after it.
#[test]
fn a_pass_comes_soon_after_every_deadline() {
    let start = Instant::now();
    let timeout = 16 * SECOND;
    for known in [None, Some(1), Some(500), Some(5_000), Some(15_999)] {
        let mut deadlines = Deadlines::new(&config(Some(timeout), None), start);
        if let Some(ms) = known {
            deadlines.note(start + Duration::from_millis(ms));
        }
        let due = deadlines.due.unwrap();
        let earliest = start + known.map_or(timeout, Duration::from_millis);
        assert!(due >= earliest && due <= earliest + SECOND, "{known:?}: {:?}", due - start);
        assert_eq!(deadlines.slice(10, due - Duration::from_nanos(1)), None);
        assert_eq!(deadlines.slice(10, due), Some(0..10));
        assert!(deadlines.due.unwrap() >= due + SECOND, "the next pass comes too soon");
    }
}

#[test]
fn the_earliest_noted_deadline_counts() {
    let start = Instant::now();
    let mut deadlines = Deadlines::new(&config(None, Some(SECOND)), start);
    for (noted, earliest) in [(5, 5), (7, 5), (3, 3), (3, 3), (4, 3)] {
        deadlines.note(start + noted * SECOND);
        assert_eq!(deadlines.due, Some(start + earliest * SECOND));
    }
}

/// The gap between passes follows from the shortest timeout.
#[test]
fn passes_are_a_gap_apart() {
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
        assert_eq!(deadlines.due, Some(start + gap), "{idle:?}, {stall:?}");
    }
}

#[test]
fn a_long_pass_is_cut_into_slices_without_a_gap() {
    let start = Instant::now();
    let mut deadlines = Deadlines::new(&config(Some(SECOND), None), start);
    let now = start + SECOND;
    let bound = 2 * SLOTS_PER_TURN + 7;
    assert_eq!(deadlines.slice(bound, now), Some(0..SLOTS_PER_TURN));
    // A deadline that is noted during a pass counts for the next pass, and does not end this one.
    deadlines.note(now + SECOND / 2);
    assert!(deadlines.due.unwrap() <= now);
    assert_eq!(deadlines.slice(bound, now), Some(SLOTS_PER_TURN..2 * SLOTS_PER_TURN));
    assert_eq!(deadlines.slice(bound, now), Some(2 * SLOTS_PER_TURN..bound));
    assert_eq!(deadlines.due, Some(now + SECOND / 2));
}

#[test]
fn draining_starts_a_pass_that_finds_quiet_connections() {
    let start = Instant::now();
    let mut deadlines = Deadlines::new(&config(None, Some(60 * SECOND)), start);
    let now = start + 10 * SECOND;
    deadlines.drain(now);
    assert!(deadlines.due.unwrap() <= now);
    assert_eq!(deadlines.slice(3, now), Some(0..3));
    let (at, _) = deadlines.of(&Echo::new(), 0, start).unwrap();
    assert!(at <= now);
}
