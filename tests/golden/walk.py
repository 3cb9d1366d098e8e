# SPDX-License-Identifier: Apache-2.0
"""Plain readings of the three tree formats, independent of the libraries that wrote them.

Two uses: the thresholds and categories of a model, on which the hostile rows are placed; and a second opinion on every
recorded raw score, so that a golden file can not record something that the model file does not say.
"""

import ctypes
import ctypes.util
import json
import math
import struct

import numpy as np

F = np.float32
LIGHTGBM_ZERO = float(F(1e-35))
CHILD_IS_CATEGORY = 1


def logf(value):
    """The logarithm in float of the C library, as XGBoost calls it."""
    function = ctypes.CDLL(ctypes.util.find_library("m")).logf
    function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float]
    return F(function(float(value)))


def decode_ubjson(data):
    """The value of a UBJSON document, with what XGBoost writes of it: typed and counted arrays, 64-bit lengths."""
    at = 0
    kinds = {"i": ">b", "U": ">B", "I": ">h", "l": ">i", "L": ">q", "d": ">f", "D": ">d"}

    def take(count):
        nonlocal at
        at += count
        return data[at - count : at]

    def number(kind):
        return struct.unpack(kinds[kind], take(struct.calcsize(kinds[kind])))[0]

    def string():
        return take(number(take(1).decode())).decode()

    def peek(mark):
        nonlocal at
        found = data[at : at + 1] == mark
        at += found
        return found

    def array():
        kind = take(1).decode() if peek(b"$") else None
        if peek(b"#"):
            count = number(take(1).decode())
            return [number(kind) if kind else value() for _ in range(count)]
        items = []
        while not peek(b"]"):
            items.append(value())
        return items

    def members():
        found = {}
        while not peek(b"}"):
            key = string()
            found[key] = value()
        return found

    def value():
        mark = take(1).decode()
        if mark in kinds:
            return number(mark)
        return {"{": members, "[": array, "S": string, "T": lambda: True, "F": lambda: False, "Z": lambda: None}[mark]()

    return value()


def load(text, form):
    """A model from the text of its file: an object with thresholds(), categories() and raw(row)."""
    return {"lightgbm-text": LightGBM, "xgboost-json": XGBoost, "xgboost-ubjson": XGBoost, "catboost-json": CatBoost}[form](text)


class LightGBM:
    def __init__(self, text):
        head, *blocks = text.split("\nTree=")
        fields = dict(line.partition("=")[::2] for line in head.splitlines())
        self.outputs = int(fields.get("num_tree_per_iteration", fields["num_class"]))
        self.trees = [self.tree(block.split("\n\n")[0]) for block in blocks]

    @staticmethod
    def tree(block):
        fields = dict(line.partition("=")[::2] for line in block.splitlines()[1:])
        floats = lambda key: [float(v) for v in fields.get(key, "").split()]
        ints = lambda key: [int(v) for v in fields.get(key, "").split()]
        tree = {key: ints(key) for key in ("split_feature", "decision_type", "left_child", "right_child", "cat_boundaries", "cat_threshold")}
        tree["threshold"], tree["leaf_value"] = floats("threshold"), floats("leaf_value")
        tree["linear"] = None
        if fields.get("is_linear") == "1":
            counts, features, coefficients = ints("num_features"), ints("leaf_features"), floats("leaf_coeff")
            starts = np.cumsum([0] + counts)
            tree["linear"] = [
                (const, list(zip(features[a:b], coefficients[a:b])))
                for const, a, b in zip(floats("leaf_const"), starts, starts[1:])
            ]
        return tree

    def thresholds(self):
        found = {}
        for tree in self.trees:
            for f, kind, t in zip(tree["split_feature"], tree["decision_type"], tree["threshold"]):
                if not kind & CHILD_IS_CATEGORY:
                    found.setdefault(f, []).append(t)
        return found

    def categories(self):
        found = {}
        for tree in self.trees:
            for f, kind, t in zip(tree["split_feature"], tree["decision_type"], tree["threshold"]):
                if kind & CHILD_IS_CATEGORY:
                    words = tree["cat_threshold"][tree["cat_boundaries"][int(t)] : tree["cat_boundaries"][int(t) + 1]]
                    found.setdefault(f, set()).update(32 * i + b for i, w in enumerate(words) for b in range(32) if w >> b & 1)
        return found

    @staticmethod
    def goes_left(tree, node, x):
        kind, t = tree["decision_type"][node], tree["threshold"][node]
        if kind & CHILD_IS_CATEGORY:
            if math.isnan(x) or abs(x) >= 2**31 or int(x) < 0:
                return False
            word, bit = divmod(int(x), 32)
            first, end = tree["cat_boundaries"][int(t)], tree["cat_boundaries"][int(t) + 1]
            return first + word < end and bool(tree["cat_threshold"][first + word] >> bit & 1)
        missing = kind >> 2 & 3
        if math.isnan(x) and missing != 2:
            x = 0.0
        if (missing == 1 and abs(x) <= LIGHTGBM_ZERO) or (missing == 2 and math.isnan(x)):
            return bool(kind & 2)
        return x <= t

    def leaf(self, tree, row):
        node = 0 if tree["split_feature"] else -1
        while node >= 0:
            left = self.goes_left(tree, node, row[tree["split_feature"][node]])
            node = tree["left_child" if left else "right_child"][node]
        return ~node

    def raw(self, row):
        row = [0.0 if abs(x) <= LIGHTGBM_ZERO else x for x in row]
        sums = [0.0] * self.outputs
        for i, tree in enumerate(self.trees):
            leaf = self.leaf(tree, row)
            value = tree["leaf_value"][leaf]
            if tree["linear"]:
                const, terms = tree["linear"][leaf]
                if not any(math.isnan(row[f]) for f, _ in terms):
                    value = const
                    for f, c in terms:
                        value += c * row[f]
            sums[i % self.outputs] += float(value)
        return sums  # also of a random forest (average_output): LightGBM's raw score is the sum, its prediction the average


class XGBoost:
    LOGIT = ("binary:logistic", "reg:logistic")
    LOG = ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft")

    def __init__(self, text):
        learner = json.loads(text)["learner"]
        param, booster = learner["learner_model_param"], learner["gradient_booster"]
        self.features = int(param["num_feature"])
        self.outputs = max(int(param["num_class"]), int(param.get("num_target", 1)), 1)
        base = [F(v) for v in param["base_score"].strip("[]").split(",")]
        self.base = [self.margin(learner["objective"]["name"], v) for v in base] * (self.outputs if len(base) == 1 else 1)
        self.linear = None
        if booster["name"] == "gblinear":
            # XGBoost 3.2 adds the first base score to every output of a linear model, whatever the others are.
            self.base = self.base[:1] * self.outputs
            self.linear, self.trees = [F(v) for v in booster["model"]["weights"]], []
            return
        gbtree = booster.get("gbtree", booster)
        self.codes = self.category_codes(gbtree["model"].get("cats") or {})
        self.trees, self.groups = gbtree["model"]["trees"], gbtree["model"]["tree_info"]
        self.weights = [F(w) for w in booster.get("weight_drop", [1.0] * len(self.trees))]
        for tree in self.trees:
            # Version 1.2 has no categories.
            starts = zip(*(tree.get(f"categories_{part}", []) for part in ("nodes", "segments", "sizes")))
            tree["sets"] = {node: set(tree["categories"][at : at + size]) for node, at, size in starts}
            tree["split_conditions"] = [F(v) for v in tree["split_conditions"]]
            tree["width"] = int(tree["tree_param"]["size_leaf_vector"])

    @staticmethod
    def category_codes(cats):
        """Feature -> category value -> code, of a model that was trained on a frame."""
        found = {}
        for feature, enc in enumerate(cats.get("enc") or []):
            values = enc.get("values") or []
            if "offsets" in enc:
                names = bytes(v & 0xFF for v in values)
                values = [names[a:b].decode() for a, b in zip(enc["offsets"], enc["offsets"][1:])]
            if values:
                found[feature] = {value: code for code, value in enumerate(values)}
        return found

    @classmethod
    def margin(cls, objective, score):
        if objective in cls.LOGIT:
            return -logf(F(1) / score - F(1))
        return logf(score) if objective in cls.LOG else score

    def inner(self):
        for tree in self.trees:
            for node, left in enumerate(tree["left_children"]):
                if left != -1:
                    yield tree, node, tree["split_indices"][node]

    def thresholds(self):
        found = {}
        for tree, node, f in self.inner():
            if f < self.features and node not in tree["sets"]:
                found.setdefault(f, []).append(float(tree["split_conditions"][node]))
        return found

    def categories(self):
        found = {}
        for tree, node, f in self.inner():
            if node in tree["sets"]:
                found.setdefault(f, set()).update(tree["sets"][node])
        return found

    @staticmethod
    def goes_left(tree, node, x):
        if np.isnan(x):
            return bool(tree["default_left"][node])
        if node in tree["sets"]:
            return x < 0 or x >= 2**24 or int(x) not in tree["sets"][node]
        return x < tree["split_conditions"][node]

    def leaf(self, tree, row):
        node = 0
        while tree["left_children"][node] != -1:
            left = self.goes_left(tree, node, row[tree["split_indices"][node]])
            node = tree["left_children" if left else "right_children"][node]
        return node

    def raw(self, row):
        if self.linear is None:
            row = [self.codes[f][x] if f in self.codes and x == x else x for f, x in enumerate(row)]
        with np.errstate(over="ignore"):
            row = np.asarray(row, dtype=np.float64).astype(F)
        if self.linear is not None:
            k = self.outputs
            sums = [self.linear[self.features * k + g] + self.base[g] for g in range(k)]
            with np.errstate(over="ignore"):
                for g in range(k):
                    for f, x in enumerate(row):
                        if not np.isnan(x):
                            sums[g] += x * self.linear[f * k + g]
            return sums
        sums = list(self.base)
        for i, tree in enumerate(self.trees):
            leaf = self.leaf(tree, row)
            if tree["width"] > 1:
                values = tree.get("leaf_weights")
                at = tree["right_children"][leaf] if values else leaf
                values = values or tree["base_weights"]
                for g in range(self.outputs):
                    sums[g] += F(values[at * tree["width"] + g]) * self.weights[i]
            else:
                sums[self.groups[i]] += tree["split_conditions"][leaf] * self.weights[i]
        return sums


class CatBoost:
    def __init__(self, text):
        model = json.loads(text)
        info = model["features_info"]
        self.floats = info.get("float_features") or []
        self.cats = info.get("categorical_features") or []
        self.hashes = {h["value"]: h["hash"] for h in info.get("cat_features_hash") or []}
        scale, bias = model["scale_and_bias"]
        self.scale, self.bias = scale, bias if isinstance(bias, list) else [bias]
        self.oblivious, self.nested = model.get("oblivious_trees"), model.get("trees")
        self.ctr = bool(info.get("ctrs"))

    def thresholds(self):
        return {f["flat_feature_index"]: f["borders"] for f in self.floats if f["borders"]}

    def categories(self):
        return {f["flat_feature_index"]: f.get("values", []) for f in self.cats}

    def holds(self, split, row):
        if split["split_type"] == "FloatFeature":
            feature = self.floats[split["float_feature_index"]]
            x = F(row[feature["flat_feature_index"]])
            if np.isnan(x) and feature["has_nans"]:
                x = {"AsFalse": F(-np.inf), "AsTrue": F(np.inf)}.get(feature["nan_value_treatment"], x)
            return bool(x > F(split["border"]))
        feature = self.cats[split["cat_feature_index"]]
        code = self.hashes.get(row[feature["flat_feature_index"]])
        return code is not None and (code - split["value"]) % 2**32 == 0

    def leaf_values(self, row):
        if self.oblivious is not None:
            for tree in self.oblivious:
                index = sum(self.holds(s, row) << d for d, s in enumerate(tree["splits"] or []))
                width = len(tree["leaf_values"]) >> len(tree["splits"] or [])
                yield tree["leaf_values"][index * width : (index + 1) * width]
            return
        for node in self.nested:
            while "split" in node:
                node = node["right" if self.holds(node["split"], row) else "left"]
            yield node["value"] if isinstance(node["value"], list) else [node["value"]]

    def raw(self, row):
        with np.errstate(over="ignore"):
            sums = None
            for values in self.leaf_values(row):
                sums = [s + v for s, v in zip(sums or [0.0] * len(values), values)]
        bias = self.bias * (len(sums) if len(self.bias) == 1 else 1)
        return [self.scale * s + b for s, b in zip(sums, bias)]
