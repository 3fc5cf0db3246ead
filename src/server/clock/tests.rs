use super::*;

const SECOND: Duration = Duration::from_secs(1);
const INSTANT: Duration = Duration::from_nanos(1);

/// Begins a wait as soon as the last one has ended.
fn waits(clock: &mut ServedClock, timer: Option<Instant>) -> Option<Duration> {
    let woke = clock.now();
    clock.begin_wait(timer, woke)
}

#[test]
fn the_clock_stands_still_while_the_server_is_suspended() {
    let start = Instant::now();
    let mut clock = ServedClock::new(start);
    let at = |seconds: u32| start + seconds * SECOND;
    assert_eq!(clock.advance(at(1)), at(1));
    // A wait of 5 seconds takes 5 seconds.
    assert_eq!(waits(&mut clock, Some(at(6))), Some(5 * SECOND));
    assert_eq!(clock.advance(at(6)), at(6));
    // A wait of 5 seconds takes 65: the server was suspended, and cannot know since when.
    waits(&mut clock, Some(at(11)));
    assert_eq!(clock.advance(at(71)), at(6));
    // The next wait counts as usual.
    assert_eq!(waits(&mut clock, Some(at(12))), Some(6 * SECOND));
    assert_eq!(clock.advance(at(72)), at(7));
    assert_eq!((clock.real(), clock.now()), (at(72), at(7)));
    // A wait without a deadline is never late.
    assert_eq!(waits(&mut clock, None), None);
    assert_eq!(clock.advance(at(1000)), at(935));
}

#[test]
fn a_wait_that_is_a_little_late_still_counts_in_part() {
    let start = Instant::now();
    let late = LATE + INSTANT;
    for (elapsed, served) in [
        (SECOND + LATE, SECOND + LATE),
        (SECOND + late, SECOND + late - DOUBT * late),
        (2 * SECOND, Duration::ZERO),
    ] {
        let mut clock = ServedClock::new(start);
        waits(&mut clock, Some(start + SECOND));
        assert_eq!(clock.advance(start + elapsed), start + served, "{elapsed:?}");
    }
}

/// Failed when the clock took a turn with much work for a suspension.
#[test]
fn slow_work_counts_from_the_second_slow_turn_on() {
    let start = Instant::now();
    let mut clock = ServedClock::new(start);
    let mut real = start;
    // The first turn takes two seconds without a look at the clock.
    waits(&mut clock, Some(real));
    assert!(!clock.is_watching());
    real += 2 * SECOND;
    assert_eq!(clock.advance(real), start, "it may have been suspended");
    // The other turns take as long, in pieces.
    for turn in 0..20 {
        let woke = clock.in_served(real);
        for piece in 1..=20 {
            assert!(clock.is_watching(), "turn {turn}");
            real += SECOND / 10;
            assert_eq!(clock.advance(real), real - 2 * SECOND, "turn {turn}, piece {piece}");
        }
        assert_eq!(clock.begin_wait(Some(real), woke), Some(2 * SECOND));
    }
    // A suspension among them is still noticed.
    clock.advance(real);
    real += LATE_PIECE + INSTANT;
    assert_eq!(clock.advance(real), real - 3 * SECOND - INSTANT);
}

#[test]
fn turns_are_watched_for_some_time_after_the_last_slow_one() {
    let start = Instant::now();
    let mut clock = ServedClock::new(start);
    waits(&mut clock, Some(start));
    let mut real = start + 2 * SECOND;
    let mut woke = clock.advance(real);
    // These turns are slow, and together they last longer than `WATCH`.
    for _ in 0..30 {
        real += SECOND;
        clock.advance(real);
        clock.begin_wait(None, woke);
        assert!(clock.is_watching());
        woke = clock.advance(real);
    }
    // A wait is not work.
    waits(&mut clock, None);
    for (after, is_watching) in [(WATCH - INSTANT, true), (WATCH, false)] {
        clock.advance(real + after);
        waits(&mut clock, None);
        assert_eq!(clock.is_watching(), is_watching, "{after:?} after the last");
    }
}
