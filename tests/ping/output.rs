//! What `resound ping` prints if all goes well.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixListener;
use std::thread;

use super::command::command;
use super::peers::{self, serve};
use super::pinger::{json, ping, text};
use super::piped::Client;

/// Whether a line matches a pattern, in which `#` stands for a number.
fn is_like(line: &str, pattern: &str) -> bool {
    let mut rest = line;
    pattern.split('#').enumerate().all(|(i, part)| {
        if i > 0 {
            let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            if number == 0 {
                return false;
            }
            rest = &rest[number..];
        }
        rest.strip_prefix(part).map(|after| rest = after).is_some()
    }) && rest.is_empty()
}

#[track_caller]
fn assert_lines(text: &str, patterns: &[String]) {
    // A busy machine can stop the program for a while.
    let is_about_ping = |line: &&str| !line.starts_with("this program was stopped for ");
    let lines: Vec<&str> = text.lines().filter(is_about_ping).collect();
    assert_eq!(lines.len(), patterns.len(), "{text}");
    for (line, pattern) in lines.iter().zip(patterns) {
        assert!(is_like(line, pattern), "{line:?} is not like {pattern:?}");
    }
}

fn summary(addr: &str, counts: &str) -> Vec<String> {
    vec![
        String::new(),
        format!("--- {addr} ping statistics ---"),
        format!("{counts}, time # ms"),
        "connect min/avg/max = #/#/# ms".into(),
        "echo min/avg/max/mdev = #/#/#/# ms".into(),
        // There are too few echoes for other percentiles.
        "echo p50 = # ms, jitter # ms".into(),
    ]
}

#[test]
fn the_output_looks_like_that_of_ping() {
    let addr = serve(peers::faithful);
    let ended = ping(&["-c", "3", "-i", "300ms", "-s", "100", &addr]);
    let echo = |k| format!("100 bytes from {addr}: seq={k} time=# ms");
    let mut expected = vec![
        format!("PING {addr} ({addr}) 100 bytes over TCP"),
        format!("connected to {addr} from #:# in # ms"),
    ];
    expected.extend((1..=3).map(echo));
    expected.extend(summary(&addr, "3 sent, 3 received, 0 lost (0 %), 0 wrong, 0 reconnects"));
    assert_lines(text(&ended), &expected);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

#[test]
fn quiet_before_or_after_the_command_prints_the_first_line_and_the_summary() {
    let addr = serve(peers::faithful);
    let mut expected = vec![format!("PING {addr} ({addr}) 56 bytes over TCP")];
    expected.extend(summary(&addr, "2 sent, 2 received, 0 lost (0 %), 0 wrong, 0 reconnects"));
    let args = ["-c", "2", "-i", "300ms", &addr];
    for words in [&["ping", "-q"][..], &["-q", "ping"], &["ping", "--quiet"]] {
        let mut command = command(&[words, &args].concat());
        let ended = Client::start(&mut command).end();
        assert_lines(text(&ended), &expected);
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    }
}

#[test]
fn a_unix_socket_is_pinged_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept()?;
        io::copy(&mut &stream, &mut &stream)
    });
    let addr = format!("unix:{}", path.display());
    let ended = ping(&["-c", "1", &addr]);
    let text = text(&ended);
    assert!(text.starts_with(&format!("PING {addr} ({addr}) 56 bytes over a Unix socket\n")));
    assert!(text.contains(&format!("\nconnected to {addr} from unix:(unnamed) in ")), "{text}");
    assert!(text.contains(&format!("\n56 bytes from {addr}: seq=1 time=")), "{text}");
    assert_eq!(ended.code, Some(0));
}

#[test]
fn messages_of_any_size_are_checked_to_the_last_byte() {
    for (size, bytes) in [("1", 1), ("64k", 65_536), ("65537", 65_537), ("8m", 8 << 20)] {
        let ended = ping(&["-c", "2", "-i", "1ms", "-s", size, &serve(peers::faithful)]);
        assert!(text(&ended).contains(&format!("\n{bytes} byte")), "{}", text(&ended));
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    }
    let addr = serve(|stream| {
        io::copy(&mut (&stream).take((8 << 20) - 1), &mut &stream)?;
        let mut last = [0];
        (&stream).read_exact(&mut last)?;
        (&stream).write_all(&[!last[0]])
    });
    let ended = ping(&["-c", "1", "-s", "8m", &addr]);
    let finding = "seq=1 (offsets 0 to 8388607): wrong byte at offset 8388607: ";
    assert!(text(&ended).contains(finding), "{}", text(&ended));
    assert_eq!(ended.code, Some(1));
}

#[test]
fn json_is_one_object_with_units_in_its_keys() {
    let addr = serve(peers::faithful);
    let ended = ping(&["--json", "-c", "5", "-i", "2ms", "-W", "30s", &addr]);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let json = json(&ended);
    assert_eq!(json["schema"], "resound-ping/1");
    assert_eq!(json["server"], *addr);
    assert_eq!(json["message_bytes"], 56);
    assert_eq!(json["interval_nanoseconds"], 2_000_000);
    assert_eq!(json["timeout_nanoseconds"], 30_000_000_000_u64);
    let messages = serde_json::json!(
        { "sent": 5, "received": 5, "lost": 0, "wrong": 0, "under_way": 0 }
    );
    assert_eq!(json["messages"], messages);
    assert_eq!((&json["connections"], &json["reconnects"]), (&1.into(), &0.into()));
    assert_eq!(json["trouble_counts"], serde_json::json!({}));
    assert_eq!(json["troubles"], serde_json::json!([]));
    let echo = |key: &str| json["echo_nanoseconds"][key].as_u64().unwrap();
    let ascending = ["min", "p50", "max"].map(echo);
    assert!(ascending[0] > 0 && ascending.is_sorted(), "{json}");
    assert!(echo("min") <= echo("mean") && echo("mean") <= echo("max"), "{json}");
    assert!(echo("standard_deviation") <= echo("max") - echo("min"), "{json}");
    assert!(echo("jitter") <= echo("max") - echo("min"), "{json}");
    assert!(json["connect_nanoseconds"]["min"].as_u64().unwrap() > 0, "{json}");
    assert_eq!((&json["end"], json["error"].is_null()), (&"complete".into(), true));
    assert!(json["wait_nanoseconds"].is_null() && json["send_proxy_version"].is_null(), "{json}");
    assert_eq!(json["stood_still_nanoseconds"], 0);
}

/// Failed when five echoes had a 99.9th percentile.
#[test]
fn json_has_the_percentiles_that_the_number_of_echoes_can_give() {
    let addr = serve(peers::faithful);
    for (count, known) in [("1", 0), ("5", 1), ("10", 2), ("100", 3)] {
        let ended = ping(&["--json", "-c", count, "-i", "1ms", &addr]);
        let echo = &json(&ended)["echo_nanoseconds"];
        let is_known = ["p50", "p90", "p99", "p99_9"].map(|key| echo[key].is_u64());
        assert_eq!(is_known, [0, 1, 2, 3].map(|at| at < known), "{count}: {echo}");
        assert_eq!(echo["p99_9"], serde_json::Value::Null);
    }
}

/// Failed when standard output stayed empty.
#[test]
fn json_is_printed_without_a_connection_too() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = format!("cannot connect to {closed}: connection refused; ");
    for (addr, line) in [
        ("no.such.host.invalid:7", "cannot resolve no.such.host.invalid:7: "),
        (&*closed.to_string(), &*refused),
        ("unix:/no/such/socket", "cannot connect to unix:/no/such/socket: "),
    ] {
        let ended = ping(&["--json", addr]);
        ended.assert_failed(line);
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        let json = json(&ended);
        assert_eq!((&json["schema"], &json["server"]), (&"resound-ping/1".into(), &addr.into()));
        assert_eq!(json["end"], "failed");
        let error = json["error"].as_str().unwrap();
        assert_eq!(ended.stderr, format!("resound: {error}\n"));
        assert_eq!((&json["messages"]["sent"], &json["connections"]), (&0.into(), &0.into()));
    }
}

#[test]
fn json_has_the_error_line() {
    let ended = ping(&["--json", "-c", "1", &serve(peers::closing_at_once)]);
    let json = json(&ended);
    assert_eq!(json["end"], "complete");
    assert_eq!(json["error"], "1 of 1 echoes did not come back");
}

#[test]
fn json_without_an_echo_has_no_echo_times() {
    let ended = ping(&["--json", "-c", "1", &serve(peers::closing_at_once)]);
    assert!(json(&ended)["echo_nanoseconds"].is_null());
    ended.assert_failed("1 of 1 echoes did not come back");
}

/// docs/ping-json.md names these keys and no others.
#[test]
fn the_documentation_names_every_key() {
    let page = include_str!("../../docs/ping-json.md");
    let ended = ping(&["--json", "-c", "1", &serve(peers::faithful)]);
    let json = json(&ended);
    let mut keys: Vec<String> = json.as_object().unwrap().keys().cloned().collect();
    for group in ["messages", "connect_nanoseconds", "echo_nanoseconds"] {
        let inner = json[group].as_object().unwrap().keys();
        keys.extend(inner.map(|key| format!("{group}.{key}")));
    }
    keys.extend(["sequence", "kind", "text"].map(|key| format!("troubles[].{key}")));
    // Null over TCP; a_ping_over_udp_counts_what_only_datagrams_can_be has the object.
    keys.extend(["late", "duplicates", "reordered"].map(|key| format!("datagrams.{key}")));
    let cell = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_string());
    let mut documented: Vec<String> = page.lines().filter_map(cell).collect();
    let groups = ["messages", "connect_nanoseconds", "echo_nanoseconds", "troubles"];
    keys.retain(|key| !groups.contains(&&**key));
    keys.sort();
    documented.sort();
    assert_eq!(documented, keys);
}
