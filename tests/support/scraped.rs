//! `resound serve --metrics`, and requests to it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::Command;

use crate::server::{Server, command, connect};
use crate::wire::read_to_end;

/// A server with metrics, and where they are.
pub struct Scraped {
    pub server: Server,
    /// `HOST:PORT` of the metrics.
    pub metrics: String,
}

impl Scraped {
    #[track_caller]
    pub fn start(args: &[&str]) -> Self {
        Self::start_command(&mut metrics_command(args))
    }

    #[track_caller]
    pub fn start_command(command: &mut Command) -> Self {
        let mut server = Server::start_command(command, 1);
        let line = server.expect_line("metrics on http://");
        let (_, url) = line.split_once("http://").unwrap();
        let metrics = url.strip_suffix("/metrics").unwrap().into();
        Self { server, metrics }
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.metrics))
    }

    /// Sends a whole request, and reads up to the end of the response.
    #[track_caller]
    pub fn send(&self, request: &str) -> Reply {
        exchange(connect(&self.metrics), request)
    }

    /// Each sample, by its name with its labels.
    #[track_caller]
    pub fn samples(&self) -> BTreeMap<String, f64> {
        let reply = self.get("/metrics");
        assert_eq!(reply.status, "200 OK");
        let samples = reply.body.lines().filter(|line| !line.starts_with('#'));
        let pairs = samples.map(|line| line.rsplit_once(' ').unwrap());
        pairs.map(|(name, value)| (name.into(), value.parse().unwrap())).collect()
    }

    #[track_caller]
    pub fn sample(&self, name: &str) -> f64 {
        *self.samples().get(name).unwrap_or_else(|| panic!("there is no {name}"))
    }
}

pub fn metrics_command(args: &[&str]) -> Command {
    command(&["127.0.0.1:0"], &[&["--metrics", "127.0.0.1:0"], args].concat())
}

#[derive(Debug)]
pub struct Reply {
    pub status: String,
    pub head: String,
    pub body: String,
}

#[track_caller]
pub fn exchange(mut stream: impl Read + Write, request: &str) -> Reply {
    stream.write_all(request.as_bytes()).unwrap();
    reply(&read_to_end(stream))
}

/// Takes a response apart. Its length must be right.
#[track_caller]
pub fn reply(bytes: &[u8]) -> Reply {
    let text = str::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    let status = head.lines().next().unwrap().strip_prefix("HTTP/1.1 ").unwrap();
    assert!(head.contains("\r\nConnection: close"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{text}");
    Reply { status: status.into(), head: head.into(), body: body.into() }
}
