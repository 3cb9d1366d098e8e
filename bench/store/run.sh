#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ./dev bench store: acknowledged writes per second on both databases, beside their libraries alone. Variables: SECONDS_EACH (2), of each of three rounds,
# FOLDER (of the SQLite file; a temporary one). PostgreSQL is started in a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tools/packages.sh
need postgresql
meson setup --reconfigure build/release >/dev/null
ninja -C build/release --quiet bench/store/bench_store >/dev/null
seconds=${SECONDS_EACH:-2}
folder=$(mktemp -d "${FOLDER:-${TMPDIR:-/tmp}}/mainstay-bench-XXXXXX")
trap 'rm -rf "$folder"' EXIT
echo "$(uname -m), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg), $(df --output=fstype "$folder" | tail -1)"
build/release/bench/store/bench_store "sqlite:$folder/bench.db" "$seconds"
coproc SERVER { tests/lib/postgres; }
echo database >&"${SERVER[1]}"
read -r url <&"${SERVER[0]}"
build/release/bench/store/bench_store "$url" "$seconds"
