//! Calls that wait for events: epoll, poll(2) and select(2), and what is registered with them.

use std::collections::HashMap;

use serde_json::Value;

use super::descriptors::{Kind, ObjectId};
use super::line::{Call, Result};
use super::program::Program;
use super::recorder::{Data, Who, data};
use super::scan::{arguments, descriptor, fields, is_stream, number};

use crate::trace::record::name;

/// Records that a thread begins to wait, if the call is a wait.
pub(super) fn begins(program: &mut Program, who: Who, call: &Call<'_>) {
    let timeout = match call.name {
        "epoll_wait" | "epoll_pwait" => millis(call.arg(3)),
        "poll" => millis(call.arg(2)),
        "epoll_pwait2" => timespec(call.arg(3)),
        "ppoll" => timespec(call.arg(2)),
        "select" | "pselect6" => timespec(call.arg(4)),
        _ => return,
    };
    if !call.name.starts_with("epoll") && !watches_stream(call) {
        return;
    }
    program.seen.waits += 1;
    program.recorder.wait(who, timeout);
}

/// Whether poll(2) or select(2) watches a socket for a stream. Runtimes also call them for other descriptors.
fn watches_stream(call: &Call<'_>) -> bool {
    let is_poll = call.name.ends_with("poll");
    let fds =
        |text| elements(text).into_iter().filter_map(|polled| elements(polled).first().copied());
    let stream = |socket: &str| descriptor(socket).is_some_and(|(_, what)| is_stream(what));
    match is_poll {
        true => fds(call.arg(0)).any(|field| field.strip_prefix("fd=").is_some_and(stream)),
        false => (1..4).flat_map(|at| set(call.arg(at))).any(stream),
    }
}

/// Milliseconds as microseconds; null if there is no limit.
fn millis(text: &str) -> Option<Value> {
    let millis = number(text)?;
    Some(if millis < 0 { Value::Null } else { millis.saturating_mul(1000).into() })
}

/// `{tv_sec=1, tv_nsec=5000}` or `{tv_sec=1, tv_usec=5}` as microseconds; null if there is no limit.
fn timespec(text: &str) -> Option<Value> {
    if text == "NULL" {
        return Some(Value::Null);
    }
    let field = |name| fields(text, name).next().and_then(number);
    let seconds = field("tv_sec=")?.max(0);
    let micros = field("tv_usec=").or_else(|| Some(field("tv_nsec=")? / 1000))?;
    Some(seconds.saturating_mul(1_000_000).saturating_add(micros).into())
}

/// Translates a call that has to do with waiting. Returns whether it was one.
pub(super) fn translate(program: &mut Program, who: Who, call: &Call<'_>) -> bool {
    match call.name {
        "epoll_create" | "epoll_create1" => {
            if let Some((fd, _)) = call.descriptor() {
                program.insert(who, fd, Kind::Poll(HashMap::new()));
            }
        }
        "epoll_ctl" => control(program, who, call),
        "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => epoll(program, who, call),
        "poll" | "ppoll" => poll(program, who, call),
        "select" | "pselect6" => select(program, who, call),
        _ => return false,
    }
    true
}

/// The poll that an argument stands for. One that was made before the trace began is added.
fn poll_of(program: &mut Program, who: Who, arg: &str) -> Option<ObjectId> {
    let (fd, what) = descriptor(arg)?;
    match program.descriptors.find(who.thread, fd) {
        Some(id) => Some(id),
        None if what.contains("eventpoll") => program.insert(who, fd, Kind::Poll(HashMap::new())),
        None => None,
    }
}

fn control(program: &mut Program, who: Who, call: &Call<'_>) {
    if call.value() != Some(0) {
        return;
    }
    let Some(poll) = poll_of(program, who, call.arg(0)) else { return };
    let Some((fd, _)) = descriptor(call.arg(2)) else { return };
    let source = program.object(who, call.arg(2)).or_else(|| program.insert(who, fd, Kind::Other));
    let Some(source) = source else { return };
    unregister(program, poll, source);
    let group = program.group(source);
    if call.arg(1) == "EPOLL_CTL_DEL" {
        if group.is_some() {
            program.recorder.record(who, name::DEREGISTERED, group.as_deref(), Data::new());
        }
        return;
    }
    let event = call.arg(3);
    register(program, poll, source, user_data(event));
    if group.is_some() {
        let events = fields(event, "events=").next().unwrap_or("");
        program.recorder.record(who, name::REGISTERED, group.as_deref(), registration(events));
    }
}

/// What a program has a poll report with an event: `data={u32=1, u64=1}`, or `data=0x1` of newer straces.
fn user_data(event: &str) -> u64 {
    let parse = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let found = fields(event, "u64=").next().and_then(parse);
    found.or_else(|| fields(event, "data=").next().and_then(parse)).unwrap_or(0)
}

fn register(program: &mut Program, poll: ObjectId, source: ObjectId, data: u64) {
    if let Some(Kind::Poll(sources)) = program.descriptors.object(poll).map(|poll| &mut poll.kind) {
        sources.insert(data, source);
    }
    if let Some(object) = program.descriptors.object(source) {
        object.polls.push((poll, data));
    }
}

fn unregister(program: &mut Program, poll: ObjectId, source: ObjectId) {
    let Some(object) = program.descriptors.object(source) else { return };
    let Some(at) = object.polls.iter().position(|(of, _)| *of == poll) else { return };
    let (_, data) = object.polls.swap_remove(at);
    if let Some(Kind::Poll(sources)) = program.descriptors.object(poll).map(|poll| &mut poll.kind)
        && sources.get(&data) == Some(&source)
    {
        sources.remove(&data);
    }
}

/// The data of a registration, from the events of epoll_ctl(2) or poll(2).
fn registration(events: &str) -> Data {
    let has = |name: &str| {
        events
            .split('|')
            .any(|event| event.trim_start_matches("EPOLL").trim_start_matches("POLL") == name)
    };
    let words = [("IN", "readable"), ("OUT", "writable"), ("PRI", "priority")];
    let interest: Vec<_> =
        words.iter().filter(|(event, _)| has(event)).map(|(_, word)| *word).collect();
    let mode = if has("ET") { "edge" } else { "level" };
    let mut data = data! {"interest": interest.join(" "), "mode": mode};
    if has("ONESHOT") {
        data.insert("is_once".into(), true.into());
    }
    data
}

fn epoll(program: &mut Program, who: Who, call: &Call<'_>) {
    woke(program, who, call);
    let Some(poll) = poll_of(program, who, call.arg(0)) else { return };
    for event in elements(call.arg(1)) {
        let data = user_data(event);
        let source = match program.descriptors.object(poll).map(|poll| &poll.kind) {
            Some(Kind::Poll(sources)) => sources.get(&data).copied(),
            _ => None,
        };
        if let Some(source) = source {
            ready(program, who, source, fields(event, "events=").next().unwrap_or(""));
        }
    }
}

/// Records that a wait has ended.
fn woke(program: &mut Program, who: Who, call: &Call<'_>) {
    let events = call.value().map_or(0, |n| n.max(0) as u64);
    program.recorder.wake(who, events, matches!(call.result, Result::Error("EINTR", _)));
}

/// The elements of an array or a structure.
fn elements(text: &str) -> Vec<&str> {
    let inside = text
        .strip_prefix(['[', '{'])
        .map_or("", |rest| rest.strip_suffix([']', '}']).unwrap_or(rest));
    arguments(inside).0
}

fn ready(program: &mut Program, who: Who, source: ObjectId, events: &str) {
    let Some(group) = program.group(source) else { return };
    let mut data = Data::new();
    for event in events.split('|') {
        let event = event.trim_start_matches("EPOLL").trim_start_matches("POLL");
        let flags: &[&str] = match event {
            "IN" | "RDNORM" => &["readable"],
            "OUT" | "WRNORM" => &["writable"],
            "RDHUP" => &["read_closed"],
            "HUP" => &["read_closed", "write_closed"],
            "ERR" => &["error"],
            "PRI" => &["priority"],
            _ => &[],
        };
        data.extend(flags.iter().map(|flag| ((*flag).into(), true.into())));
    }
    program.recorder.ready(who, &group, data);
}

fn poll(program: &mut Program, who: Who, call: &Call<'_>) {
    for polled in elements(call.arg(0)) {
        let fields = elements(polled);
        let field = |name: &str| fields.iter().find_map(|field| field.strip_prefix(name));
        if let (Some(socket), Some(events)) = (field("fd="), field("events=")) {
            watched(program, who, socket, events);
        }
    }
    woke(program, who, call);
    let Result::Value(_, explained) = call.result else { return };
    for polled in elements(explained.trim_start_matches('(')) {
        let fields = elements(polled);
        let field = |name: &str| fields.iter().find_map(|field| field.strip_prefix(name));
        if let (Some(socket), Some(events)) = (field("fd="), field("revents="))
            && let Some(source) = program.object(who, socket)
        {
            ready(program, who, source, events);
        }
    }
}

/// A socket that poll(2) or select(2) is asked about. It counts as registered, as long as the question is the same.
fn watched(program: &mut Program, who: Who, socket: &str, events: &str) {
    let Some(source) = program.object(who, socket) else { return };
    let Some(group) = program.group(source) else { return };
    let Some(object) = program.descriptors.object(source) else { return };
    if object.interest.as_deref() != Some(events) {
        object.interest = Some(events.into());
        program.recorder.record(who, name::REGISTERED, Some(&group), registration(events));
    }
}

fn select(program: &mut Program, who: Who, call: &Call<'_>) {
    for (at, event) in [(1, "POLLIN"), (2, "POLLOUT"), (3, "POLLPRI")] {
        set(call.arg(at)).for_each(|socket| watched(program, who, socket, event));
    }
    woke(program, who, call);
    let Result::Value(_, explained) = call.result else { return };
    for (name, event) in [("in ", "POLLIN"), ("out ", "POLLOUT"), ("except ", "POLLPRI")] {
        let sockets = arguments(explained.trim_start_matches('(')).0;
        let sockets = sockets.into_iter().find_map(|part| part.strip_prefix(name));
        for socket in set(sockets.unwrap_or("")) {
            if let Some(source) = program.object(who, socket) {
                ready(program, who, source, event);
            }
        }
    }
}

/// The descriptors of a set: `[3<TCP:[…]> 7<TCP:[…]>]`.
fn set(text: &str) -> impl Iterator<Item = &str> {
    let inside = text.strip_prefix('[').map_or("", |rest| rest.strip_suffix(']').unwrap_or(rest));
    inside.split(' ').filter(|socket| !socket.is_empty())
}
