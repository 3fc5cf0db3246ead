//! SIGUSR1 and SIGQUIT: the server logs how it is doing, and goes on.

use rustix::process::Signal;

use crate::command::after_script;
use crate::server::{Server, command};
use crate::wire::{expect_echo, pattern, reset, send_until_stuck};

#[test]
fn a_signal_logs_the_figures_and_ends_nothing() {
    let mut server = Server::start(&[]);
    let stream = server.connect();
    for signal in [Signal::USR1, Signal::QUIT] {
        expect_echo(&stream, b"hello");
        server.signal(signal);
        let line = server.expect_line("status: ");
        assert!(
            line.contains("status: 1 connection open, 0 bytes pending; 1 accepted, "),
            "{line}"
        );
    }
    expect_echo(&stream, b"still here");
    drop(stream);
    server.stop();
}

#[test]
fn a_stopping_server_reports_too_and_does_not_take_it_for_a_second_request() {
    let mut server = Server::start(&["--drain-timeout", "60s"]);
    let stream = server.connect();
    send_until_stuck(&stream, &pattern(0, 32 << 20));
    server.signal(Signal::TERM);
    server.expect_line("stopping");
    server.signal(Signal::USR1);
    let line = server.expect_line("status: ");
    assert!(line.contains("status: stopping, 1 connection open, "), "{line}");
    reset(stream);
    assert_eq!(server.wait().code(), Some(0));
}

/// A shell without job control starts background programs with SIGQUIT ignored, since Ctrl-\ means the program in the
/// foreground. SIGUSR1 comes from no terminal: its sender means this program, even if the parent ignored it.
#[test]
fn sigquit_stays_ignored_and_sigusr1_does_not() {
    let inner = command(&["127.0.0.1:0"], &[]);
    let mut server = Server::start_command(&mut after_script("trap '' QUIT USR1", &inner), 1);
    let bit = |signal: Signal| 1 << (signal.as_raw() - 1);
    let ignored = u64::from_str_radix(&server.status_word("SigIgn:"), 16).unwrap();
    assert_eq!(ignored & (bit(Signal::QUIT) | bit(Signal::USR1)), bit(Signal::QUIT));
    server.signal(Signal::QUIT);
    server.signal(Signal::USR1);
    server.expect_line("status: ");
    server.stop();
}
