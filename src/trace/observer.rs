//! What the server reports, as records.
//!
//! Reads, writes and accepts are not among it: the [streams](super::TracedStream) record these, with what the system call
//! was asked for and what it returned.

use std::panic::Location;
use std::time::Duration;

use serde_json::{Value, json};

use super::data::{Group, Micros, Readiness, Waits, Woke};
use super::record::name;
use super::recorder::{Draft, Recorder, Recording, Wait};
use super::sources::Place;
use crate::net::{Endpoint, reason};
use crate::observe::{At, Closed, Event, Expiry, Observer, Reason, WaitsUntil};

impl Observer for Recorder {
    #[track_caller]
    fn observe(&mut self, at: At<'_>, event: Event<'_>) {
        let Some(mut recording) = self.recording() else { return };
        let place = Place::of(Location::caller());
        match at.conn {
            Some((id, peer)) => {
                let (recording, id) = (&mut *recording, id.number());
                OfConnection { recording, id, place }.observe(peer, event);
            }
            None => recording.observe(event, at, place),
        }
    }

    fn wants_waits(&self) -> bool {
        true
    }
}

/// The server and its loop.
impl Recording {
    fn observe(&mut self, event: Event<'_>, at: At<'_>, place: Option<Place>) {
        match event {
            Event::Waits { timeout, until } => self.begin_wait(timeout, until, place),
            Event::Polled { events, queued } => self.end_wait(events, queued, place),
            Event::Ready { listener, event } => {
                self.add(ready(listener.map(Group::Listener), event), event.map(Readiness::from));
            }
            Event::AcceptFailed { listener, error, retry } => {
                let retry = Micros(retry.saturating_duration_since(at.now));
                let data = json!({ "error": reason(error), "retry": retry });
                let group = Some(Group::Listener(listener));
                self.add(Draft::new(name::LISTENER_FAILED, group, place), Some(data));
            }
            event => self.observe_server(event, place),
        }
    }

    fn observe_server(&mut self, event: Event<'_>, place: Option<Place>) {
        let (name, data) = match event {
            Event::Listening { at, is_proxied } => {
                (name::LISTENING, json!({ "at": at.to_string(), "is_proxied": is_proxied }))
            }
            Event::DatagramEchoed { peer, bytes } => {
                (name::DATAGRAM_ECHOED, json!({ "peer": peer.to_string(), "bytes": bytes }))
            }
            Event::DatagramDropped { peer, why, .. } => {
                let data = json!({ "peer": peer.to_string(), "why": why.label() });
                (name::DATAGRAM_DROPPED, data)
            }
            Event::ListenerLost(error) => {
                (name::SERVER_FAILED, json!({ "error": error.to_string() }))
            }
            Event::DrainDelayed { delay } => {
                (name::DRAIN_DELAYED, json!({ "delay": Micros(delay) }))
            }
            Event::Draining { connections, timeout } => {
                let timeout = Micros(timeout);
                (name::DRAINING, json!({ "connections": connections, "timeout": timeout }))
            }
            _ => return,
        };
        self.add(Draft::new(name, None, place), Some(data));
    }

    /// What reads along sees all that the server has done before it sleeps.
    fn begin_wait(&mut self, timeout: Option<Duration>, until: WaitsUntil, place: Option<Place>) {
        let wait = Wait { began: self.tick(), timeout, until, place };
        self.wait = Some(wait);
        match until {
            // Most polls of a server that spins find nothing, and are no news.
            WaitsUntil::Spin => {}
            WaitsUntil::Queue => self.add_wait(wait),
            WaitsUntil::Deadline | WaitsUntil::NoLimit => {
                self.add_wait(wait);
                self.flush();
            }
        }
    }

    fn add_wait(&mut self, Wait { began, timeout, until, place }: Wait) {
        let draft = Draft::new(name::WAITS, None, place).because(wait_trigger(until));
        self.add_as_of(began, draft, Some(Waits { timeout: timeout.map(Micros) }));
    }

    fn end_wait(&mut self, events: usize, queued: usize, place: Option<Place>) {
        let Some(wait) = self.wait.take() else { return };
        let is_spin = wait.until == WaitsUntil::Spin;
        if is_spin && events + queued > 0 {
            self.add_wait(wait);
        }
        self.begin_turn();
        if !is_spin || events + queued > 0 {
            let woke = Woke { events, queued, waited: Micros(self.tick() - wait.began) };
            self.add(Draft::new(name::WOKE, None, place), Some(woke));
        }
    }
}

/// What the server reports of one connection.
struct OfConnection<'a> {
    recording: &'a mut Recording,
    id: u64,
    place: Option<Place>,
}

impl OfConnection<'_> {
    fn observe(mut self, peer: &Endpoint, event: Event<'_>) {
        match event {
            Event::Ready { event, .. } => {
                let draft = ready(Some(Group::Connection(self.id)), event);
                self.recording.add(draft, event.map(Readiness::from));
            }
            Event::WriteBlocked => {
                let pending = self.recording.totals(self.id).pending;
                self.add(name::BLOCKED, Some(json!({ "pending": pending })));
            }
            Event::Yielded => {
                let draft = self.draft(name::YIELDED).because("budget");
                self.recording.add(draft, None::<()>);
            }
            Event::Expired(expiry) => {
                self.add(name::EXPIRED, Some(json!({ "timeout": expiry_name(expiry) })));
            }
            event => self.begin_or_end(peer, event),
        }
    }

    fn begin_or_end(&mut self, peer: &Endpoint, event: Event<'_>) {
        match event {
            Event::Accepted => {
                self.recording.totals(self.id).is_served = true;
                self.add(name::ACCEPTED, Some(json!({ "peer": peer.to_string() })));
            }
            Event::Proxied { by } => {
                let data = json!({ "peer": peer.to_string(), "by": by.to_string() });
                self.add(name::PROXIED, Some(data));
            }
            Event::Refused { refused, .. } => {
                self.recording.connections.remove(&self.id);
                let data = json!({ "peer": peer.to_string(), "why": refused.why.label() });
                self.add(name::REFUSED, Some(data));
            }
            Event::Closed { why, is_cut } => self.close(why, is_cut),
            _ => {}
        }
    }

    fn close(&mut self, why: &Closed, is_cut: bool) {
        let totals = self.recording.connections.remove(&self.id).unwrap_or_default();
        let (read, wrote) = (totals.read, totals.wrote);
        let mut data = json!({
            "why": why.reason().label(), "read": read, "wrote": wrote, "is_cut": is_cut,
        });
        if let Closed::Failed(error) = why {
            data["error"] = reason(error).into();
        }
        self.add(name::CLOSED, Some(data));
    }

    fn draft(&self, name: &'static str) -> Draft<'static> {
        Draft::new(name, Some(Group::Connection(self.id)), self.place)
    }

    fn add(&mut self, name: &'static str, data: Option<Value>) {
        self.recording.add(self.draft(name), data);
    }
}

fn expiry_name(expiry: Expiry) -> &'static str {
    match expiry {
        Expiry::Idle => "idle",
        Expiry::Stalled => "stalled",
        Expiry::Lingering => "lingering",
        Expiry::Quiet => "quiet",
    }
}

fn wait_trigger(until: WaitsUntil) -> &'static str {
    match until {
        WaitsUntil::Queue => "queue",
        WaitsUntil::Spin => "spin",
        WaitsUntil::Deadline => "deadline",
        WaitsUntil::NoLimit => "no_limit",
    }
}

/// A source is ready: the poll said so, or it was in the ready queue.
fn ready<'a>(group: Option<Group<'a>>, event: Option<&mio::event::Event>) -> Draft<'a> {
    let draft = Draft::new(name::READY, group, None);
    draft.because(if event.is_some() { "event" } else { "queue" })
}
