# SPDX-License-Identifier: Apache-2.0
"""Peers without a C interface in their wheel, behind the same commands as driver.c. Arguments: ENGINE - MODEL ROWS FEATURES SCORES.

One row at a time they are mostly Python; for many rows what they read is made before the clock starts.
"""
import sys
import time

import numpy as np

SINGLE_ROWS = 1000


class Catboost:
    type = "double"

    def __init__(self, model, rows):
        import catboost
        self.model = catboost.CatBoost()
        self.model.load_model(model)
        self.rows = [catboost.Pool(rows[i:i + 1]) for i in range(min(len(rows), SINGLE_ROWS))]
        self.all = catboost.Pool(rows)

    def one(self, row):
        return self.model.predict(self.rows[row], prediction_type="RawFormulaVal", thread_count=1)

    def many(self):
        return self.model.predict(self.all, prediction_type="RawFormulaVal", thread_count=1)


class Sklearn:
    type = "double"

    def __init__(self, model, rows):
        import joblib
        self.model = joblib.load(model)
        self.model.n_jobs = 1
        self.all = rows

    def one(self, row):
        return self.model.predict(self.all[row:row + 1])

    def many(self):
        return self.model.predict(self.all)


def times(call, clock, seconds, warm=0.0):
    """Nanoseconds of each call, for so many seconds after so many of warming up."""
    taken = []
    begin = time.perf_counter()
    while True:
        before = clock()
        call()
        after = clock()
        now = time.perf_counter() - begin
        if now >= warm:
            taken.append(after - before)
        if now >= warm + seconds and taken:
            return sorted(taken)


def main():
    name, _, model, rows_file, features, scores = sys.argv[1:]
    rows = np.fromfile(rows_file).reshape(-1, int(features)).astype(np.float32)
    start = time.perf_counter_ns()
    engine = globals()[name.capitalize()](model, rows)
    load = time.perf_counter_ns() - start
    single = min(len(rows), SINGLE_ROWS)
    ones = [np.ravel(engine.one(i))[0] for i in range(min(single, 100))]
    many = np.ravel(engine.many())
    np.concatenate([many, ones, many[len(ones):single]]).astype(np.float64).tofile(scores)
    print("ready", load, engine.type, ";", flush=True)
    row = 0

    def next_row():
        nonlocal row
        engine.one(row)
        row = (row + 1) % single

    for line in sys.stdin:
        command, ms = line.split()
        if command == "one":
            taken = times(next_row, time.perf_counter_ns, float(ms) / 1e3, float(ms) / 5e3)
        else:
            taken = times(engine.many, time.process_time_ns, float(ms) / 1e3)
        per = 1 if command == "one" else len(rows)
        print(len(taken), taken[len(taken) // 2] / per, taken[int(len(taken) * 0.99)] / per, flush=True)


if __name__ == "__main__":
    try:
        main()
    except (ImportError, OSError, ValueError) as error:
        print("error", error, flush=True)
        sys.exit(1)
