# Shortcuts for common tasks. CONTRIBUTING.md explains each; .ci/run does all that must hold before a change lands.

# So that an argument with a space stays one.
set positional-arguments

# Check the format, the lints of both builds, and the tests.
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    cargo clippy --test real --bench cost -- -D warnings
    cargo clippy --no-default-features --all-targets -- -D warnings
    cargo clippy -p resound-zoo -p resound-guide --all-targets -- -D warnings
    cargo clippy -p resound-playground --lib --tests --examples -- -D warnings
    cargo test
    cargo test -p resound-playground

# Run `cost`, and the tests that need strace, valgrind, nc, socat and ncat.
real:
    ./ci/real

# Build the servers to compare with, and test that they echo. Installs what is missing.
peers:
    ./ci/peers

# Make the page of the playground anew, after a change of src/conn.rs or of playground/. Needs Debian 12 and lld-19.
playground:
    ./playground/build

# Compare all servers, into docs/benchmarks.md. For a quick look: `just compare --rounds 1 --sizes 64`.
compare *options:
    ./ci/compare "$@"

# Run all benches, or one: `just bench echo`.
bench *filter:
    cargo bench --benches -- "$@"

# Count instructions, and fail if there are more than the limits. Needs valgrind and gungraun-runner (see ci/real).
cost:
    cargo bench --bench cost

# Simulate runs with new seeds for a while: `just soak 10m`.
soak time="60s":
    RESOUND_SOAK={{time}} cargo test --test sim the_simulated

# Find changes that no test notices (docs/mutants.md), for an hour, or in one part: `just mutants -F reactor`.
mutants *args:
    cargo mutants "$@" -- --lib --test sim || cargo mutants --iterate "$@"

# Fuzz one target (addr, conn, http, proxy or units) for this number of seconds.
fuzz target seconds="60":
    ./ci/fuzz {{seconds}} {{target}}

# Show the lines of each file that `cargo test` does not run.
coverage:
    ./ci/coverage

# Check the licences and sources of dependencies.
deny:
    cargo deny check licenses bans sources

# Check all that must hold before a change lands.
ci:
    .ci/run
