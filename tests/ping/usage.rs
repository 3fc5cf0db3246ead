//! Command lines that `resound ping` refuses.

use super::pinger::{ping, text};

#[track_caller]
fn refused(args: &[&str], line: &str) {
    let ended = ping(args);
    assert_eq!(ended.stderr.trim_end(), format!("resound: {line}; try --help"), "{args:?}");
    assert_eq!((ended.code, text(&ended)), (Some(2), ""), "{args:?}");
}

#[test]
fn an_invalid_value_is_refused_in_one_line() {
    let invalid = |option: &str, value: &str, name: &str, why: &str| {
        let line = format!("invalid value '{value}' for '{name}': {why}");
        refused(&[option, value, "127.0.0.1:7007"], &line);
    };
    let number = "write a whole number, such as 500 or 10k (1k is 1000)";
    invalid("-c", "0", "--count <COUNT>", "write something from 1 to 1000000000");
    invalid("-c", "1001m", "--count <COUNT>", "write something from 1 to 1000000000");
    invalid("-c", "many", "--count <COUNT>", number);
    invalid("-c", "1.5", "--count <COUNT>", number);
    let size = "write a number of bytes, such as 64, 16k or 1m (1k is 1024)";
    let large = "write something from 1 to 64m: the time of a larger message shows the bandwidth and not \
                 the delay";
    invalid("-s", "0", "--size <SIZE>", "write something from 1 to 64m");
    invalid("-s", "1g", "--size <SIZE>", large);
    invalid("-s", "67108865", "--size <SIZE>", large);
    invalid("-s", "much", "--size <SIZE>", size);
    invalid("-s", "-1", "--size <SIZE>", size);
    let time = "write a number and its unit, such as 50us, 250ms, 5s, 2m or 1h";
    let bounds = "write something from 1ms to 8760h";
    for (option, name) in [
        ("-i", "--interval <DURATION>"),
        ("-W", "--timeout <DURATION>"),
        ("--wait", "--wait <DURATION>"),
    ] {
        // Failed when the line asked for a unit and showed none, and when clap took -1 for an unknown option.
        invalid(option, "5", name, "write its unit too, such as 5s");
        invalid(option, "0.2", name, "write its unit too, such as 200ms");
        invalid(option, "0", name, bounds);
        invalid(option, "-1", name, time);
        invalid(option, "0s", name, bounds);
        invalid(option, "999us", name, bounds);
        invalid(option, "9000h", name, "that is more than a year");
    }
    let port = "there is no port; write HOST:PORT, such as localhost:7007";
    refused(&["localhost"], &format!("invalid value 'localhost' for '<ADDR>': {port}"));
    refused(&["-f", "localhost:7"], "unexpected argument '-f' found");
    let zero = "a client cannot connect to port 0; write HOST:PORT, such as localhost:7007";
    refused(&["localhost:0"], &format!("invalid value 'localhost:0' for '<ADDR>': {zero}"));
    refused(&[], "the following required arguments were not provided: <ADDR>");
}

#[test]
fn a_server_that_is_not_there_is_an_error_and_not_a_loss() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    let ended = ping(&[&addr]);
    let line = "connection refused; nothing listens there: is the server running?";
    assert_eq!(ended.stderr, format!("resound: cannot connect to {addr}: {line}\n"));
    assert_eq!(ended.code, Some(1));
    assert_eq!(text(&ended), format!("PING {addr} ({addr}) 56 bytes over TCP\n"));

    let ended = ping(&["--json", "no.such.host.invalid:7"]);
    ended.assert_failed("cannot resolve no.such.host.invalid:7: ");
    assert_eq!(ended.stderr.lines().count(), 1);
}
