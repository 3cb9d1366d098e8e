# SPDX-License-Identifier: Apache-2.0
"""Asks a training library for its answers on given rows, always from the model file itself, on one thread."""

import base64
import importlib
import json
from pathlib import Path

import numpy as np

import goldenfile
import hostile
import transforms
import walk

# XGBoost refuses a matrix that holds an infinity after its cast to float.
XGBOOST_SPECIALS = hostile.TINY + hostile.HUGE


def version(library):
    return f"{library} {importlib.import_module(library).__version__}"


def model_text(path, form):
    """The model as text that walk.py reads; UBJSON becomes JSON."""
    path = Path(path)
    if form == "xgboost-ubjson":
        return json.dumps(walk.decode_ubjson(base64.b64decode(path.read_text())))
    return path.read_text(encoding="utf-8")


def lightgbm(path, features):
    """raw, pred and leaf of a LightGBM model file."""
    import lightgbm

    booster = lightgbm.Booster(model_file=str(path))
    rows = np.array(features, dtype=np.float64)
    ask = dict(num_threads=1)
    leaf = goldenfile.as_matrix(booster.predict(rows, pred_leaf=True, **ask), len(rows))
    return {
        "library": version("lightgbm"),
        "raw": booster.predict(rows, raw_score=True, **ask),
        "pred": booster.predict(rows, **ask),
        "leaf": leaf if leaf.shape[1] else None,
    }


def xgboost(path, features, form="xgboost-json", names=None, types=None, frame=None):
    """raw, pred and leaf of an XGBoost model file; frame replaces features for models that recode categories."""
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    if form == "xgboost-ubjson":
        booster.load_model(bytearray(base64.b64decode(Path(path).read_text())))
    else:
        booster.load_model(str(path))
    if frame is not None:
        data = xgboost.DMatrix(frame, nthread=1, enable_categorical=True)
    else:
        rows = np.array(features, dtype=np.float64)
        ask = dict(feature_names=names, feature_types=types, nthread=1, **with_categories(types and "c" in types))
        data = xgboost.DMatrix(rows, **ask)
        same_after_cast(booster, data, xgboost.DMatrix(rows.astype(np.float32), **ask))
    linear = json.loads(booster.save_config())["learner"]["gradient_booster"]["name"] == "gblinear"
    return {
        "library": version("xgboost"),
        "raw": booster.predict(data, output_margin=True),
        "pred": booster.predict(data),
        "leaf": None if linear else booster.predict(data, pred_leaf=True),
    }


def with_categories(any_categories):
    """The argument that allows categories, where there are any: the oldest versions do not know it."""
    return {"enable_categorical": True} if any_categories else {}


def same_after_cast(booster, wide, narrow):
    """XGBoost must make the cast to float itself, and the same one."""
    a, b = booster.predict(wide, output_margin=True), booster.predict(narrow, output_margin=True)
    if not np.array_equal(a.view(np.uint32), b.view(np.uint32)):
        raise RuntimeError("XGBoost answers differently for float64 rows and for rows cast to float32")


def save_catboost(model, path, **more):
    """Saves a CatBoost model as JSON without the name and the time of this training, so that the file can be made again."""
    metadata = model.get_metadata()
    metadata["model_guid"] = "0-0-0-0"
    metadata["train_finish_time"] = "2026-11-20T09:00:00Z"
    model.save_model(str(path), format="json", **more)


def catboost(model, features, kind, cats=(), names=None):
    """raw, pred and leaf of a CatBoost model held in memory; kind is the prediction type of pred."""
    import catboost
    import pandas

    names = names or [str(i) for i in range(len(features[0]))]
    frame = pandas.DataFrame({name: [row[i] for row in features] for i, name in enumerate(names)})
    pool = catboost.Pool(frame, cat_features=list(cats), thread_count=1)
    return {
        "library": version("catboost"),
        "raw": model.predict(pool, prediction_type="RawFormulaVal", thread_count=1),
        "pred": model.predict(pool, prediction_type=kind, thread_count=1),
        "leaf": model.calc_leaf_indexes(pool, thread_count=1),
    }


def same_bits(a, b):
    """Equal to the last bit, signed zeros told apart; one NaN is as good as another."""
    return all(x == y and np.signbit(x) == np.signbit(y) or x != x and y != y for x, y in zip(a, b, strict=True))


# Units in the last place between a recorded prediction and the plain formula. CatBoost has an exponential of its own,
# chosen by the processor, in softmax and Exponent.
TRANSFORM_LIMIT = {"lightgbm": 1, "xgboost": 1, "catboost": 8}


def verify(golden, text):
    """Walks every row by hand: the recorded raw scores must come out to the last bit, the predictions very nearly."""
    model = walk.load(text, golden.format)
    raw = goldenfile.as_matrix(golden.raw, len(golden.features))
    for i, row in enumerate(golden.features):
        own = np.asarray(model.raw(row), dtype=raw.dtype)
        if not same_bits(own, raw[i]):
            raise RuntimeError(f"row {i}: recorded {raw[i].tolist()}, the model file says {own.tolist()}")
    pred = goldenfile.as_matrix(golden.pred, len(golden.features))
    distance = transforms.worst(golden.format, text, raw, pred)
    if distance > TRANSFORM_LIMIT[golden.format.split("-")[0]]:
        raise RuntimeError(f"a prediction is {distance} units in the last place from its formula")
