# SPDX-License-Identifier: Apache-2.0
"""The forests that are measured: how each is trained, who can evaluate it, and what is aimed at."""
import hashlib
import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "build/bench/forest"
VENV = ROOT / "build/bench/venv"
MAKING = 1  # to be raised when models.py makes other models from the same parameters

EVERYONE = ("onnxruntime", "treelite", "tl2cgen", "tl2cgen-quantised")
LIGHTGBM = ("lightgbm", "lleaves", *EVERYONE)
XGBOOST = ("xgboost", *EVERYONE)


def shape(library, peers, **more):
    return {"library": library, "peers": peers, "features": 30, "training_rows": 50_000, "rows": 10_000, **more}


SHAPES = {
    "lightgbm-100x31": shape("lightgbm", LIGHTGBM, trees=100, leaves=31, rate=0.1),
    "lightgbm-1000x31": shape("lightgbm", LIGHTGBM, trees=1000, leaves=31, rate=0.03),
    "lightgbm-500x255": shape("lightgbm", LIGHTGBM, trees=500, leaves=255, rate=0.05),
    "xgboost-500x6": shape("xgboost", XGBOOST, trees=500, depth=6, rate=0.05),
    "xgboost-500x10": shape("xgboost", XGBOOST, trees=500, depth=10, rate=0.05),
    "xgboost-forest-500x12": shape("xgboost", XGBOOST, trees=500, depth=12, forest=True),
    "sklearn-forest-500x12": shape("sklearn", ("sklearn", *EVERYONE), trees=500, depth=12, training_rows=20_000),
    "catboost-1000x6": shape("catboost", ("catboost", "onnxruntime"), trees=1000, depth=6, rate=0.05),
    # 12 thousand, 512 thousand and 4 million nodes.
    "nodes-12k": shape("lightgbm", LIGHTGBM, trees=200, leaves=31, rate=0.05, features=64),
    "nodes-512k": shape("lightgbm", LIGHTGBM, trees=1000, leaves=256, rate=0.02, features=128, column_share=0.3),
    "nodes-4m": shape("lightgbm", LIGHTGBM, trees=4000, leaves=500, rate=0.01, features=1000, column_share=0.05,
                      training_rows=20_000, rows=2_000, repeats=5),
}

# At least so many times as fast as the peer.
TARGETS = (
    ("lightgbm-1000x31", "lightgbm", "one", 12), ("lightgbm-1000x31", "lightgbm", "many", 20),
    ("lightgbm-100x31", "lightgbm", "one", 5),
    ("lightgbm-500x255", "lightgbm", "one", 7), ("lightgbm-500x255", "lightgbm", "many", 12),
    ("xgboost-500x6", "xgboost", "one", 15), ("xgboost-500x6", "xgboost", "many", 6),
    ("xgboost-500x10", "xgboost", "many", 3),
    ("lightgbm-1000x31", "onnxruntime", "one", 5), ("lightgbm-1000x31", "onnxruntime", "many", 6),
    ("lightgbm-1000x31", "tl2cgen", "one", 4),
    ("lightgbm-1000x31", "lleaves", "one", 2), ("lightgbm-1000x31", "lleaves", "many", 2),
    ("catboost-1000x6", "catboost", "one", 3), ("catboost-1000x6", "catboost", "many", 1.3),
)
# At most so many µs for one row, 99th percentile.
LATENCY_TARGETS = (("nodes-12k", 3), ("nodes-512k", 30))


def most_nodes(name):
    s = SHAPES[name]
    return s["trees"] * (2 * s.get("leaves", 2 ** s.get("depth", 0)) - 1)


def folder(name):
    """Where the model of a shape and all that is made from it lies; the name changes with what it is made of."""
    made_of = {key: value for key, value in SHAPES[name].items() if key != "peers"}
    versions = (pathlib.Path(__file__).parent / "requirements.txt").read_text(encoding="utf-8")
    key = hashlib.sha256(json.dumps([MAKING, made_of, versions], sort_keys=True).encode()).hexdigest()[:12]
    return FOLDER / f"{name}-{key}"

# What a peer reads, in the folder of the shape; those that convert_PEER of models.py makes.
FILES = {"onnxruntime": "peer.onnx", "treelite": "peer.treelite", "tl2cgen": "tl2cgen.so", "tl2cgen-quantised": "tl2cgen-quantised.so",
         "lleaves": "lleaves.so"}
# What the library's own engine reads, and what Mainstay reads.
OWN = {"lightgbm": "model.txt", "xgboost": "model.ubj", "catboost": "model.cbm", "sklearn": "model.joblib"}
MAINSTAY = {"lightgbm": "model.txt", "xgboost": "model.ubj", "catboost": "model.json", "sklearn": "model.onnx"}
