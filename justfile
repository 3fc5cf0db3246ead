# What people do here; .ci/run does the same and more.

# Format, lint, test.
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    cargo clippy --test real -- -D warnings
    cargo test

# The tests that need strace, valgrind, nc, socat and ncat.
real:
    ./ci/real

# The servers to compare with: installs what is missing, builds them, tests that they echo.
peers:
    ./ci/peers

# All benches; `just bench echo` for one.
bench *filter:
    cargo bench --benches -- {{filter}}

# Simulated runs with fresh seeds, for as long as asked: `just soak 10m`.
soak time="60s":
    RESOUND_SOAK={{time}} cargo test --test sim the_simulated

# Licences, bans, sources.
deny:
    cargo deny check licenses bans sources

# Everything that must hold before a change lands.
ci:
    .ci/run
