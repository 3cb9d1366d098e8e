#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Operations on the cache: in memory, and on a Redis server of its own, next to redis-benchmark on the same one.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

build=build/release
[ -f "$build/build.ninja" ] || meson setup "$build" >/dev/null
ninja -C "$build" --quiet bench/cache/bench_cache
echo "$(uname -m), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg)"
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
if command -v redis-server >/dev/null; then
	redis-server --port 0 --unixsocket "$folder/socket" --save "" --appendonly no --dir "$folder" --logfile "$folder/log" &
	server=$!
	for _ in $(seq 100); do
		[ ! -S "$folder/socket" ] || break
		sleep 0.05
	done
	"$build/bench/cache/bench_cache" "unix://$folder/socket"
	for pipeline in 1 64; do
		echo "redis-benchmark, 1 connection, pipeline of $pipeline: $(redis-benchmark -s "$folder/socket" -c 1 -P "$pipeline" -n $((pipeline * 5000 + 20000)) -t get --csv | sed -n 's/^"GET","\([0-9.]*\)".*/\1 GET a second/p')"
	done
else
	echo "no redis-server here: memory alone"
	"$build/bench/cache/bench_cache"
fi
