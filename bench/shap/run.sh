#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ./dev bench shap: contributions per row next to LightGBM and XGBoost. PYTHON names an interpreter that has them and numpy.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
ninja -C build/release --quiet bench/shap/bench_shap
exec "${PYTHON:-/usr/bin/python3}" bench/shap/bench.py
