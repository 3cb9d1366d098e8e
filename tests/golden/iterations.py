#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records what the libraries answer with a part of the iterations, and LightGBM's sums that end early, for some rows of the golden files.

  iterations.py                asks the libraries for every case of CASES and writes iterations.txt beside golden.txt
  iterations.py --only NAME    the cases whose folder name starts with NAME
  iterations.py --check        walks the committed models by hand (needs numpy alone)

The model files stay as they are. CatBoost is asked with the trained model, since its reader of JSON rounds wrongly: the case
is trained again, and its file must come out as the committed one.
"""

import argparse
import base64
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import goldenfile
import record
import walk

HERE = Path(__file__).resolve().parent
MAGIC = "mainstay-iterations 1"
ROWS = 24

CASES = """
lightgbm2-regression lightgbm3-rf lightgbm4-binary lightgbm4-binary-sigmoid lightgbm4-categorical lightgbm4-constant-average
lightgbm4-dart lightgbm4-dart-multiclass lightgbm4-deep lightgbm4-linear lightgbm4-multiclass lightgbm4-multiclass-gap
lightgbm4-multiclassova lightgbm4-num-iteration lightgbm4-rf lightgbm4-rf-binary lightgbm4-rf-multiclass lightgbm4-stumps
xgboost1-boosted-forest xgboost1-early-stopping xgboost1.2-base-score-zero xgboost1.2-dart xgboost2-boosted-forest
xgboost3-boosted-forest xgboost3-dart xgboost3-dart-forest xgboost3-dart-multiclass xgboost3-early-stopping
xgboost3-gblinear xgboost3-logistic xgboost3-multi-target xgboost3-quantileerror xgboost3-random-forest xgboost3-slice
xgboost3-softmax xgboost3-softprob xgboost3-squarederror xgboost3-stumps xgboost3-ubjson-dart xgboost3-ubjson-vector-leaf
xgboost3-vector-leaf xgboost3-vector-leaf-forest xgboost3-vector-leaf-multiclass
catboost1-early-stopping catboost1-logloss catboost1-lossguide catboost1-lossguide-multiclass catboost1-model-shrink
catboost1-multiclass catboost1-multirmse catboost1-one-hot catboost1-poisson catboost1-rmse catboost1-rmse-no-bias
catboost1-rmsewithuncertainty catboost1-scale-bias
""".split()

# Models whose sums LightGBM ends early.
STOPPING = """
lightgbm4-binary lightgbm4-binary-sigmoid lightgbm4-dart-multiclass lightgbm4-multiclass lightgbm4-multiclass-gap
lightgbm4-multiclassova lightgbm4-num-iteration
""".split()

# Models without iterations: a part of what we say then.
ABSENT = {"xgboost3-gblinear": "no iterations of boosting"}


@dataclass
class Query:
    output: str  # raw, or pred as golden.txt has it
    iterations: int = 0  # 0: all
    margin: float = 0.0
    every: int = 0
    best: bool = False  # asked for as the best iterations

    def line(self):
        iterations = "best" if self.best else self.iterations
        return f"query {self.output} {iterations} {goldenfile.format_number(self.margin)} {self.every}"


# --- Asking the libraries ------------------------------------------------------------------------------------


class LightGBM:
    def __init__(self, name, path, form, features):
        import lightgbm

        self.booster = lightgbm.Booster(model_file=str(path))
        self.rows = np.array(features, dtype=np.float64)
        self.total, self.best = self.booster.current_iteration(), None

    def ask(self, query):
        more = {}
        if query.margin > 0:
            more = dict(pred_early_stop=True, pred_early_stop_freq=query.every, pred_early_stop_margin=query.margin)
        iterations = query.iterations or None
        return self.booster.predict(self.rows, raw_score=query.output == "raw", num_iteration=iterations, num_threads=1, **more)


class XGBoost:
    def __init__(self, name, path, form, features):
        import xgboost

        self.booster = xgboost.Booster({"nthread": 1})
        self.booster.load_model(bytearray(base64.b64decode(path.read_text())) if form.endswith("ubjson") else str(path))
        rows = np.array(features, dtype=np.float64)
        names, types = self.booster.feature_names, self.booster.feature_types
        self.data = xgboost.DMatrix(rows, feature_names=names, feature_types=types, nthread=1)
        self.total = self.booster.num_boosted_rounds()
        # The wrapper for scikit-learn predicts with the best iteration and those before it.
        self.best = self.booster.best_iteration + 1 if self.booster.attr("best_iteration") is not None else None

    def ask(self, query):
        return self.booster.predict(self.data, output_margin=query.output == "raw", iteration_range=(0, query.iterations))


class CatBoost:
    def __init__(self, name, path, form, features):
        import catboost
        import catboost_cases
        import data
        import pandas

        case = catboost_cases.cases()[name]
        table = data.make(**case.table)
        rows, cats = catboost_cases.rows_of(table, case.digits)
        self.model, self.kind = catboost_cases.train(case, table, rows, cats), case.kind
        with tempfile.TemporaryDirectory() as folder:
            again = Path(folder) / path.name
            record.save_catboost(self.model, again, pool=catboost_cases.pool(rows, cats) if cats else None)
            if again.read_bytes() != path.read_bytes():
                raise RuntimeError(f"{name}: trained again, the model is not the committed one")
        frame = pandas.DataFrame({str(i): [row[i] for row in features] for i in range(len(features[0]))})
        self.pool = catboost.Pool(frame, cat_features=cats, thread_count=1)
        self.total, self.best = self.model.tree_count_, None

    def ask(self, query):
        kind = "RawFormulaVal" if query.output == "raw" else self.kind
        return self.model.predict(self.pool, prediction_type=kind, ntree_end=query.iterations, thread_count=1)


LIBRARIES = {"lightgbm": LightGBM, "xgboost": XGBoost, "catboost": CatBoost}


# --- The plain walk ------------------------------------------------------------------------------------------


def first_trees(model, count):
    """Leaves the first trees to a model of walk.py."""
    for part in ("trees", "oblivious", "nested"):
        if getattr(model, part, None) is not None:
            setattr(model, part, getattr(model, part)[:count])


def tree_count(model):
    return len(getattr(model, "trees", None) or getattr(model, "oblivious", None) or model.nested)


def decided(sums):
    """How far a class is from being another one, as LightGBM measures it."""
    if len(sums) == 1:
        return 2.0 * abs(sums[0])
    first, second = sorted(sums, reverse=True)[:2]
    return first - second


def walked(text, form, features, total, query):
    """The raw scores of all rows."""
    found = []
    steps = [query.iterations or total]
    if query.margin > 0:
        steps = [*range(query.every, steps[0], query.every), *steps]
    models = []
    for step in steps:
        model = walk.load(text, form)
        first_trees(model, step * (tree_count(model) // total))
        models.append(model)
    for row in features:
        for step, model in zip(steps, models):
            sums = model.raw(row)
            if query.margin > 0 and step % query.every == 0 and decided(sums) > query.margin:
                break
        found.append(sums)
    return found


def verify(name, text, form, features, total, query, answers):
    kind = np.float32 if form.startswith("xgboost") else np.float64
    for i, own in enumerate(walked(text, form, features, total, query)):
        own = np.asarray(own, dtype=kind)
        if not record.same_bits(own, answers[i]):
            raise RuntimeError(f"{name}, {query.line()}, row {i}: recorded {answers[i].tolist()}, walked {own.tolist()}")


# --- Files -----------------------------------------------------------------------------------------------------


def early_stops(text, form, features, total):
    """Queries that end the sums of some rows early: margins between those of the rows after a part of the iterations."""
    found = []
    for every, after in ((1, max(total // 2, 1)), (2, max(total // 4, 1)), (3, max(3 * total // 4, 1))):
        margins = sorted(decided(sums) for sums in walked(text, form, features, total, Query("raw", after)))
        margin = float(np.float32(margins[len(margins) // 2]))
        found += [Query("raw", 0, margin, every), Query("pred", 0, margin, every), Query("raw", max(total - 1, 1), margin, every)]
    return found


def queries_of(name, text, form, features, asked):
    total = asked.total
    counts = sorted({1, 2, total // 2, total - 1, total} - {0} if total > 1 else {1})
    found = [Query(output, count) for count in counts if count <= total for output in ("raw", "pred")]
    if asked.best is not None:
        found += [Query(output, asked.best, best=True) for output in ("raw", "pred")]
    return found + (early_stops(text, form, features, total) if name in STOPPING else [])


def choose(rows, library):
    """At most ROWS places, spread evenly; XGBoost takes no row that overflows a float, 1.2 did."""
    fits = lambda x: library != "xgboost" or isinstance(x, str) or not abs(x) > 1e38
    good = [i for i, row in enumerate(rows) if all(map(fits, row[0]))]
    return sorted({good[i * (len(good) - 1) // (ROWS - 1)] for i in range(ROWS)})


def make(name):
    folder = HERE / name
    header, rows = goldenfile.read(folder / "golden.txt")
    form = header["format"]
    library, path = form.split("-")[0], folder / header["model"]
    lines = [MAGIC]
    if name in ABSENT:
        (folder / "iterations.txt").write_text("\n".join(lines + [f"absent {ABSENT[name]}"]) + "\n", encoding="utf-8")
        return
    places = choose(rows, library)
    features, text = [rows[i][0] for i in places], record.model_text(path, form)
    asked = LIBRARIES[library](name, path, form, features)
    lines += [f"library {record.version(library)}", f"iterations {asked.total}", "rows " + " ".join(map(str, places))]
    ended_early = 0
    for query in queries_of(name, text, form, features, asked):
        answers = goldenfile.as_matrix(asked.ask(query), len(places))
        if query.output == "raw":
            verify(name, text, form, features, asked.total, query, answers)
            full = goldenfile.as_matrix(asked.ask(Query("raw", query.iterations)), len(places)) if query.margin > 0 else answers
            ended_early += sum(not record.same_bits(a, b) for a, b in zip(full, answers))
        lines += [query.line(), *(" ".join(map(goldenfile.format_number, row)) for row in answers)]
    if name in STOPPING and not ended_early:
        raise RuntimeError(f"{name}: no sum ended early")
    print(f"{name}: {asked.total} iterations, {ended_early} sums that ended early", flush=True)
    (folder / "iterations.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def check(name):
    folder = HERE / name
    header, rows = goldenfile.read(folder / "golden.txt")
    lines = (folder / "iterations.txt").read_text(encoding="utf-8").splitlines()
    if lines[1].startswith("absent"):
        return
    text, form = record.model_text(folder / header["model"], header["format"]), header["format"]
    total, places = int(lines[2].split()[1]), [int(i) for i in lines[3].split()[1:]]
    features = [rows[i][0] for i in places]
    for at in range(4, len(lines), 1 + len(places)):
        _, output, iterations, margin, every = lines[at].split()
        if output == "raw" and iterations != "best":
            query = Query(output, int(iterations), goldenfile.parse_number(margin), int(every))
            answers = [[goldenfile.parse_number(word) for word in line.split()] for line in lines[at + 1 : at + 1 + len(places)]]
            verify(name, text, form, features, total, query, np.array(answers))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NAME")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    names = [name for name in CASES if name.startswith(options.only)]
    for name in names:
        (check if options.check else make)(name)
    print(f"{len(names)} as they should be")
    sys.exit(0 if names else 1)


if __name__ == "__main__":
    main()
