#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ./dev bench scheduler [TASKS [SEED]]: completion times of the ordering policies in a simulated queue.
set -euo pipefail
cd "$(dirname "$0")/../.."
ninja -C build/release bench/scheduler_simulate >/dev/null
exec build/release/bench/scheduler_simulate "$@"
