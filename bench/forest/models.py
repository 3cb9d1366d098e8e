# SPDX-License-Identifier: Apache-2.0
"""Trains the model of a shape, and turns it into what a peer evaluates. Runs in the virtual environment:

    python models.py train SHAPE
    python models.py convert SHAPE PEER

Each leaves its files in the folder of the shape, whole or not at all.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np

import shapes

THREADS = os.cpu_count()


def table(rows, features, seed):
    """Rows of correlated features of several kinds, and what a tree is to learn from them. All but the last two
    features matter, some of them only together. Values are float32, so that all libraries see the same rows."""
    world = np.random.default_rng(features)  # what is the same for training and for measuring
    draw = np.random.default_rng(seed)
    factors = max(4, features // 4)
    loadings = world.normal(size=(factors, features)) * (world.random((factors, features)) < 0.3)
    x = draw.normal(size=(rows, factors)) @ loadings + draw.normal(size=(rows, features))
    hidden = x / x.std(0)
    x = hidden.copy()
    kind = np.arange(features) % 6
    x[:, kind == 2] = np.exp(x[:, kind == 2])          # skewed: amounts of money
    x[:, kind == 3] = np.floor(np.exp(x[:, kind == 3]) * 3)  # counts
    x[:, kind == 4] = np.round(x[:, kind == 4], 2)     # measured with two digits
    x[:, kind == 5] **= 3                              # heavy tails
    told = features - 2
    signal = hidden[:, :told] @ world.normal(size=told)
    for _ in range(told):
        a, b, c = world.integers(0, told, 3)
        signal += world.normal() * np.tanh(2 * hidden[:, a]) * (hidden[:, b] > world.normal())
        signal += world.normal() * np.sin(2 * hidden[:, c])
    y = signal / signal.std() + draw.normal(scale=0.5, size=rows)
    return np.ascontiguousarray(x, dtype=np.float32), y.astype(np.float32)


def train_lightgbm(s, x, y, to):
    import lightgbm
    parameters = {"objective": "regression", "num_leaves": s["leaves"], "learning_rate": s["rate"], "verbose": -1, "seed": 1,
                  "num_threads": THREADS, "feature_fraction": s.get("column_share", 1.0), "min_data_in_leaf": 10}
    repeats = s.get("repeats", 1)
    model = lightgbm.train(parameters, lightgbm.Dataset(x.astype(np.float64), y), s["trees"] // repeats).model_to_string()
    (to / "model.txt").write_text(repeat_trees(model, repeats), encoding="utf-8")


def repeat_trees(model, times):
    """The same trees, all of them, so many times over: a forest too large to be trained here in a minute."""
    head, *trees = model.split("\n\nTree=")
    trees[-1], end, tail = trees[-1].partition("\n\n\nend of trees")
    assert end or times == 1
    if times == 1:
        return model
    bodies = [tree.split("\n", 1)[1].strip("\n") for tree in trees] * times
    blocks = [f"Tree={number}\n{body}\n\n\n" for number, body in enumerate(bodies)]
    sizes = "tree_sizes=" + " ".join(str(len(block)) for block in blocks)
    lines = [sizes if line.startswith("tree_sizes=") else line for line in head.split("\n")]
    return "\n".join(lines) + "\n\n" + "".join(blocks) + "end of trees" + tail


def train_xgboost(s, x, y, to):
    import xgboost
    parameters = {"objective": "reg:squarederror", "max_depth": s["depth"], "tree_method": "hist", "seed": 1, "nthread": THREADS}
    rounds = s["trees"]
    if s.get("forest"):
        parameters |= {"eta": 1, "num_parallel_tree": s["trees"], "subsample": 0.63, "colsample_bynode": 0.33, "lambda": 0}
        rounds = 1
    else:
        parameters["eta"] = s["rate"]
    xgboost.train(parameters, xgboost.DMatrix(x, y), rounds).save_model(to / "model.ubj")


def train_catboost(s, x, y, to):
    import catboost
    model = catboost.CatBoostRegressor(iterations=s["trees"], depth=s["depth"], learning_rate=s["rate"], random_seed=1,
                                       thread_count=THREADS, verbose=False, allow_writing_files=False)
    model.fit(x, y)
    model.save_model(str(to / "model.cbm"))
    model.save_model(str(to / "model.json"), format="json")


def train_sklearn(s, x, y, to):
    import joblib
    from sklearn.ensemble import RandomForestRegressor
    forest = RandomForestRegressor(s["trees"], max_depth=s["depth"], max_features=0.33, n_jobs=THREADS, random_state=1)
    joblib.dump(forest.fit(x, y), to / "model.joblib")
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType
    made = skl2onnx.convert_sklearn(forest, initial_types=[("x", FloatTensorType([None, s["features"]]))])
    (to / "model.onnx").write_bytes(made.SerializeToString())


def train(name):
    s = shapes.SHAPES[name]
    to = shapes.folder(name)
    made = to.with_name(to.name + ".part")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    start = time.monotonic()
    x, y = table(s["training_rows"], s["features"], seed=1)
    globals()[f"train_{s['library']}"](s, x, y, made)
    # Other rows of the same distribution.
    table(s["rows"], s["features"], seed=2)[0].astype(np.float64).tofile(made / "rows.f64")
    (made / "made.json").write_text(json.dumps({"seconds": time.monotonic() - start, "cpu_seconds": time.process_time()}), encoding="utf-8")
    made.rename(to)


def treelite_model(name):
    import treelite
    folder = shapes.folder(name)
    library = shapes.SHAPES[name]["library"]
    if library == "lightgbm":
        return treelite.frontend.load_lightgbm_model(folder / "model.txt")
    if library == "xgboost":
        return treelite.frontend.load_xgboost_model(folder / "model.ubj", format_choice="ubjson")
    import joblib
    return treelite.sklearn.import_model(joblib.load(folder / "model.joblib"))


def convert_treelite(name, to):
    treelite_model(name).serialize(to)


def convert_tl2cgen(name, to, quantise=0):
    """As its documentation advises: branches annotated with counts from training rows."""
    import tl2cgen
    model = treelite_model(name)
    s = shapes.SHAPES[name]
    source = to.with_name("tl2cgen")
    shutil.rmtree(source, ignore_errors=True)
    type_ = np.float64 if model.input_type == "float64" else np.float32
    rows = tl2cgen.DMatrix(table(2_000, s["features"], seed=1)[0].astype(type_), dtype=np.dtype(type_).name)
    counts = to.with_name("tl2cgen.counts")
    tl2cgen.annotate_branch(model, dmat=rows, path=counts, verbose=False)
    parts = max(1, s["trees"] // 20)  # files
    tl2cgen.generate_c_code(model, source, params={"parallel_comp": parts, "quantize": quantise, "annotate_in": str(counts)})
    shutil.copy(tl2cgen.create_shared("gcc", source, nthread=THREADS), to)
    shutil.rmtree(source)


def convert_tl2cgen_quantised(name, to):
    convert_tl2cgen(name, to, quantise=1)


def convert_lleaves(name, to):
    import lleaves
    compiled = to.with_suffix(".o")
    lleaves.Model(str(shapes.folder(name) / "model.txt")).compile(cache=compiled, raw_score=True)
    subprocess.run(["gcc", "-shared", "-o", to, compiled], check=True)
    compiled.unlink()


def convert_onnxruntime(name, to):
    folder = shapes.folder(name)
    s = shapes.SHAPES[name]
    if s["library"] == "catboost":
        import catboost
        model = catboost.CatBoostRegressor()
        model.load_model(str(folder / "model.cbm"))
        model.save_model(str(to), format="onnx")
        import onnx
        made = onnx.load(to)
        # It declares one dimension for what the operator gives two.
        made.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 1
        onnx.save(made, to)
        return
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType
    types = [("x", FloatTensorType([None, s["features"]]))]
    if s["library"] == "lightgbm":
        import lightgbm
        made = onnxmltools.convert_lightgbm(lightgbm.Booster(model_file=folder / "model.txt"), initial_types=types, zipmap=False)
    else:
        import xgboost
        made = onnxmltools.convert_xgboost(xgboost.Booster(model_file=folder / "model.ubj"), initial_types=types)
    to.write_bytes(made.SerializeToString())


def convert(name, peer):
    file = shapes.folder(name) / shapes.FILES[peer]
    part = file.with_name(f"part-{file.name}")
    start = time.monotonic()
    globals()[f"convert_{peer.replace('-', '_')}"](name, part)
    (file.with_name(file.name + ".json")).write_text(json.dumps({"seconds": time.monotonic() - start}), encoding="utf-8")
    part.rename(file)


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    if sys.argv[1] == "train":
        train(sys.argv[2])
    else:
        convert(sys.argv[2], sys.argv[3])
