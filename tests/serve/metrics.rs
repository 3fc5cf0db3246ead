//! `--metrics`: what it serves, to whom, and that no client of it disturbs the echoes.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::bystander::Bystander;
use crate::command::{after_script, output};
use crate::scraped::{Scraped, exchange, metrics_command, reply};
use crate::server::{Server, command, connect, eventually};
use crate::unix::{SocketPath, connect_unix};
use crate::wire::{expect_echo, expect_end, pattern, read_to_end, reset, send_until_stuck};

#[test]
fn a_scrape_shows_what_the_server_did() {
    let scraped = Scraped::start(&["--max-per-ip", "2", "--max-connections", "10"]);
    let [first, second] = [scraped.server.connect(), scraped.server.connect()];
    expect_echo(&first, &pattern(0, 1000));
    expect_end(scraped.server.connect());
    drop(second);
    eventually(|| (scraped.sample("resound_connections") == 1.0).then_some(()));
    let samples = scraped.samples();
    for (name, expected) in [
        ("resound_max_connections", 10.0),
        ("resound_stopping", 0.0),
        ("resound_pending_bytes", 0.0),
        ("resound_connections_accepted_total", 2.0),
        ("resound_connections_refused_total{reason=\"max_per_ip\"}", 1.0),
        ("resound_connections_refused_total{reason=\"max_connections\"}", 0.0),
        ("resound_connections_closed_total{reason=\"finished\"}", 1.0),
        ("resound_received_bytes_total", 1000.0),
        ("resound_sent_bytes_total", 1000.0),
        ("resound_accept_back_offs_total", 0.0),
    ] {
        assert_eq!(samples.get(name), Some(&expected), "{name}");
    }
    assert!(samples["resound_turns_total"] >= 5.0);
    assert!(samples["resound_ready_events_total"] >= 5.0);
    // This scraper, and perhaps the one before it.
    let open = samples["process_open_fds"] - scraped.server.descriptors() as f64;
    assert!(open.abs() <= 2.0, "{open} more than there are");
    let build = format!("resound_build_info{{version=\"{}\",commit=", env!("CARGO_PKG_VERSION"));
    assert!(samples.keys().any(|name| name.starts_with(&build)), "{samples:#?}");
}

#[test]
fn the_client_chooses_the_format() {
    let scraped = Scraped::start(&[]);
    let text = scraped.get("/metrics");
    assert!(text.head.contains("\r\nContent-Type: text/plain; version=0.0.4;"), "{}", text.head);
    let accept = "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: application/openmetrics-text\r\n\r\n";
    let open_metrics = scraped.send(accept);
    let kind = "\r\nContent-Type: application/openmetrics-text; version=1.0.0;";
    assert!(open_metrics.head.contains(kind), "{}", open_metrics.head);
    assert!(open_metrics.body.ends_with("\n# EOF\n"));
}

#[test]
fn each_path_has_its_answer_and_others_have_none() {
    let scraped = Scraped::start(&[]);
    for (path, status, body) in [
        ("/healthz", "200 OK", "ok\n"),
        ("/readyz", "200 OK", "ready\n"),
        ("/readyz?verbose", "200 OK", "ready\n"),
        ("/Metrics", "404 Not Found", "404 Not Found: / lists what there is\n"),
    ] {
        let reply = scraped.get(path);
        assert_eq!((&*reply.status, &*reply.body), (status, body), "{path}");
    }
    let list = scraped.get("/").body;
    for line in list.lines() {
        let path = line.split(' ').next().unwrap();
        assert_eq!(scraped.get(path).status, "200 OK", "{line}");
    }
    assert_eq!(list.lines().count(), 3);
    let mut stream = connect(&scraped.metrics);
    stream.write_all(b"HEAD /healthz HTTP/1.0\r\n\r\nand more that is not read").unwrap();
    let head = String::from_utf8(read_to_end(&stream)).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

/// Failed when the server was not ready only once it drained: too late for a balancer.
#[test]
fn during_the_drain_delay_a_server_is_not_ready_and_still_accepts() {
    let mut scraped = Scraped::start(&["--drain-delay", "1h"]);
    assert_eq!(scraped.get("/readyz").status, "200 OK");
    scraped.server.signal(Signal::TERM);
    scraped.server.expect_line("stopping: still accepting");
    assert_eq!(scraped.get("/readyz").status, "503 Service Unavailable");
    assert_eq!(scraped.get("/healthz").status, "200 OK");
    expect_echo(scraped.server.connect(), b"accepted");
}

/// Balancers learn at once that it stops. Scrapes go on, so that the drain can be scraped.
#[test]
fn a_stopping_server_is_healthy_and_not_ready() {
    let mut scraped = Scraped::start(&["--drain-timeout", "60s"]);
    let stream = scraped.server.connect();
    // An echo that is not taken keeps the server from its end.
    send_until_stuck(&stream, &pattern(0, 32 << 20));
    scraped.server.signal(Signal::TERM);
    scraped.server.expect_line("stopping");
    let ready = scraped.get("/readyz");
    assert_eq!((&*ready.status, &*ready.body), ("503 Service Unavailable", "stopping\n"));
    assert_eq!(scraped.get("/healthz").status, "200 OK");
    assert_eq!(scraped.sample("resound_stopping"), 1.0);
    assert!(scraped.sample("resound_pending_bytes") > 0.0);
    reset(stream);
    assert_eq!(scraped.server.wait().code(), Some(0));
    assert!(TcpStream::connect(&scraped.metrics).is_err());
}

/// What a client can do wrong.
const BAD: [(&[u8], &str); 8] = [
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"),
    (b"\x00\xff\x1b[2J", "400"),
    (b"hello\r\n\r\n", "400"),
    (b"GET /metrics\r\n\r\n", "400"),
    (b"GET /metrics HTTP/1.1\r\n\r\n", "400"),
    (b"GET /metrics HTTP/3.0\r\n\r\n", "505"),
    (b"DELETE /metrics HTTP/1.0\r\n\r\n", "405"),
    (b"GET /metrics HTTP/1.0\r\nX: \0\r\n\r\n", "400"),
];

#[test]
fn bad_requests_are_answered_beside_the_echoes() {
    let scraped = Scraped::start(&[]);
    let bystander = Bystander::beside(&scraped.server);
    for (request, status) in BAD {
        let mut stream = connect(&scraped.metrics);
        stream.write_all(request).unwrap();
        let reply = reply(&read_to_end(&stream));
        assert!(reply.status.starts_with(status), "{}: {reply:?}", request.escape_ascii());
    }
    let long = format!("GET /metrics HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(100_000));
    assert!(scraped.send(&long).status.starts_with("431 "));
    let mut cut = connect(&scraped.metrics);
    cut.write_all(b"GET /metr").unwrap();
    cut.shutdown(Shutdown::Write).unwrap();
    assert!(reply(&read_to_end(&cut)).status.starts_with("400 "));
    let mut gone = connect(&scraped.metrics);
    gone.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    reset(gone);
    bystander.expect_all_as_before(&scraped.server);
}

/// Clients that send nothing, that send without end, or that do not read.
#[test]
fn dozens_of_hostile_clients_hold_up_neither_echoes_nor_probes() {
    let scraped = Scraped::start(&[]);
    let bystander = Bystander::beside(&scraped.server);
    let hostile: Vec<_> = (0..40)
        .map(|i| {
            let mut stream = connect(&scraped.metrics);
            stream.set_nonblocking(true).unwrap();
            let sent = match i % 3 {
                0 => Ok(0),
                1 => stream.write(b"GET /metrics HTTP/1.1\r\nX: "),
                _ => stream.write(&b"GET /metrics HTTP/1.0\r\n\r\n".repeat(5000)),
            };
            assert!(sent.is_ok_and(|n| n <= 125_000));
            stream
        })
        .collect();
    // Those before it in the accept queue have a second each.
    let probe = || {
        let mut stream = connect(&scraped.metrics);
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").ok()?;
        let mut bytes = Vec::new();
        match stream.read_to_end(&mut bytes) {
            Ok(_) => Some(reply(&bytes)),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => None,
            Err(e) => panic!("{e}"),
        }
    };
    assert_eq!(eventually(probe).status, "200 OK");
    drop(hostile);
    eventually(|| (scraped.sample("resound_connections") == 1.0).then_some(()));
    bystander.expect_idle(&scraped.server);
}

#[test]
fn metrics_are_served_on_a_unix_socket_too() {
    let socket = SocketPath::named("metrics");
    let mut server = Server::start(&["--metrics", &socket.addr, "--unix-mode", "0660"]);
    server.expect_line(&format!("metrics on {}, path /metrics", socket.addr));
    let reply = exchange(connect_unix(&socket.path), "GET /metrics HTTP/1.0\r\n\r\n");
    assert!(reply.body.contains("\nresound_connections 0\n"), "{}", reply.body);
    let mode = fs::metadata(&socket.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    server.stop();
    assert!(!socket.path.exists());
}

#[test]
fn an_address_that_is_in_use_is_one_line() {
    let scraped = Scraped::start(&[]);
    let output = output(&mut command(&["127.0.0.1:0"], &["--metrics", &scraped.metrics]));
    assert_eq!(output.status.code(), Some(1));
    let expected = format!(
        "resound: metrics: cannot listen on {}: address already in use; choose another, or port 0 for any free one\n",
        scraped.metrics
    );
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
}

/// Failed when the descriptors of scrapers came out of those for connections.
#[test]
fn a_full_server_can_still_be_scraped() {
    let inner = metrics_command(&[]);
    let scraped = Scraped::start_command(&mut after_script("ulimit -n 64", &inner));
    let limit = scraped.sample("resound_max_connections") as usize;
    assert!(limit > 16, "{limit} connections of 64 descriptors");
    let connections: Vec<_> = (0..limit).map(|_| scraped.server.connect()).collect();
    connections.iter().for_each(|stream| expect_echo(stream, b"hello"));
    let scrapers: Vec<_> = (0..15).map(|_| connect(&scraped.metrics)).collect();
    let samples = scraped.samples();
    assert_eq!(samples["resound_connections"], limit as f64);
    assert_eq!(samples["resound_accept_back_offs_total"], 0.0);
    expect_end(scraped.server.connect());
    drop(scrapers);
}

/// The metrics in a query, with the reasons that it asks for.
fn metrics_in(query: &str) -> impl Iterator<Item = String> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("resound_") || word.starts_with("process_"))
        .map(Into::into)
}

/// All texts under `key`, at any depth.
fn texts_of<'a>(key: &str, value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key).and_then(Value::as_str));
            map.values().for_each(|value| texts_of(key, value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| texts_of(key, value, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_metrics_that_exist() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let read = |name: &str| fs::read_to_string(deploy.join(name)).unwrap();
    let dashboard: Value = serde_json::from_str(&read("grafana.json")).unwrap();
    let mut queries = Vec::new();
    texts_of("expr", &dashboard, &mut queries);
    texts_of("query", &dashboard, &mut queries);
    let alerts = read("prometheus/alerts.yml");
    let rules: Vec<_> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert!(queries.len() > 20 && rules.len() > 8, "{queries:#?} {rules:#?}");
    let samples = Scraped::start(&[]).samples();
    let served: Vec<_> = samples.keys().filter_map(|name| name.split('{').next()).collect();
    for query in queries.into_iter().chain(rules) {
        for name in metrics_in(query).filter(|name| name != "resound_build_info") {
            assert!(served.contains(&&*name), "{name} of {query} is not served");
        }
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let dashboard = include_str!("../../deploy/grafana.json");
    let shown: Vec<_> = metrics_in(dashboard).collect();
    for name in Scraped::start(&[]).samples().keys() {
        let name = name.split('{').next().unwrap();
        assert!(shown.iter().any(|shown| shown == name), "{name} is not on the dashboard");
    }
}
