#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What finding a route costs, by the number of routes.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

build=build/release
[ -f "$build/build.ninja" ] || meson setup "$build" >/dev/null
ninja -C "$build" --quiet bench/match/bench_match
echo "$(uname -m), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg)"
"$build/bench/match/bench_match"
