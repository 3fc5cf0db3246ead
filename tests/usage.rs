//! The errors for wrong arguments, and the help pages.

#![allow(clippy::unwrap_used, reason = "clippy allows it in tests, but not in their helpers")]

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;

#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "support/command.rs"]
mod command;
#[path = "support/deadline.rs"]
mod deadline;

use command::{command, finish, resound};

const COMMANDS: [&str; 4] = ["serve", "connect", "ping", "load"];

/// The line on standard error if the arguments are refused.
#[track_caller]
fn refused<A: AsRef<OsStr> + std::fmt::Debug>(args: &[A]) -> String {
    let output = resound(args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    assert!(output.stdout.is_empty(), "{args:?}");
    let line = said.strip_prefix("resound: ").and_then(|rest| rest.strip_suffix("; try --help\n"));
    let line = line.unwrap_or_else(|| panic!("{args:?}: {said:?}"));
    assert!(!line.contains('\n') && line.chars().count() <= 1100, "{args:?}: {line}");
    line.into()
}

/// Each row has the arguments, the fault and the advice that the line must have.
#[track_caller]
fn expect_advice(command: &str, rows: &[(&str, &str, &str)]) {
    for (args, wrong, advice) in rows {
        let words = command.split_whitespace().chain(args.split(' '));
        let said = refused(&words.collect::<Vec<_>>());
        assert_eq!(said, format!("{wrong}; {advice}"), "{command} {args}");
    }
}

/// The same, for arguments that begin with one that the command does not know.
#[track_caller]
fn expect_unknown(command: &str, rows: &[(&str, &str)]) {
    for (args, advice) in rows {
        let wrong = args.split(['=', ' ']).next().unwrap();
        let wrong = if wrong.starts_with("--") { wrong } else { &args[..wrong.len()] };
        let rows = [(*args, &*format!("unexpected argument '{wrong}' found"), *advice)];
        expect_advice(command, &rows);
    }
}

/// Failed when the line said no more than that an address or a port is unexpected.
#[test]
fn serve_explains_how_to_write_the_address() {
    expect_unknown(
        "serve",
        &[
            ("127.0.0.1:7107", "write --listen 127.0.0.1:7107"),
            ("[::]:7107", "write --listen [::]:7107"),
            ("unix:/tmp/s", "write --listen unix:/tmp/s"),
            ("/tmp/s", "write --listen unix:/tmp/s"),
            (":7107", "write --listen 127.0.0.1:7107"),
            ("7107", "write --listen 127.0.0.1:7107"),
            ("0.0.0.0", "write --listen 0.0.0.0:7007"),
            ("localhost 7107", "write --listen localhost:7107"),
            ("7107 localhost", "write --listen localhost:7107"),
            ("::1 7107", "write --listen [::1]:7107"),
            ("--port 7107", "write --listen 127.0.0.1:7107"),
            ("--port=7107", "write --listen 127.0.0.1:7107"),
            ("-p 7107", "write --listen 127.0.0.1:7107"),
            ("--host localhost --port 7107", "write --listen localhost:7107"),
            ("--host=::1 --port=7107", "write --listen [::1]:7107"),
            ("--bind 0.0.0.0", "write --listen 0.0.0.0:7007"),
            ("--bind 0.0.0.0:7", "write --listen 0.0.0.0:7"),
            ("--address [::]:7", "write --listen [::]:7"),
            ("--port 7107 localhost", "write --listen localhost:7107"),
            ("--port many", "write --listen 127.0.0.1:7007"),
            ("--host X --port Y", "write --listen HOST:PORT"),
            ("nonsense", "serve takes options only; --listen says where"),
        ],
    );
    for args in [&["-l", "localhost", "7107"][..], &["--listen=localhost", "7107"]] {
        let said = refused(&[&["serve"], args].concat());
        assert_eq!(said, "write localhost:7107 instead of localhost 7107");
    }
    let said = refused(&["serve", "--idle-timeout", "5s", "7107"]);
    assert!(said.ends_with("write --listen 127.0.0.1:7107"), "{said}");
}

#[test]
fn serve_knows_names_that_other_programs_give_its_options() {
    expect_unknown(
        "serve",
        &[
            ("--timeout 5s", "write --idle-timeout or --stall-timeout"),
            ("--max-conns 5", "write --max-connections"),
            ("--idle-timeot 5s", "a similar argument exists: '--idle-timeout'"),
            ("--udp", "write udp: before the address, such as --listen udp:127.0.0.1:7007"),
            ("--tls", "resound speaks plain TCP, UDP and Unix sockets"),
            ("--reconnect", "that is an option of connect"),
            ("--count 5", "that is an option of ping and load"),
        ],
    );
}

/// Failed when the advice for `connect 7007` was connect:7007.
#[test]
fn clients_explain_how_to_write_the_server() {
    let invalid = |value: &str| format!("invalid value '{value}' for '<ADDR>'");
    for command in ["connect", "ping", "load"] {
        let rows = [
            ("7107", "there is no host; write HOST:PORT, such as 127.0.0.1:7107"),
            ("localhost", "there is no port; write HOST:PORT, such as localhost:7007"),
            ("::1", "there is no port; write HOST:PORT, such as [::1]:7007"),
            (":7107", "there is no host; write HOST:PORT, such as 127.0.0.1:7107"),
            (
                "http://localhost:7107/",
                "only unix: or udp: can stand before an address; write HOST:PORT, such as localhost:7107",
            ),
            ("/tmp/s", "a path needs unix: before it; write unix:/tmp/s"),
        ];
        for (arg, advice) in rows {
            assert_eq!(refused(&[command, arg]), format!("{}: {advice}", invalid(arg)));
        }
        for args in ["localhost 7107", "-W 5s localhost 7107", "7107 localhost"] {
            let pair = args.trim_start_matches("-W 5s ");
            let words: Vec<_> = [command].into_iter().chain(args.split(' ')).collect();
            assert_eq!(refused(&words), format!("write localhost:7107 instead of {pair}"));
        }
        let said = refused(&[command, "-W", "5s", "7107"]);
        assert!(said.ends_with("write HOST:PORT, such as 127.0.0.1:7107"), "{said}");
        expect_unknown(
            command,
            &[
                ("--port 7107", &format!("write resound {command} 127.0.0.1:7107")),
                ("--port 7107 localhost", &format!("write resound {command} localhost:7107")),
                ("--host ::1 --port 7107", &format!("write resound {command} [::1]:7107")),
                ("--unix /tmp/s", "write the server as unix:PATH"),
            ],
        );
        let said = refused(&[command, "127.0.0.1:7", "127.0.0.1:8"]);
        assert_eq!(said, "unexpected argument '127.0.0.1:8' found");
        // Capitals are accepted: this fails later, since no server is there.
        let output = resound(&[command, "UNIX:/no/such"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
}

#[test]
fn clients_know_names_that_other_programs_give_their_options() {
    let hello =
        "what to send comes from standard input, as in: echo hello | resound connect localhost:7";
    let rows = [("localhost:7 hello", "unexpected argument 'hello' found", hello)];
    expect_advice("connect", &rows);
    expect_unknown("connect", &[("-c 3 localhost:7", "that is an option of ping and load")]);
    expect_unknown("connect", &[("-l 7107", "that is an option of serve")]);
    expect_unknown("ping", &[("-n 3 localhost:7", "write -c, --count")]);
    expect_unknown("ping", &[("--coutn 3 localhost:7", "a similar argument exists: '--count'")]);
    let threads = "it runs on one thread; write -c for connections, or -d for a time";
    expect_unknown("load", &[("-t 4 localhost:7", threads), ("--threads 4", threads)]);
    expect_unknown("load", &[("--concurrency 4", "write -c, --connections")]);
}

/// Failed when the line had no advice.
#[test]
fn arguments_without_a_command_get_advice_about_the_commands() {
    let at = |addr: &str| {
        format!(
            "write a command before it: resound connect {addr}, or resound serve --listen {addr}"
        )
    };
    let all = "write serve, connect, ping, load, check, zoo or trace";
    for (args, advice) in [
        ("127.0.0.1:7107", &*at("127.0.0.1:7107")),
        ("localhost 7107", &at("localhost:7107")),
        ("7107", &at("127.0.0.1:7107")),
        ("unix:/tmp/s", &at("unix:/tmp/s")),
        ("server", "write resound serve"),
        ("Serve", "write resound serve"),
        ("sevre", "a similar subcommand exists: 'serve'"),
        ("listen", "write resound serve"),
        ("client localhost:7", "write resound connect"),
        ("bench localhost:7", "write resound load"),
        ("latency", "write resound ping"),
        ("echo", "write resound serve to echo, or resound connect to try an echo server"),
        ("xyzzy", all),
        ("xyzzy -h", all),
    ] {
        let wrong = args.split(' ').next().unwrap();
        expect_advice("", &[(args, &format!("unrecognized subcommand '{wrong}'"), advice)]);
    }
    expect_advice("help", &[("xyzzy", "unrecognized subcommand 'xyzzy'", all)]);
    assert_eq!(refused(&[""]), format!("unrecognized subcommand ''; {all}"));
    let none = "'resound' requires a subcommand but one was not provided \
                [subcommands: serve, connect, ping, load, check, zoo, trace, completions, man, help]";
    assert_eq!(refused(&["-v"]), none);
    let both = "write resound serve --listen 127.0.0.1:7107, or resound connect 127.0.0.1:7107";
    expect_unknown(
        "",
        &[
            ("--port 7107", both),
            ("--verison", "a similar argument exists: '--version'"),
            ("--listen localhost:7", "that is an option of serve"),
            ("--listen localhost:7 serve", "that is an option of serve"),
            ("-c 5 ping", "that is an option of ping and load"),
        ],
    );
}

#[test]
fn contradictions_and_missing_values_are_refused() {
    for (args, line) in [
        ("serve -q -v", "the argument '--quiet' cannot be used with '--verbose...'"),
        // Failed when only options on the same side of the command were compared.
        ("-q serve -v", "the argument '--quiet' cannot be used with '--verbose...'"),
        ("-v serve -q", "the argument '--quiet' cannot be used with '--verbose...'"),
        ("serve --listen", "a value is required for '--listen <ADDR>' but none was supplied"),
        ("serve --once=1", "unexpected value '1' for '--once' found; no more were expected"),
        ("connect", "the following required arguments were not provided: <ADDR>"),
        (
            "load --spin 1ms a:1",
            "the following required arguments were not provided: --rate <RATE>",
        ),
    ] {
        assert_eq!(refused(&args.split(' ').collect::<Vec<_>>()), line, "{args}");
    }
    for command in COMMANDS {
        let said = refused(&[command, "--log-level", ""]);
        let line = "invalid value '' for '--log-level <LEVEL>': write off, error, warn, info, debug or trace";
        assert_eq!(said, line);
    }
}

/// Failed when a repeated option was refused. --listen keeps each value.
#[test]
fn the_last_value_of_a_repeated_option_counts() {
    let count = "invalid value 'x' for '--count <COUNT>': write a whole number, such as 500 or 10k (1k is 1000)";
    assert_eq!(refused(&["ping", "-c", "1", "--count", "x"]), count);
    let output = resound(&[
        "ping",
        "-q",
        "-q",
        "-c",
        "1",
        "-c",
        "2",
        "-W",
        "1s",
        "-W",
        "2s",
        "unix:/no/such",
    ]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let both = ["serve", "--once", "--once", "-l", "unix:/no/such/1", "-l", "unix:/no/such/2"];
    let output = resound(&both);
    // The server binds the first address first, and fails.
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("unix:/no/such/1"), "{said}");
}

/// Every option of every command, as its help lists it.
fn options(command: &str) -> Vec<String> {
    let help = String::from_utf8(resound(&[command, "--help"]).stdout).unwrap();
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let names = lines.flat_map(|line| line.split([',', ' ']).filter(|word| word.starts_with('-')));
    let names: Vec<_> = names.map(|name| name.trim_end_matches('.').to_string()).collect();
    assert!(names.len() > 8, "{help}");
    names
}

/// Failed with a panic (exit code 101) in many places. A report can have such a name, so the clients run in a temporary
/// directory, and towards a server that does not exist.
#[test]
fn no_argument_that_is_not_utf_8_causes_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = |text: &[u8]| OsString::from_vec(text.to_vec());
    let mut tried = 0;
    let mut check = |args: &[OsString]| {
        tried += 1;
        let output = finish(command(args).current_dir(&dir));
        let said = String::from_utf8(output.stderr).unwrap();
        // Help and version come before the fault.
        let is_fine = output.status.code() == Some(0);
        let is_refused = matches!(output.status.code(), Some(1 | 2)) && said.lines().count() == 1;
        assert!(is_fine || is_refused, "{args:?}: {} {said}", output.status);
    };
    for arg in [&b"\xff"[..], b"-\xff", b"--\xff", b"serve\xff"] {
        check(&[bytes(arg)]);
        check(&["help".into(), bytes(arg)]);
        for command in COMMANDS {
            check(&[command.into(), bytes(arg)]);
            check(&[command.into(), "unix:/no/such".into(), bytes(arg)]);
        }
    }
    for command in COMMANDS {
        for option in options(command) {
            let joined = if option.starts_with("--") { "=" } else { "" };
            let value = [option.as_bytes(), joined.as_bytes(), b"caf\xe9"].concat();
            check(&[command.into(), "unix:/no/such".into(), bytes(&value)]);
            check(&[command.into(), "unix:/no/such".into(), option.into(), bytes(b"caf\xe9")]);
        }
    }
    assert!(tried > 100, "{tried}");
    assert_eq!(
        refused(&[bytes(b"ping"), bytes(b"-c"), bytes(b"\xff\n")]),
        "invalid UTF-8 was detected in one or more arguments"
    );
}

#[test]
fn a_unix_socket_can_have_a_name_that_is_not_utf_8() {
    let dir = tempfile::tempdir().unwrap();
    let name = OsStr::from_bytes(b"caf\xe9.sock");
    let listener = std::os::unix::net::UnixListener::bind(dir.path().join(name)).unwrap();
    // The client sends nothing, so a server that closes has echoed all.
    std::thread::spawn(move || drop(listener.accept()));
    let args = [OsStr::new("connect"), OsStr::from_bytes(b"unix:caf\xe9.sock")];
    let output = finish(command(&args).current_dir(&dir));
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
}

/// Failed when clap quoted such characters as they were, or left them out, and when they broke the line.
#[test]
fn quoted_arguments_are_escaped_and_cut() {
    let hostile = "\u{1b}[31mx\r\n\u{202e}";
    let shown = "\\u{1b}[31mx\\r\\n\\u{202e}";
    let long = "y".repeat(100_000);
    for command in COMMANDS {
        for (arg, shown) in [(hostile, shown), (&*long, "yyyy…")] {
            assert!(refused(&[arg, command]).contains(shown));
            assert!(refused(&["help", arg]).contains(shown));
            assert!(refused(&[command, "--log-level", arg]).contains(shown));
            assert!(refused(&[command, &format!("--{arg}")]).contains(shown));
            assert!(refused(&[command, arg]).contains(shown));
        }
    }
    assert!(refused(&["connect", &"1".repeat(100_000)]).contains("111…"));
    assert!(refused(&["connect", "-W", &"1.1".repeat(30_000)]).contains("1.1…"));
    assert!(refused(&["connect", "localhost", &"7".repeat(9)]).len() < 200);
    // Errors of a run are cut too, but not their reason.
    let output = resound(&["connect", &format!("{long}:7")]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.lines().count() == 1, "{said}");
    assert!(said.len() < 1200 && said.ends_with("host's IP address\n"), "{said}");
}

/// Failed when the exit code was 0 and there was no error.
#[test]
fn help_that_cannot_be_written_is_an_error() {
    for args in [
        &["--help"][..],
        &["-h"],
        &["--version"],
        &["help", "load"],
        &["serve", "-V"],
        &["ping", "--help"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let into_full = finish(command(args).stdout(full));
        let said = String::from_utf8(into_full.stderr).unwrap();
        assert_eq!(into_full.status.code(), Some(1), "{args:?}");
        assert_eq!(said, "resound: cannot write to standard output: no space left on device\n");

        // If its reader leaves, SIGPIPE ends it, as other filters.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let unread = finish(command(args).stdout(writer));
        assert!(unread.stderr.is_empty(), "{unread:?}");
        assert_eq!(unread.status.signal(), Some(13), "{unread:?}");
    }
}

/// No line is longer than the terminal is wide.
#[test]
fn help_fits_the_terminal() {
    for width in [60, 80] {
        for command in COMMANDS {
            for flag in ["-h", "--help"] {
                let mut resound = self::command(&[command, flag]);
                let output = finish(resound.env("COLUMNS", width.to_string()));
                let help = String::from_utf8(output.stdout).unwrap();
                let longest = help.lines().max_by_key(|line| line.chars().count()).unwrap();
                assert!(longest.chars().count() <= width, "{command} {flag} at {width}: {longest}");
            }
        }
    }
}

/// Failed when the short help of serve was as long as the other.
#[test]
fn the_short_help_of_serve_has_one_line_for_each_option() {
    let short = finish(command(&["serve", "-h"]).env("COLUMNS", "80"));
    let short = String::from_utf8(short.stdout).unwrap();
    let lines = short.lines().filter(|line| line.starts_with("  ")).count();
    let options = short.lines().filter(|line| line.trim_start().starts_with('-')).count();
    assert!(options >= 17 && lines == options, "{short}");
}

/// Failed when no help mentioned them.
#[test]
fn the_help_of_serve_mentions_the_second_signal_and_dropped_log_lines() {
    let help = String::from_utf8(resound(&["serve", "--help"]).stdout).unwrap();
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("A second signal stops it at once"), "{help}");
    assert!(words.contains("drops log lines, and later logs how many"), "{help}");
}
