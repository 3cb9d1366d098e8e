#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Benign or malignant from thirty measures of cell nuclei: XGBoost binary classifier."""

import sys
from pathlib import Path

import numpy as np
import xgboost
from sklearn.datasets import load_breast_cancer

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import example  # noqa: E402

NAME, FILE = "breast-cancer", "model.json"
PARAMETERS = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.2, "nthread": 1, "seed": 1}
ROUNDS = 50


def main():
    data = load_breast_cancer()
    columns = [name.replace(" ", "_") for name in data.feature_names]
    held_out = np.arange(len(data.data)) % 5 == 0
    ask = {"feature_names": columns, "nthread": 1}
    rows = xgboost.DMatrix(data.data[~held_out], data.target[~held_out], **ask)
    booster = xgboost.train(PARAMETERS, rows, ROUNDS)
    path = example.model_path(NAME, FILE)
    booster.save_model(path)

    chance = booster.predict(xgboost.DMatrix(data.data[held_out], **ask)).astype(np.float64)
    truth = data.target[held_out]
    loss = -np.log(np.where(truth == 1, chance, 1 - chance)).mean()
    example.write_metadata(
        NAME,
        FILE,
        format="xgboost-json",
        library=f"xgboost {xgboost.__version__}",
        description="Probability that a breast mass is benign, from measures of its cell nuclei",
        inputs=[{"name": c, "type": "float64"} for c in columns],
        outputs=[{"name": "probability", "type": "float64", "shape": [1]}],
        labels=[str(name) for name in data.target_names],
        training={
            "rows": int((~held_out).sum()),
            "held_out_rows": int(held_out.sum()),
            "accuracy": round(float(((chance > 0.5) == truth).mean()), 4),
            "log_loss": round(float(loss), 4),
        },
    )

    example.write_rows(NAME, columns, data.data.tolist())
    picked = range(0, len(data.data), 57)
    example.write_samples(NAME, columns, data.data[picked].tolist(), booster.predict(xgboost.DMatrix(data.data[picked], **ask)))

    features = example.edges(data.data[::14], path, "xgboost-json", float32=True, specials=example.record.XGBOOST_SPECIALS)
    answers = example.record.xgboost(path, features, names=columns)
    example.write_golden(NAME, FILE, "xgboost-json", "binary:logistic, 30 features", features, answers)


if __name__ == "__main__":
    main()
