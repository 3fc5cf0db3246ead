# What people do here; .ci/run does the same and more.

# Format, lint, test.
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    cargo clippy --test real --bench cost -- -D warnings
    cargo test

# The tests that need strace, valgrind, nc, socat and ncat, and `cost`.
real:
    ./ci/real

# The servers to compare with: installs what is missing, builds them, tests that they echo.
peers:
    ./ci/peers

# All servers beside each other, into docs/benchmarks.md; `just compare --rounds 1 --sizes 64` for a look.
compare *options:
    ./ci/compare {{options}}

# All benches; `just bench echo` for one.
bench *filter:
    cargo bench --benches -- {{filter}}

# Counts instructions, and fails where there are more than the limits. Needs valgrind and gungraun-runner, which
# ci/real installs.
cost:
    cargo bench --bench cost

# Simulated runs with fresh seeds, for as long as asked: `just soak 10m`.
soak time="60s":
    RESOUND_SOAK={{time}} cargo test --test sim the_simulated

# What no test would notice, docs/mutants.md: an hour; `just mutants -F reactor` for a part. Needs cargo-mutants.
mutants *args:
    cargo mutants {{args}} -- --lib --test sim || cargo mutants --iterate {{args}}

# One fuzz target, addr, conn or units, for so many seconds.
fuzz target seconds="60":
    ./ci/fuzz {{seconds}} {{target}}

# The lines that `cargo test` runs through, file by file, and those that it does not.
coverage:
    ./ci/coverage

# Licences, bans, sources.
deny:
    cargo deny check licenses bans sources

# Everything that must hold before a change lands.
ci:
    .ci/run
