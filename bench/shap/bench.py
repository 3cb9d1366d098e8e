# SPDX-License-Identifier: Apache-2.0
"""Contributions (TreeSHAP) of a model, one thread: Mainstay next to the library that made the model, on the same rows."""
import os
import pathlib
import subprocess
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402
from common import FOLDER, ROOT, machine  # noqa: E402

PROGRAM = ROOT / "build/release/bench/shap/bench_shap"
ROWS, PEER_ROWS, FEATURES, PASSES = 500, 100, 30, 5


def table():
    random = np.random.default_rng(1)
    rows = random.normal(size=(20000, FEATURES))
    target = 2 * rows[:, 0] + np.sin(3 * rows[:, 1]) * rows[:, 2] + (rows[:, 3] > 0) * rows[:, 4] + 0.3 * random.normal(size=len(rows))
    rows[random.random(rows.shape) < 0.05] = np.nan
    return rows, target


def best(call):
    """The shortest of several passes, in µs of processor time a row."""
    times = []
    for _ in range(PASSES):
        start = time.process_time()
        answer = call()
        times.append((time.process_time() - start) / PEER_ROWS * 1e6)
    return min(times), np.asarray(answer).reshape(PEER_ROWS, -1)


def lightgbm_peer(path, rows, target):
    import lightgbm
    if not path.exists():
        data = lightgbm.Dataset(rows, target)
        lightgbm.train({"num_leaves": 31, "learning_rate": 0.05, "verbose": -1, "seed": 1}, data, 1000).save_model(path)
    booster = lightgbm.Booster(model_file=path)
    return best(lambda: booster.predict(rows[:PEER_ROWS], pred_contrib=True, num_threads=1))


def xgboost_peer(path, rows, target):
    import xgboost
    if not path.exists():
        xgboost.train({"max_depth": 6, "eta": 0.05, "seed": 1}, xgboost.DMatrix(rows, target), 500).save_model(path)
    booster = xgboost.Booster({"nthread": 1}, model_file=str(path))
    data = xgboost.DMatrix(rows[:PEER_ROWS], nthread=1)
    return best(lambda: booster.predict(data, pred_contribs=True))


def ours(path, rows):
    given, answer = FOLDER / "shap-rows.bin", FOLDER / "shap-values.bin"
    rows[:ROWS].tofile(given)
    done = subprocess.run([PROGRAM, path, given, answer, str(PASSES)], capture_output=True, text=True, check=True)
    words = done.stdout.split()
    figures = dict(zip(words[::2], map(float, words[1::2])))
    return figures, np.fromfile(answer).reshape(ROWS, -1)[:PEER_ROWS]


def run(name, peer, path, rows, target):
    try:
        peer_us, theirs = peer(path, rows, target)
    except ImportError as missing:
        print(f"{name}: left out, {missing}")
        return
    figures, values = ours(path, rows)
    distance = np.max(np.abs(values - theirs) / np.max(np.abs(theirs), axis=1, keepdims=True))
    batch, alone = figures["batch_us"], figures["alone_us"]
    print(f"{name:<28} {alone:>9.1f} {batch:>10.1f} {peer_us:>10.1f} {peer_us / alone:>9.1f} {peer_us / batch:>9.1f} {distance:>12.1e}"
          f"   estimate {figures['estimate_us']:.0f} µs, memory {figures['memory_mb']:.2f} MB,"
          f" load {figures['file_mb'] / figures['load_ms'] * 1e3:.0f} MB/s")


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows, target = table()
    print(machine() + "; processor time, so that other programs disturb less")
    print(f"{'µs per row, one thread':<28} {'1 row':>9} {f'{ROWS} rows':>10} {'library':>10} {'ratio 1':>9} {f'ratio {ROWS}':>9} {'difference':>12}")
    run("LightGBM, 1000 x 31 leaves", lightgbm_peer, FOLDER / "shap-lightgbm.txt", rows, target)
    run("XGBoost, 500 x depth 6", xgboost_peer, FOLDER / "shap-xgboost.json", rows, target)


if __name__ == "__main__":
    main()
