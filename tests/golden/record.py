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


def catboost(model, path, features, kind, cats=(), names=None):
    """raw and pred of a CatBoost model held in memory, leaf of its file; kind is the prediction type of pred.

    Trees that are not symmetric number their leaves as they grew in memory and from left to right once read from JSON.
    """
    import catboost
    import pandas

    names = names or [str(i) for i in range(len(features[0]))]
    frame = pandas.DataFrame({name: [row[i] for row in features] for i, name in enumerate(names)})
    pool = catboost.Pool(frame, cat_features=list(cats), thread_count=1)
    loaded = catboost.CatBoost()
    loaded.load_model(str(path), format="json")
    return {
        "library": version("catboost"),
        "raw": model.predict(pool, prediction_type="RawFormulaVal", thread_count=1),
        "pred": model.predict(pool, prediction_type=kind, thread_count=1),
        "leaf": loaded.calc_leaf_indexes(pool, thread_count=1),
    }


def onnx_session(model):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def onnx_inputs(session, features):
    """A dictionary of tensors: the columns of the rows, in the order of the inputs."""
    kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64, "tensor(string)": object}
    found, at = {}, 0
    for entry in session.get_inputs():
        columns = [row[at : at + entry.shape[1]] for row in features]
        found[entry.name] = np.array(columns, dtype=kinds[entry.type])
        at += entry.shape[1]
    return found


def onnx_ask(model, features):
    """Label and scores for each row. The rows together and one by one must give the same bits."""
    session = onnx_session(model)
    with np.errstate(over="ignore"):
        together = session.run(None, onnx_inputs(session, features))
        alone = [session.run(None, onnx_inputs(session, [row])) for row in features]
    label, scores = None, None
    for i, answer in enumerate(together):
        if isinstance(answer, list):  # ZipMap: a dictionary for each row
            answer = np.array([list(row.values()) for row in answer], dtype=np.float32)
            single = np.array([list(a[i][0].values()) for a in alone], dtype=np.float32)
        else:
            single = np.concatenate([a[i] for a in alone])
        if answer.dtype in (np.float32, np.float64):
            exact = np.array_equal(answer, single, equal_nan=True)
            if not exact and not np.allclose(answer, single, rtol=1e-4, atol=1e-5, equal_nan=True):
                raise RuntimeError("ONNX Runtime answers differently for one row and for many")
            scores = single if scores is None else scores
        else:
            label = single
    return label, scores


def onnx_raw_model(model):
    """The graph up to its only ensemble, whose transform is taken away; None when there is more than one."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    ends = [n for n in copy.graph.node if n.op_type.startswith(("TreeEnsemble", "Linear"))]
    if len(ends) != 1:
        return None, None
    node = ends[0]
    for entry in node.attribute:
        if entry.name == "post_transform":
            if entry.type == entry.STRING:
                entry.s = b"NONE"
            else:
                entry.i = 0
    based = any(entry.name.startswith("base_values") for entry in node.attribute)
    if node.op_type == "TreeEnsembleClassifier" and not based and len(copy.graph.node) == 1 and two_columns(node):
        as_regressor(node)
    name = node.output[-1]
    del copy.graph.output[:]
    element = onnx.TensorProto.DOUBLE if node.op_type == "TreeEnsemble" and model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.DOUBLE else onnx.TensorProto.FLOAT
    copy.graph.output.append(onnx.helper.make_tensor_value_info(name, element, None))
    return copy, node


def two_columns(node):
    """A classifier of two classes whose leaves score both: where a row scores one of them, the other is made of it."""
    classes = sum(len(entry.ints) + len(entry.strings) for entry in node.attribute if entry.name.startswith("classlabels"))
    return classes == 2 and any(entry.name == "class_ids" and len(set(entry.ints)) == 2 for entry in node.attribute)


def as_regressor(node):
    """The plain sums of a classifier's trees."""
    import onnx

    kept = [entry for entry in node.attribute if not entry.name.startswith("classlabels")]
    for entry in kept:
        entry.name = entry.name.replace("class_", "target_")
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute("n_targets", 2)])
    node.op_type = "TreeEnsembleRegressor"
    scores = node.output[-1]
    del node.output[:]
    node.output.append(scores)


def onnx_raw(model, features, pred):
    """Raw scores as Mainstay tells them: before the transform, one for each sum that the leaves make."""
    copy, node = onnx_raw_model(model)
    if copy is None:
        return pred
    _, scores = onnx_ask(copy, features)
    named = {entry.name: entry for entry in node.attribute}
    if node.op_type == "LinearClassifier" and len(named["intercepts"].floats) == 1:
        return scores[:, 1:]
    if node.op_type != "TreeEnsembleClassifier" or scores.shape[1] != 2:
        return scores  # the sums themselves, or one for each class
    ids = set(named["class_ids"].ints)
    if len(ids) == 2:
        return scores
    bases = len(named["base_values"].floats) if "base_values" in named else 0
    column = 1 if ids == {1} or bases < 2 else 0
    return scores[:, column : column + 1]


def onnx(model, features):
    """raw, pred and label of an ONNX model, from ONNX Runtime on one thread."""
    label, pred = onnx_ask(model, features)
    classes = onnx_classes(model)
    places = None
    if label is not None and classes:
        places = [classes.index(value) if value in classes else int(value) for value in label.ravel().tolist()]
    return {"raw": onnx_raw(model, features, pred), "pred": pred, "label": places}


def onnx_classes(model):
    """Labels in their order: those of the classifier, or a list of constants that is looked into."""
    import onnx

    for node in reversed(model.graph.node):
        for entry in node.attribute:
            if entry.name.startswith("classlabels") and node.op_type != "ZipMap":
                return [s.decode() for s in entry.strings] or list(entry.ints)
        if node.op_type == "ArrayFeatureExtractor":
            for constant in model.graph.initializer:
                if constant.name == node.input[0]:
                    values = onnx.numpy_helper.to_array(constant).ravel().tolist()
                    return [v.decode() if isinstance(v, bytes) else v for v in values]
    return []


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
