//! Why the server waits, what would wake it, and how the two bells stand.

use crate::kernel::Mode;

use super::World;

/// What one end of the connection is doing, and what comes next, in a sentence each.
pub(super) struct Why {
    pub(super) waits: String,
    pub(super) wakes: String,
    /// The connection is stuck, or the echo is not what it should be.
    pub(super) is_bad: bool,
}

fn good(waits: impl Into<String>, wakes: &str) -> Why {
    Why { waits: waits.into(), wakes: wakes.into(), is_bad: false }
}

fn bad(waits: impl Into<String>, wakes: &str) -> Why {
    Why { is_bad: true, ..good(waits, wakes) }
}

/// `2,048 bytes`.
fn bytes(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text + if n == 1 { " byte" } else { " bytes" }
}

impl World {
    pub(super) fn why(&self) -> Why {
        let (kernel, server) = (&self.kernel, &self.server);
        let (ready, is_level) = (kernel.ready(), server.build.mode == Mode::Level);
        if let Some(why) = &server.closed {
            good(format!("Has closed: {why}."), "")
        } else if server.is_queued {
            good("Is on the ready queue.", "It goes on in the next turn, without an event.")
        } else if is_level && ready.writable && server.idle_turns > 2 {
            let turns = server.idle_turns;
            bad(
                format!("Has nothing to write, and {turns} turns in a row did nothing."),
                "Each wait reports room at once: it spins.",
            )
        } else if kernel.rung.readable || kernel.rung.writable {
            good("The kernel has rung.", "The next turn tries to write and to read.")
        } else if is_level && (ready.readable || ready.writable) {
            good("The socket is ready.", "Each wait reports it, as long as that lasts.")
        } else if server.pending() > 0 {
            self.waits_for_room()
        } else {
            self.waits_for_bytes()
        }
    }

    fn waits_for_room(&self) -> Why {
        let pending = bytes(self.server.pending() as u64);
        let waits = format!("Waits for room to write {pending}, and does not read until then.");
        if ["none", "spent"].contains(&self.bell_out()) {
            bad(waits, "Nothing will wake it: it did not ask the kernel to ring for room.")
        } else {
            good(waits, "The kernel rings when the peer has read.")
        }
    }

    fn waits_for_bytes(&self) -> Why {
        let (held, lost) = (self.kernel.receive.held(), self.lost());
        let is_drained = self.kernel.send.held() == 0 && self.peer.unsent() == 0;
        let is_peer_waiting = is_drained && self.peer.wrong.is_none();
        if held > 0 {
            let wakes = if self.peer.unsent() > 0 {
                "Only the peer's next bytes will wake it: the kernel has reported these already."
            } else {
                "Nothing will wake it: the kernel has reported them already."
            };
            bad(format!("The kernel holds {} for it.", bytes(held as u64)), wakes)
        } else if self.kernel.is_ended {
            bad(
                "The peer's end of file lies in the kernel.",
                "Nothing will wake it: the kernel has reported it already.",
            )
        } else if self.kernel.is_shut {
            good("Has shut down writing.", "It discards what still comes, until the peer ends.")
        } else if lost > 0 && is_peer_waiting {
            bad(
                format!(
                    "Waits for bytes. The peer waits for {} that the server lost.",
                    bytes(lost)
                ),
                "Nothing will wake it.",
            )
        } else {
            good("Waits for bytes.", "The kernel rings when the next arrive.")
        }
    }

    /// Bytes that are neither at the peer, nor in a buffer, nor pending.
    fn lost(&self) -> u64 {
        let held = self.kernel.receive.held() + self.kernel.send.held() + self.server.pending();
        self.peer.sent.saturating_sub(self.peer.received + held as u64)
    }

    /// The bell for bytes that arrive: `none` if the server did not ask for it, `armed` if it rings at the next change,
    /// `rung` until that is used up, `spent` if nothing rings for what lies there, and `over` after the end.
    pub(super) fn bell_in(&self) -> &'static str {
        let (kernel, server) = (&self.kernel, &self.server);
        let is_level = server.build.mode == Mode::Level;
        match kernel.ready().readable {
            _ if server.closed.is_some() => "over",
            _ if !kernel.interest().readable => "none",
            _ if kernel.rung.readable || server.is_queued => "rung",
            true if is_level => "rung",
            true => "spent",
            false => "armed",
        }
    }

    /// The bell for room, in the same words. A spent one matters only if bytes are pending.
    pub(super) fn bell_out(&self) -> &'static str {
        let (kernel, server) = (&self.kernel, &self.server);
        let is_level = server.build.mode == Mode::Level;
        match kernel.ready().writable {
            _ if server.closed.is_some() => "over",
            _ if !kernel.interest().writable => "none",
            _ if kernel.rung.writable => "rung",
            true if is_level => "rung",
            _ if is_level || kernel.wants_room => "armed",
            _ => "spent",
        }
    }

    /// What the peer is doing.
    pub(super) fn peer_says(&self) -> Why {
        let peer = &self.peer;
        let missing = peer.sent.saturating_sub(peer.received);
        if let Some(at) = peer.wrong {
            bad(format!("Gives up: byte {at} of the echo is not the one that it sent."), "")
        } else if peer.has_cut {
            good("Its wire is cut.", "")
        } else if peer.is_over && missing == 0 {
            good("Has all of its echo, and has closed.", "")
        } else if peer.is_over && self.server.is_finishing {
            good(format!("Has closed. {} came too late to be echoed.", bytes(missing)), "")
        } else if peer.is_over {
            bad(format!("The server has closed, and the echo lacks {}.", bytes(missing)), "")
        } else if peer.habits.is_paused {
            good("Does not read: it is paused.", "Let it read again.")
        } else if peer.unsent() > 0 {
            good(format!("Still has {} of its message to send.", bytes(peer.unsent())), "")
        } else if missing > 0 {
            good(format!("Waits for the echo of {}.", bytes(missing)), "")
        } else if peer.has_ended {
            good(
                "Has shut down writing, and has all of its echo.",
                "It waits for the server's end.",
            )
        } else {
            good("Has all of its echo.", "It sends the next message.")
        }
    }
}
