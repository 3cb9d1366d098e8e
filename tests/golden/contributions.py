#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records the contributions of features (TreeSHAP) that the libraries give for some rows of the golden files.

  contributions.py               asks the libraries for every case of CASES and writes contributions.txt beside golden.txt
  contributions.py --only NAME   the cases whose folder name starts with NAME
  contributions.py --check       computes the committed ones again by the plain formula (needs numpy alone)

The plain formula is exact and slow: a polynomial per leaf and feature, in double, with positive terms only. Each answer of
a library must be near it. XGBoost computes in float, so of its models the value of the formula is recorded too; likewise where
the library has no answer.
"""

import argparse
import base64
import json
import sys
from pathlib import Path

import numpy as np

import goldenfile
import walk

HERE = Path(__file__).resolve().parent
MAGIC = "mainstay-contributions 1"
ROWS = 12
# Relative to the largest contribution of the row.
TOLERANCE = {"lightgbm": 1e-9, "xgboost": 1e-6, "catboost": 1e-9}
EXACT = 1e-9

CASES = """
lightgbm2-regression lightgbm3-categorical lightgbm4-binary lightgbm4-categorical lightgbm4-categorical-multiclass
lightgbm4-constant lightgbm4-dart lightgbm4-deep lightgbm4-linear lightgbm4-multiclass lightgbm4-multiclass-gap
lightgbm4-pandas-categories lightgbm4-regression lightgbm4-regression-missing lightgbm4-rf lightgbm4-zero-as-missing
xgboost1.2-logistic xgboost2-dart xgboost2-vector-leaf xgboost3-base-score-multiclass xgboost3-categorical-sets
xgboost3-dart xgboost3-depth-12 xgboost3-gblinear-multiclass xgboost3-logistic xgboost3-multi-target xgboost3-pruned
xgboost3-softprob xgboost3-squarederror xgboost3-ubjson xgboost3-vector-leaf
catboost1-depth-9 catboost1-depthwise-one-hot catboost1-lossguide catboost1-lossguide-multiclass catboost1-multiclass
catboost1-multirmse catboost1-nan-max catboost1-one-hot catboost1-one-hot-multiclass catboost1-rmse catboost1-scale-bias
""".split()

# Models without contributions: a part of what we say then.
ABSENT = {
    "lightgbm4-linear": "linear models",
    "xgboost2-vector-leaf": "does not say how many training rows",
}


# --- The plain formula -------------------------------------------------------------------------------------


class Node:
    """A leaf has values; a split has feature, goes_left(row), left and right."""

    def __init__(self, cover, values=None, feature=None, goes_left=None, left=None, right=None):
        self.cover, self.values = cover, values
        self.feature, self.goes_left, self.left, self.right = feature, goes_left, left, right


def lightgbm_trees(model, text):
    for i, (tree, block) in enumerate(zip(model.trees, text.split("\nTree=")[1:])):
        fields = dict(line.partition("=")[::2] for line in block.split("\n\n")[0].splitlines()[1:])
        counts = {key: [int(v) for v in fields.get(key, "").split()] for key in ("internal_count", "leaf_count")}

        def build(node):
            if node < 0:
                values = [0.0] * model.outputs
                values[i % model.outputs] = tree["leaf_value"][~node]
                return Node(counts["leaf_count"][~node] if counts["internal_count"] else 1, values)
            left, right = build(tree["left_child"][node]), build(tree["right_child"][node])
            feature = tree["split_feature"][node]
            test = lambda row: model.goes_left(tree, node, 0.0 if abs(row[feature]) <= walk.LIGHTGBM_ZERO else row[feature])
            return Node(counts["internal_count"][node], None, feature, test, left, right)

        yield build(0 if tree["split_feature"] else -1)


def xgboost_trees(model):
    for i, tree in enumerate(model.trees):

        def build(node):
            cover, left = float(walk.F(tree["sum_hessian"][node])), tree["left_children"][node]
            if left == -1:
                values = [0.0] * model.outputs
                if tree["width"] > 1:
                    at = tree["right_children"][node] * tree["width"]
                    values = [float(walk.F(v) * model.weights[i]) for v in tree["leaf_weights"][at : at + tree["width"]]]
                else:
                    values[model.groups[i]] = float(tree["split_conditions"][node] * model.weights[i])
                return Node(cover, values)
            feature = tree["split_indices"][node]
            test = lambda row: model.goes_left(tree, node, row[feature])
            return Node(cover, None, feature, test, build(left), build(tree["right_children"][node]))

        yield build(0)


def catboost_feature(model, split):
    if split["split_type"] == "FloatFeature":
        return model.floats[split["float_feature_index"]]["flat_feature_index"]
    return model.cats[split["cat_feature_index"]]["flat_feature_index"]


def catboost_trees(model):
    def nested(node):
        if "split" not in node:
            return Node(node["weight"], node["value"] if isinstance(node["value"], list) else [node["value"]])
        left, right = nested(node["left"]), nested(node["right"])
        test = lambda row: not model.holds(node["split"], row)
        return Node(left.cover + right.cover, None, catboost_feature(model, node["split"]), test, left, right)

    def oblivious(tree, splits, index):
        if not splits:
            width = len(tree["leaf_values"]) // len(tree["leaf_weights"])
            return Node(tree["leaf_weights"][index], tree["leaf_values"][index * width : (index + 1) * width])
        left, right = (oblivious(tree, splits[:-1], 2 * index + bit) for bit in (0, 1))
        test = lambda row: not model.holds(splits[-1], row)
        return Node(left.cover + right.cover, None, catboost_feature(model, splits[-1]), test, left, right)

    for tree in model.oblivious or []:
        yield oblivious(tree, tree["splits"] or [], 0)
    for tree in model.nested or []:
        yield nested(tree)


def add_leaf(path, values, phi):
    """path: feature -> [share of the training rows, whether the row passes]."""
    weight = np.prod([share for share, _ in path.values()])
    phi[:, -1] += weight * np.asarray(values)
    for feature, (share, passes) in path.items():
        others = [pair for other, pair in path.items() if other != feature]
        polynomial = np.ones(1)
        for s, p in others:
            polynomial = np.append(polynomial * s, 0.0) + np.append(0.0, polynomial * p)
        n, total, factor = len(path), 0.0, 1.0 / len(path)
        for size, c in enumerate(polynomial):  # size! (n - size - 1)! / n!
            total += c * factor
            factor *= (size + 1) / max(n - size - 1, 1)
        phi[:, feature] += (passes - share) * total * np.asarray(values)


def add_node(node, row, path, phi):
    if node.values is not None:
        add_leaf(path, node.values, phi)
        return
    goes_left = node.goes_left(row)
    share, passes = path.get(node.feature, (1.0, 1.0))
    for child, here in ((node.left, goes_left), (node.right, not goes_left)):
        part = child.cover / node.cover if node.cover > 0 else 0.5
        add_node(child, row, {**path, node.feature: (share * part, passes * here)}, phi)


def formula(text, form, row, features, outputs):
    """outputs x (features + 1)."""
    model = walk.load(text, form)
    phi = np.zeros((outputs, features + 1))
    if form.startswith("lightgbm"):
        trees, base = lightgbm_trees(model, text), 0.0
    elif form.startswith("xgboost"):
        base = np.asarray(model.base, dtype=np.float64)
        if model.linear is None:
            row = [model.codes[f][x] if f in model.codes and x == x else x for f, x in enumerate(row)]
        row = np.asarray(row, dtype=np.float64).astype(np.float32)
        if model.linear is not None:
            weights = np.asarray(model.linear, dtype=np.float64).reshape(features + 1, outputs).T
            phi[:, :-1] = weights[:, :-1] * np.where(np.isnan(row), 0.0, row.astype(np.float64))
            phi[:, -1] = weights[:, -1].astype(np.float32) + np.asarray(model.base)  # one rounding, as XGBoost does
            return phi
        trees = xgboost_trees(model)
    else:
        trees, base = catboost_trees(model), np.asarray(model.bias)
    for tree in trees:
        add_node(tree, row, {}, phi)
    if form.startswith("catboost"):
        phi *= model.scale
    phi[:, -1] += base
    return phi


# --- Asking the libraries ------------------------------------------------------------------------------------


def ask_lightgbm(path, text, form, features):
    import lightgbm

    return lightgbm.Booster(model_file=str(path)).predict(np.array(features, dtype=np.float64), pred_contrib=True, num_threads=1)


def ask_xgboost(path, text, form, features):
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(base64.b64decode(path.read_text())) if form.endswith("ubjson") else str(path))
    trees = walk.load(text, form).trees
    if trees and trees[0]["width"] > 1:
        return None  # XGBoost has no contributions of vector leaves
    names, types = booster.feature_names, booster.feature_types
    categories = bool(types and "c" in types)
    rows = np.array(features, dtype=np.float64)
    data = xgboost.DMatrix(rows, feature_names=names, feature_types=types, nthread=1, enable_categorical=categories)
    return booster.predict(data, pred_contribs=True)


def ask_catboost(path, text, form, features):
    import catboost
    import pandas

    if walk.load(text, form).scale != 1:
        return None  # CatBoost refuses models with a scale
    info = json.loads(text)["features_info"]
    cats = [f["flat_feature_index"] for f in info.get("categorical_features") or []]
    frame = pandas.DataFrame({str(i): [row[i] for row in features] for i in range(len(features[0]))})
    described = [*(info.get("float_features") or []), *(info.get("categorical_features") or [])]
    ids = {f["flat_feature_index"]: f.get("feature_id") for f in described}
    frame.columns = [ids.get(i) or str(i) for i in range(len(frame.columns))]
    model = catboost.CatBoost()
    model.load_model(str(path), format="json")
    return model.get_feature_importance(catboost.Pool(frame, cat_features=cats, thread_count=1), type="ShapValues", thread_count=1)


ASK = {"lightgbm": ask_lightgbm, "xgboost": ask_xgboost, "catboost": ask_catboost}


# --- Files -----------------------------------------------------------------------------------------------------


def model_text(path, form):
    if form == "xgboost-ubjson":
        return json.dumps(walk.decode_ubjson(base64.b64decode(path.read_text())))
    return path.read_text(encoding="utf-8")


def distance(a, b):
    """The largest difference, relative to the row's largest value."""
    a, b = (np.asarray(v, dtype=np.float64) for v in (a, b))
    return np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-30)


def choose(features):
    """ROWS places, spread evenly over the rows whose values every library takes and no float overflows with."""
    good = [i for i, row in enumerate(features) if not any(isinstance(x, float) and abs(x) > 1e15 for x in row)]
    return [good[i * (len(good) - 1) // (ROWS - 1)] for i in range(ROWS)]


def make(name):
    folder = HERE / name
    header, rows = goldenfile.read(folder / "golden.txt")
    form, library = header["format"], header["format"].split("-")[0]
    lines = [MAGIC]
    if name in ABSENT:
        (folder / "contributions.txt").write_text("\n".join(lines + [f"absent {ABSENT[name]}"]) + "\n", encoding="utf-8")
        return
    path = folder / header["model"]
    text = model_text(path, form)
    features = [row[0] for row in rows]
    places = choose(features)
    chosen = [features[i] for i in places]
    answers = ASK[library](path, text, form, chosen)
    outputs, count = int(header["raw"]), int(header["features"])
    exact = [formula(text, form, row, count, outputs).reshape(-1) for row in chosen]
    if answers is None:
        lines.append("library none")
    else:
        answers = np.asarray(answers).reshape(len(chosen), -1)
        lines.append(f"library {library} {__import__(library).__version__}")
        worst = max(distance(a, e) for a, e in zip(answers, exact))
        print(f"{name}: {worst:.2g} from the formula", flush=True)
        if not worst <= TOLERANCE[library]:
            raise RuntimeError(f"{name}: the library is {worst} from the formula")
        lines.append(f"tolerance {TOLERANCE[library]}")
    both = library == "xgboost" or answers is None
    lines += [f"exact {1 if both else 0}", f"rows {len(chosen)}"]
    for i, place in enumerate(places):
        blocks = [str(place)]
        if answers is not None:
            blocks.append(" ".join(map(goldenfile.format_number, answers[i])))
        if both:
            blocks.append(" ".join(map(goldenfile.format_number, exact[i])))
        lines.append(" | ".join(blocks))
    (folder / "contributions.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def check(name):
    folder = HERE / name
    header, rows = goldenfile.read(folder / "golden.txt")
    lines = (folder / "contributions.txt").read_text(encoding="utf-8").splitlines()
    if lines[1].startswith("absent"):
        return
    text = model_text(folder / header["model"], header["format"])
    start = next(i for i, line in enumerate(lines) if line.startswith("rows "))
    tolerance = TOLERANCE[header["format"].split("-")[0]]
    for line in lines[start + 1 :]:
        place, *blocks = line.split(" | ")
        exact = formula(text, header["format"], rows[int(place)][0], int(header["features"]), int(header["raw"])).reshape(-1)
        both = "exact 1" in lines
        for block, limit in zip(blocks[::-1], (EXACT, tolerance) if both else (tolerance,)):
            values = [goldenfile.parse_number(word) for word in block.split(" ")]
            if not distance(values, exact) <= limit:
                raise RuntimeError(f"{name}, row {place}: {distance(values, exact)} from the formula")


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
