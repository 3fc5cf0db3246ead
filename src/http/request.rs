//! A request, and the response to its head.

use httparse::{EMPTY_HEADER, Error, Header, Status};

use super::response::{Response, StatusCode};
use super::{Answer, MAX_HEAD_BYTES, MAX_HEADERS};

/// A request for something that may be served.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The path, without a query.
    pub path: &'a str,
    headers: &'a [Header<'a>],
}

impl<'a> Request<'a> {
    /// The value of each header of this name that is text.
    pub fn header(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.named(name).filter_map(|header| str::from_utf8(header.value).ok())
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &'a Header<'a>> {
        self.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name))
    }
}

/// The response to a request that begins with `head`, ready to be sent. `None` if the head goes on.
pub(super) fn respond(head: &[u8], answer: &mut Answer<'_>) -> Option<Vec<u8>> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let refusal = match parsed.parse(head) {
        Ok(Status::Partial) if head.len() < MAX_HEAD_BYTES => return None,
        Ok(Status::Complete(_)) => return Some(respond_to(&parsed, answer)),
        Ok(Status::Partial) | Err(Error::TooManyHeaders) => StatusCode::HeadTooLarge,
        Err(Error::Version) => StatusCode::VersionNotSupported,
        Err(_) => StatusCode::BadRequest,
    };
    Some(Response::refusal(refusal).to_bytes())
}

fn respond_to(parsed: &httparse::Request<'_, '_>, answer: &mut Answer<'_>) -> Vec<u8> {
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Response::refusal(StatusCode::BadRequest).to_bytes();
    };
    let request = Request { path: path_of(target), headers: parsed.headers };
    let response = match answer_by(method, &request, version, answer) {
        Ok(response) => response,
        Err(status) => Response::refusal(status),
    };
    if method == "HEAD" { response.to_bytes_without_body() } else { response.to_bytes() }
}

fn answer_by(
    method: &str,
    request: &Request<'_>,
    minor_version: u8,
    answer: &mut Answer<'_>,
) -> Result<Response, StatusCode> {
    // RFC 9112, section 3.2: HTTP/1.1 must have one, and no version may have two.
    match request.named("host").count() {
        1 => {}
        0 if minor_version == 0 => {}
        _ => return Err(StatusCode::BadRequest),
    }
    match method {
        "GET" | "HEAD" => answer(request).ok_or(StatusCode::NotFound),
        _ => Err(StatusCode::MethodNotAllowed),
    }
}

/// The path of a target, which a proxy can be sent in whole: RFC 9112, section 3.2.
fn path_of(target: &str) -> &str {
    // A query can contain anything.
    let target = target.split('?').next().unwrap_or(target);
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find('/').map_or("/", |at| &rest[at..])
        }
        _ => target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_in_each_form_of_a_target() {
        for (target, expected) in [
            ("/metrics", "/metrics"),
            ("/metrics?name[]=up", "/metrics"),
            ("/?a=/metrics", "/"),
            ("http://localhost:9464/metrics?x", "/metrics"),
            ("HTTP://localhost", "/"),
            ("/x?y=http://a/metrics", "/x"),
            ("http://a?/metrics", "/"),
            ("http://a/metrics?b=/c", "/metrics"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(path_of(target), expected, "{target}");
        }
    }
}
