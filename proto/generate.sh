#!/bin/sh
# Regenerates proto/gen from the contracts. A test compares the result with what is committed.
set -eu
cd "$(dirname "$0")"
out=${1:-gen}
mkdir -p "$out"
python -m grpc_tools.protoc -I. --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" $(find liandong -name '*.proto' | sort)
