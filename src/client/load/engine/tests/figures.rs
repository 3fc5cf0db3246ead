//! Rates, times and lateness.

use super::*;

#[test]
fn a_closed_loop_sends_each_message_when_the_one_before_is_back() {
    let seen = Run::new(Options { connections: 2, ..for_time(S) }, echo(10 * MS)).run();
    let outcome = &seen.outcome;
    seen.assert_end(End::Complete, &[]);
    seen.assert_messages(200, 0, 0);
    // The last two came when the time was over.
    assert_eq!((outcome.rate(), outcome.measured), (198.0, S));
    assert_eq!(seen.received_bytes, 200 * 64);
    assert_times(&outcome.response, 10 * MS, 10 * MS);
    assert_times(&outcome.service, 10 * MS, 10 * MS);
}

#[test]
fn an_open_loop_sends_each_message_at_its_time() {
    let options = Options { connections: 7, ..open_loop(1000.0, S) };
    let seen = Run::new(options, echo(MS)).run();
    let outcome = &seen.outcome;
    seen.assert_end(End::Complete, &[]);
    seen.assert_messages(1000, 0, 0);
    assert_eq!(seen.received_bytes, 1000 * 64);
    assert_times(&outcome.response, MS, MS);
    assert_eq!((outcome.lag.count(), outcome.lag.max()), (1000, Duration::ZERO));
}

/// It sleeps for 8 of each 10 ms, and sleeping costs processor time too.
#[test]
fn busy_waiting_is_told_from_sleeping() {
    let options = Options { spin: 2 * MS, ..open_loop(100.0, S) };
    let seen = Run::new(options, echo(MS)).run();
    let Outcome { spin_cpu, cpu, .. } = seen.outcome;
    seen.assert_messages(100, 0, 0);
    assert!(spin_cpu > 180 * MS && spin_cpu < 200 * MS, "{spin_cpu:?}");
    assert!(cpu > spin_cpu + 100 * WAIT && cpu < 300 * MS, "{cpu:?}");
}

/// The first echo comes with an urgent mark. Only then does a short read prove nothing.
#[test]
fn an_echo_takes_one_read_again_after_an_event_that_reported_more_than_bytes() {
    let mut received = 0;
    let server = move |_: usize, _: Duration, bytes: &[u8]| {
        received += 1;
        let mark = (received == 1).then_some((MS, Sent::Urgent));
        [Some((MS, Sent::Bytes(bytes.to_vec()))), mark].into_iter().flatten().collect()
    };
    let seen = Run::new(Options { length: Length::Messages(100), ..options() }, server).run();
    seen.assert_messages(100, 0, 0);
    assert!((101..110).contains(&seen.network.reads()), "{}", seen.network.reads());
}

#[test]
fn a_warm_up_is_sent_and_not_counted() {
    // Due at 0, 30, 60, 90 ... 390 ms, of which those from 120 ms on count.
    let options = Options { warmup: 100 * MS, ..for_time(300 * MS) };
    let seen = Run::new(options, echo(30 * MS)).run();
    seen.assert_messages(10, 0, 0);
    assert_eq!(seen.received_bytes, 14 * 64);
    // The echo of the message at 90 ms came in the measured part, and the last one after it.
    assert_eq!(seen.outcome.messages_in_time, 10);
    let times = [0, 0, 100, 400, 420].map(|ms| ms * MS);
    let stages =
        [Stage::Connecting, Stage::WarmingUp, Stage::Measuring, Stage::Draining, Stage::Closing];
    assert_eq!(seen.stages, std::iter::zip(times, stages).collect::<Vec<_>>());
    let options = Options { warmup: 100 * MS, connections: 7, ..open_loop(2000.0, 500 * MS) };
    let seen = Run::new(options, echo(MS)).run();
    seen.assert_messages(1000, 0, 0);
    assert_eq!(seen.received_bytes, 1200 * 64);
}

/// The run has one message in flight, and finds all those that a pause delays.
#[test]
fn a_pause_of_the_server_counts_for_every_message_that_falls_due() {
    let seen = Run::new(open_loop(1000.0, S), pausing(100 * MS, 300 * MS)).run();
    let Outcome { response, service, lag, .. } = &seen.outcome;
    seen.assert_messages(1000, 0, 0);
    assert_times(response, Duration::ZERO, 300 * MS);
    // 300 of 1000 messages waited for up to 300 ms.
    assert!(response.percentile(90.0).abs_diff(200 * MS) <= 2 * MS);
    // One message was in flight.
    assert_eq!((service.max() >= 299 * MS, service.percentile(99.0)), (true, Duration::ZERO));
    // It is not this client that was late.
    assert_eq!(lag.max(), Duration::ZERO);
}

#[test]
fn a_pause_of_the_client_is_its_own_lateness() {
    let options = Options { connections: 2, ..open_loop(1000.0, S) };
    let run = Run::new(options, echo(Duration::ZERO));
    let seen = run.at(200 * MS, Act::StandStill(500 * MS)).run();
    let lag = &seen.outcome.lag;
    seen.assert_messages(1000, 0, 0);
    // 500 messages of 1000 were late by up to 500 ms.
    assert_eq!(lag.count(), 1000);
    assert_times(lag, Duration::ZERO, 500 * MS);
    assert!(lag.percentile(75.0).abs_diff(250 * MS) <= 2 * MS, "{:?}", lag.percentile(75.0));
}

/// Its last interval has the echo that came after the end. What was not sent is counted apart.
#[test]
fn what_is_known_after_the_end_belongs_to_the_last_interval() {
    for (depth, unsent) in [(1, 249), (3, 247)] {
        let interval = 100 * MS;
        let options = Options { depth, interval, ..open_loop(1000.0, 300 * MS) };
        let seen = Run::new(options, pausing(50 * MS, 550 * MS)).run();
        let outcome = &seen.outcome;
        seen.assert_end(End::Complete, &[]);
        seen.assert_messages(300 - unsent, 0, unsent);
        assert_times(&outcome.response, Duration::ZERO, 550 * MS);
        // The first that was not sent was due 249 or 247 ms before the end.
        assert_times(&outcome.unanswered, MS, unsent as u32 * MS);
        let lengths: Vec<_> = outcome.intervals.iter().map(|interval| interval.length).collect();
        assert_eq!((lengths, outcome.measured), (vec![interval; 3], 300 * MS));
        let last = outcome.intervals.last().unwrap();
        assert_eq!((last.messages, last.responses), (0, depth as u64));
    }
}

#[test]
fn each_echo_is_in_the_interval_in_which_it_comes() {
    let interval = 10 * MS;
    let options = Options { length: Length::Messages(3), interval, ..options() };
    let seen = Run::new(options, echo(25 * MS)).run();
    seen.assert_messages(3, 0, 0);
    assert_eq!(seen.outcome.measured, 75 * MS);
    let messages = seen.outcome.intervals.iter().map(|interval| interval.messages);
    // At 25, 50 and 75 ms.
    assert_eq!(messages.collect::<Vec<_>>(), [0, 0, 1, 0, 1, 0, 0, 1]);
}

#[test]
fn the_run_begins_when_the_reports_say_that_it_did() {
    let options = Options { warmup: 700 * MS, ..for_time(S) };
    let seen = Run::new(options, echo(10 * MS)).run();
    assert_eq!(seen.outcome.began, SystemTime::UNIX_EPOCH + 700 * MS);
}

#[test]
fn progress_is_reported_ten_times_a_second() {
    let options = Options { warmup: 500 * MS, ..for_time(S) };
    let seen = Run::new(options, echo(10 * MS)).run();
    let at: Vec<_> =
        seen.reports.progress.iter().map(|progress| progress.measured.as_millis()).collect();
    assert_eq!(at, [0, 0, 0, 0, 0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]);
    let last = seen.reports.progress.last().unwrap();
    assert_eq!((last.messages, last.failures, last.fraction), (100, 0, 1.0));
}
