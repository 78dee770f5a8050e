#!/bin/sh
# Measures the figures of docs/performance.md and prints them as a table.
# Arguments go to the program: "scripts/bench.sh -markdown rule wire", or -help.
# A missed figure is no failure; one that could not be measured is.
set -eu
cd "$(dirname "$0")/.."
: "${GO:=$(command -v go || echo /usr/local/go/bin/go)}"
PATH="$(dirname "$GO"):$PATH"
CGO_ENABLED=0
export PATH CGO_ENABLED
[ -x bin/neutrino ] || make build
"$GO" build -trimpath -o bin/bench ./lab/bench
# In place of the shell, so that an interrupt reaches what has to clean up.
exec bin/bench -binary bin/neutrino "$@"
