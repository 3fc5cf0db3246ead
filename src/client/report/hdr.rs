//! The intervals of a run as an HdrHistogram log, for the standard tools of that format.
//!
//! The format is that of the Java library's `HistogramLogWriter`, with histograms in its V2 encoding,
//! deflated. Each interval is written as it ends, so memory does not grow with a run.

use std::io::{self, Write};
use std::time::SystemTime;

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError};

use crate::client::latency::Latency;
use crate::client::load::Interval;

/// For people who open the file: the format has no field for units.
const UNITS: &str = "Response latency measured by resound load; from when a message was due to the last \
                     byte of its echo\nValues, and Interval_Max, are nanoseconds; times are seconds";

/// The names of the columns. Tools skip this line.
const LEGEND: &str =
    "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"";

/// Writes intervals as lines of the log.
pub struct HdrLog {
    serializer: V2DeflateSerializer,
}

impl HdrLog {
    /// Begins the log of a run whose measured part began at `began`.
    pub fn begin(out: &mut impl Write, began: SystemTime) -> io::Result<Self> {
        let mut serializer = V2DeflateSerializer::new();
        // With both times, a reader knows that intervals count from `began`, and not from 1970.
        IntervalLogWriterBuilder::new()
            .add_comment(UNITS)
            .add_comment("[Histogram log format version 1.3]")
            .with_start_time(began)
            .with_base_time(began)
            .begin_log_with(out, &mut serializer)?;
        writeln!(out, "{LEGEND}")?;
        Ok(Self { serializer })
    }

    /// Appends an interval.
    pub fn interval(
        &mut self,
        out: &mut impl Write,
        interval: &Interval,
        responses: &Latency,
    ) -> io::Result<()> {
        // A writer borrows its output, so each interval has a writer of its own. Without a header it costs nothing.
        IntervalLogWriterBuilder::new()
            .begin_log_with(out, &mut self.serializer)?
            .write_histogram(responses.nanoseconds(), interval.start, interval.length, None)
            .map_err(|error| match error {
                IntervalLogWriterError::IoError(e) => e,
                IntervalLogWriterError::SerializeError(e) => io::Error::other(e),
            })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;

    fn interval(start_ms: u64) -> Interval {
        Interval {
            start: Duration::from_millis(start_ms),
            length: Duration::from_millis(1_500),
            messages: 0,
            bytes: 0,
            responses: 0,
            p50: Duration::ZERO,
            p99: Duration::ZERO,
            max: Duration::ZERO,
        }
    }

    #[test]
    fn a_log_reads_back_as_what_was_measured() {
        let began = UNIX_EPOCH + Duration::from_millis(1_764_068_072_500);
        let mut latencies = [Latency::new(), Latency::new(), Latency::new()];
        (1..=1_000).for_each(|us| latencies[0].record(Duration::from_micros(us)));
        latencies[2].record(Duration::from_secs(7));
        let mut out = Vec::new();
        let mut log = HdrLog::begin(&mut out, began).unwrap();
        for (latency, start) in latencies.iter().zip([0, 1_500, 3_000]) {
            log.interval(&mut out, &interval(start), latency).unwrap();
        }

        let entries: Vec<_> = IntervalLogIterator::new(&out).map(Result::unwrap).collect();
        let since = began.duration_since(UNIX_EPOCH).unwrap();
        assert_eq!(entries[..2], [LogEntry::StartTime(since), LogEntry::BaseTime(since)]);
        assert_eq!(entries.len(), 5);
        for ((entry, latency), start) in entries[2..].iter().zip(&latencies).zip([0, 1_500, 3_000])
        {
            let LogEntry::Interval(read) = entry else { panic!("{entry:?}") };
            assert_eq!(read.start_timestamp(), Duration::from_millis(start));
            assert_eq!(read.duration(), Duration::from_millis(1_500));
            assert_eq!(read.max(), latency.nanoseconds().max() as f64);
            let encoded = STANDARD.decode(read.encoded_histogram()).unwrap();
            let histogram: Histogram<u64> =
                Deserializer::new().deserialize(&mut &encoded[..]).unwrap();
            assert_eq!(&histogram, latency.nanoseconds());
        }
    }
}
