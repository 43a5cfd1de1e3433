#!/bin/sh
# Rewrites the requirement locks from pyproject.toml. Needs `uv`; keeps hashes, names no download address.
set -eu
cd "$(dirname "$0")/.."
for lock in "requirements.lock" "requirements-streams.lock --extra kafka --extra java --extra spark" \
    "requirements-compare.lock --extra kafka --extra java --extra spark --extra compare" \
    "requirements-dev.lock --extra dev"; do
    # shellcheck disable=SC2086
    uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --quiet --no-header \
        --no-annotate --extra build -o $lock
done
