//! HAProxy and nginx in front of the server. They name their clients by the PROXY protocol.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};

use tempfile::TempDir;

use crate::programs::program;
use crate::server::{Server, TIMEOUT, eventually};
use crate::wire::{connect_from, expect_closed, expect_echo, expect_end, pattern};

/// Another program that runs until the test ends.
struct Proxy {
    child: Child,
    dir: TempDir,
}

impl Proxy {
    /// Starts a program with a configuration, in which `{dir}` stands for a directory of its own.
    #[track_caller]
    fn start(name: &str, words: &[&str], config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        fs::write(&path, config.replace("{dir}", dir.path().to_str().unwrap())).unwrap();
        let mut command = program(name);
        let child = command.args(words).arg(&path).stderr(Stdio::null()).spawn().unwrap();
        Self { child, dir }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that only this test uses: of a loopback network that its process has for itself.
fn own_address(port: u16) -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 66, high, low], port))
}

/// A server with a proxied listener and these arguments, and the address of the listener.
#[track_caller]
fn proxied(args: &[&str]) -> (Server, String) {
    let args = [&["--proxy-from", "127.0.0.0/8", "-v"], args].concat();
    let server = Server::start_at(&["proxy+127.0.0.1:0"], &args);
    let addr = server.addr().strip_prefix("proxy+").unwrap().to_string();
    (server, addr)
}

/// Connects from 127.0.0.9 once the proxy listens.
#[track_caller]
fn connect(addr: SocketAddr) -> TcpStream {
    eventually(|| TcpStream::connect(addr).ok());
    connect_from([127, 0, 0, 9], &addr.to_string())
}

/// Sends a megabyte through a proxy, and expects the server to know the address that this end has.
#[track_caller]
fn expect_known(server: &mut Server, stream: TcpStream) {
    let bytes = pattern(3, 1 << 20);
    let mut writer = stream.try_clone().unwrap();
    let sent = bytes.clone();
    let sender = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut echo = vec![0; bytes.len()];
    (&stream).read_exact(&mut echo).unwrap();
    assert!(echo == bytes);
    expect_end(&stream);
    sender.join().unwrap();
    let client = stream.local_addr().unwrap();
    server.expect_line(&format!("{client}: comes through the proxy 127.0.0.1:"));
    server.expect_line(&format!("{client}: closed: all echoed"));
}

const HAPROXY: &str = "
global
    stats socket {dir}/stats
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
frontend v1
    bind {address}:7101
    bind unix@{dir}/v1
    default_backend v1
frontend v2
    bind {address}:7102
    bind unix@{dir}/v2
    default_backend v2
backend v1
    server one {server} send-proxy check check-send-proxy inter 100ms
backend v2
    server one {server} send-proxy-v2 proxy-v2-options crc32c,unique-id check check-send-proxy inter 100ms
";

#[test]
fn haproxy_names_its_clients_in_both_versions_and_its_checks_pass() {
    let (mut server, addr) = proxied(&[]);
    let address = own_address(0).ip().to_string();
    let config = HAPROXY.replace("{server}", &addr).replace("{address}", &address);
    let haproxy = Proxy::start("haproxy", &["-db", "-f"], &config);
    for port in [7101, 7102] {
        expect_known(&mut server, connect(own_address(port)));
    }
    // The client of a Unix socket has no address: HAProxy says UNKNOWN or AF_UNIX.
    for name in ["v1", "v2"] {
        let stream = UnixStream::connect(haproxy.path(name)).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        expect_echo(&stream, b"hello");
        server.expect_line(": accepted");
    }
    expect_checks(&haproxy.path("stats"));
    let said = server.stop();
    assert!(said.contains("0 refused"), "{said}");
}

/// Expects that a check of each backend has passed. HAProxy's check of version 2 says LOCAL.
#[track_caller]
fn expect_checks(stats: &Path) {
    eventually(|| {
        let mut stream = UnixStream::connect(stats).ok()?;
        stream.write_all(b"show stat\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        let servers = said.lines().filter(|line| line.contains(",one,"));
        let passed = servers.filter(|line| line.contains(",UP,") && line.contains(",L4OK,"));
        (passed.count() == 2).then_some(())
    });
}

const NGINX: &str = "
daemon off;
master_process off;
pid {dir}/pid;
error_log {dir}/log;
include /etc/nginx/modules-enabled/*.conf;
events {}
stream {
    server {
        listen {address}:7103;
        proxy_pass {server};
        proxy_protocol on;
        proxy_half_close on;
    }
}
";

#[test]
fn nginx_names_its_clients_and_those_that_are_denied_are_reset() {
    let (mut server, addr) = proxied(&["--deny", "127.0.0.8", "--max-per-ip", "1"]);
    let address = own_address(0).ip().to_string();
    let config = NGINX.replace("{server}", &addr).replace("{address}", &address);
    let _nginx = Proxy::start("nginx", &["-c"], &config);
    let at = own_address(7103);
    expect_known(&mut server, connect(at));
    let denied = connect_from([127, 0, 0, 8], &at.to_string());
    let client = denied.local_addr().unwrap();
    expect_closed(denied);
    server.expect_line(&format!("{client}: refused: its address may not connect"));
    // Each client has a limit of its own, although all come from the address of nginx.
    let first = connect_from([127, 0, 0, 10], &at.to_string());
    expect_echo(&first, b"hello");
    expect_closed(connect_from([127, 0, 0, 10], &at.to_string()));
    expect_echo(connect_from([127, 0, 0, 11], &at.to_string()), b"hello");
}
