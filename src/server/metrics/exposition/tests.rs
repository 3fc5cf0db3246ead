//! What a scrape shows, in each format.

use super::*;
use crate::net::Endpoint;
use crate::observe::{At, DatagramDrop, Event, Observer, Refusal};
use std::time::Instant;

fn figures() -> Figures {
    let mut counters = Counters::default();
    let mut observe = |event| counters.observe(At::server(Instant::now()), event);
    observe(Event::Accepted);
    observe(Event::Read(5));
    observe(Event::Refused { refused: Refusal::MaxPerIp.into(), start: &[] });
    let peer = &Endpoint::udp(([127, 0, 0, 1], 5000).into());
    observe(Event::Listening { at: peer, is_proxied: false });
    observe(Event::DatagramEchoed { peer, bytes: 11 });
    observe(Event::DatagramDropped { peer, why: DatagramDrop::LowPort, error: None });
    observe(Event::KernelDropped { socket: peer, datagrams: 6 });
    observe(Event::Woke { ready: 3 });
    for micros in [20, 20, 2_000_000] {
        observe(Event::TurnTimed(Duration::from_micros(micros)));
    }
    Figures {
        status: Status { counters, connections: 1, pending_bytes: 7, is_stopping: true },
        limits: Limits { connections: 10, pending_bytes: 1000 },
        started: UNIX_EPOCH + Duration::from_millis(1_500),
        process: Process {
            cpu_seconds: 0.25,
            resident_bytes: Some(4096),
            open_descriptors: Some(9),
            max_descriptors: Some(1024),
        },
    }
}

#[track_caller]
fn expect_lines(text: &str, expected: &[&str]) {
    for line in expected {
        assert!(text.lines().any(|found| found == *line), "no line {line:?} in {text}");
    }
}

const SAMPLES: [&str; 23] = [
    "resound_udp_sockets 1",
    "resound_datagrams_echoed_total 1",
    "resound_datagrams_echoed_bytes_total 11",
    "resound_datagrams_dropped_total{reason=\"low_port\"} 1",
    "resound_datagrams_dropped_total{reason=\"own_port\"} 0",
    "resound_datagrams_dropped_by_kernel_total 6",
    "resound_connections 1",
    "resound_max_connections 10",
    "resound_pending_bytes 7",
    "resound_pending_limit_bytes 1000",
    "resound_stopping 1",
    "resound_connections_accepted_total 1",
    "resound_connections_refused_total{reason=\"max_per_ip\"} 1",
    "resound_connections_refused_total{reason=\"no_memory\"} 0",
    "resound_connections_closed_total{reason=\"idle\"} 0",
    "resound_received_bytes_total 5",
    "resound_turns_total 1",
    "resound_ready_events_total 3",
    "resound_turn_duration_seconds_bucket{le=\"0.0001\"} 2",
    "resound_turn_duration_seconds_bucket{le=\"+Inf\"} 3",
    "resound_turn_duration_seconds_count 3",
    "process_start_time_seconds 1.5",
    "process_max_fds 1024",
];

#[test]
fn both_formats_have_the_same_samples() {
    let text = Format::Text.encode(figures()).unwrap();
    expect_lines(&text, &SAMPLES);
    expect_lines(
        &text,
        &[
            "# TYPE resound_received_bytes_total counter",
            "# TYPE resound_turn_duration_seconds histogram",
            "# TYPE resound_build_info gauge",
        ],
    );
    let open_metrics = Format::OpenMetrics.encode(figures()).unwrap();
    expect_lines(&open_metrics, &SAMPLES);
    expect_lines(
        &open_metrics,
        &[
            "# TYPE resound_received_bytes counter",
            "# UNIT resound_received_bytes bytes",
            "# TYPE resound_build info",
        ],
    );
    assert!(open_metrics.ends_with("\n# EOF\n"));
}

#[test]
fn what_the_system_does_not_say_is_left_out() {
    let mut figures = figures();
    figures.process.open_descriptors = None;
    figures.process.resident_bytes = None;
    let text = Format::Text.encode(figures).unwrap();
    assert!(!text.contains("process_open_fds") && !text.contains("process_resident"), "{text}");
    assert!(text.contains("process_max_fds 1024"));
}

#[test]
fn open_metrics_is_served_if_it_is_accepted_and_no_less_liked() {
    use Format::{OpenMetrics, Text};
    for (accept, expected) in [
        ("", Text),
        ("*/*", Text),
        ("text/html", Text),
        ("application/openmetrics-text", OpenMetrics),
        ("Application/OpenMetrics-Text; version=1.0.0; charset=utf-8", OpenMetrics),
        ("application/openmetrics-text;q=0", Text),
        ("application/openmetrics-text;q=0.3,text/plain;version=0.0.4;q=0.5", Text),
        ("text/plain;q=0.5, application/openmetrics-text; q=0.5", OpenMetrics),
        ("application/openmetrics-text;q=much,*/*;q=0.1", Text),
        // Prometheus 2.42 and 3.4.
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OpenMetrics,
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            OpenMetrics,
        ),
    ] {
        assert_eq!(Format::accepted(accept.split(',')), expected, "{accept:?}");
    }
}
