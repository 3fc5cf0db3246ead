//! A listener and streams that record each system call, and the line of the server from which it comes.
//!
//! The server is generic over its listeners, so each call of a stream is a direct call, and `#[track_caller]` gives its
//! place.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::panic::Location;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use rustix::io::ioctl_fionread;
use serde_json::json;

use super::data::{Call, CallResult, Group, Queues};
use super::record::name;
use super::recorder::{Draft, Recorder};
use super::sources::Place;
use crate::net::{Endpoint, Listen, Stream, reason};

/// A listener whose accepts are recorded, and whose streams are traced too.
#[derive(Debug)]
pub struct Traced<L> {
    listener: L,
    at: Endpoint,
    recorder: Recorder,
}

impl<L> Traced<L> {
    /// `at` is the address of the listener. All listeners of a server must have clones of the recorder that is its
    /// observer.
    pub fn new(listener: L, at: Endpoint, recorder: Recorder) -> Self {
        Self { listener, at, recorder }
    }
}

impl<L: Listen<Stream: AsFd>> Listen for Traced<L> {
    type Stream = TracedStream<L::Stream>;

    #[track_caller]
    fn accept(&mut self) -> io::Result<(Self::Stream, Endpoint)> {
        let accepted = self.listener.accept();
        let place = Place::of(Location::caller());
        let id = self.recorder.accepted(&self.at, place, &accepted);
        let (stream, peer) = accepted?;
        Ok((TracedStream { stream, id, recorder: self.recorder.clone() }, peer))
    }

    fn fills_silently(&self) -> bool {
        self.listener.fills_silently()
    }

    fn has_successor(&self) -> bool {
        self.listener.has_successor()
    }
}

impl<L: Source> Source for Traced<L> {
    fn register(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        self.listener.register(r, t, i)?;
        register(&self.recorder, Group::Listener(&self.at), i);
        Ok(())
    }

    fn reregister(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        self.listener.reregister(r, t, i)
    }

    fn deregister(&mut self, r: &Registry) -> io::Result<()> {
        deregister(&self.recorder, Group::Listener(&self.at));
        self.listener.deregister(r)
    }
}

/// A stream whose reads and writes are recorded.
#[derive(Debug)]
pub struct TracedStream<S> {
    stream: S,
    id: u64,
    recorder: Recorder,
}

impl<S: Stream + AsFd> TracedStream<S> {
    /// What the socket holds, if that is recorded.
    fn queues(&self) -> Option<Queues> {
        self.recorder.wants_kernel().then(|| Queues {
            receive_queue: ioctl_fionread(&self.stream).ok(),
            send_queue: self.stream.unacknowledged(),
        })
    }

    fn group(&self) -> Group<'static> {
        Group::Connection(self.id)
    }
}

impl<S: Stream + AsFd> Read for TracedStream<S> {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let kernel = self.queues();
        let got = self.stream.read(buffer);
        if let Some(mut recording) = self.recorder.recording() {
            let totals = recording.totals(self.id);
            // Before it is served, what is read is the header of a proxy.
            let name = if totals.is_served { name::READ } else { name::HEADER };
            totals.read += if totals.is_served { *got.as_ref().unwrap_or(&0) as u64 } else { 0 };
            let (asked, result) = (Some(buffer.len()), CallResult::of_read(&got));
            let draft = Draft::new(name, Some(self.group()), Place::of(Location::caller()));
            recording.add(draft, Some(Call { asked, result, kernel }));
        }
        got
    }
}

impl<S: Stream + AsFd> Write for TracedStream<S> {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let kernel = self.queues();
        let taken = self.stream.write(bytes);
        if let Some(mut recording) = self.recorder.recording() {
            let n = *taken.as_ref().unwrap_or(&0);
            let (asked, result) = (Some(bytes.len()), CallResult::of_write(&taken));
            let place = Place::of(Location::caller());
            let draft = Draft::new(name::WRITE, Some(self.group()), place);
            recording.add(draft, Some(Call { asked, result, kernel }));
            recording.wrote(self.id, n, bytes.len() - n, place);
        }
        taken
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl<S: Stream + AsFd> Stream for TracedStream<S> {
    fn short_read_drains(&self) -> bool {
        self.stream.short_read_drains()
    }

    #[track_caller]
    fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let kernel = self.queues();
        let seen = self.stream.peek(buffer);
        if let Some(mut recording) = self.recorder.recording() {
            let (asked, result) = (Some(buffer.len()), CallResult::of_read(&seen));
            let place = Place::of(Location::caller());
            let draft = Draft::new(name::HEADER, Some(self.group()), place).because("peek");
            recording.add(draft, Some(Call { asked, result, kernel }));
        }
        seen
    }

    fn is_read_closed(&self) -> bool {
        self.stream.is_read_closed()
    }

    fn reset_on_close(&self) {
        self.stream.reset_on_close();
    }

    #[track_caller]
    fn shutdown_write(&self) -> io::Result<()> {
        let done = self.stream.shutdown_write();
        if let Some(mut recording) = self.recorder.recording() {
            let data = done.as_ref().err().map(|error| json!({ "error": reason(error) }));
            let place = Place::of(Location::caller());
            recording.add(Draft::new(name::SHUTDOWN, Some(self.group()), place), data);
        }
        done
    }

    fn unacknowledged(&self) -> Option<u32> {
        self.stream.unacknowledged()
    }
}

impl<S: Source> Source for TracedStream<S> {
    fn register(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        self.stream.register(r, t, i)?;
        register(&self.recorder, Group::Connection(self.id), i);
        Ok(())
    }

    fn reregister(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        self.stream.reregister(r, t, i)
    }

    fn deregister(&mut self, r: &Registry) -> io::Result<()> {
        deregister(&self.recorder, Group::Connection(self.id));
        self.stream.deregister(r)
    }
}

/// mio registers edge-triggered, without exception.
fn register(recorder: &Recorder, group: Group<'_>, interest: Interest) {
    if let Some(mut recording) = recorder.recording() {
        let data = json!({ "interest": in_words(interest), "mode": "edge" });
        recording.add(Draft::new(name::REGISTERED, Some(group), None), Some(data));
    }
}

fn deregister(recorder: &Recorder, group: Group<'_>) {
    if let Some(mut recording) = recorder.recording() {
        recording.add(Draft::new(name::DEREGISTERED, Some(group), None), None::<()>);
    }
}

fn in_words(interest: Interest) -> String {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let is_priority = interest.is_priority();
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let is_priority = false;
    let all = [
        ("readable", interest.is_readable()),
        ("writable", interest.is_writable()),
        ("priority", is_priority),
    ];
    let names: Vec<_> = all.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    names.join(" ")
}
