//! The figures in the formats of Prometheus.
//!
//! Names follow <https://prometheus.io/docs/practices/naming/>. Dashboards use them, so they are stable.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::Limits;
use super::process::Process;
use crate::http::Request;
use crate::observe::{ByReason, Counters, Reason, Status, TurnTimes};
use crate::version::{COMMIT, TARGET};

const OPEN_METRICS: &str = "application/openmetrics-text";

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The text format 0.0.4 of Prometheus.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// OpenMetrics if the client accepts it and does not prefer plain text, and plain text otherwise, even if the
    /// client accepts neither: RFC 9110, section 12.5.1.
    pub(super) fn accepted_by(request: &Request<'_>) -> Self {
        Self::accepted(request.header("accept").flat_map(|value| value.split(',')))
    }

    fn accepted<'a>(ranges: impl Iterator<Item = &'a str>) -> Self {
        let (mut open_metrics, mut plain) = (0.0_f32, 0.0_f32);
        for range in ranges {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts.find_map(|part| part.strip_prefix("q=")).unwrap_or("1");
            let quality = quality.parse::<f32>().unwrap_or(0.0);
            match &*name {
                OPEN_METRICS => open_metrics = open_metrics.max(quality),
                "text/plain" | "text/*" | "*/*" => plain = plain.max(quality),
                _ => {}
            }
        }
        if open_metrics > 0.0 && open_metrics >= plain { Self::OpenMetrics } else { Self::Text }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Text => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The figures in this format.
    ///
    /// # Errors
    ///
    /// If the library cannot write them, which does not happen for a text in memory.
    pub(super) fn encode(self, figures: Figures) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(figures));
        let mut text = String::new();
        match self {
            Self::Text => prometheus_text::encode(&mut text, &registry)?,
            Self::OpenMetrics => text::encode(&mut text, &registry)?,
        }
        Ok(text)
    }
}

/// Everything that a scrape shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) status: Status,
    pub(super) limits: Limits,
    pub(super) started: SystemTime,
    pub(super) process: Process,
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let out = &mut Families(&mut encoder);
        let build =
            [("version", env!("CARGO_PKG_VERSION")), ("commit", COMMIT), ("target", TARGET)];
        out.family("resound_build", "The program.", None, MetricType::Info)?.encode_info(&build)?;
        self.encode_present(out)?;
        encode_counters(&self.status.counters, out)?;
        self.encode_process(out)
    }
}

impl Figures {
    /// What the server holds now.
    fn encode_present(&self, out: &mut Families<'_, '_>) -> fmt::Result {
        let Status { counters: _, connections, pending_bytes, is_stopping } = self.status;
        let limits = self.limits;
        out.gauge("resound_connections", "Connections that are open.", connections as u64)?;
        out.gauge(
            "resound_max_connections",
            "Connections at once that --max-connections allows.",
            limits.connections as u64,
        )?;
        out.gauge_of(
            "resound_pending",
            "Bytes that were read and that their peers have not taken yet.",
            Unit::Bytes,
            pending_bytes as u64,
        )?;
        out.gauge_of(
            "resound_pending_limit",
            "Pending bytes that --pending-limit allows.",
            Unit::Bytes,
            limits.pending_bytes as u64,
        )?;
        out.gauge("resound_stopping", "1 if the server is stopping.", u64::from(is_stopping))
    }

    fn encode_process(&self, out: &mut Families<'_, '_>) -> fmt::Result {
        let Process { cpu_seconds, resident_bytes, open_descriptors, max_descriptors } =
            self.process;
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let help = "When the server started, in seconds since 1970.";
        out.gauge_of("process_start_time", help, Unit::Seconds, started.as_secs_f64())?;
        out.family(
            "process_cpu",
            "Processor time of the process, in user space and in the kernel.",
            Some(&Unit::Seconds),
            MetricType::Counter,
        )?
        .encode_counter::<NoLabelSet, _, u64>(&cpu_seconds, None)?;
        if let Some(bytes) = resident_bytes {
            out.gauge_of("process_resident_memory", "Resident memory.", Unit::Bytes, bytes)?;
        }
        if let Some(n) = open_descriptors {
            out.gauge("process_open_fds", "Descriptors that are open.", n)?;
        }
        if let Some(n) = max_descriptors {
            out.gauge("process_max_fds", "Descriptors that may be open.", n)?;
        }
        Ok(())
    }
}

const ACCEPTED: &str = "Connections accepted and served.";
const REFUSED: &str = "Connections accepted and closed at once, by reason.";
const CLOSED: &str = "Connections closed after they were served, by reason.";
const CUT: &str = "Connections that the server ended although not all that was read was echoed.";
const RECEIVED: &str = "Bytes read from peers.";
const SENT: &str = "Bytes written to peers.";
const BLOCKED: &str = "Writes that took less than there was to write: the peer reads too slowly.";
const BACK_OFFS: &str =
    "Times that accepting failed and the server waited, for lack of descriptors for example.";
const UDP_SOCKETS: &str = "UDP sockets that the server answers on.";
const DATAGRAMS: &str = "Datagrams answered.";
const DATAGRAM_BYTES: &str = "Bytes of the datagrams answered.";
const DATAGRAMS_DROPPED: &str = "Datagrams received and not answered, by reason.";
const KERNEL_DROPS: &str =
    "Datagrams that the kernel dropped, since the server was slower or a checksum was wrong.";
const TURNS: &str = "Turns of the event loop in which something was ready.";
const EVENTS: &str = "Sources that were ready in these turns.";
const TURN_TIMES: &str = "Time of a turn, without its wait. The server times one turn in 64, and each turn after a late one.";

/// Names every field, so that a count that is added to [`Counters`] must be added here too.
fn encode_counters(counters: &Counters, out: &mut Families<'_, '_>) -> fmt::Result {
    let Counters {
        accepted,
        refused,
        closed,
        cut,
        bytes_in,
        bytes_out,
        blocked_writes,
        accept_back_offs,
        udp_sockets,
        datagrams,
        datagram_bytes,
        datagrams_dropped,
        kernel_drops,
        turns,
        events,
        turn_times,
    } = counters;
    out.counter("resound_connections_accepted", ACCEPTED, *accepted)?;
    out.by_reason("resound_connections_refused", REFUSED, refused)?;
    out.by_reason("resound_connections_closed", CLOSED, closed)?;
    out.counter("resound_connections_cut", CUT, *cut)?;
    out.counter_of("resound_received", RECEIVED, Unit::Bytes, *bytes_in)?;
    out.counter_of("resound_sent", SENT, Unit::Bytes, *bytes_out)?;
    out.counter("resound_blocked_writes", BLOCKED, *blocked_writes)?;
    out.counter("resound_accept_back_offs", BACK_OFFS, *accept_back_offs)?;
    out.gauge("resound_udp_sockets", UDP_SOCKETS, *udp_sockets)?;
    out.counter("resound_datagrams_echoed", DATAGRAMS, *datagrams)?;
    out.counter_of("resound_datagrams_echoed", DATAGRAM_BYTES, Unit::Bytes, *datagram_bytes)?;
    out.by_reason("resound_datagrams_dropped", DATAGRAMS_DROPPED, datagrams_dropped)?;
    out.counter("resound_datagrams_dropped_by_kernel", KERNEL_DROPS, *kernel_drops)?;
    out.counter("resound_turns", TURNS, *turns)?;
    out.counter("resound_ready_events", EVENTS, *events)?;
    out.histogram("resound_turn_duration", TURN_TIMES, turn_times)
}

/// Writes metrics, each with its description.
struct Families<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Families<'_, '_> {
    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, unit, kind)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauge_of(
        &mut self,
        name: &str,
        help: &str,
        unit: Unit,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.family(name, help, Some(&unit), MetricType::Gauge)?.encode_gauge(&value)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        encode_count(&mut self.family(name, help, None, MetricType::Counter)?, value)
    }

    fn counter_of(&mut self, name: &str, help: &str, unit: Unit, value: u64) -> fmt::Result {
        encode_count(&mut self.family(name, help, Some(&unit), MetricType::Counter)?, value)
    }

    /// A counter for each reason, also for those that did not occur yet: without them, the first of a kind would be no
    /// increase.
    fn by_reason<R: Reason>(
        &mut self,
        name: &str,
        help: &str,
        counts: &ByReason<R>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, None, MetricType::Counter)?;
        for (reason, n) in counts.iter() {
            let labels = [("reason", reason.label())];
            encode_count(&mut family.encode_family(&labels)?, n)?;
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, times: &TurnTimes) -> fmt::Result {
        let bound = |bound: Option<Duration>| bound.map_or(f64::INFINITY, |at| at.as_secs_f64());
        let buckets: Vec<_> = times.buckets().map(|(at, n)| (bound(at), n)).collect();
        let sum = times.sum().as_secs_f64();
        self.family(name, help, Some(&Unit::Seconds), MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(sum, times.count(), &buckets, None)
    }
}

fn encode_count(encoder: &mut MetricEncoder<'_>, n: u64) -> fmt::Result {
    encoder.encode_counter::<NoLabelSet, _, u64>(&n, None)
}

#[cfg(test)]
mod tests;
