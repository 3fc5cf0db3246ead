//! The lines of a trace: a header, then records. docs/trace.md says what each name and each key means.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the first line of a trace calls its schema.
pub const SCHEMA: &str = "resound-trace";

/// The version of the schema. Names and keys may be added to a version. A new version begins if one is removed, or
/// changes its meaning.
pub const VERSION: u64 = 1;

/// Declares the names of records.
macro_rules! names {
    ($($(#[$docs:meta])* $name:ident = $text:literal;)*) => {
        /// The names of records.
        pub mod name {
            $($(#[$docs])* pub const $name: &str = $text;)*

            /// All of them.
            pub const ALL: &[&str] = &[$($name),*];
        }
    };
}

names! {
    /// The text of a source file, before the first record whose place names it.
    SOURCE = "source";
    /// A stop of a tour: it refers to the next record.
    MARK = "mark";
    /// The last record.
    END = "trace:end";
    /// The server can be connected to.
    LISTENING = "server:listening";
    /// The server was asked to stop, and goes on for a delay.
    DRAIN_DELAYED = "server:drain_delayed";
    /// The server accepts no more.
    DRAINING = "server:draining";
    /// The server stops for an error.
    SERVER_FAILED = "server:failed";
    /// The loop begins to wait for events.
    WAITS = "reactor:waits";
    /// A wait ended.
    WOKE = "reactor:woke";
    /// A source was registered with the poll.
    REGISTERED = "reactor:registered";
    /// A source was deregistered from the poll.
    DEREGISTERED = "reactor:deregistered";
    /// A source is ready, as the wait that ended says.
    READY = "reactor:ready";
    /// A call of accept(2).
    ACCEPT = "listener:accept";
    /// The server backs off a listener.
    LISTENER_FAILED = "listener:failed";
    /// A connection is served.
    ACCEPTED = "connection:accepted";
    /// A connection was closed before it was served.
    REFUSED = "connection:refused";
    /// A proxy named the client.
    PROXIED = "connection:proxied";
    /// A read of the header of a proxy.
    HEADER = "connection:header";
    /// A read.
    READ = "connection:read";
    /// A write.
    WRITE = "connection:write";
    /// The server's own buffer for the connection changed.
    PENDING = "connection:pending";
    /// The peer takes no more for now.
    BLOCKED = "connection:blocked";
    /// The connection goes on in the next turn.
    YIELDED = "connection:yielded";
    /// This end shut down writing.
    SHUTDOWN = "connection:shutdown";
    /// A timeout is over.
    EXPIRED = "connection:expired";
    /// The connection was closed.
    CLOSED = "connection:closed";
    /// Waits without a bell that will ring: readers derive it, and no file has it.
    SLEPT = "connection:slept";
    /// A datagram was answered.
    DATAGRAM_ECHOED = "datagram:echoed";
    /// A datagram was not answered.
    DATAGRAM_DROPPED = "datagram:dropped";
    /// A client begins to connect.
    CONNECTING = "connection:connecting";
    /// A client is connected.
    CONNECTED = "connection:connected";
    /// A client sent bytes.
    SENT = "connection:sent";
    /// A client received bytes.
    RECEIVED = "connection:received";
    /// A case of a check began.
    CASE_BEGAN = "case:began";
    /// A case of a check ended.
    CASE_ENDED = "case:ended";
}

/// From where a trace was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vantage {
    /// In the server: `serve --trace`.
    Server,
    /// In a client: `check --trace`.
    Client,
    /// Between a program and its kernel: `trace import`.
    SystemCalls,
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: String,
    /// [`VERSION`].
    pub version: u64,
    /// From where it was recorded.
    pub vantage: Vantage,
    /// What to show above the trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The program that ran.
    #[serde(default)]
    pub program: String,
    /// The version of `resound` that wrote the trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resound_version: Option<String>,
    /// The commit from which that was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The kernel: its name, its release and the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// When time 0 was, as RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<String>,
    /// The options of the program, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

impl Header {
    /// The header of a trace that this program writes of `program`.
    pub fn new(vantage: Vantage, program: &str) -> Self {
        Self {
            schema: SCHEMA.into(),
            version: VERSION,
            vantage,
            title: None,
            program: program.into(),
            resound_version: Some(env!("CARGO_PKG_VERSION").into()),
            commit: None,
            kernel: None,
            began: None,
            options: BTreeMap::new(),
        }
    }
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Microseconds since the trace began. Never less than that of the record before. Whoever writes a mark by hand can
    /// leave it out.
    #[serde(default)]
    pub time: f64,
    /// What happened: one of [`name::ALL`], or another, which readers ignore.
    pub name: String,
    /// The connection, `#3`, or the listener, `listener:127.0.0.1:7007`. None for the server and its reactor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// The number of the loop's turn. 0 before the first wait.
    #[serde(default)]
    pub turn: u64,
    /// Why it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// The line of source that did it: `src/conn.rs:42`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The thread that did it, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<u64>,
    /// The system call in words, in imports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
}

/// What a system call returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It moved this many bytes.
    Bytes(u64),
    /// It would have blocked.
    WouldBlock,
    /// The peer has ended its direction.
    End,
    /// It accepted a connection.
    Connection,
    /// It failed, as this text says.
    Failed(&'a str),
}

impl Record {
    /// A step of this name at this time, in microseconds since the trace began, without data.
    pub fn new(time: f64, name: &str) -> Self {
        Self { time, name: name.into(), ..Self::default() }
    }

    /// A number of its data: bytes or a count.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.data.get(key)?.as_u64()
    }

    /// A text of its data.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.data.get(key)?.as_str()
    }

    /// Whether a flag of its data is set.
    pub fn flag(&self, key: &str) -> bool {
        self.data.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    /// What the system call returned, if it was one.
    pub fn outcome(&self) -> Option<Outcome<'_>> {
        let result = self.data.get("result")?;
        Some(match result.as_str() {
            Some("would_block") => Outcome::WouldBlock,
            Some("end") => Outcome::End,
            Some("connection") => Outcome::Connection,
            Some(error) => Outcome::Failed(error),
            None => Outcome::Bytes(result.as_u64()?),
        })
    }

    /// A number of what the socket held before the call: `receive_queue` or `send_queue`.
    pub fn kernel(&self, queue: &str) -> Option<u64> {
        self.data.get("kernel")?.get(queue)?.as_u64()
    }
}

/// Writes a header or a record as a line.
///
/// # Errors
///
/// Those of `out`.
pub fn write_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
