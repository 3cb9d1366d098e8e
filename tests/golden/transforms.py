# SPDX-License-Identifier: Apache-2.0
"""What each library does to a raw score before it calls it a prediction; a check on the recorded ones."""

import json
import math

import numpy as np

F = np.float32


def exp(x):
    return math.inf if x > 709.782712893384 else math.exp(x)


def sigmoid(x, slope=1.0):
    return 1.0 / (1.0 + exp(-slope * x))


def softmax(values):
    top = max(values)
    weights = [exp(v - top) for v in values]
    total = sum(weights)
    return [w / total for w in weights]


def lightgbm(text, raw):
    head = text.split("\nTree=")[0].splitlines()
    fields = dict(line.partition("=")[::2] for line in head)
    words = fields.get("objective", "custom").split()
    options = dict(word.partition(":")[::2] for word in words[1:])
    name, slope = words[0], float(options.get("sigmoid", 1.0))
    if "average_output" in head:
        raw = [v / (text.count("\nTree=") // len(raw)) for v in raw]
    if name == "multiclass":
        return softmax(raw)
    one = {
        "binary": lambda x: sigmoid(x, slope),
        "multiclassova": lambda x: sigmoid(x, slope),
        "cross_entropy": sigmoid,
        "cross_entropy_lambda": lambda x: math.log1p(exp(x)),
        "poisson": exp,
        "gamma": exp,
        "tweedie": exp,
    }.get(name, lambda x: x)
    if name == "regression" and "sqrt" in words:
        one = lambda x: math.copysign(x * x, x)
    return [one(v) for v in raw]


def xgboost_sigmoid(x):
    """In float, the argument held below 88.7: very unlikely is a tiny number, never zero."""
    return F(1) / (F(exp(min(F(-x), F(88.7)))) + F(1))


def xgboost_softmax(values):
    """The differences in float, their sum in double, the quotients in float."""
    top = F(max(values))
    weights = [F(exp(float(F(v) - top))) for v in values]
    total = F(sum(float(w) for w in weights))
    return [w / total for w in weights]


def xgboost(text, raw):
    name = json.loads(text)["learner"]["objective"]["name"]
    if name == "multi:softprob":
        return xgboost_softmax(raw)
    if name == "multi:softmax":
        return [float(np.argmax(raw))]
    one = {
        "binary:logistic": xgboost_sigmoid,
        "reg:logistic": xgboost_sigmoid,
        "binary:hinge": lambda x: float(x > 0),
        "count:poisson": exp,
        "reg:gamma": exp,
        "reg:tweedie": exp,
        "survival:cox": exp,
        "survival:aft": exp,
    }.get(name, lambda x: x)
    return [one(v) for v in raw]


def catboost(text, raw):
    params = json.loads(text)["model_info"]["params"]
    name = params["loss_function"]["type"]
    if name in ("Logloss", "CrossEntropy"):
        return [1.0 - sigmoid(raw[0]), sigmoid(raw[0])]
    if name == "MultiClass":
        return softmax(raw)
    if name in ("MultiClassOneVsAll", "MultiLogloss"):
        return [sigmoid(v) for v in raw]
    if name in ("Poisson", "Tweedie", "LogLinQuantile"):
        return [exp(v) for v in raw]
    if name == "RMSEWithUncertainty":
        return [raw[0], exp(2 * raw[1])]
    return list(raw)


def distance(a, b, kind):
    """How many units in the last place two numbers are apart."""
    a, b = kind(a), kind(b)
    if a == b or a != a and b != b:
        return 0.0
    with np.errstate(all="ignore"):
        return float(abs(np.float64(a) - np.float64(b)) / np.spacing(np.maximum(abs(a), abs(b))))


def worst(form, text, raw, pred):
    """The largest distance of a recorded prediction from the formula."""
    convert = {"lightgbm": lightgbm, "xgboost": xgboost, "catboost": catboost}[form.split("-")[0]]
    kind = F if form.startswith("xgboost") else np.float64
    with np.errstate(all="ignore"):
        return max(distance(a, b, kind) for r, p in zip(raw, pred) for a, b in zip(convert(text, r), p, strict=True))
