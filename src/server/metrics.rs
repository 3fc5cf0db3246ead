//! Serves metrics for Prometheus, and answers the probes of orchestrators and balancers.

use std::io;
use std::time::{Instant, SystemTime};

use mio::event::Source;
use mio::{Interest, Registry, Token};

use super::config::Config;
use super::service::{Action, Context, Service};
use crate::http::{HttpServer, Request, Response, StatusCode};
use crate::net::{Listen, delegate_source};
use crate::observe::{At, Event};

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
    /// When to say where the metrics are, until that is said.
    announce_at: Option<Instant>,
}

/// The limits that some figures approach.
#[derive(Clone, Copy, Debug)]
struct Limits {
    connections: usize,
    pending_bytes: usize,
}

impl<L: Listen> Metrics<L> {
    /// Serves the metrics of a server with this configuration on everything that `http` listens on. The first turn after
    /// `now` reports where that is.
    pub fn new(http: HttpServer<L>, config: &Config, now: Instant) -> Self {
        let limits = Limits {
            connections: config.max_connections,
            pending_bytes: config.pending_limit_bytes,
        };
        Self { http, limits, started: SystemTime::now(), announce_at: Some(now) }
    }

    fn announce(&self, cx: &mut Context<'_>) {
        for at in self.http.addresses() {
            cx.observer.observe(At::server(cx.now), Event::MetricsListening(at));
        }
    }

    fn report_accept_failure(&mut self, cx: &mut Context<'_>) {
        if let Some((listener, error, retry)) = self.http.take_accept_failure() {
            let event = Event::AcceptFailed { listener, error: &error, retry };
            cx.observer.observe(At::server(cx.now), event);
        }
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
        if self.announce_at.take().is_some() {
            self.announce(cx);
        }
        let Self { http, limits, started, .. } = self;
        let now = cx.now;
        let turned = http.turn(now, &mut |request| match request.path {
            "/" => Some(Response::text(StatusCode::Ok, PATHS)),
            "/healthz" => Some(Response::text(StatusCode::Ok, "ok\n")),
            "/readyz" if cx.stage.is_stopping() => {
                Some(Response::text(StatusCode::Unavailable, "stopping\n"))
            }
            "/readyz" => Some(Response::text(StatusCode::Ok, "ready\n")),
            "/metrics" => Some(metrics(request, cx, *limits, *started)),
            _ => None,
        });
        self.report_accept_failure(cx);
        match turned {
            Ok(()) if self.http.has_more() => Action::Requeue,
            // It fails only if its poll is gone. The echoes go on without metrics.
            _ => Action::Wait,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.announce_at.or_else(|| self.http.deadline())
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::net::UnixStream;
    use rustix::io::Errno;

    use super::super::service::Stage;
    use super::*;
    use crate::net::{Endpoint, Socket};
    use crate::observe::Observer;

    /// Cannot accept, for want of descriptors. It has an event at once, since its peer is gone.
    struct Exhausted(UnixStream);

    impl Exhausted {
        fn new() -> Self {
            Self(UnixStream::pair().unwrap().0)
        }

        fn source(&mut self) -> &mut dyn Source {
            &mut self.0
        }
    }

    impl Listen for Exhausted {
        type Stream = Socket;

        fn accept(&mut self) -> io::Result<(Socket, Endpoint)> {
            Err(Errno::MFILE.into())
        }
    }

    delegate_source!(Exhausted);

    /// Keeps what is reported of the listener.
    #[derive(Default)]
    struct Seen(Vec<String>);

    impl Observer for Seen {
        fn observe(&mut self, _: At<'_>, event: Event<'_>) {
            self.0.push(match event {
                Event::MetricsListening(at) => format!("on {at}"),
                Event::AcceptFailed { listener, error, .. } => format!("{listener}: {error}"),
                event => format!("{event:?}"),
            });
        }
    }

    /// Failed when nothing showed why a scraper waited.
    #[test]
    fn where_the_metrics_are_is_reported_once_and_each_failure_to_accept_there() {
        let (now, mut seen) = (Instant::now(), Seen::default());
        let mut http = HttpServer::new(now).unwrap();
        http.listen(Exhausted::new(), Endpoint::Unix(None)).unwrap();
        let mut metrics = Metrics::new(http, &Config::default(), now);
        assert_eq!(metrics.deadline(), Some(now), "it begins at once");
        let later = Duration::from_secs(1);
        for now in [now, now, now + later, now + later] {
            let observer = &mut seen;
            let stage = Stage::Serving;
            metrics.ready(&mut Context { now, stage, connections: 0, pending_bytes: 0, observer });
        }
        let failed = format!("unix:(unnamed): {}", io::Error::from(Errno::MFILE));
        assert_eq!(seen.0, ["on unix:(unnamed)".to_string(), failed.clone(), failed]);
    }
}
