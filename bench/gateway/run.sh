#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ./dev bench gateway: nginx, HAProxy and Mainstay as proxies, plain, with a rate limit, with JWT and rate limit.
# Variables: ROUNDS (5), SECONDS_EACH (3), CONNECTIONS (16).
set -euo pipefail
cd "$(dirname "$0")/../.."
. tools/packages.sh
need nginx-light haproxy wrk python3-jwt
exec /usr/bin/python3 bench/gateway/bench.py
