//! A socket that answers by a script, the enumeration of all short scripts, and a server that never answers.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use super::Options;

/// The answer to a read.
#[derive(Clone, Copy, Debug)]
pub enum Gives {
    Bytes(usize),
    Blocks,
    Interrupted,
    End,
    Reset,
}

impl Gives {
    pub const ALL: &[Self] =
        &[Self::Bytes(1), Self::Bytes(2), Self::Blocks, Self::Interrupted, Self::End, Self::Reset];
}

/// The answer to a write.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    Bytes(usize),
    Blocks,
    Interrupted,
    Nothing,
    Broken,
}

impl Takes {
    pub const ALL: &[Self] = &[
        Self::Bytes(1),
        Self::Bytes(2),
        Self::Blocks,
        Self::Interrupted,
        Self::Nothing,
        Self::Broken,
    ];
}

/// Answers by its scripts, and after their end with `WouldBlock`.
#[derive(Debug)]
pub struct Scripted {
    gives: VecDeque<Gives>,
    takes: VecDeque<Takes>,
    /// How many bytes it gave.
    pub given: usize,
    /// The bytes that it took.
    pub taken: Vec<u8>,
    /// Whether the last read said `WouldBlock`.
    pub read_blocked: bool,
    /// Whether the last write said `WouldBlock`.
    pub write_blocked: bool,
}

/// The `i`th byte that it gives.
pub fn byte(i: usize) -> u8 {
    (i % 251) as u8
}

/// Every script of `length` steps. That includes the shorter scripts, because a step that blocks ends a drive.
pub fn every<T: Copy>(steps: &[T], length: usize) -> Vec<Vec<T>> {
    let mut scripts = vec![Vec::new()];
    for _ in 0..length {
        scripts = scripts
            .iter()
            .flat_map(|script| steps.iter().map(|&step| [&script[..], &[step]].concat()))
            .collect();
    }
    scripts
}

impl Scripted {
    pub fn new(gives: &[Gives], takes: &[Takes]) -> Self {
        Self {
            gives: gives.iter().copied().collect(),
            takes: takes.iter().copied().collect(),
            given: 0,
            taken: Vec::new(),
            read_blocked: false,
            write_blocked: false,
        }
    }
}

impl Read for Scripted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let answer = self.gives.pop_front().unwrap_or(Gives::Blocks);
        self.read_blocked = matches!(answer, Gives::Blocks);
        match answer {
            Gives::Bytes(n) => {
                let n = n.min(buffer.len());
                for (i, slot) in buffer[..n].iter_mut().enumerate() {
                    *slot = byte(self.given + i);
                }
                self.given += n;
                Ok(n)
            }
            Gives::Blocks => Err(ErrorKind::WouldBlock.into()),
            Gives::Interrupted => Err(ErrorKind::Interrupted.into()),
            Gives::End => Ok(0),
            Gives::Reset => Err(ErrorKind::ConnectionReset.into()),
        }
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let answer = self.takes.pop_front().unwrap_or(Takes::Blocks);
        self.write_blocked = matches!(answer, Takes::Blocks);
        match answer {
            Takes::Bytes(n) => {
                let n = n.min(bytes.len());
                self.taken.extend(&bytes[..n]);
                Ok(n)
            }
            Takes::Blocks => Err(ErrorKind::WouldBlock.into()),
            Takes::Interrupted => Err(ErrorKind::Interrupted.into()),
            Takes::Nothing => Ok(0),
            Takes::Broken => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A server that accepts no connection, and the options of a client that connects to it.
pub fn unanswered() -> (TcpListener, Options) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options {
        server: listener.local_addr().unwrap().to_string().parse().unwrap(),
        reconnect: true,
        timeout: Duration::from_secs(10),
        wait: None,
        send_proxy: None,
        hex: false,
        log: None,
    };
    (listener, options)
}
