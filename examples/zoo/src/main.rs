//! Starts one of the servers of the zoo, as it is or mended.

use std::env;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::process::ExitCode;

use mio::net::TcpListener;

mod accept_error_ends;
mod always_writable;
mod blocking_socket;
mod deaf_listener;
mod emfile_spin;
mod end_ignored;
mod greedy_peer;
mod half_close_drops_tail;
mod hang_up_first;
mod lost_tail;
mod sent_twice;
mod short_read_ends;
mod stuck_back_pressure;
mod text_only;
mod unbounded_output;
mod undrained_edge;
mod undrained_listener;
mod whole_buffer;

/// The same servers without their mistakes: `build.rs` has applied the diffs.
mod mended {
    include!(concat!(env!("OUT_DIR"), "/mended.rs"));
}

/// What the program `resound` says about each.
#[path = "../../../src/client/check/zoo.rs"]
#[allow(dead_code, reason = "only `resound zoo hint` shows the hints")]
mod about;

const USAGE: &str = "resound-zoo NAME [--mended] PORT";

type Serve = fn(TcpListener) -> io::Result<()>;

struct Program {
    module: &'static str,
    broken: Serve,
    mended: Serve,
}

macro_rules! programs {
    ($($module:ident)*) => {
        [$(Program { module: stringify!($module), broken: $module::serve, mended: mended::$module::serve }),*]
    };
}

const PROGRAMS: [Program; 18] = programs! {
    undrained_edge undrained_listener lost_tail sent_twice half_close_drops_tail hang_up_first end_ignored
    always_writable whole_buffer short_read_ends text_only unbounded_output blocking_socket accept_error_ends
    emfile_spin deaf_listener greedy_peer stuck_back_pressure
};

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
            eprintln!("resound-zoo: {e}");
            ExitCode::from(failure)
        }
    }
}

fn list() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for specimen in &about::SPECIMENS {
        writeln!(out, "{:22} {}", specimen.name, specimen.title)?;
    }
    Ok(())
}

/// The server and the port that the arguments ask for, or what is wrong with them.
fn parse(args: &[String]) -> Result<(Serve, u16), String> {
    let (mended, rest): (Vec<_>, Vec<_>) = args.iter().partition(|arg| *arg == "--mended");
    let [name, port] = rest[..] else {
        return Err(format!("expected {USAGE}; without arguments, it lists the names"));
    };
    let program = PROGRAMS.iter().find(|program| program.module.replace('_', "-") == *name);
    let program = program.ok_or_else(|| {
        format!("{name:?} is not in the zoo; without arguments, resound-zoo lists the names")
    })?;
    let port = port.parse().map_err(|_| format!("{port:?} is not a port: expected 0 to 65535"))?;
    Ok((if mended.is_empty() { program.broken } else { program.mended }, port))
}

fn run(serve: Serve, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port).into())
        .map_err(|e| io::Error::other(format!("cannot listen on 127.0.0.1:{port}: {e}")))?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    serve(listener)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Far more than the machine needs.
    const TIMEOUT: Duration = Duration::from_secs(30);

    #[test]
    fn the_zoo_has_a_program_for_each_specimen_in_the_same_order() {
        let programs = PROGRAMS.iter().map(|program| program.module.replace('_', "-"));
        assert!(programs.eq(about::SPECIMENS.iter().map(|specimen| specimen.name)));
    }

    #[test]
    fn a_first_test_shows_no_mistake() {
        for serve in PROGRAMS.iter().flat_map(|program| [program.broken, program.mended]) {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            thread::spawn(move || serve(listener));
            peer.set_read_timeout(Some(TIMEOUT)).unwrap();
            peer.write_all(b"hello").unwrap();
            let mut echo = [0; 5];
            peer.read_exact(&mut echo).unwrap();
            assert_eq!(&echo, b"hello");
        }
    }

    #[test]
    fn arguments_that_are_wrong_are_told_apart() {
        let wrong = |args: &[&str]| {
            let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
            parse(&args).map(|_| ()).unwrap_err()
        };
        assert!(wrong(&["lost-tail"]).starts_with("expected "));
        assert!(wrong(&["lost-tail", "1", "2"]).starts_with("expected "));
        assert!(wrong(&["lost_tail", "1"]).starts_with("\"lost_tail\" is not in the zoo"));
        assert!(wrong(&["lost-tail", "65536"]).starts_with("\"65536\" is not a port"));
    }
}
