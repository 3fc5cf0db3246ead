//! Looks a name up on a thread of its own, because getaddrinfo(3) blocks.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use mio::Waker;

use crate::net::{Addr, Endpoint};

/// What a look-up finds.
pub(in crate::client) type Answer = io::Result<Vec<Endpoint>>;

/// How to look an address up. It is a parameter, so that a test can have names of its own.
pub(in crate::client) type Resolve = Arc<dyn Fn(&Addr) -> Answer + Send + Sync>;

/// Whether the server is given as an address, and not as a name that stands for several.
pub(in crate::client) fn needs_no_lookup(addr: &Addr) -> bool {
    match addr {
        Addr::Inet { host, .. } => host.contains(':') || host.parse::<Ipv4Addr>().is_ok(),
        _ => true,
    }
}

/// Starts a look-up, and wakes `waker` when the answer is there. Nothing can stop it.
///
/// # Errors
///
/// If the system gives no further thread: pthread_create(3).
pub(super) fn start(
    resolve: &Resolve,
    addr: &Addr,
    waker: &Arc<Waker>,
) -> io::Result<Receiver<Answer>> {
    let (sender, answer) = mpsc::channel();
    let (resolve, addr, waker) = (Arc::clone(resolve), addr.clone(), Arc::clone(waker));
    thread::Builder::new().name("lookup".into()).spawn(move || {
        // Either fails only if the dialer is gone.
        let _ = sender.send(resolve(&addr));
        let _ = waker.wake();
    })?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_need_a_look_up() {
        for (text, expected) in [
            ("127.0.0.1:7", true),
            ("[::1]:7", true),
            ("[fe80::1%lo]:7", true),
            ("unix:/run/echo", true),
            ("localhost:7", false),
            // Only getaddrinfo(3) takes this for an IPv4 address.
            ("127.1:7", false),
        ] {
            assert_eq!(needs_no_lookup(&text.parse().unwrap()), expected, "{text}");
        }
    }
}
