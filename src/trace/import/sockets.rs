//! Calls on sockets: listen, accept, read, write, shut down, close, and what makes them not block.

use serde_json::Value;

use super::descriptors::{Kind, ObjectId, Totals};
use super::line::{Call, Result};
use super::program::Program;
use super::recorder::{Data, Who, data};
use super::scan::{descriptor, fields, is_stream, number};

use crate::trace::record::name;

/// Translates a call on a socket. Returns whether it was one.
pub(super) fn translate(program: &mut Program, who: Who, call: &Call<'_>) -> bool {
    match call.name {
        "socket" => socket(program, who, call),
        "listen" => listen(program, who, call),
        "accept" | "accept4" => accept(program, who, call),
        "connect" => connect(program, who, call),
        "shutdown" => shutdown(program, who, call),
        "close" => close(program, who, call),
        "dup" | "dup2" | "dup3" => duplicate(program, who, call),
        "fcntl" | "fcntl64" => fcntl(program, who, call),
        "ioctl" => ioctl(program, who, call),
        _ => return transfer(program, who, call),
    }
    true
}

/// The two ends of a connection, as strace describes it: `TCP:[127.0.0.1:7007->127.0.0.1:40000]` or, with the numbers of
/// inodes, `UNIX-STREAM:[12->13,"/run/echo"]`.
fn ends(what: &str) -> (String, Option<String>) {
    let (kind, inside) = what.split_once(":[").unwrap_or((what, ""));
    let inside = inside.strip_suffix(']').unwrap_or(inside);
    let is_unix = kind.starts_with("UNIX");
    let (inside, path) = match inside.split_once(',') {
        Some((inside, path)) if is_unix => (inside, Some(path.trim_matches(['"', '@']))),
        _ => (inside, None),
    };
    let named = |end: &str| if is_unix { format!("unix:{end}") } else { end.to_string() };
    let (local, peer) = match inside.split_once("->") {
        Some((local, peer)) => (local, Some(named(peer))),
        None => (inside, None),
    };
    (named(path.unwrap_or(local)), peer)
}

fn socket(program: &mut Program, who: Who, call: &Call<'_>) {
    let Some((fd, _)) = call.descriptor() else { return };
    if let Some(id) = program.insert(who, fd, Kind::Other) {
        set_nonblocking(program, id, call.arg(1).contains("SOCK_NONBLOCK"));
    }
}

fn listen(program: &mut Program, who: Who, call: &Call<'_>) {
    if call.value() == Some(0) && listener(program, who, call.arg(0)).is_none() {
        program.seen.bare += 1;
    }
}

/// The listener that an argument stands for. It becomes one if it was none.
fn listener(program: &mut Program, who: Who, arg: &str) -> Option<ObjectId> {
    let (fd, what) = descriptor(arg)?;
    let known = program.object(who, arg).or_else(|| program.insert(who, fd, Kind::Other))?;
    if !is_stream(what) {
        return None;
    }
    let object = program.descriptors.object(known)?;
    if !matches!(object.kind, Kind::Listener) {
        let at = ends(what).0;
        let group = format!("listener:{at}");
        object.kind = Kind::Listener;
        object.group = Some(group.clone());
        program.recorder.record(
            who,
            name::LISTENING,
            Some(&group),
            data! {"at": at, "is_proxied": false},
        );
    }
    Some(known)
}

fn accept(program: &mut Program, who: Who, call: &Call<'_>) {
    let Some(id) = listener(program, who, call.arg(0)) else {
        program.seen.bare += 1;
        return;
    };
    let Some(result) = result(call, || Value::from("connection")) else { return };
    let mut data = data! {"result": result};
    blocking(program, id, call, "", &mut data);
    let group = program.group(id);
    program.recorder.record(who, name::ACCEPT, group.as_deref(), data);
    if let Some((fd, what)) = call.descriptor() {
        let is_nonblocking = call.name == "accept4" && call.arg(3).contains("SOCK_NONBLOCK");
        accepted(program, who, fd, what, is_nonblocking);
    }
}

fn accepted(program: &mut Program, who: Who, fd: i32, what: &str, is_nonblocking: bool) {
    let Some(id) = program.insert(who, fd, Kind::Connection(Totals::default())) else { return };
    set_nonblocking(program, id, is_nonblocking);
    let group = program.recorder.next_connection();
    if let Some(object) = program.descriptors.object(id) {
        object.group = Some(group.clone());
    }
    let (local, peer) = ends(what);
    let data = data! {"local": local, "peer": peer.unwrap_or_default()};
    program.recorder.record(who, name::ACCEPTED, Some(&group), data);
}

/// A connection that the program makes itself, as a proxy does.
fn connect(program: &mut Program, who: Who, call: &Call<'_>) {
    let is_made = call.value() == Some(0) || matches!(call.result, Result::Error("EINPROGRESS", _));
    let Some((fd, what)) = descriptor(call.arg(0)).filter(|(_, what)| is_made && is_stream(what))
    else {
        return;
    };
    let Some(id) =
        program.descriptors.find(who.thread, fd).or_else(|| program.insert(who, fd, Kind::Other))
    else {
        return;
    };
    let group = program.recorder.next_connection();
    let Some(object) = program.descriptors.object(id).filter(|object| object.group.is_none())
    else {
        return;
    };
    object.kind = Kind::Connection(Totals::default());
    object.group = Some(group.clone());
    let (local, peer) = ends(what);
    let data = data! {"local": local, "peer": peer.unwrap_or_default()};
    program.recorder.record(who, name::CONNECTED, Some(&group), data);
}

fn shutdown(program: &mut Program, who: Who, call: &Call<'_>) {
    let group = program.object(who, call.arg(0)).and_then(|id| program.group(id));
    if call.value() == Some(0) && ["SHUT_WR", "SHUT_RDWR"].contains(&call.arg(1)) && group.is_some()
    {
        program.recorder.record(who, name::SHUTDOWN, group.as_deref(), Data::new());
    }
}

fn close(program: &mut Program, who: Who, call: &Call<'_>) {
    let gone =
        descriptor(call.arg(0)).and_then(|(fd, _)| program.descriptors.close(who.thread, fd));
    gone.into_iter().for_each(|gone| program.gone(who, gone, "closed"));
}

fn duplicate(program: &mut Program, who: Who, call: &Call<'_>) {
    if let (Some((fd, _)), Some((to, _))) = (descriptor(call.arg(0)), call.descriptor()) {
        let gone = program.descriptors.duplicate(who.thread, fd, to);
        gone.into_iter().for_each(|gone| program.gone(who, gone, "closed"));
    }
}

fn fcntl(program: &mut Program, who: Who, call: &Call<'_>) {
    match call.arg(1) {
        "F_SETFL" if call.value() == Some(0) => {
            if let Some(id) = program.object(who, call.arg(0)) {
                set_nonblocking(program, id, call.arg(2).contains("O_NONBLOCK"));
            }
        }
        "F_DUPFD" | "F_DUPFD_CLOEXEC" => duplicate(program, who, call),
        _ => {}
    }
}

fn ioctl(program: &mut Program, who: Who, call: &Call<'_>) {
    if call.arg(1) == "FIONBIO"
        && call.value() == Some(0)
        && let Some(id) = program.object(who, call.arg(0))
    {
        set_nonblocking(program, id, call.arg(2) != "[0]");
    }
}

fn set_nonblocking(program: &mut Program, id: ObjectId, is_nonblocking: bool) {
    if let Some(object) = program.descriptors.object(id) {
        object.is_nonblocking = Some(is_nonblocking);
    }
}

/// A call that moves bytes.
struct Transfer<'a> {
    name: &'static str,
    socket: &'a str,
    asked: u64,
    flags: &'a str,
}

/// What a call moves, and between what. Of splice(2), both ends can be sockets.
fn transfers<'a>(call: &Call<'a>) -> Vec<Transfer<'a>> {
    let (read, write) = (name::READ, name::WRITE);
    let of = |name, socket, asked, flags| {
        Vec::from([Transfer { name, socket: call.arg(socket), asked, flags: call.arg(flags) }])
    };
    let size = |at: usize| number(call.arg(at)).unwrap_or(0).max(0) as u64;
    let sizes = |at: usize| {
        fields(call.arg(at), "iov_len=")
            .filter_map(number)
            .fold(0, |all: u64, n| all.saturating_add(n.max(0) as u64))
    };
    match call.name {
        "read" => of(read, 0, size(2), usize::MAX),
        "recv" | "recvfrom" => of(read, 0, size(2), 3),
        "readv" => of(read, 0, sizes(1), usize::MAX),
        "recvmsg" => of(read, 0, sizes(1), 2),
        "write" => of(write, 0, size(2), usize::MAX),
        "send" | "sendto" => of(write, 0, size(2), 3),
        "writev" => of(write, 0, sizes(1), usize::MAX),
        "sendmsg" => of(write, 0, sizes(1), 2),
        "sendfile" | "sendfile64" => of(write, 0, size(3), usize::MAX),
        "splice" => {
            let mut both = of(read, 0, size(4), 5);
            both.extend(of(write, 2, size(4), 5));
            both
        }
        _ => Vec::new(),
    }
}

/// Looks into a queue, and takes nothing from it.
fn takes_nothing(flags: &str) -> bool {
    ["MSG_PEEK", "MSG_ERRQUEUE", "MSG_OOB"].iter().any(|flag| flags.contains(flag))
}

fn transfer(program: &mut Program, who: Who, call: &Call<'_>) -> bool {
    let transfers = transfers(call);
    let is_transfer = !transfers.is_empty();
    for transfer in transfers.into_iter().filter(|transfer| !takes_nothing(transfer.flags)) {
        let Some(id) = program.object(who, transfer.socket) else {
            // A call that only sockets know, without a word of what its argument is.
            let is_bare = descriptor(transfer.socket).is_some_and(|(_, what)| what.is_empty());
            program.seen.bare += u64::from(
                is_bare && ["recv", "send"].iter().any(|start| call.name.starts_with(start)),
            );
            continue;
        };
        moved(program, who, call, id, &transfer);
    }
    is_transfer
}

fn moved(program: &mut Program, who: Who, call: &Call<'_>, id: ObjectId, transfer: &Transfer<'_>) {
    let is_read = transfer.name == name::READ;
    let bytes = call.value().map_or(0, |n| n.max(0) as u64);
    let Some(result) = result(call, || match is_read && bytes == 0 && transfer.asked > 0 {
        true => "end".into(),
        false => bytes.into(),
    }) else {
        return;
    };
    let Some(object) = program.descriptors.object(id) else { return };
    let Kind::Connection(totals) = &mut object.kind else { return };
    let total = if is_read { &mut totals.read } else { &mut totals.wrote };
    *total = total.saturating_add(bytes);
    totals.is_cut |= result.as_str().is_some_and(|text| !["end", "would_block"].contains(&text));
    let mut data = data! {"asked": transfer.asked.max(bytes), "result": result};
    blocking(program, id, call, transfer.flags, &mut data);
    let group = program.group(id);
    program.recorder.record(who, transfer.name, group.as_deref(), data);
}

/// What a call returned, as records have it. `None` if a signal interrupted it, and it is made again.
fn result(call: &Call<'_>, value: impl FnOnce() -> Value) -> Option<Value> {
    match call.result {
        Result::Value(..) => Some(value()),
        Result::Error("EAGAIN" | "EWOULDBLOCK", _) => Some("would_block".into()),
        Result::Error(error, _) if error == "EINTR" || error.starts_with("ERESTART") => None,
        Result::Error(error, text) => Some(format!("{text} ({error})").into()),
        Result::Unknown => None,
    }
}

/// Adds that a call blocks, and how long it took, if the socket is known to be a blocking one.
fn blocking(program: &mut Program, id: ObjectId, call: &Call<'_>, flags: &str, data: &mut Data) {
    let is_blocking =
        program.descriptors.object(id).is_some_and(|object| object.is_nonblocking == Some(false));
    if is_blocking && !flags.contains("DONTWAIT") {
        data.insert("is_blocking".into(), true.into());
        data.extend(call.took.map(|took| ("took".into(), took.into())));
    }
}

/// Records a call on a blocking socket that had not returned when the file ended.
pub(super) fn unfinished(program: &mut Program, who: Who, call: &Call<'_>) {
    let socket = call.arg(0);
    let Some(id) = descriptor(socket).and_then(|(fd, _)| program.descriptors.find(who.thread, fd))
    else {
        return;
    };
    let name = match call.name {
        "accept" | "accept4" => name::ACCEPT,
        _ => match transfers(call).first() {
            Some(transfer) => transfer.name,
            None => return,
        },
    };
    let mut data = data! {"result": "it has not returned"};
    blocking(program, id, call, "", &mut data);
    let group = program.group(id);
    if data.contains_key("is_blocking") && group.is_some() {
        program.recorder.record(who, name, group.as_deref(), data);
    }
}
