//! The cases that failed, as a trace of the client's side. docs/trace.md describes the format.

use std::io;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::report::{Report, Verdict};
use crate::trace::record::{Header, Record, Vantage, name, write_line};
use crate::version::COMMIT;

/// What the connections of each failed case did, as JSON lines.
pub(crate) fn trace(report: &Report) -> io::Result<String> {
    let began = OffsetDateTime::now_utc() - report.took;
    let mut lines = Vec::new();
    let header = Header {
        title: Some(format!("what check saw of {}", report.server)),
        commit: Some(COMMIT).filter(|commit| !commit.is_empty()).map(Into::into),
        began: began.format(&Rfc3339).ok(),
        options: [("seed".into(), report.seed.to_string())].into(),
        ..Header::new(Vantage::Client, "resound")
    };
    write_line(&mut lines, &header)?;
    for case in report.cases.iter().filter(|case| case.verdict == Verdict::Fail) {
        let Some((end, records)) = case.records.split_last() else { continue };
        records.iter().try_for_each(|record| write_line(&mut lines, record))?;
        let mut ended = end.clone();
        ended.data.insert("id".into(), case.id.into());
        ended.data.insert("verdict".into(), case.verdict.name().into());
        ended.data.extend(case.actual.as_deref().map(|actual| ("actual".into(), actual.into())));
        write_line(&mut lines, &ended)?;
    }
    let mut end = Record::new(report.took.as_nanos() as f64 / 1000.0, name::END);
    end.data.insert("why".into(), "stopped".into());
    write_line(&mut lines, &end)?;
    String::from_utf8(lines).map_err(io::Error::other)
}
