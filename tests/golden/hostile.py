# SPDX-License-Identifier: Apache-2.0
"""Rows that sit on every edge a tree model has: thresholds and their neighbours, signed zeros, infinities, odd categories."""

import numpy as np

TINY = [0.0, -0.0, 1e-35, -1e-35, 1e-36, -1e-36, float(np.float32(1e-35)), 5e-324, -5e-324, 1e-40, 1.401298464324817e-45]
FLOAT_MAX = 3.4028234663852886e38
HUGE = [1e30, -1e30, FLOAT_MAX, -FLOAT_MAX]
# Beyond the float32 range: a cast turns these into infinities.
OVERFLOWING = [1e39, -1e39, 1.7976931348623157e308]
INFINITE = [float("inf"), float("-inf")]
ODD_CATEGORIES = [-1.0, -0.0, -0.9, -2.0, 0.5, 2.7, 1e9, 16777215.0, 16777216.0, 16777217.0]
# From 2^31 on a cast to int is undefined in C; XGBoost compares in float before it casts.
WIDE_CATEGORIES = [2147483648.0, 3e9]


def around(threshold, float32):
    """The threshold itself and its neighbours one unit in the last place away, in double and (if asked) in float."""
    values = [threshold, np.nextafter(threshold, np.inf), np.nextafter(threshold, -np.inf)]
    if float32 and abs(threshold) < FLOAT_MAX:
        narrow = np.float32(threshold)
        above, below = np.nextafter(narrow, np.float32(np.inf)), np.nextafter(narrow, np.float32(-np.inf))
        values += [narrow, above, below]
        # Exactly between two floats: the cast rounds to even, in one direction here and the other there.
        values += [(float(narrow) + float(above)) / 2, (float(narrow) + float(below)) / 2]
    return [float(v) for v in dict.fromkeys(float(v) for v in values)]


def spread(values, count):
    """At most count of the sorted distinct values, evenly spread, first and last included."""
    values = sorted(set(values))
    if len(values) <= count:
        return values
    picks = np.linspace(0, len(values) - 1, count).round().astype(int)
    return [values[i] for i in dict.fromkeys(picks)]


def rows(real, thresholds, categories=None, *, float32=False, specials=None, keep=24, budget=48, all_nan=True):
    """Real rows followed by hostile ones.

    real        rows the model was trained on or could have seen (list of lists or array)
    thresholds  feature index -> thresholds of the model on that feature
    categories  feature index -> codes to try (numbers or strings); such a feature takes no numeric specials
    budget      about how many rows to spend on thresholds
    """
    categories = categories or {}
    specials = TINY + HUGE + INFINITE if specials is None else specials
    if len(real[0]) > 100:
        keep, budget, specials = keep // 6, budget // 4, specials and specials[::4]  # a wide row is long
    real = [list(row) for row in real]
    out = [list(row) for row in real[:keep]]
    bases = real[: max(7, min(len(real), 23))]
    width = len(real[0])
    turn = 0

    def place(feature, value):
        nonlocal turn
        row = list(bases[turn % len(bases)])
        turn += 1
        row[feature] = value
        out.append(row)

    numeric = [f for f in range(width) if f not in categories]
    used = [f for f in numeric if thresholds.get(f)]
    # Features with few thresholds leave their share to those with many.
    places = budget // (8 if float32 else 3)
    chosen = sorted(spread(used, max(6, places)), key=lambda f: len(set(thresholds[f])))
    for i, f in enumerate(chosen):
        finite = [t for t in thresholds[f] if np.isfinite(t)]
        share = spread(finite, max(1, places // (len(chosen) - i)))
        places -= len(share)
        for threshold in share:
            for value in around(threshold, float32):
                place(f, value)
    for f in (used or numeric)[:6]:
        place(f, float("nan"))
    for i, value in enumerate(specials):
        for f in (used or numeric)[i % 2 :: 2][:2]:
            place(f, value)
    for f, codes in categories.items():
        for code in codes:
            place(f, code)
    if numeric:
        for value in [0.0, -0.0] + ([float("nan")] if all_nan else []):
            out.append([value if f in numeric else real[0][f] for f in range(width)])
    if all_nan and not any(isinstance(v, str) for v in real[0]):
        out.append([float("nan")] * width)
        out.append([0.0] * width)
    return out
