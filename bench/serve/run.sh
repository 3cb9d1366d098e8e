#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ./dev bench serve: requests per second next to nginx answering a constant and to a FastAPI server.
# Variables: ROUNDS (5), SECONDS_EACH (3), CONNECTIONS ("16 64").
set -euo pipefail
cd "$(dirname "$0")/../.."
. tools/packages.sh
need nginx-light wrk uvicorn python3-fastapi python3-xgboost python3-sklearn
exec /usr/bin/python3 bench/serve/bench.py
