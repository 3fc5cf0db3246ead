//! Sockets that a server gets from the program that starts it: sd_listen_fds(3).

use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;

use crate::command::after_script;

/// Runs a server with these sockets, one or two, from descriptor 3 on. A program cannot choose the descriptors of
/// another one without unsafe code, so a shell moves them there.
pub fn passing(sockets: &[&dyn AsFd], server: &Command) -> Command {
    let variables = format!("LISTEN_FDS={} LISTEN_PID=$$", sockets.len());
    passing_as(&variables, sockets, server)
}

/// The same, with other variables.
pub fn passing_as(variables: &str, sockets: &[&dyn AsFd], server: &Command) -> Command {
    let script = match sockets.len() {
        0 => "exec 0</dev/null",
        1 => "exec 3<&0 0</dev/null",
        _ => "exec 3<&0 4<&1 0</dev/null 1>/dev/null",
    };
    let variables =
        if variables.is_empty() { String::new() } else { format!("; export {variables}") };
    let mut command = after_script(&format!("{script}{variables}"), server);
    let mut copies = sockets.iter().map(|socket| socket.as_fd().try_clone_to_owned().unwrap());
    copies.next().map(|socket: OwnedFd| command.stdin(socket));
    copies.next().map(|socket| command.stdout(socket));
    command
}
