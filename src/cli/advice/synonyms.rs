//! What other programs call commands and options that this one has under another name, or has not.

/// What is meant, and what others call it.
const COMMANDS: [(&str, &str); 6] = [
    ("serve", "server listen listener daemon start run srv echod"),
    ("connect", "client talk nc telnet open dial conn send"),
    ("ping", "latency rtt pong delay"),
    ("load", "bench benchmark stress flood perf loadtest blast test"),
    ("serve to echo, or resound connect to try an echo server", "echo"),
    ("--version", "version ver"),
];

const HOST_OPTIONS: &str = "--host --hostname --bind --address --addr --ip --interface --server \
                            --target --connect --url -H -b -a";
const PORT_OPTIONS: &str = "--port --listen-port -p";

/// Of these commands, these options, and what to write instead.
const OPTIONS: [(&str, &str, &str); 16] = [
    ("serve", "--timeout -W -w -t", "write --idle-timeout or --stall-timeout"),
    (
        "serve",
        "--daemon --background --detach -d -D",
        "it stays in the foreground; a service manager, or & in a shell, puts it in the background",
    ),
    ("serve", "-k --keep-open --fork", "leave it out, since many connections are served at once"),
    ("serve", "-c --connections --max-conns --max-clients", "write --max-connections"),
    ("serve", "--unix -U --socket", "write --listen unix:PATH"),
    ("connect ping load", "--unix -U --socket", "write the server as unix:PATH"),
    (
        "connect",
        "-m --message --data --send",
        "what to send comes from standard input, as in: echo hello | resound connect 127.0.0.1:7007",
    ),
    (
        "load",
        "-t --threads --thread --workers",
        "it runs on one thread; write -c for connections, or -d for a time",
    ),
    ("load", "-z --time --seconds", "write -d, --duration"),
    ("load", "--requests --messages --number --iterations", "write -n, --count"),
    ("load", "-C -P --concurrency --clients --conns --parallel", "write -c, --connections"),
    ("load", "-R --rps --qps --throughput", "write -r, --rate"),
    ("load ping", "-l --length --bytes --payload --len", "write -s, --size"),
    ("ping", "-n --number --messages", "write -c, --count"),
    (
        "serve connect ping load",
        "-u --udp --tls --ssl",
        "resound speaks plain TCP and Unix sockets",
    ),
    (
        "serve connect ping load",
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
