use super::*;

const SECOND: Duration = Duration::from_secs(1);
const INSTANT: Duration = Duration::from_nanos(1);

/// Waits right after the last wait.
fn waits(clock: &mut ServedClock, timer: Option<Instant>) -> Option<Duration> {
    let woke = clock.in_served(clock.real());
    clock.waits(timer, woke)
}

#[test]
fn the_clock_stands_still_while_the_server_does() {
    let start = Instant::now();
    let mut clock = ServedClock::new(start);
    let at = |seconds: u32| start + seconds * SECOND;
    assert_eq!(clock.served(at(1)), at(1));
    // It meant to sleep for 5 seconds, and did.
    assert_eq!(waits(&mut clock, Some(at(6))), Some(5 * SECOND));
    assert_eq!(clock.served(at(6)), at(6));
    // It meant to sleep for 5 seconds, and was stopped for a minute: nobody knows since when.
    waits(&mut clock, Some(at(11)));
    assert_eq!(clock.served(at(71)), at(6));
    // From then on it goes as before.
    assert_eq!(waits(&mut clock, Some(at(12))), Some(6 * SECOND));
    assert_eq!(clock.served(at(72)), at(7));
    assert_eq!((clock.real(), clock.in_served(at(72))), (at(72), at(7)));
    // With nothing to wait for, no sleep is too long.
    assert_eq!(waits(&mut clock, None), None);
    assert_eq!(clock.served(at(1000)), at(935));
}

#[test]
fn a_wait_that_is_a_little_late_counts_for_the_most_part() {
    let start = Instant::now();
    let late = LATE + INSTANT;
    for (elapsed, served) in [
        (SECOND + LATE, SECOND + LATE),
        (SECOND + late, SECOND + late - DOUBT * late),
        (2 * SECOND, Duration::ZERO),
    ] {
        let mut clock = ServedClock::new(start);
        waits(&mut clock, Some(start + SECOND));
        assert_eq!(clock.served(start + elapsed), start + served, "{elapsed:?}");
    }
}

/// Failed when a turn in which much was done passed for one in which the server was stopped.
#[test]
fn slow_work_counts_from_the_second_slow_turn_on() {
    let start = Instant::now();
    let mut clock = ServedClock::new(start);
    let mut real = start;
    // The first takes two seconds, at once.
    waits(&mut clock, Some(real));
    assert!(!clock.is_watching());
    real += 2 * SECOND;
    assert_eq!(clock.served(real), start, "it may have been stopped");
    // The others take as long, in pieces.
    for turn in 0..20 {
        let woke = clock.in_served(real);
        for piece in 1..=20 {
            assert!(clock.is_watching(), "turn {turn}");
            clock.works();
            real += SECOND / 10;
            assert_eq!(clock.served(real), real - 2 * SECOND, "turn {turn}, piece {piece}");
        }
        assert_eq!(clock.waits(Some(real), woke), Some(2 * SECOND));
    }
    // And a stop among them is told from them.
    clock.works();
    real += LATE_PIECE + INSTANT;
    assert_eq!(clock.served(real), real - 3 * SECOND - INSTANT);
}

#[test]
fn turns_are_watched_for_some_time_after_the_last_slow_one() {
    let start = Instant::now();
    let mut clock = ServedClock::new(start);
    waits(&mut clock, Some(start));
    let mut real = start + 2 * SECOND;
    let mut woke = clock.served(real);
    // It is slow all along, for longer than it is watched after one.
    for _ in 0..30 {
        clock.works();
        real += SECOND;
        clock.served(real);
        clock.waits(None, woke);
        assert!(clock.is_watching());
        woke = clock.served(real);
    }
    // A wait is no work.
    for (after, is_watching) in [(WATCH - INSTANT, true), (WATCH, false)] {
        clock.served(real + after);
        waits(&mut clock, None);
        assert_eq!(clock.is_watching(), is_watching, "{after:?} after the last");
    }
}
