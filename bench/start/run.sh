#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ./dev bench start: time from exec to the first prediction, and resident memory. Variable: STARTS (20).
set -euo pipefail
cd "$(dirname "$0")/../.."
. tools/packages.sh
need uvicorn python3-fastapi python3-xgboost python3-sklearn
exec /usr/bin/python3 bench/start/bench.py
