# One word per habit. Everything here also works typed out.

# What can be run.
default:
    @just --list --justfile {{justfile()}}

# All checks, as before a merge.
test *arguments:
    tests/run {{arguments}}

# All checks but the slow supply chain one.
quick:
    tests/run --quick

# The real binary through real sockets; a name narrows it down.
integration name="":
    cargo test -p portico --test integration -- {{name}}

# A working entrance with example backends.
demo:
    cargo run --release -- demo

# The format that `tests/run` asks for.
format:
    cargo fmt --all
