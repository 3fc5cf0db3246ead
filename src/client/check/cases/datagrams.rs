//! Echoes over UDP.

use std::net::SocketAddr;

use super::super::bench::{Bench, LetterboxId};
use super::super::case::{Case, Finding, Need, Severity};
use super::super::problem::{Problem, Symptom};
use crate::net::{Endpoint, reason};
use crate::text::format::counted;

const WHOLE: &str = "A datagram is a message: it comes back whole, and as one datagram.";
const ADDRESS: &str = "A client takes an answer from another address for a stranger's.";

pub(in super::super) const CASES: &[Case] = &[
    case("udp/one", 1, "A datagram of one byte comes back.", one, WHOLE),
    case(
        "udp/all-values",
        2,
        "Each of the 256 values of a byte comes back as it is.",
        all_values,
        WHOLE,
    ),
    case("udp/empty", 2, "A datagram without a byte comes back, as it came.", empty, WHOLE),
    case("udp/sizes", 2, "Datagrams of 2 to 65,507 bytes come back whole.", sizes, WHOLE),
    case(
        "udp/one-each",
        2,
        "Each datagram gets an answer of its own, and one only.",
        one_each,
        WHOLE,
    ),
    case("udp/stale", 2, "After a long datagram, a short one comes back alone.", stale, WHOLE),
    case(
        "udp/many",
        3,
        "Fifty clients that send at the same time each get their own answer.",
        many,
        ADDRESS,
    ),
    case(
        "udp/from",
        3,
        "The answer comes from the address and the port that were asked.",
        from,
        ADDRESS,
    ),
];

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

/// A server answers this at least.
pub(in super::super) fn hello(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    echoes(bench, &[b"resound\n"])
}

fn server(bench: &Bench<'_>) -> Result<SocketAddr, Problem> {
    match &bench.server {
        Endpoint::Udp(addr) => Ok(addr.addr()),
        _ => Err(Problem::other("the server has no UDP address")),
    }
}

/// How often a datagram is sent again: one can be lost without anybody's fault.
const ATTEMPTS: usize = 3;

/// Sends each datagram, and waits for its echo.
fn echoes(bench: &mut Bench<'_>, datagrams: &[&[u8]]) -> Result<Finding, Problem> {
    let id = bench.open_letterbox(server(bench)?)?;
    for datagram in datagrams {
        echo(bench, id, datagram)?;
    }
    Ok(Finding::Fine)
}

fn echo(bench: &mut Bench<'_>, id: LetterboxId, datagram: &[u8]) -> Result<(), Problem> {
    let mut seen = bench.letterbox(id).received.len();
    for _ in 0..ATTEMPTS {
        bench.letterbox(id).send(datagram);
        loop {
            bench.await_datagrams(id, seen + 1);
            let letterbox = bench.letterbox(id);
            if let Some(e) = letterbox.refused.take() {
                return Err(Problem::of(Symptom::NotConnected(reason(&e))));
            }
            let Some((_, came)) = letterbox.received.get(seen) else { break };
            seen += 1;
            // A second answer to what was sent twice, since the first was late.
            if came == datagram || !letterbox.repeated.contains(came) {
                return expect(datagram, came);
            }
        }
        bench.letterbox(id).repeated.push(datagram.to_vec());
    }
    let n = counted(datagram.len() as u64, "byte", "bytes");
    Err(Problem::other(format!("nothing came back of a datagram of {n}, in {ATTEMPTS} attempts")))
}

fn expect(sent: &[u8], came: &[u8]) -> Result<(), Problem> {
    let bytes = |n: usize| counted(n as u64, "byte", "bytes");
    if sent == came {
        return Ok(());
    }
    if sent.len() != came.len() {
        let (sent, came) = (bytes(sent.len()), bytes(came.len()));
        return Err(Problem::other(format!("a datagram of {sent} came back as one of {came}")));
    }
    let at = sent.iter().zip(came).take_while(|(sent, came)| sent == came).count();
    let n = bytes(sent.len());
    Err(Problem::other(format!("of a datagram of {n}, the byte at offset {at} came back changed")))
}

fn one(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    echoes(bench, &[b"x"])
}

fn all_values(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let all: Vec<u8> = (0..=255).collect();
    echoes(bench, &[&all])
}

fn empty(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    echoes(bench, &[b""])
}

fn sizes(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let id = bench.open_letterbox(server(bench)?)?;
    for len in [2, 3, 100, 511, 512, 513, 1024, 1472, 1473, 4096, 8192, 16_384, 65_000, 65_507] {
        let datagram = bench.random(len);
        echo(bench, id, &datagram)?;
    }
    Ok(Finding::Fine)
}

fn one_each(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    const COUNT: usize = 20;
    let id = bench.open_letterbox(server(bench)?)?;
    for n in 0..COUNT {
        bench.letterbox(id).send(format!("datagram {n:02}").as_bytes());
    }
    // One more than there should be.
    bench.await_datagrams(id, COUNT + 1);
    let mut came: Vec<_> = bench.letterbox(id).received.drain(..).map(|(_, bytes)| bytes).collect();
    came.sort();
    let sent: Vec<_> = (0..COUNT).map(|n| format!("datagram {n:02}").into_bytes()).collect();
    if came == sent {
        return Ok(Finding::Fine);
    }
    if let Some(wrong) = came.iter().find(|bytes| !sent.contains(bytes)) {
        let n = counted(wrong.len() as u64, "byte", "bytes");
        return Err(Problem::other(format!(
            "a datagram of {n} came back that was not sent: datagrams of 11 bytes were"
        )));
    }
    let n = came.len();
    match n > COUNT {
        true => Err(Problem::other(format!("{n} answers came to {COUNT} datagrams"))),
        // Some can be lost without anybody's fault.
        false => Ok(Finding::Inconclusive(format!("{n} answers came to {COUNT} datagrams"))),
    }
}

fn stale(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let long = bench.random(1000);
    echoes(bench, &[&long, b"ab", &long, b"c"])
}

fn many(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let server = server(bench)?;
    let ids = (0..50).map(|_| bench.open_letterbox(server)).collect::<Result<Vec<_>, _>>()?;
    for (n, id) in ids.iter().enumerate() {
        bench.letterbox(*id).send(format!("client {n}").as_bytes());
    }
    for (n, id) in ids.iter().enumerate() {
        let expected = format!("client {n}");
        bench.await_datagrams(*id, 1);
        match bench.letterbox(*id).received.first() {
            Some((_, came)) => expect(expected.as_bytes(), came)?,
            None => echo(bench, *id, expected.as_bytes())?,
        }
    }
    Ok(Finding::Fine)
}

fn from(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    let server = server(bench)?;
    let id = bench.open_letterbox(server)?;
    echo(bench, id, b"who are you?")?;
    match bench.letterbox(id).received.first() {
        Some((from, _)) if *from != server => {
            Err(Problem::other(format!("{server} was asked, and {from} answered")))
        }
        _ => Ok(Finding::Fine),
    }
}
