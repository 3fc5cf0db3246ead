//! Listens for HTTP, and adds the metrics to a server.

use std::io;
use std::time::Instant;

use log::{info, warn};

use crate::http::{HttpServer, MAX_CLIENTS};
use crate::net::{Endpoint, ListenOptions, Listener};
use crate::observe::Observer;
use crate::server::{Config, Metrics, Server};

/// Descriptors that the metrics take beside their listeners: the clients, and a poll.
pub(super) const DESCRIPTORS: usize = MAX_CLIENTS + 1;

/// Lets `server` serve its metrics at all of `endpoints`, if there are any. Returns their real addresses.
///
/// # Errors
///
/// If the system refuses one of them, or gives no further poll.
pub(super) fn add_to(
    server: &mut Server<Listener, impl Observer>,
    endpoints: &[Endpoint],
    config: &Config,
    unix_mode: u32,
) -> io::Result<Vec<Endpoint>> {
    if endpoints.is_empty() {
        return Ok(Vec::new());
    }
    let options = ListenOptions { unix_mode, ..ListenOptions::default() };
    let (listeners, missing) = Listener::bind_all(endpoints, |_| options).map_err(of_metrics)?;
    missing.into_iter().for_each(|e| warn!("{}", of_metrics(e)));
    let mut http = HttpServer::new(Instant::now()).map_err(of_metrics)?;
    let mut bound = Vec::new();
    for listener in listeners {
        bound.push(listener.local_addr()?);
        http.listen(listener).map_err(of_metrics)?;
    }
    server.add_service(Box::new(Metrics::new(http, config))).map_err(of_metrics)?;
    Ok(bound)
}

fn of_metrics(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("metrics: {error}"))
}

/// Logs where the metrics are.
pub(super) fn announce(bound: &[Endpoint]) {
    for at in bound {
        match at {
            Endpoint::Inet(addr) => info!("metrics on http://{addr}/metrics"),
            at => info!("metrics on {at}, path /metrics"),
        }
    }
}
