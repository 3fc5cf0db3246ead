//! Whether the bytes that come back are those that were sent. How a connection ends does not matter here.

use super::super::bench::{Bench, PeerId};
use super::super::case::{Case, Finding, Need, Severity};
use super::super::problem::{Problem, Symptom};

/// The sizes of buffers that programs like.
const BUFFERS: [usize; 7] = [128, 256, 512, 1024, 4096, 8192, 65_536];

pub(super) const CASES: &[Case] = &[
    case("bytes/one", 1, "One byte comes back, without a line end after it.", one, LINES),
    case("bytes/word", 1, "Five bytes come back, without a line end after them.", word, LINES),
    case(
        "bytes/unasked",
        1,
        "The server sends nothing that was not sent to it.",
        unasked,
        GREETING,
    ),
    case(
        "bytes/all-values",
        2,
        "Each of the 256 values of a byte comes back as it is.",
        all_values,
        TEXT,
    ),
    case("bytes/nul", 2, "Zero bytes come back, and what follows them.", nul, STRINGS),
    case("bytes/line-ends", 2, "CR, LF and both come back as they were sent.", line_ends, TEXT),
    case(
        "bytes/invalid-utf8",
        2,
        "Bytes that are not UTF-8 come back as they are.",
        invalid_utf8,
        TEXT,
    ),
    case(
        "bytes/split-utf8",
        2,
        "A character that arrives in two parts comes back whole.",
        split_utf8,
        TEXT,
    ),
    case("bytes/sizes", 2, "Messages of 1 byte to 64 KiB come back whole.", sizes, SHORT_READS),
    case(
        "bytes/buffer-sizes",
        2,
        "A message exactly as long as a usual buffer comes back at once.",
        buffer_sizes,
        SHORT_READS,
    ),
    case("bytes/stale", 2, "After a long message, a short one comes back alone.", stale, STALE),
    case(
        "bytes/dribbled",
        2,
        "A message that arrives byte by byte comes back whole.",
        dribbled,
        SHORT_READS,
    ),
    case(
        "bytes/pipelined",
        2,
        "Many messages that are sent at once all come back, in order.",
        pipelined,
        SHORT_READS,
    ),
    case("bytes/cut-oddly", 2, "It does not matter where a stream is cut.", cut_oddly, SHORT_READS),
    case("bytes/1m", 2, "A stream of 1 MiB comes back whole.", one_mebibyte, EDGES),
    case("bytes/16m", 2, "A stream of 16 MiB comes back whole.", sixteen_mebibytes, EDGES),
];

const LINES: &str = "TCP carries bytes and knows no lines: a server that waits for a line end makes its clients wait.";
const GREETING: &str =
    "A client compares what comes with what it sent: a greeting is a wrong byte to it.";
const TEXT: &str = "RFC 862 sends back data, and data is more than text.";
const STRINGS: &str = "A zero byte ends a string in C, and no data.";
const SHORT_READS: &str =
    "A read returns what has arrived: a part of a message, or several messages together.";
const STALE: &str = "A read fills only a part of the buffer. The rest is what was there before.";
const EDGES: &str =
    "A message can be longer than any buffer, and arrive while the one before is still being sent.";

const fn case(
    id: &'static str,
    level: u8,
    expectation: &'static str,
    run: fn(&mut Bench<'_>) -> Result<Finding, Problem>,
    rationale: &'static str,
) -> Case {
    let severity = Severity::Rfc862;
    Case { id, level, severity, expectation, rationale, needs: Need::Nothing, run }
}

fn echoes(bench: &mut Bench<'_>, messages: &[&[u8]]) -> Result<Finding, Problem> {
    let mut talk = Talk::begin(bench)?;
    for message in messages {
        talk.exchange(message)?;
    }
    talk.end()
}

/// Messages one after the other, on one connection if the server lets it last. If it closes after an echo, that is
/// another case's matter: the next message gets a new connection.
struct Talk<'a, 'b> {
    bench: &'a mut Bench<'b>,
    peer: PeerId,
}

impl<'a, 'b> Talk<'a, 'b> {
    fn begin(bench: &'a mut Bench<'b>) -> Result<Self, Problem> {
        let peer = bench.connect()?;
        Ok(Self { bench, peer })
    }

    fn exchange(&mut self, message: &[u8]) -> Result<(), Problem> {
        let before = self.bench.peer(self.peer).received().len();
        match self.bench.exchange(self.peer, message) {
            Err(Problem { symptom: Symptom::Ended { received, .. }, .. })
                if before > 0 && received == before =>
            {
                self.peer = self.bench.connect()?;
                self.bench.exchange(self.peer, message)
            }
            outcome => outcome,
        }
    }

    /// Nothing may follow what was asked for.
    fn end(self) -> Result<Finding, Problem> {
        match self.bench.expect_nothing_more(self.peer) {
            Err(Problem { symptom: Symptom::Ended { .. }, .. }) | Ok(()) => {}
            Err(problem) => return Err(problem),
        }
        // A server that serves one client after the other can go on to the next.
        self.bench.drop_peer(self.peer);
        Ok(Finding::Fine)
    }
}

fn one(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    echoes(bench, &[b"x"])
}

fn word(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    echoes(bench, &[b"hello"])
}

fn unasked(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let mut talk = Talk::begin(bench)?;
    talk.bench.expect_nothing_more(talk.peer)?;
    talk.exchange(b"hello\n")?;
    talk.end()
}

fn all_values(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let all: Vec<u8> = (0..=255).collect();
    echoes(bench, &[&all, &all])
}

fn nul(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    echoes(bench, &[b"before\0after", b"\0", b"\0\0\0end"])
}

fn line_ends(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    echoes(bench, &[b"lf\n", b"crlf\r\n", b"cr\r", b"\n\n\r\r\n", b" blanks \t\n", b"none"])
}

fn invalid_utf8(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    echoes(bench, &[b"\xff\xfe", b"caf\xe9", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
}

fn split_utf8(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    // Each part gets its own echo, so the server has read it alone.
    let parts: Vec<_> = "é€😀".as_bytes().chunks(1).collect();
    echoes(bench, &parts)
}

fn sizes(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    echoes_of(
        bench,
        &[1, 2, 3, 5, 13, 100, 511, 513, 1023, 1025, 1500, 4095, 4097, 9000, 16_385, 65_535],
    )
}

/// Sends random messages of these lengths.
fn echoes_of(bench: &mut Bench<'_>, lengths: &[usize]) -> Result<Finding, Problem> {
    let mut talk = Talk::begin(bench)?;
    for len in lengths {
        let message = talk.bench.random(*len);
        talk.exchange(&message)?;
    }
    talk.end()
}

fn buffer_sizes(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    echoes_of(bench, &BUFFERS)
}

fn stale(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    for (long, short) in [(1000, 1), (70_000, 3), (5000, 5)] {
        let (long, short) = (bench.random(long), bench.random(short));
        echoes(bench, &[&long, &short])?;
    }
    Ok(Finding::Fine)
}

fn dribbled(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let peer = bench.connect()?;
    let message = bench.random(300);
    for byte in &message {
        bench.send(peer, &[*byte]);
        bench.run(&[peer], |bench| bench.peer(peer).is_sent());
    }
    bench.await_echo(peer)?;
    Ok(Finding::Fine)
}

fn pipelined(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let peer = bench.connect()?;
    for n in 0..2000 {
        bench.send(peer, format!("message {n}\n").as_bytes());
    }
    bench.await_echo(peer)?;
    Talk { bench, peer }.end()
}

fn cut_oddly(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let peer = bench.connect()?;
    for n in 0..200_usize {
        let len = 1 + (n * 7919) % 3001;
        let piece = bench.random(len);
        bench.send(peer, &piece);
        bench.run(&[peer], |bench| bench.peer(peer).is_sent());
    }
    bench.await_echo(peer)?;
    Talk { bench, peer }.end()
}

fn one_mebibyte(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let message = bench.random(1 << 20);
    echoes(bench, &[&message])
}

fn sixteen_mebibytes(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let message = bench.random(16 << 20);
    echoes(bench, &[&message])
}
