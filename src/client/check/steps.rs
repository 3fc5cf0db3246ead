//! The steps that cases consist of: send, await the echo, await the end.

use std::time::Duration;

use super::bench::{Bench, PeerId, Waited};
use super::peer::{Ending, Peer};
use super::problem::{Problem, Symptom};
use super::profile::Profile;
use crate::client::rng::xorshift;

/// How long a server has to say something that it was not asked for.
const UNASKED: Duration = Duration::from_millis(100);

/// The buffers on the way are full once nothing was taken for this long.
const FILLED: Duration = Duration::from_millis(200);

/// What a slow reader reads at a time.
const SLOW_BYTES: usize = 64 << 10;

impl Bench<'_> {
    /// Sends `bytes`, and waits until all that was sent on the connection has come back.
    ///
    /// # Errors
    ///
    /// What came instead.
    pub(super) fn exchange(&mut self, id: PeerId, bytes: &[u8]) -> Result<(), Problem> {
        self.send(id, bytes);
        self.await_echo(id)
    }

    /// Waits until all that was sent has come back, and nothing else.
    ///
    /// # Errors
    ///
    /// What came instead.
    pub(super) fn await_echo(&mut self, id: PeerId) -> Result<(), Problem> {
        self.run(&[id], |bench| {
            let peer = bench.peer(id);
            peer.is_echoed() || peer.first_wrong().is_some() || peer.ending.is_some()
        });
        self.expect_echo(id)
    }

    /// Waits until all that was sent on each of these has come back.
    ///
    /// # Errors
    ///
    /// What came instead, on the first of them that differs.
    pub(super) fn await_echoes(&mut self, ids: &[PeerId]) -> Result<(), Problem> {
        self.run(ids, |bench| {
            ids.iter().all(|id| {
                let peer = bench.peer(*id);
                peer.is_echoed() || peer.first_wrong().is_some() || peer.ending.is_some()
            })
        });
        ids.iter().try_for_each(|id| self.expect_echo(*id))
    }

    /// Whether all that was sent has come back by now, and nothing else.
    ///
    /// # Errors
    ///
    /// What came instead.
    pub(super) fn expect_echo(&mut self, id: PeerId) -> Result<(), Problem> {
        let peer = self.peer(id);
        if peer.is_echoed() {
            return Ok(());
        }
        let (received, expected) = (peer.received().len(), peer.message().len());
        let symptom = match (peer.first_wrong(), peer.ending.clone()) {
            (Some(offset), _) if offset >= expected => Symptom::Surplus { offset },
            (Some(offset), _) => Symptom::Wrong { offset },
            (None, Some(how)) if !peer.is_connected => Symptom::NotConnected(match how {
                Ending::Broken(why) => why,
                Ending::Closed => "it was closed".into(),
            }),
            (None, Some(how)) => Symptom::Ended { received, expected, how },
            (None, None) => Symptom::Silent { received, expected },
        };
        Err(Problem::on(id, peer, symptom))
    }

    /// Expects that nothing comes that was not asked for, for a while.
    ///
    /// # Errors
    ///
    /// What came, or that the server closed.
    pub(super) fn expect_nothing_more(&mut self, id: PeerId) -> Result<(), Problem> {
        let patience = std::mem::replace(&mut self.patience, UNASKED);
        self.run(&[id], |bench| {
            let peer = bench.peer(id);
            peer.first_wrong().is_some() || peer.ending.is_some()
        });
        self.patience = patience;
        self.expect_open(id)
    }

    /// Expects that the server has sent nothing wrong and has not closed.
    ///
    /// # Errors
    ///
    /// That it has.
    pub(super) fn expect_open(&mut self, id: PeerId) -> Result<(), Problem> {
        let peer = self.peer(id);
        let (received, expected) = (peer.received().len(), peer.message().len());
        if let Some(offset) = peer.first_wrong() {
            return Err(Problem::on(id, peer, Symptom::Surplus { offset }));
        }
        match peer.ending.clone() {
            Some(how) => Err(Problem::on(id, peer, Symptom::Ended { received, expected, how })),
            None => Ok(()),
        }
    }

    /// Ends this direction, and waits until everything has come back and the server has closed.
    ///
    /// # Errors
    ///
    /// What came instead, or that the server did not close.
    pub(super) fn finish(&mut self, id: PeerId) -> Result<(), Problem> {
        self.end(id);
        let waited = self.run(&[id], |bench| bench.peer(id).ending.is_some());
        self.expect_echo(id)?;
        let peer = self.peer(id);
        match peer.ending {
            // A reset is no good end, and still one, if everything had come back.
            Some(_) => Ok(()),
            None if waited == Waited::Done => Ok(()),
            None => Err(Problem::on(id, peer, Symptom::NotEnded)),
        }
    }

    /// Writes until the system takes no more, up to `most` bytes, and reads nothing. Returns how much it has taken.
    ///
    /// # Errors
    ///
    /// That the server closed.
    pub(super) fn fill(&mut self, id: PeerId, most: usize) -> Result<usize, Problem> {
        self.set_reading(id, false);
        let bytes = self.random(most);
        self.send(id, &bytes);
        // The buffers of both ends fill at once; a server that takes more is given the time.
        let patience = self.patience;
        self.patience = patience.min(FILLED);
        self.run(&[id], |bench| {
            let peer = bench.peer(id);
            peer.is_sent() || peer.ending.is_some()
        });
        self.patience = patience;
        self.expect_open(id)?;
        Ok(self.peer(id).sent())
    }

    /// Reads a little at a time, so that the buffers on the way stay full, until `is_done` or nothing moves.
    pub(super) fn read_slowly_until(&mut self, id: PeerId, is_done: impl Fn(&Peer) -> bool) {
        loop {
            self.allow(id, SLOW_BYTES);
            let waited = self.run(&[id], |bench| {
                let peer = bench.peer(id);
                peer.allowance() == 0 || peer.ending.is_some() || is_done(peer)
            });
            let peer = self.peer(id);
            if waited != Waited::Done || peer.ending.is_some() || is_done(peer) {
                return self.allow(id, 0);
            }
        }
    }

    /// Bytes that follow from the seed, each as likely as the others.
    pub(super) fn random(&mut self, len: usize) -> Vec<u8> {
        self.seed = xorshift(self.seed);
        let from = self.seed as usize % self.pool.len();
        let mut bytes = self.pool[from..self.pool.len().min(from + len)].to_vec();
        while bytes.len() < len {
            bytes.extend_from_slice(&self.pool);
        }
        bytes.truncate(len);
        if self.profile == Profile::Line
            && let Some(last) = bytes.last_mut()
        {
            *last = b'\n';
        }
        bytes
    }
}
