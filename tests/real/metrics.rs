//! The metrics as Prometheus, its tools and its own library for Python read them.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::programs::{program, python};
use crate::scraped::Scraped;
use crate::server::{Server, connect, eventually};
use crate::wire::{expect_echo, expect_end, read_to_end, reset};

/// Reads each format with the parser of the official client. Prints the number of samples, and those that are only in one
/// format.
const COMPARE: &str = "
import sys
from prometheus_client.parser import text_string_to_metric_families as text
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
def samples(parse, path):
    families = parse(open(path).read())
    # Each format writes bounds in its own way.
    label = lambda name, value: (name, float(value) if name == 'le' else value)
    labels = lambda s: tuple(sorted(label(*pair) for pair in s.labels.items()))
    return {(s.name, labels(s)) for f in families for s in f.samples}
plain, om = samples(text, sys.argv[1]), samples(openmetrics, sys.argv[2])
print(len(plain), *sorted(plain ^ om))
";

/// A server with something to report: connections, a refusal and a reset.
fn busy() -> Scraped {
    let scraped = Scraped::start(&["--max-per-ip", "2"]);
    let streams = [scraped.server.connect(), scraped.server.connect()];
    streams.iter().for_each(|stream| expect_echo(stream, b"hello"));
    expect_end(scraped.server.connect());
    streams.into_iter().for_each(reset);
    let reset = "resound_connections_closed_total{reason=\"reset\"}";
    eventually(|| (scraped.sample(reset) == 2.0).then_some(()));
    scraped
}

#[track_caller]
fn assert_success(output: &Output) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[track_caller]
fn promtool(args: &[&str]) {
    let root = env!("CARGO_MANIFEST_DIR");
    assert_success(&program("promtool").args(args).current_dir(root).output().unwrap());
}

#[test]
fn promtool_finds_no_fault_with_the_metrics() {
    let text = busy().get("/metrics").body;
    let mut promtool = program("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut promtool = promtool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert_success(&output);
    // It only warns of names that are against the guidelines.
    assert_eq!(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()), "");
}

#[test]
fn each_alert_fires_when_it_must_and_only_then() {
    promtool(&["check", "rules", "deploy/prometheus/alerts.yml"]);
    promtool(&["check", "config", "deploy/prometheus/scrape.yml"]);
    promtool(&["test", "rules", "tests/real/alerts.yml"]);
}

#[test]
fn the_library_for_python_reads_the_same_from_both_formats() {
    let scraped = busy();
    let dir = tempfile::tempdir().unwrap();
    let [text, open_metrics] = ["text", "openmetrics"].map(|name| dir.path().join(name));
    fs::write(&text, scraped.get("/metrics").body).unwrap();
    let accept = "Accept: application/openmetrics-text; version=1.0.0";
    let request = format!("GET /metrics HTTP/1.1\r\nHost: a\r\n{accept}\r\n\r\n");
    fs::write(&open_metrics, scraped.send(&request).body).unwrap();
    let output = python().args(["-c", COMPARE]).args([text, open_metrics]).output().unwrap();
    assert_success(&output);
    let found = String::from_utf8(output.stdout).unwrap();
    let count: usize = found.trim().parse().unwrap_or_else(|_| panic!("they differ: {found}"));
    assert!(count > 30, "{count} samples");
}

/// Starts Prometheus with the example of a configuration, on a free port and with the address of `target`.
fn prometheus(dir: &Path, target: &str) -> (Server, String) {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    let config = fs::read_to_string(deploy.join("scrape.yml")).unwrap();
    let config = config.replace("127.0.0.1:9464", target).replace("15s", "1s");
    assert!(config.contains(target) && config.contains("scrape_interval: 1s"), "{config}");
    fs::write(dir.join("scrape.yml"), config).unwrap();
    fs::copy(deploy.join("alerts.yml"), dir.join("alerts.yml")).unwrap();
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut command: Command = program("prometheus");
    command.current_dir(dir).args(["--config.file=scrape.yml", "--storage.tsdb.path=data"]);
    command.arg(format!("--web.listen-address={addr}"));
    (Server::spawn(&mut command), addr)
}

#[test]
fn prometheus_scrapes_the_metrics() {
    let scraped = busy();
    let dir = tempfile::tempdir().unwrap();
    let (mut prometheus, addr) = prometheus(dir.path(), &scraped.metrics);
    prometheus.expect_line("Server is ready to receive web requests");
    let ask = |query: &str| {
        let request = format!("GET /api/v1/query?query={query} HTTP/1.0\r\n\r\n");
        let mut stream = connect(&addr);
        stream.write_all(request.as_bytes()).unwrap();
        let response = String::from_utf8(read_to_end(stream)).unwrap();
        let (_, body) = response.split_once("\r\n\r\n").unwrap();
        let answer: Value = serde_json::from_str(body).unwrap();
        let value = answer["data"]["result"][0]["value"][1].as_str()?;
        Some(value.to_string())
    };
    let sum = "sum(resound_connections_closed_total)";
    let scraped_sum = eventually(|| ask(sum));
    assert_eq!(scraped_sum, "2");
    assert_eq!(ask("up"), Some("1".into()));
    let bucket = "resound_turn_duration_seconds_bucket{le=\"%2BInf\"}";
    assert!(ask(bucket).is_some(), "there is no histogram");
}
