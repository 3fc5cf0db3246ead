use super::super::tests::options;
use super::*;

fn open_loop(rate: f64, connections: usize) -> Options {
    Options { rate: Some(rate), connections, length: Length::Messages(1000), ..options() }
}

/// Takes all that is due by `now`, and returns when each was.
fn take_due(plan: &mut Plan, now: Instant) -> Vec<Instant> {
    let schedule = plan.schedule_mut().unwrap();
    std::iter::from_fn(|| schedule.take(now)).map(|(_, due)| due).collect()
}

#[test]
fn nothing_is_due_before_all_connections_are_open() {
    let now = Instant::now();
    let mut plan = Plan::new(&open_loop(1000.0, 3), now);
    assert!(take_due(&mut plan, now).is_empty());
    plan.start(now);
    assert_eq!(take_due(&mut plan, now), [now]);
}

#[test]
fn messages_count_that_are_due_between_the_warm_up_and_the_end() {
    let (now, s) = (Instant::now(), Duration::from_secs(1));
    let mut options = open_loop(1.0, 1);
    (options.warmup, options.length) = (s, Length::Time(2 * s));
    let mut plan = Plan::new(&options, now);
    plan.start(now);
    let counted: Vec<_> = (0..5).map(|i| plan.counts(now + i * s)).collect();
    assert_eq!(counted, [false, true, true, false, false]);
    let due = take_due(&mut plan, now + 9 * s);
    assert_eq!(due, [now, now + s, now + 2 * s]);
    assert!(plan.is_over(now + 3 * s) && !plan.is_over(now + 2 * s));
}

#[test]
fn a_number_of_messages_is_begun_exactly() {
    let now = Instant::now();
    for rate in [None, Some(10.0)] {
        let options = Options { rate, length: Length::Messages(7), ..options() };
        let mut plan = Plan::new(&options, now);
        plan.start(now);
        let later = now + Duration::from_secs(60);
        let begun = match rate {
            None => (0..20).filter(|_| plan.take(later)).count(),
            Some(_) => take_due(&mut plan, later).len(),
        };
        assert_eq!((begun, plan.is_over(later)), (7, true), "{rate:?}");
    }
}

#[test]
fn a_run_that_stops_sends_what_was_due_before() {
    let now = Instant::now();
    let mut plan = Plan::new(&open_loop(1000.0, 1), now);
    plan.start(now);
    let stop = now + Duration::from_millis(20);
    plan.stop(stop);
    assert_eq!(plan.schedule_mut().unwrap().take_rest().count, 20);
    assert!(plan.is_over(now) && !plan.counts(stop));
}

#[test]
fn every_size_of_a_range_occurs_and_no_other() {
    let mut sizes = Sizes::new(&(64..=67));
    let mut seen = [0; 4];
    (0..1000).for_each(|_| seen[sizes.next() - 64] += 1);
    assert!(seen.iter().all(|n| *n > 150), "{seen:?}");
    assert_eq!(Sizes::new(&(9..=9)).next(), 9);
}
