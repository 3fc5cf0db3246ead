//! The option with which clients begin connections as a proxy does.

use clap::Args;

use crate::net::proxy::HeaderVersion;

/// Whether to begin each connection with a PROXY header.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct SendProxy {
    /// Begin each connection with a PROXY header of this version, v1 or v2
    ///
    /// For a server that stands behind proxies (resound serve --listen proxy+ADDR). The header names the ends of this very
    /// connection. Over a Unix socket, it names none. A server that expects no header echoes it, so the first echo is then
    /// wrong at its first byte.
    #[arg(id = "send_proxy", long = "send-proxy", value_name = "VERSION", value_parser = version)]
    pub(super) version: Option<HeaderVersion>,
}

fn version(text: &str) -> Result<HeaderVersion, &'static str> {
    match text {
        "v1" => Ok(HeaderVersion::V1),
        "v2" => Ok(HeaderVersion::V2),
        _ => Err("write v1 or v2"),
    }
}
