//! Starts one of the servers of the guide, `docs/guide`.

use std::env;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;

mod one_client;
mod thread_each;
mod busy_loop;
mod level_triggered;
mod edge_triggered;
mod back_pressure;
mod half_close;
mod accept_trouble;
mod fair;
mod mine;

const USAGE: &str = "resound-guide NAME PORT";

type Serve = fn(TcpListener) -> io::Result<()>;

/// A server: its name, the chapter that explains it, and what it does.
const SERVERS: [(&str, &str, Serve); 10] = [
    ("one-client", "blocking", one_client::serve),
    ("thread-each", "threads", thread_each::serve),
    ("busy-loop", "readiness", busy_loop::serve),
    ("level-triggered", "readiness", level_triggered::serve),
    ("edge-triggered", "readiness", edge_triggered::serve),
    ("back-pressure", "partial-writes", back_pressure::serve),
    ("half-close", "half-close", half_close::serve),
    ("accept-trouble", "accept", accept_trouble::serve),
    ("fair", "fairness", fair::serve),
    ("mine", "README", mine::serve),
];

fn main() -> ExitCode {
    let args: Vec<_> =
        env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    if args.is_empty() {
        return finish(list(), 1);
    }
    match parse(&args) {
        Ok((serve, port)) => finish(run(serve, port), 1),
        Err(wrong) => finish(Err(io::Error::other(wrong)), 2),
    }
}

/// Prints an error as one line, and turns it into the exit code `failure`.
fn finish(outcome: io::Result<()>, failure: u8) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // In one piece, since other programs can write to the same terminal.
            let _ = io::stderr().write_all(format!("resound-guide: {e}\n").as_bytes());
            ExitCode::from(failure)
        }
    }
}

fn list() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (name, chapter, _) in SERVERS {
        writeln!(out, "{name:16} docs/guide/src/{chapter}.md")?;
    }
    Ok(())
}

/// The server and the port that the arguments ask for, or what is wrong with them.
fn parse(args: &[String]) -> Result<(Serve, u16), String> {
    let [name, port] = args else {
        return Err(format!("expected {USAGE}; without arguments, it lists the names"));
    };
    let server = SERVERS.iter().find(|server| server.0 == name);
    let (.., serve) = server.ok_or_else(|| {
        format!("the guide has no server {name:?}; without arguments, it lists the names")
    })?;
    let port = port.parse().map_err(|_| format!("{port:?} is not a port: expected 0 to 65535"))?;
    Ok((*serve, port))
}

fn run(serve: Serve, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(|e| io::Error::other(format!("cannot listen on 127.0.0.1:{port}: {e}")))?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    serve(listener)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Shutdown, TcpStream};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Far more than the machine needs.
    const TIMEOUT: Duration = Duration::from_secs(30);

    #[test]
    fn each_server_echoes_to_one_client_after_the_other_and_closes_after_it() {
        for (name, _, serve) in SERVERS.into_iter().filter(|(name, ..)| *name != "mine") {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let addr = listener.local_addr().unwrap();
            thread::spawn(move || serve(listener));
            for message in ["hello", "again"] {
                let mut client = TcpStream::connect(addr).unwrap();
                client.set_read_timeout(Some(TIMEOUT)).unwrap();
                client.write_all(message.as_bytes()).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                let mut echo = String::new();
                client.read_to_string(&mut echo).unwrap();
                assert_eq!(echo, message, "{name}");
            }
        }
    }

    #[test]
    fn arguments_that_are_wrong_are_told_apart() {
        let wrong = |args: &[&str]| {
            let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
            parse(&args).map(|_| ()).unwrap_err()
        };
        assert!(wrong(&["fair"]).starts_with("expected "));
        assert!(wrong(&["fair", "1", "2"]).starts_with("expected "));
        assert!(wrong(&["unfair", "1"]).starts_with("the guide has no server \"unfair\""));
        assert!(wrong(&["fair", "65536"]).starts_with("\"65536\" is not a port"));
    }
}
