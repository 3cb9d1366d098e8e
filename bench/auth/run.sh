#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ./dev bench auth: what knowing the caller costs: the check itself, requests with and without it, validations, password logins, client-credential grants, memory.
# Variables: ROUNDS (3), SECONDS_EACH (3).
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
. tools/packages.sh
need wrk
ninja -C build/release --quiet bench/auth/auth_check
exec /usr/bin/python3 bench/auth/bench.py
