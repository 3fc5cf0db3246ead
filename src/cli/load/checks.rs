//! Checks before a run begins.

use super::rate::Rate;
use super::{Load, sources};
use crate::cli::Failure;
use crate::cli::address::{NO_HEADER_OVER_UDP, NO_WAIT_OVER_UDP, check_datagram_sizes};
use crate::cli::descriptors::raise_descriptor_limit;
use crate::client::load::{Options, check_memory};
use crate::net::Addr;

/// Descriptors that are not for connections: files, signals, epoll.
const RESERVED_DESCRIPTORS: usize = 32;

impl Load {
    /// Refuses options that contradict each other, or that this machine cannot serve.
    pub(super) fn check(&self, options: &Options) -> Result<(), Failure> {
        self.refuse_contradictions()?;
        if let Addr::Udp { .. } = options.server {
            check_datagrams(options)?;
        }
        sources::check(&options.sources, &options.server)?;
        self.check_descriptors()?;
        check_memory(options).map_err(|line| Failure::usage(&line))
    }

    fn refuse_contradictions(&self) -> Result<(), Failure> {
        let (rate, fail_if) = (self.traffic.rate, &self.fail_if.fail_if);
        if let Some(Rate::Highest(_)) = rate
            && (self.traffic.count.is_some() || self.reports.hdr.is_some())
        {
            return Err(Failure::usage(
                "--rate max@… is a search in runs of --duration each: leave out --count and --hdr",
            ));
        }
        if let (None, Some(lag)) = (rate, fail_if.iter().find(|fail| fail.is_about_lag())) {
            return Err(Failure::usage(&format!(
                "--fail-if '{lag}' needs --rate: without it, no message has a time to be late for"
            )));
        }
        Ok(())
    }

    fn check_descriptors(&self) -> Result<(), Failure> {
        let descriptors = raise_descriptor_limit();
        // A connection and its replacement are open together for a short time.
        let each = 1 + usize::from(self.connecting.reconnect_every.is_some());
        let room = descriptors.saturating_sub(RESERVED_DESCRIPTORS) / each;
        let connections = self.connecting.connections;
        if connections > room {
            return Err(Failure::usage(&format!(
                "--connections {connections} are more than the {room} that the limit of {descriptors} \
                 descriptors leaves room for: raise ulimit -n, or give fewer"
            )));
        }
        Ok(())
    }
}

/// Refuses what UDP does not allow.
fn check_datagrams(options: &Options) -> Result<(), Failure> {
    check_datagram_sizes(&options.sizes)?;
    if !options.wait.is_zero() {
        return Err(Failure::usage(NO_WAIT_OVER_UDP));
    }
    if options.send_proxy.is_some() {
        return Err(Failure::usage(NO_HEADER_OVER_UDP));
    }
    Ok(())
}
