//! The text of a failure: the state of a connection, and the steps that led there.

use std::fmt;

use crate::grammar::Step;
use crate::scenario::Scenario;
use crate::socket::{Peer, Socket};

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_tcp { "TCP" } else { "Unix" };
        let place = format!("{:?}", self.place).to_lowercase();
        write!(f, "  over {kind}, {place}")?;
        if let Some(token) = self.token {
            write!(f, " as token {}", token.0)?;
        }
        let Self { sent, arrived, read, written, taken, reads, .. } = self;
        writeln!(f, "; the peer {}", self.peer_in_words())?;
        writeln!(
            f,
            "  {sent} bytes sent, {arrived} arrived, {read} read in {reads} reads, \
             {written} written, {taken} taken by the peer"
        )?;
        let event = if self.edge { "an event is due" } else { "no event is due" };
        let half = if self.ledger.half_closed_at.is_some() {
            ", and its writing side is shut down"
        } else {
            ""
        };
        let saw = self.end.map_or("no end".into(), |end| format!("{end:?}"));
        writeln!(f, "  {event}; the server saw {saw}{half}")?;
        write!(f, "  in full: {self:?}")
    }
}

impl Socket {
    fn peer_in_words(&self) -> String {
        match (self.peer, self.error, self.fin) {
            (Peer::Closed, ..) => "has closed".into(),
            (Peer::Vanished, ..) => "has vanished".into(),
            (Peer::Alive, Some(error), _) => format!("has failed: {error:?}"),
            (Peer::Alive, None, fin) => {
                let reads = if self.is_reading { "reads" } else { "does not read" };
                format!("{reads}, and has {}", if fin { "finished" } else { "not finished" })
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, passes, turns, seed } = self;
        let s = if *turns == 1 { "" } else { "s" };
        write!(f, "{action:?}; {passes:?} pass; {turns} turn{s} (seed {seed})")
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            config,
            lists,
            backlog,
            fault_rates,
            peer_mix,
            pace,
            queues,
            are_proxies_tcp,
            has_metrics,
            has_udp,
            udp_rate,
        } = self;
        writeln!(f, "  {config:?}")?;
        writeln!(f, "  {lists:?}")?;
        writeln!(
            f,
            "  backlog {backlog}, queues {queues:?}, proxies over TCP: {are_proxies_tcp}, \
             metrics: {has_metrics}, UDP: {has_udp}, {udp_rate} a second; \
             peer_mix {peer_mix:?}, pace {pace:?}"
        )?;
        writeln!(f, "  faults per 1024 chances: {fault_rates:?}")
    }
}
