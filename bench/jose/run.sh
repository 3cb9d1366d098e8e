#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tokens verified and signed, next to OpenSSL's own figures for the signature.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

build=build/release
[ -f "$build/build.ninja" ] || meson setup "$build" >/dev/null
ninja -C "$build" --quiet bench/jose/bench_jose
echo "$(uname -m), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(openssl version), $(cc --version | head -1)"
exec "$build/bench/jose/bench_jose"
