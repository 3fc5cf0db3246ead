//! Commands and options that other programs have under another name.

/// A command, and what other programs call it.
const COMMANDS: [(&str, &str); 5] = [
    ("serve", "server listen listener daemon start run"),
    ("connect", "client talk nc telnet open send"),
    ("ping", "latency rtt"),
    ("load", "bench benchmark stress flood perf test"),
    (TO_ECHO, "echo"),
];

const TO_ECHO: &str = match cfg!(feature = "clients") {
    true => "serve to echo, or resound connect to try an echo server",
    false => "serve",
};

const HOST_OPTIONS: &str = "--host --bind --address --addr --ip --server --target -H -b -a";
const PORT_OPTIONS: &str = "--port -p";

const ALL: &str = "serve connect ping load";
const CLIENTS: &str = "connect ping load";

/// Commands, options that other programs have for the same, and what to write instead.
const OPTIONS: [(&str, &str, &str); 16] = [
    ("serve", "--timeout -W -w -t", "write --idle-timeout or --stall-timeout"),
    (
        "serve",
        "--daemon --background --detach -d -D",
        "it stays in the foreground; a service manager, or & in a shell, puts it in the background",
    ),
    ("serve", "-c --connections --max-conns --max-clients", "write --max-connections"),
    ("serve", "--unix -U --socket", "write --listen unix:PATH"),
    (CLIENTS, "--unix -U --socket", "write the server as unix:PATH"),
    (
        "connect",
        "-m --message --data --send",
        "what to send comes from standard input, as in: echo hello | resound connect 127.0.0.1:7007",
    ),
    (
        "load",
        "-t --threads --workers",
        "it runs on one thread; write -c for connections, or -d for a time",
    ),
    ("load", "-C -P --concurrency --clients --parallel", "write -c, --connections"),
    ("load", "-R --rps --qps", "write -r, --rate"),
    ("ping", "-n --number", "write -c, --count"),
    ("serve", "-u --udp", "write udp: before the address, such as --listen udp:127.0.0.1:7007"),
    ("ping", "-u --udp", "write udp: before the address, such as udp:127.0.0.1:7007"),
    ("load", "-u --udp", "write udp: before the address, such as udp:127.0.0.1:7007"),
    (
        "connect",
        "-u --udp",
        "it speaks TCP and Unix sockets; resound ping and resound load speak UDP",
    ),
    (ALL, "--tls --ssl", "resound speaks plain TCP, UDP and Unix sockets"),
    (
        ALL,
        "-4 -6 --ipv4 --ipv6",
        "write an address of that kind, such as 127.0.0.1:7007 or [::1]:7007",
    ),
];

fn is_among(word: &str, words: &str) -> bool {
    words.split(' ').any(|one| one == word)
}

/// The command that `word` is another name for.
pub(super) fn command(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let is_meant = |(name, others): &&(&str, &str)| word == *name || is_among(&word, others);
    COMMANDS.iter().find(is_meant).map(|(name, _)| *name)
}

/// Whether a command is a client.
pub(super) fn is_client(command: &str) -> bool {
    is_among(command, CLIENTS)
}

/// What to write instead of an option that this command does not have.
pub(super) fn option(command: &str, option: &str) -> Option<&'static str> {
    let is_meant = |(commands, options, _): &&(&str, &str, &str)| {
        is_among(command, commands) && is_among(option, options)
    };
    OPTIONS.iter().find(is_meant).map(|(_, _, advice)| *advice)
}

/// Whether other programs take a host by this option.
pub(super) fn is_host(option: &str) -> bool {
    is_among(option, HOST_OPTIONS)
}

/// Whether other programs take a port by this option.
pub(super) fn is_port(option: &str) -> bool {
    is_among(option, PORT_OPTIONS)
}
