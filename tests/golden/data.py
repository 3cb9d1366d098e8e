# SPDX-License-Identifier: Apache-2.0
"""Made-up training data with the shapes that matter to a tree: skewed, sparse, discrete, missing, categorical."""

from dataclasses import dataclass

import numpy as np

ROWS = 420
NUMERIC = 6  # columns of the plain table


@dataclass
class Table:
    x: np.ndarray
    signal: np.ndarray  # what the targets are made from
    noise: np.ndarray
    categorical: list  # column indices


def plain(missing=False, rows=ROWS, seed=7):
    """Six numeric columns: normal, lognormal, small integers, mostly zero, eighths (exact in float), large negatives."""
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [
            rng.normal(size=rows),
            100 * rng.lognormal(size=rows),
            rng.integers(0, 10, size=rows),
            np.where(rng.random(rows) < 0.7, 0.0, rng.normal(size=rows)),
            rng.integers(-40, 40, size=rows) / 8,
            -np.exp(rng.normal(2, 2, size=rows)),
        ]
    )
    signal = x[:, 0] + 0.4 * np.log(x[:, 1]) - 0.15 * x[:, 2] + 1.5 * x[:, 3] + 0.2 * np.abs(x[:, 4]) * (x[:, 0] > 0)
    signal -= 0.1 * np.log(-x[:, 5])
    noise = rng.normal(scale=0.2, size=rows)
    if missing:
        # Missing means high in one column and low in the other, so that both default directions are learnt.
        x[(signal > np.quantile(signal, 0.7)) & (rng.random(rows) < 0.5), 0] = np.nan
        x[(signal < np.quantile(signal, 0.3)) & (rng.random(rows) < 0.5), 4] = np.nan
        x[rng.random(rows) < 0.1, 1] = np.nan
    return Table(x, signal, noise, [])


def wide(columns=300, rows=800, seed=5):
    """Many columns of small integers, each of which matters a little."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4, size=(rows, columns)).astype(np.float64)
    return Table(x, (x * rng.normal(size=columns)).sum(axis=1), rng.normal(scale=0.2, size=rows), [])


def make(codes=0, columns=0, **options):
    """The table that a case asks for: with categories, with many columns, or the plain one."""
    if codes:
        return categorical(codes, **options)
    return wide(columns) if columns else plain(**options)


def categorical(codes=12, missing=False, rows=700, seed=11):
    """The plain table, a column of so many codes and a column of three; the effect of a code has no order."""
    table = plain(missing, rows, seed)
    rng = np.random.default_rng(seed + 1)
    many = rng.integers(0, codes, size=rows)
    few = rng.integers(0, 3, size=rows)
    effect = rng.normal(scale=1.5, size=codes)
    table.signal = table.signal + effect[many] + np.array([0.8, -1.0, 0.3])[few]
    table.x = np.column_stack([table.x, many, few]).astype(np.float64)
    table.categorical = [NUMERIC, NUMERIC + 1]
    return table


def target(table, kind):
    """The training target of a kind, made from the signal."""
    y = table.signal + table.noise
    z = (y - y.mean()) / y.std()
    if kind == "real":
        return y
    if kind == "wave":  # all in the first column, and many splits of it
        return np.sin(25 * table.x[:, 0]) + 0.1 * table.noise
    if kind == "positive":
        return np.exp(z)
    if kind == "unit":
        return 1 / (1 + np.exp(-2 * z))
    if kind == "count":
        return np.floor(np.exp(0.8 * z + 0.5))
    if kind == "semicontinuous":
        return np.where(z < -0.3, 0.0, np.exp(z))
    if kind == "binary":
        return (z > 0.4).astype(np.float64)
    if kind == "ones":
        return np.ones(len(z))
    if kind == "four":
        return np.digitize(z, [-0.8, 0.0, 0.7]).astype(np.float64)
    if kind == "gap":  # class 2 of four never occurs
        return np.choose(np.digitize(z, [-0.6, 0.6]), [0.0, 1.0, 3.0])
    if kind == "grades":
        return np.clip(np.floor(z + 2), 0, 4)
    if kind == "pair":
        return np.column_stack([y, np.abs(z) + 0.1 * table.noise])
    if kind == "triple":
        return np.column_stack([y, z * z, np.sin(3 * z)])
    raise ValueError(f"no target is called {kind!r}")


def groups(rows, size=20):
    """Query sizes for ranking."""
    return [size] * (rows // size) + ([rows % size] if rows % size else [])
