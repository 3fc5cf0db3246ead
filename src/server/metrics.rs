//! Serves metrics for Prometheus, and answers the probes of orchestrators and balancers.

use std::io;
use std::time::{Instant, SystemTime};

use mio::event::Source;
use mio::{Interest, Registry, Token};

use super::config::Config;
use super::service::{Action, Context, Service};
use crate::http::{HttpServer, Request, Response, StatusCode};
use crate::net::{Listen, delegate_source};

use exposition::{Figures, Format};
use process::Process;

mod process;
mod exposition;

const PATHS: &str = "\
/metrics  the counts since the start, for Prometheus
/healthz  200 while the server runs
/readyz   200, or 503 once the server was asked to stop
";

/// Answers `/metrics`, `/healthz` and `/readyz`, also while the server is stopping.
///
/// The figures are put together when they are asked for, from what the server's [observer](crate::observe::Observer)
/// counts anyway. So an echo costs no instruction more.
pub struct Metrics<L: Listen> {
    http: HttpServer<L>,
    limits: Limits,
    started: SystemTime,
}

/// The limits that some figures approach.
#[derive(Clone, Copy, Debug)]
struct Limits {
    connections: usize,
    pending_bytes: usize,
}

impl<L: Listen> Metrics<L> {
    /// Serves the metrics of a server with this configuration on everything that `http` listens on.
    pub fn new(http: HttpServer<L>, config: &Config) -> Self {
        let limits = Limits {
            connections: config.max_connections,
            pending_bytes: config.pending_limit_bytes,
        };
        Self { http, limits, started: SystemTime::now() }
    }

    fn source(&mut self) -> &mut dyn Source {
        &mut self.http
    }
}

impl<L> Service for Metrics<L>
where
    L: Listen + Send,
    L::Stream: Send,
{
    fn ready(&mut self, cx: &mut Context<'_>) -> Action {
        let Self { http, limits, started } = self;
        let now = cx.now;
        let turned = http.turn(now, &mut |request| match request.path {
            "/" => Some(Response::text(StatusCode::Ok, PATHS)),
            "/healthz" => Some(Response::text(StatusCode::Ok, "ok\n")),
            "/readyz" if cx.is_stopping => {
                Some(Response::text(StatusCode::Unavailable, "stopping\n"))
            }
            "/readyz" => Some(Response::text(StatusCode::Ok, "ready\n")),
            "/metrics" => Some(metrics(request, cx, *limits, *started)),
            _ => None,
        });
        match turned {
            Ok(()) if http.has_more() => Action::Requeue,
            // It fails only if its poll is gone. The echoes go on without metrics.
            _ => Action::Wait,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.http.deadline()
    }
}

fn metrics(
    request: &Request<'_>,
    cx: &Context<'_>,
    limits: Limits,
    started: SystemTime,
) -> Response {
    let Some(status) = cx.status() else {
        return Response::text(StatusCode::Unavailable, "this server keeps no counts\n");
    };
    let figures = Figures { status, limits, started, process: Process::now() };
    let format = Format::accepted_by(request);
    match format.encode(figures) {
        Ok(text) => Response::new(StatusCode::Ok, format.content_type(), text),
        Err(_) => Response::text(StatusCode::InternalError, "the metrics cannot be written\n"),
    }
}

delegate_source!(Metrics<L>, L: Listen);
