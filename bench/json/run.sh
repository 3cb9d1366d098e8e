#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# JSON speed next to simdjson and jansson. Missing peers are left out and named.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

build=build/release
for peer in jansson simdjson; do
	pkg-config --exists "$peer" || echo "not installed, left out: $peer (Debian: lib$peer-dev)"
done
if [ -f "$build/build.ninja" ]; then
	meson setup --reconfigure "$build" >/dev/null # a peer may have come since
else
	meson setup "$build" >/dev/null
fi
ninja -C "$build" --quiet bench/json/bench_json
echo "$(uname -m), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(cc --version | head -1)"
exec "$build/bench/json/bench_json" "$@"
