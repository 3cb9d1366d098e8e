# SPDX-License-Identifier: Apache-2.0
"""Writes and reads the golden files: what a training library answers for given rows, to the last bit.

The format is described in README.md. Everything is text; floats are C99 hexadecimal, so no digit is lost.
"""

import math
import re
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

TRAILING_ZEROS = re.compile(r"(\.[0-9a-f]+?)0+(?=p)")
MAGIC = "mainstay-golden 1"


@dataclass
class Golden:
    library: str
    model: str  # file name of the model, beside the golden file
    format: str  # lightgbm-text, xgboost-json, xgboost-ubjson, catboost-json, onnx
    note: str
    features: list  # rows; each a list of numbers, or of str for categories given by name
    raw: np.ndarray | None = None  # rows x outputs, float32 or float64
    pred: np.ndarray | None = None
    leaf: np.ndarray | None = None
    label: np.ndarray | None = None  # place of the class
    refuse: str | None = None  # why a loader must refuse the model; then there are no rows
    extra: dict = field(default_factory=dict)  # further header lines


def format_number(value):
    """One feature or output as text: hexadecimal float, or s: and a percent-encoded string."""
    if isinstance(value, str):
        return "s:" + urllib.parse.quote(value, safe="")
    value = float(value)  # exact from float32
    if math.isnan(value):
        return "nan"
    # As printf %a writes it: without the zeros at the end of the fraction, but one digit always.
    return TRAILING_ZEROS.sub(r"\1", value.hex())


def parse_number(text):
    if text.startswith("s:"):
        return urllib.parse.unquote(text[2:])
    return float.fromhex(text)


def as_matrix(values, rows):
    """Outputs of a library as a rows x columns array; one column for a flat answer."""
    values = np.asarray(values)
    return values.reshape(rows, -1)


def write(path, golden):
    """Writes one golden file."""
    rows = 0 if golden.refuse else len(golden.features)
    lines = [
        MAGIC,
        f"library {golden.library}",
        f"model {golden.model}",
        f"format {golden.format}",
        f"note {golden.note}",
    ]
    lines += [f"{key} {value}" for key, value in golden.extra.items()]
    if golden.refuse:
        lines.append(f"refuse {golden.refuse}")
    else:
        raw = as_matrix(golden.raw, rows)
        pred = as_matrix(golden.pred, rows)
        leaf = as_matrix(golden.leaf, rows) if golden.leaf is not None else np.zeros((rows, 0), dtype=np.int64)
        lines += [
            f"features {len(golden.features[0])}",
            f"raw {raw.shape[1]}",
            f"pred {pred.shape[1]}",
            f"leaf {leaf.shape[1]}",
            *(["label 1"] if golden.label is not None else []),
            f"rows {rows}",
        ]
        for i, row in enumerate(golden.features):
            blocks = [map(format_number, row), map(format_number, raw[i]), map(format_number, pred[i])]
            if leaf.shape[1]:
                blocks.append(str(int(index)) for index in leaf[i])
            if golden.label is not None:
                blocks.append([str(int(golden.label[i]))])
            lines.append(" | ".join(" ".join(block) for block in blocks))
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(path):
    """Reads a golden file back; returns the header as a dictionary and the rows as lists of blocks."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    if lines[0] != MAGIC:
        raise ValueError(f"{path}: first line is not '{MAGIC}'")
    header = {}
    at = 1
    while at < len(lines):
        key, _, value = lines[at].partition(" ")
        at += 1
        header[key] = value
        if key in ("rows", "refuse"):
            break
    rows = []
    for line in lines[at:]:
        blocks = [block.split(" ") for block in line.split(" | ")]
        rows.append([[parse_number(word) for word in block] for block in blocks[:3]] + [[int(w) for w in b] for b in blocks[3:]])
    if rows and len(rows) != int(header["rows"]):
        raise ValueError(f"{path}: {len(rows)} rows, header says {header['rows']}")
    return header, rows
