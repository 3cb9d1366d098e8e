#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ./dev bench forest: one row and many rows next to the engines of the libraries and to compilers of trees.
# Options: bench.py --help. The peers live in a virtual environment of their own, build/bench/venv.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
. tools/packages.sh
need python3-venv gcc libc6-dev

venv=build/bench/venv
wanted=bench/forest/requirements.txt
newest_xgboost=xgboost-cpu==3.4.1
# Each group is what one or several peers need; one that cannot be had leaves the others alone and is tried again
# some hours later.
groups=("numpy" "lightgbm" "xgboost-cpu" "onnxruntime" "onnx skl2onnx onnxmltools" "treelite tl2cgen" "lleaves llvmlite" "catboost" "scikit-learn")
install_peers() {
	local group done
	if ! cmp -s "$wanted" "$venv/requirements.txt"; then
		rm -rf "$venv"
		mkdir -p build/bench
		/usr/bin/python3 -m venv "$venv" || { say "bench: no virtual environment, so no peers"; return 0; }
		cp "$wanted" "$venv/requirements.txt"
	fi
	for group in "${groups[@]}"; do
		done="$venv/has-${group%% *}"
		[ -e "$done" ] && continue
		# All others need numpy: without it the package index is out of reach.
		[ -n "$(find "$venv/not-numpy" -mmin -300 2>/dev/null)" ] && return 0
		[ -n "$(find "$venv/not-${group%% *}" -mmin -300 2>/dev/null)" ] && continue
		say "bench: installing $group into $venv"
		# shellcheck disable=SC2086
		if "$venv/bin/pip" install -q --disable-pip-version-check --retries 1 --timeout 20 --only-binary :all: -c "$wanted" $group >"$venv/log" 2>&1; then
			touch "$done"
		else
			mv "$venv/log" "$venv/not-${group%% *}"
			say "bench: not to be had: $group: $(grep -m 1 ERROR "$venv/not-${group%% *}")"
		fi
	done
	# The newest XGBoost wants a newer Python than Debian's, but its library does not: it alone is measured.
	if [ ! -e "$venv/newest" ]; then
		say "bench: fetching the library of $newest_xgboost"
		"$venv/bin/pip" install -q --disable-pip-version-check --retries 1 --timeout 20 --only-binary :all: --no-deps --ignore-requires-python \
			--target "$venv/newest" "$newest_xgboost" >/dev/null 2>&1 || say "bench: not to be had: $newest_xgboost"
		mkdir -p "$venv/newest"
	fi
}
install_peers
ninja -C build/release --quiet bench/forest/bench_forest >/dev/null
exec /usr/bin/python3 bench/forest/bench.py "$@"
