//! A response, and its bytes.

use std::fmt;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

use super::{MAX_HEAD_BYTES, MAX_HEADERS};

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// RFC 9110, section 5.6.7.
const DATE: &[FormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// How a request went: RFC 9110, section 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusCode {
    /// 200.
    Ok,
    /// 400: it is not HTTP, or it ended too early.
    BadRequest,
    /// 404.
    NotFound,
    /// 405: neither GET nor HEAD.
    MethodNotAllowed,
    /// 408: it did not come in time.
    RequestTimeout,
    /// 431: its head exceeds [`MAX_HEAD_BYTES`], or has too many headers.
    HeadTooLarge,
    /// 500.
    InternalError,
    /// 503.
    Unavailable,
    /// 505: not HTTP/1.
    VersionNotSupported,
}

impl StatusCode {
    fn reason(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
            Self::InternalError => "500 Internal Server Error",
            Self::Unavailable => "503 Service Unavailable",
            Self::VersionNotSupported => "505 HTTP Version Not Supported",
        }
    }

    /// What would be right instead, for people who try it by hand.
    fn advice(self) -> Option<String> {
        Some(match self {
            Self::BadRequest => "send a request such as GET / HTTP/1.0 and an empty line".into(),
            Self::NotFound => "/ lists what there is".into(),
            Self::MethodNotAllowed => "use GET or HEAD".into(),
            Self::RequestTimeout => "send the whole request at once".into(),
            Self::HeadTooLarge => {
                format!("send {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} headers or fewer")
            }
            Self::VersionNotSupported => "use HTTP/1.1".into(),
            Self::Ok | Self::InternalError | Self::Unavailable => return None,
        })
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

/// A response to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: StatusCode,
    content_type: &'static str,
    body: String,
}

impl Response {
    /// A response of some type, such as `text/html`.
    pub fn new(status: StatusCode, content_type: &'static str, body: String) -> Self {
        Self { status, content_type, body }
    }

    /// A response of plain text.
    pub fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Self::new(status, PLAIN_TEXT, body.into())
    }

    /// A response that says what is wrong with a request, and what would be right.
    pub(super) fn refusal(status: StatusCode) -> Self {
        let advice = status.advice().map_or_else(String::new, |advice| format!(": {advice}"));
        Self::text(status, format!("{status}{advice}\n"))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.to_bytes_without_body();
        bytes.extend_from_slice(self.body.as_bytes());
        bytes
    }

    /// What a HEAD request gets. It has the length of the body.
    pub(super) fn to_bytes_without_body(&self) -> Vec<u8> {
        let Self { status, content_type, body } = self;
        let allow = match status {
            StatusCode::MethodNotAllowed => "Allow: GET, HEAD\r\n",
            _ => "",
        };
        let head = format!(
            "HTTP/1.1 {status}\r\n\
             Date: {}\r\n\
             Content-Type: {content_type}\r\n\
             Content-Length: {}\r\n\
             Cache-Control: no-store\r\n\
             {allow}\
             Connection: close\r\n\r\n",
            date(SystemTime::now()),
            body.len(),
        );
        head.into_bytes()
    }
}

/// A date of HTTP. A clock outside of the years 0 to 9999 has none that is right, and then it is empty.
fn date(now: SystemTime) -> String {
    OffsetDateTime::from(now).format(DATE).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The example of RFC 9110.
    #[test]
    fn a_date_has_the_form_of_the_standard() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(date(at), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
