//! Addresses that are not written as one.

use crate::net::Addr;
use crate::text::Excerpt;

pub(super) fn is_address(text: &str) -> bool {
    Addr::of_server(text).is_ok()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A host and a port, in either order, as one address.
pub(super) fn together(one: &str, other: &str) -> Option<String> {
    let (host, port) = if is_number(one) { (other, one) } else { (one, other) };
    if host.starts_with('-') || is_number(host) || !is_number(port) || is_address(host) {
        return None;
    }
    first_address([format!("{host}:{port}"), format!("[{host}]:{port}")])
}

/// The address that a word stands for by itself: one, or a port, a host or a path.
pub(super) fn alone(word: &str) -> Option<String> {
    let is_path = word.starts_with(['/', '.', '~']) && word.contains('/');
    let is_host = word == "localhost" || word.contains(['.', ':']);
    let candidates = [
        Some(word.to_string()),
        is_number(word).then(|| format!("127.0.0.1:{word}")),
        is_path.then(|| format!("unix:{word}")),
        is_host.then(|| format!("{word}:7007")),
        is_host.then(|| format!("[{word}]:7007")),
        word.strip_prefix(':').map(|port| format!("127.0.0.1:{port}")),
        word.rsplit_once(':').map(|(ip, port)| format!("[{ip}]:{port}")),
    ];
    first_address(candidates.into_iter().flatten())
}

fn first_address(texts: impl IntoIterator<Item = String>) -> Option<String> {
    let addr = texts.into_iter().find_map(|text| Addr::of_server(text).ok())?;
    Some(Excerpt(&addr.to_string()).to_string())
}
