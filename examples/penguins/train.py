#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Body mass of a penguin from its species, island, sex and measurements: LightGBM regression."""

import sys
from pathlib import Path

import lightgbm
import numpy as np
import pandas

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import example  # noqa: E402

NAME, FILE, TARGET = "penguins", "model.txt", "body_mass_g"
CATEGORIES = ["species", "island", "sex"]
PARAMETERS = {
    "objective": "regression",
    "num_leaves": 12,
    "learning_rate": 0.1,
    "min_data_in_leaf": 8,
    "cat_smooth": 5,
    "min_data_per_group": 10,
    "deterministic": True,
    "num_threads": 1,
    "seed": 1,
    "verbosity": -1,
}
ROUNDS = 60


def main():
    table = pandas.read_csv(HERE / "penguins.csv")
    columns = [c for c in table.columns if c != TARGET]
    frame = table[columns].astype({c: "category" for c in CATEGORIES})
    known = table[TARGET].notna()
    held_out = known & (np.arange(len(table)) % 5 == 0)
    rows, target = frame[known & ~held_out], table.loc[known & ~held_out, TARGET]

    booster = lightgbm.train(PARAMETERS, lightgbm.Dataset(rows, target), ROUNDS)
    path = example.model_path(NAME, FILE)
    booster.save_model(path)

    errors = booster.predict(frame[held_out]) - table.loc[held_out, TARGET]
    example.write_metadata(
        NAME,
        FILE,
        format="lightgbm-text",
        library=f"lightgbm {lightgbm.__version__}",
        description="Body mass in grams of a penguin of the Palmer Archipelago",
        inputs=[
            {"name": c, "type": "category", "categories": list(frame[c].cat.categories)}
            if c in CATEGORIES
            else {"name": c, "type": "float64"}
            for c in columns
        ],
        outputs=[{"name": TARGET, "type": "float64", "shape": [1]}],
        training={
            "rows": int(len(rows)),
            "held_out_rows": int(held_out.sum()),
            "rmse": round(float(np.sqrt((errors**2).mean())), 2),
            "mae": round(float(errors.abs().mean()), 2),
        },
    )

    values = table[columns].astype(object).where(table[columns].notna(), None).values.tolist()
    example.write_rows(NAME, columns, values)
    picked = list(range(0, len(table), 31))[:10] + [3]  # row 3 has no measurement at all
    example.write_samples(NAME, columns, [values[i] for i in picked], booster.predict(frame.iloc[picked]))

    # LightGBM itself sees the codes of the categories; an unknown or missing one is NaN.
    codes = frame.copy()
    for c in CATEGORIES:
        codes[c] = frame[c].cat.codes.astype("float64").where(frame[c].notna())
    odd = [float("nan"), -1.0, 0.0, 1.0, 2.0, 3.0, 0.9, 2.7, -0.9, 31.0, 32.0, 64.0, 1e9]
    real = codes.to_numpy(dtype=np.float64)
    real = np.concatenate([real[::12], real[3:4], real])
    features = example.edges(real, path, "lightgbm-text", categories={columns.index(c): odd for c in CATEGORIES})
    answers = example.record.lightgbm(path, features)
    example.write_golden(NAME, FILE, "lightgbm-text", "regression, pandas categories, real missing values", features, answers)


if __name__ == "__main__":
    main()
