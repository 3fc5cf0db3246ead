//! The listener and the streams of the metrics, on real sockets. They report each call to the [`World`], and cut or
//! interrupt some.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use resound::net::{Endpoint, Listen, Stream};
use rustix::net::{RecvFlags, recv};

use crate::fakes::Shared;
use crate::kit::rng::Rng;
use crate::metrics::Http;

/// Listens for clients that the world makes up.
pub struct WebListener {
    pub world: Shared,
    pub epoch: u64,
    /// Readable when a client has come.
    pub bell: UnixStream,
}

pub struct WebStream {
    world: Shared,
    epoch: u64,
    id: usize,
    stream: UnixStream,
    /// Decides about faults. The length of an answer differs from run to run, so the world's own would not repeat.
    rng: Rng,
}

impl WebListener {
    /// For a new server, whose clients are all new.
    pub fn new(world: &Shared) -> io::Result<Self> {
        let (bell, other) = std::os::unix::net::UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        other.set_nonblocking(true)?;
        let epoch = world.borrow().http.epoch + 1;
        world.borrow().http = Http::new(epoch, other);
        Ok(Self { world: world.clone(), epoch, bell: UnixStream::from_std(bell) })
    }
}

impl Listen for WebListener {
    type Stream = WebStream;

    fn accept(&mut self) -> io::Result<(WebStream, Endpoint)> {
        let accepted = self.world.borrow().http_accept();
        let (id, stream) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                while self.bell.read(&mut [0; 64]).is_ok_and(|n| n > 0) {}
                return Err(e);
            }
        };
        let stream = UnixStream::from_std(stream);
        let (world, rng) = (self.world.clone(), Rng::new(id as u64));
        let accepted = WebStream { world, epoch: self.epoch, id, stream, rng };
        Ok((accepted, Endpoint::Unix(None)))
    }
}

impl WebStream {
    /// Interrupts a call, or cuts it to fewer than `len` bytes.
    fn part_of(&mut self, len: usize) -> io::Result<usize> {
        let rates = self.world.borrow().web_faults();
        if self.rng.chance(rates.interrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
        let most = if self.rng.chance(rates.cut) { self.rng.size(1, 4096) as usize } else { len };
        Ok(len.min(most))
    }
}

impl Stream for WebStream {
    fn short_read_drains(&self) -> bool {
        false
    }

    fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (peeked, _) = recv(&self.stream, buffer, RecvFlags::PEEK)?;
        Ok(peeked)
    }

    fn is_read_closed(&self) -> bool {
        unreachable!("the listener of the metrics is not proxied")
    }

    fn shutdown_write(&self) -> io::Result<()> {
        let ended = self.stream.shutdown(Shutdown::Write);
        self.world.borrow().http_end(self.id, false);
        ended
    }

    fn unacknowledged(&self) -> Option<u32> {
        None
    }
}

impl Read for WebStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.world.borrow().http_call();
        let most = self.part_of(buffer.len())?;
        let read = self.stream.read(&mut buffer[..most]);
        if read.as_ref().is_err_and(|e| e.kind() == ErrorKind::WouldBlock) {
            self.world.borrow().http_futile();
        }
        read
    }
}

impl Write for WebStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.world.borrow().http_answer(self.id, bytes);
        let most = self.part_of(bytes.len())?;
        self.stream.write(&bytes[..most])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for WebStream {
    fn drop(&mut self) {
        let mut world = self.world.borrow();
        // The clients of a server that has ended are gone.
        if world.http.epoch == self.epoch {
            let _ = self.stream.shutdown(Shutdown::Both);
            world.http_end(self.id, true);
        }
    }
}

impl Source for WebListener {
    fn register(&mut self, poll: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.bell.register(poll, token, interest)
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        unreachable!("interest never changes")
    }

    fn deregister(&mut self, poll: &Registry) -> io::Result<()> {
        self.bell.deregister(poll)
    }
}

impl Source for WebStream {
    fn register(&mut self, poll: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.stream.register(poll, token, interest)
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        unreachable!("interest never changes")
    }

    fn deregister(&mut self, poll: &Registry) -> io::Result<()> {
        self.stream.deregister(poll)
    }
}
