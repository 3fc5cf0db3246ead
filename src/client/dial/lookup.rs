//! Looks a name up on a thread of its own, because getaddrinfo(3) blocks.

use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use crate::net::{Addr, Endpoint, cannot};
use crate::text::format::setting;

/// What a look-up finds.
pub(in crate::client) type Answer = io::Result<Vec<Endpoint>>;

/// How to look an address up. It is a parameter, so that a test can have names of its own.
pub(in crate::client) type Resolve = Arc<dyn Fn(&Addr) -> Answer + Send + Sync>;

/// Whether the server is given as an address, and not as a name that stands for several.
pub(in crate::client) fn needs_no_lookup(addr: &Addr) -> bool {
    match addr {
        Addr::Inet { host, .. } | Addr::Udp { host, .. } => {
            host.contains(':') || host.parse::<Ipv4Addr>().is_ok()
        }
        Addr::Unix(_) | Addr::Abstract(_) => true,
    }
}

/// Starts a look-up, and calls `wake` when the answer is there. Nothing can stop it.
///
/// # Errors
///
/// If the system gives no further thread: pthread_create(3).
pub(in crate::client) fn start(
    resolve: &Resolve,
    addr: &Addr,
    wake: impl FnOnce() + Send + 'static,
) -> io::Result<Receiver<Answer>> {
    let (sender, answer) = mpsc::channel();
    let (resolve, addr) = (Arc::clone(resolve), addr.clone());
    thread::Builder::new().name("lookup".into()).spawn(move || {
        // It fails only if the receiver is gone.
        let _ = sender.send(resolve(&addr));
        wake();
    })?;
    Ok(answer)
}

/// Looks an address up, which blocks for up to `limit`.
///
/// # Errors
///
/// If the name is unknown, or if nothing answers in time.
pub(in crate::client) fn within(resolve: &Resolve, addr: &Addr, limit: Duration) -> Answer {
    if needs_no_lookup(addr) {
        return resolve(addr);
    }
    let answer = start(resolve, addr, || ()).map_err(|e| cannot("look up", addr, &e))?;
    answer.recv_timeout(limit).unwrap_or_else(|_| Err(unanswered(addr, limit)))
}

/// The error of a look-up without an answer within `limit`.
pub(in crate::client) fn unanswered(server: &Addr, limit: Duration) -> io::Error {
    let line = format!(
        "cannot resolve {server}: no answer within {}; is the name server reachable?",
        setting(limit)
    );
    io::Error::new(ErrorKind::TimedOut, line)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_look_up_blocks_no_longer_than_its_limit() {
        let (_answer, never) = mpsc::channel::<()>();
        let never = Mutex::new(never);
        let resolve: Resolve = Arc::new(move |_: &Addr| {
            let _ = never.lock().unwrap().recv();
            Ok(Vec::new())
        });
        let server = "udp:name.example:7".parse().unwrap();
        let error = within(&resolve, &server, Duration::from_millis(20)).unwrap_err();
        let line = "cannot resolve udp:name.example:7: no answer within 20 ms; is the name server reachable?";
        assert_eq!(error.to_string(), line);
    }

    #[test]
    fn only_names_need_a_look_up() {
        for (text, expected) in [
            ("127.0.0.1:7", true),
            ("[::1]:7", true),
            ("[fe80::1%lo]:7", true),
            ("unix:/run/echo", true),
            ("udp:127.0.0.1:7", true),
            ("udp:[::1]:7", true),
            // Failed when only TCP had names.
            ("udp:localhost:7", false),
            ("localhost:7", false),
            // Only getaddrinfo(3) takes this for an IPv4 address.
            ("127.1:7", false),
        ] {
            assert_eq!(needs_no_lookup(&text.parse().unwrap()), expected, "{text}");
        }
    }
}
