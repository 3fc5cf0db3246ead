//! The option that says where to serve metrics.

use std::io;
use std::time::Instant;

use clap::Args;
use log::warn;

use crate::cli::address::metrics_addr;
use crate::http::{HttpServer, MAX_CLIENTS};
use crate::net::{Addr, Endpoint, Listen, ListenOptions, Listener};
use crate::observe::Observer;
use crate::server::{Config, Metrics, Server};

/// Where to serve metrics.
#[derive(Args, Debug)]
pub(super) struct MetricsAddr {
    /// Serve metrics over HTTP [default: off]
    ///
    /// Prometheus finds /metrics at HOST:PORT, such as 127.0.0.1:9464, or at unix:PATH. Probes find /healthz and
    /// /readyz there. --allow and --deny do not guard this address: let only your monitoring reach it. Without this
    /// option, SIGUSR1 and Ctrl-\ still log the same figures.
    #[arg(long, value_name = "ADDR", value_parser = metrics_addr)]
    metrics: Option<Addr>,
}

impl MetricsAddr {
    /// The endpoints that it stands for. None if there are no metrics.
    ///
    /// # Errors
    ///
    /// If the name is unknown.
    pub(super) fn resolve(&self) -> io::Result<Vec<Endpoint>> {
        self.metrics.as_ref().map_or(Ok(Vec::new()), Addr::resolve)
    }

    /// Whether there is an address to serve metrics at.
    pub(super) fn is_given(&self) -> bool {
        self.metrics.is_some()
    }
}

/// Descriptors that metrics take beside their listeners: those of clients, and a poll.
pub(super) const DESCRIPTORS: usize = MAX_CLIENTS + 1;

/// Listens at all of `endpoints` for those who want metrics.
///
/// # Errors
///
/// If the system refuses one of them.
pub(super) fn bind(endpoints: &[Endpoint], unix_mode: u32) -> io::Result<Vec<Listener>> {
    let options = ListenOptions { unix_mode, ..ListenOptions::default() };
    let (listeners, missing) = Listener::bind_all(endpoints, |_| options).map_err(of_metrics)?;
    missing.into_iter().for_each(|e| warn!(event = "not_listening"; "{}", of_metrics(e)));
    Ok(listeners)
}

/// Lets `server` serve its metrics on all of `listeners`, if there are any.
///
/// # Errors
///
/// If the system gives no further poll, or cannot register a listener.
pub(super) fn add_to(
    server: &mut Server<impl Listen, impl Observer>,
    listeners: Vec<Listener>,
    config: &Config,
) -> io::Result<()> {
    if listeners.is_empty() {
        return Ok(());
    }
    let now = Instant::now();
    let mut http = HttpServer::new(now).map_err(of_metrics)?;
    for listener in listeners {
        let at = listener.local_addr()?;
        http.listen(listener, at).map_err(of_metrics)?;
    }
    server.add_service(Box::new(Metrics::new(http, config, now))).map_err(of_metrics)
}

fn of_metrics(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("metrics: {error}"))
}
