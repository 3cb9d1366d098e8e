#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which of three growers made a wine, from its chemical analysis: CatBoost multi-class classifier."""

import sys
from pathlib import Path

import catboost
import numpy as np
from sklearn.datasets import load_wine

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import example  # noqa: E402

NAME, FILE = "wine", "model.json"
PARAMETERS = {
    "loss_function": "MultiClass",
    "iterations": 40,
    "depth": 4,
    "learning_rate": 0.15,
    "border_count": 64,
    "random_seed": 1,
    "thread_count": 1,
    "allow_writing_files": False,
    "verbose": False,
}


def main():
    data = load_wine()
    columns = [name.replace("/", "_") for name in data.feature_names]
    held_out = np.arange(len(data.data)) % 5 == 0
    model = catboost.CatBoostClassifier(**PARAMETERS)
    model.fit(catboost.Pool(data.data[~held_out], data.target[~held_out], feature_names=columns, thread_count=1))
    path = example.model_path(NAME, FILE)
    example.record.save_catboost(model, path)

    # Asked of the trained model itself: CatBoost's reader of its own JSON rounds some leaf values wrongly.
    def chances(rows):
        return model.predict(catboost.Pool(rows, feature_names=columns), prediction_type="Probability", thread_count=1)

    chance, truth = chances(data.data[held_out]), data.target[held_out]
    example.write_metadata(
        NAME,
        FILE,
        format="catboost-json",
        library=f"catboost {catboost.__version__}",
        description="Probability of each of three wine growers, from a chemical analysis",
        inputs=[{"name": c, "type": "float64"} for c in columns],
        outputs=[{"name": "probabilities", "type": "float64", "shape": [3]}],
        labels=[str(name) for name in data.target_names],
        training={
            "rows": int((~held_out).sum()),
            "held_out_rows": int(held_out.sum()),
            "accuracy": round(float((chance.argmax(axis=1) == truth).mean()), 4),
            "log_loss": round(float(-np.log(chance[np.arange(len(truth)), truth]).mean()), 4),
        },
    )

    example.write_rows(NAME, columns, data.data.tolist())
    picked = range(0, len(data.data), 18)
    example.write_samples(NAME, columns, data.data[picked].tolist(), chances(data.data[picked]))

    features = example.edges(data.data[::4], path, "catboost-json", float32=True)
    answers = example.record.catboost(model, features, "Probability", names=columns)
    example.write_golden(NAME, FILE, "catboost-json", "MultiClass, oblivious trees, pred = Probability", features, answers)


if __name__ == "__main__":
    main()
