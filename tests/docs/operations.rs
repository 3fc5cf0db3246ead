//! `docs/operations.md` has everything that an operator meets: each option and its variable, each line of the log with its
//! event, each reason, and each metric.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Document, expect_none, files, help, root};

/// What stands between backticks in the document, and all of its text on one line.
fn operations() -> (BTreeSet<String>, String) {
    let document = Document::read(Path::new("docs/operations.md"));
    let code = document.code().map(|(code, _)| code.to_owned()).collect();
    (code, document.text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The logging of the server: the source without the clients and without tests.
fn source() -> impl Iterator<Item = (String, String)> {
    let is_of_clients = |path: &str| {
        let clients = ["src/client", "src/cli/load", "src/cli/ping", "src/cli/connect"];
        clients.iter().any(|client| path.starts_with(client)) || path.contains("/tests")
    };
    let paths = files("src", "rs").into_iter().map(|path| path.display().to_string());
    paths.filter(move |path| !is_of_clients(path)).map(|path| {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let code: Vec<_> = code.lines().filter(is_code).collect();
        (path, code.join("\n"))
    })
}

/// The arguments of each call of a macro that logs.
fn log_calls(code: &str) -> Vec<&str> {
    let names = ["error!(", "warn!(", "info!(", "debug!(", "trace!(", "log!("];
    let starts =
        names.iter().flat_map(|name| code.match_indices(name).map(|(at, _)| at + name.len()));
    starts.map(|start| &code[start..start + length_of_arguments(&code[start..])]).collect()
}

/// The bytes to the bracket that closes the arguments of a call.
fn length_of_arguments(code: &str) -> usize {
    let (mut depth, mut in_text) = (1, false);
    let mut chars = code.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if in_text => drop(chars.next()),
            '"' => in_text = !in_text,
            '(' if !in_text => depth += 1,
            ')' if !in_text => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    panic!("{code}")
}

/// The literal texts in a piece of code. A line that continues is one with the next.
fn literals(code: &str) -> Vec<String> {
    let parts: Vec<_> = code.split('"').skip(1).step_by(2).collect();
    let joined = |text: &str| {
        let mut lines = text.split("\\\n").map(str::trim_start);
        lines.next().unwrap().to_owned() + &lines.collect::<String>()
    };
    parts.into_iter().map(joined).collect()
}

/// The pieces of a format string between its placeholders that have words.
fn pieces(format: &str) -> Vec<String> {
    let outside = format.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
    let trimmed = outside.map(|piece| piece.trim_matches([' ', ';', ':', '\\', '"']).to_owned());
    trimmed.filter(|piece| piece.chars().any(char::is_alphabetic)).collect()
}

#[test]
fn each_option_of_serve_and_its_variable_is_explained() {
    let (code, _) = operations();
    let help = help("serve");
    let options = help.lines().map(str::trim).filter(|line| line.starts_with('-'));
    let options: BTreeSet<_> = options
        .filter_map(|line| line.split([' ', ',', '.']).find_map(|word| word.strip_prefix("--")))
        .filter(|name| !["help", "version", "verbose", "quiet"].contains(name))
        .collect();
    assert!(options.len() > 15, "{options:?}");
    let missing = options.iter().flat_map(|name| {
        let variable = format!("RESOUND_{}", name.replace('-', "_").to_uppercase());
        let is_option =
            |found: &String| found.split([' ', ',']).any(|word| word == format!("--{name}"));
        let has_option = code.iter().any(is_option);
        let has_variable = code.contains(&variable);
        [(has_option, format!("--{name}")), (has_variable, variable)]
    });
    expect_none(missing.filter(|(is_there, _)| !is_there).map(|(_, what)| what));
}

/// Each line of the log has the kind of its event, so that programs need not read its words.
#[test]
fn each_line_of_the_log_is_explained() {
    let (code, text) = operations();
    let mut faults = Vec::new();
    let mut lines = 0;
    for (path, source) in source() {
        for call in log_calls(&source) {
            lines += 1;
            let Some((fields, _)) = call.split_once(';') else {
                faults.push(format!("{path}: without an event: {call}"));
                continue;
            };
            if !fields.contains("event") {
                faults.push(format!("{path}: without an event: {call}"));
            }
            let events =
                fields.split("event = \"").skip(1).filter_map(|rest| rest.split('"').next());
            let unknown = events.filter(|event| !code.contains(*event));
            faults.extend(unknown.map(|event| format!("{path}: {event}")));
            let said = literals(&call[fields.len()..]);
            let missing =
                said.iter().flat_map(|format| pieces(format)).filter(|piece| !text.contains(piece));
            faults.extend(missing.map(|piece| format!("{path}: {piece}")));
        }
    }
    assert!(lines > 20, "{lines}");
    expect_none(faults.into_iter());
}

#[test]
fn each_reason_is_explained() {
    let (code, text) = operations();
    let mut faults = Vec::new();
    let mut reasons = 0;
    for (path, source) in source().filter(|(path, _)| path.starts_with("src/observe")) {
        for line in source.lines().map(str::trim) {
            // A reason with its label, or in words.
            let label = line.strip_suffix("\",").and_then(|rest| rest.split_once(" = \""));
            if let Some((_, label)) =
                label.filter(|(name, _)| name.chars().all(char::is_alphanumeric))
            {
                reasons += 1;
                faults.extend((!code.contains(label)).then(|| format!("{path}: {label}")));
            } else if line.starts_with("Self::") && line.contains(" => ") {
                let missing = literals(line).into_iter().filter(|words| !text.contains(words));
                faults.extend(missing.map(|words| format!("{path}: {words}")));
            }
        }
    }
    assert!(reasons > 20, "{reasons}");
    expect_none(faults.into_iter());
}

/// What a server serves under `/metrics`.
fn scrape() -> String {
    let mut server = Command::new(env!("CARGO_BIN_EXE_resound"))
        .args(["serve", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
    let url =
        log.filter_map(|line| line.split_once("http://").map(|(_, url)| url.to_owned())).next();
    let url = url.expect("the server says where its metrics are");
    let mut stream = TcpStream::connect(url.trim_end_matches("/metrics")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: resound\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    answer
}

#[test]
fn each_metric_is_explained_and_each_that_is_explained_is_served() {
    let (code, _) = operations();
    let scrape = scrape();
    let types = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let served: BTreeSet<_> = types.filter_map(|line| line.split(' ').next()).collect();
    assert!(served.len() > 15, "{scrape}");
    let missing = served.iter().filter(|name| !code.contains(**name));
    let is_metric =
        |name: &&String| ["resound_", "process_"].iter().any(|start| name.starts_with(start));
    let named = code.iter().filter(is_metric).filter(|name| !served.contains(name.as_str()));
    expect_none(
        missing
            .map(|name| format!("not explained: {name}"))
            .chain(named.map(|name| format!("not served: {name}"))),
    );
}
