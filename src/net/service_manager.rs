//! The socket on which a service manager wants to hear how the program is doing: sd_notify(3).

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use mio::event::Source;
use mio::net::UnixDatagram;
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::{Endpoint, delegate_source, unix};
use crate::text::Excerpt;

/// A socket that sends to a service manager. It is not connected: the manager can open its socket again.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    socket: UnixDatagram,
    addr: SockAddr,
}

impl ServiceManager {
    /// The service manager that `NOTIFY_SOCKET` names, if any.
    ///
    /// # Errors
    ///
    /// If that is no address of a Unix socket, or if there is no descriptor for a socket.
    pub(crate) fn from_env() -> io::Result<Option<Self>> {
        let variable = env::var_os("NOTIFY_SOCKET").filter(|value| !value.is_empty());
        variable.map(|value| Self::at(&value)).transpose()
    }

    /// Sends to `value`: a path, or `@` and the name of an abstract socket.
    pub(crate) fn at(value: &OsStr) -> io::Result<Self> {
        let endpoint = match value.as_bytes() {
            [b'/', ..] => Endpoint::Unix(Some(Path::new(value).into())),
            [b'@', name @ ..] => Endpoint::Abstract(name.into()),
            _ => return Err(no_address(value, "it must be a path from / on, or @ and a name")),
        };
        let addr = unix::address(&endpoint).map_err(|e| no_address(value, &super::reason(&e)))?;
        let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        // A manager that does not read must not stop the server.
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UnixDatagram::from_std(socket.into()), addr })
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the manager has not read earlier ones, or another error of sendto(2).
    pub(crate) fn send(&self, message: &str) -> io::Result<()> {
        SockRef::from(&self.socket).send_to(message.as_bytes(), &self.addr).map(drop)
    }

    fn source(&mut self) -> &mut dyn Source {
        &mut self.socket
    }
}

delegate_source!(ServiceManager);

fn no_address(value: &OsStr, why: &str) -> io::Error {
    io::Error::other(format!("NOTIFY_SOCKET is \"{}\": {why}", Excerpt(&value.to_string_lossy())))
}
