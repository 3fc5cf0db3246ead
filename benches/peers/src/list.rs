//! The list of all peers.

/// A server to compare with.
#[derive(Debug)]
pub struct Peer {
    /// Its name here.
    pub name: &'static str,
    /// Its language and runtime.
    pub runtime: &'static str,
    /// What it can do.
    pub limits: Limits,
    pub(crate) source: Source,
    /// Its arguments. `{addr}`, `{host}` and `{port}` stand for the address to listen on.
    pub(crate) args: &'static [&'static str],
}

/// The limits of a peer. No test or measurement goes beyond them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most connections at a time.
    pub connections: usize,
    /// How many descriptors a connection takes.
    pub descriptors: u64,
    /// The longest message to send before its echo is read.
    pub message_bytes: usize,
    /// Whether a client that has half-closed still gets its whole echo.
    pub half_close: bool,
    /// Whether it takes a free port for port 0, and reports which.
    pub picks_port: bool,
    /// Whether one process serves all connections.
    pub is_one_process: bool,
}

/// How to get a peer.
#[derive(Debug)]
pub(crate) enum Source {
    /// `resound` itself.
    Resound,
    /// A binary of this package.
    Cargo(&'static str),
    C {
        file: &'static str,
        library: Option<Library>,
    },
    Go {
        file: &'static str,
    },
    Python {
        file: &'static str,
        module: Option<&'static str>,
    },
    Node {
        file: &'static str,
    },
    /// A program from the Debian package of the same name.
    Program(&'static str),
}

/// A C library.
#[derive(Debug)]
pub(crate) struct Library {
    pub name: &'static str,
    pub header: &'static str,
    /// The Debian package that contains it.
    pub package: &'static str,
}

/// Descriptors that a peer may need for other things than connections.
const OTHER_DESCRIPTORS: u64 = 100;

impl Limits {
    /// The most connections at a time if the peer may have `descriptors` descriptors.
    pub fn connections_with(&self, descriptors: u64) -> usize {
        let room = descriptors.saturating_sub(OTHER_DESCRIPTORS) / self.descriptors;
        self.connections.min(usize::try_from(room).unwrap_or(usize::MAX))
    }
}

const NONE: Limits = Limits {
    connections: usize::MAX,
    descriptors: 1,
    message_bytes: usize::MAX,
    half_close: true,
    picks_port: true,
    is_one_process: true,
};

const LIBUV: Library = Library { name: "uv", header: "uv.h", package: "libuv1-dev" };
const LIBEVENT: Library =
    Library { name: "event_core", header: "event2/event.h", package: "libevent-dev" };

const ADDR: &[&str] = &["{addr}"];

/// All peers, in the order in which they are shown.
pub const ALL: &[Peer] = &[
    plain("reference", "C, epoll", Source::C { file: "reference.c", library: None }, ADDR),
    plain("resound", "Rust, mio", Source::Resound, &["serve", "--listen", "{addr}"]),
    plain(
        "resound-spin",
        "Rust, mio, --spin 50us",
        Source::Resound,
        &["serve", "--listen", "{addr}", "--spin", "50us"],
    ),
    plain("mio", "Rust, mio by the book", Source::Cargo("mio-naive"), ADDR),
    plain("tokio", "Rust, tokio, current thread", Source::Cargo("tokio-echo"), ADDR),
    plain("smol", "Rust, smol", Source::Cargo("smol-echo"), ADDR),
    plain("monoio", "Rust, monoio, io_uring", Source::Cargo("monoio-echo"), ADDR),
    plain("threads", "Rust, std, a thread each", Source::Cargo("threads"), ADDR),
    plain("libuv", "C, libuv", Source::C { file: "libuv.c", library: Some(LIBUV) }, ADDR),
    plain(
        "libevent",
        "C, libevent",
        Source::C { file: "libevent.c", library: Some(LIBEVENT) },
        ADDR,
    ),
    Peer {
        name: "go",
        runtime: "Go, a goroutine each",
        // Two of them are the pipe for splice(2).
        limits: Limits { descriptors: 3, ..NONE },
        source: Source::Go { file: "echo.go" },
        args: ADDR,
    },
    plain("node", "JavaScript, Node.js", Source::Node { file: "echo.mjs" }, ADDR),
    plain(
        "asyncio",
        "Python, asyncio",
        Source::Python { file: "asyncio_echo.py", module: None },
        ADDR,
    ),
    plain(
        "uvloop",
        "Python, asyncio on uvloop",
        Source::Python { file: "asyncio_echo.py", module: Some("uvloop") },
        &["--uvloop", "{addr}"],
    ),
    // -d -d: it reports where it listens, but logs no single reads. -t: how many seconds it waits for the rest of an
    // echo after the end of its input. -b: it reads 4 KiB at a time instead of 8. If its own pipe had room for only
    // 4 KiB, a write of 8 KiB would block forever, because the same process must read the pipe.
    Peer {
        name: "socat",
        runtime: "C, a process each",
        limits: Limits { is_one_process: false, ..NONE },
        source: Source::Program("socat"),
        args: &[
            "-d",
            "-d",
            "-t",
            "30",
            "-b",
            "4096",
            "TCP-LISTEN:{port},bind={host},fork,reuseaddr,backlog=4096,nodelay",
            "PIPE",
        ],
    },
    Peer {
        name: "ncat",
        runtime: "C, two processes each",
        limits: Limits {
            // It uses select(2), which cannot watch descriptors above 1,023.
            connections: 900,
            descriptors: 1,
            // It writes all that it has to its child before it reads from the child. So the bytes in flight must
            // fit into the pipes between them.
            message_bytes: 32 << 10,
            // It drops bytes in flight when its client ends the stream.
            half_close: false,
            picks_port: false,
            is_one_process: false,
        },
        source: Source::Program("ncat"),
        args: &["-v", "-l", "-k", "-m", "900", "-e", "/bin/cat", "{host}", "{port}"],
    },
];

/// The peer of this name.
pub fn peer(name: &str) -> Option<&'static Peer> {
    ALL.iter().find(|peer| peer.name == name)
}

const fn plain(
    name: &'static str,
    runtime: &'static str,
    source: Source,
    args: &'static [&'static str],
) -> Peer {
    Peer { name, runtime, limits: NONE, source, args }
}
