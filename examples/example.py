# SPDX-License-Identifier: Apache-2.0
"""What the training scripts of the examples share: where things go, metadata, rows and golden predictions."""

import csv
import hashlib
import json
import math
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "golden"))

import goldenfile  # noqa: E402
import hostile  # noqa: E402
import record  # noqa: E402
import walk  # noqa: E402

VERSION = "v1.0.0"
CREATED = "2026-11-20T09:00:00Z"


def model_path(name, file):
    """The place of a model file in the model store examples/models; its folder is made."""
    folder = HERE / "models" / name / VERSION
    folder.mkdir(parents=True, exist_ok=True)
    return folder / file


def write_metadata(name, file, **fields):
    path = model_path(name, file)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    metadata = {"name": name, "version": VERSION, "file": file, **fields, "created": CREATED, "sha256": digest}
    path.with_name("metadata.json").write_text(json.dumps(metadata, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def is_missing(value):
    return value is None or (isinstance(value, float) and math.isnan(value))


def plain(value):
    """A value as JSON and CSV take it: None for missing, a str or a float otherwise."""
    if is_missing(value):
        return None
    return value if isinstance(value, str) else float(value)


def write_rows(name, columns, rows):
    """rows.csv: what the model takes; an empty field is a missing value."""
    with open(HERE / name / "rows.csv", "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow(["" if is_missing(v) else v if isinstance(v, str) else repr(float(v)) for v in row])


def write_samples(name, columns, rows, predictions):
    """golden.json: some rows as a caller would send them, with the prediction at full precision."""
    samples = []
    for row, prediction in zip(rows, predictions):
        values = [float(v) for v in (prediction if hasattr(prediction, "__len__") else [prediction])]
        samples.append(
            {
                "features": {c: plain(v) for c, v in zip(columns, row)},
                "prediction": values[0] if len(values) == 1 else values,
            }
        )
    text = ",\n".join(json.dumps(sample, ensure_ascii=False) for sample in samples)
    (HERE / name / "golden.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")


def write_golden(name, file, form, note, features, answers):
    """golden.txt, after a walk through the model file has confirmed each raw score."""
    golden = goldenfile.Golden(model=file, format=form, note=note, features=features, **answers)
    record.verify(golden, record.model_text(model_path(name, file), form))
    goldenfile.write(HERE / name / "golden.txt", golden)


def edges(real, file, form, **options):
    """Real and hostile rows for a model file."""
    model = walk.load(record.model_text(file, form), form)
    return hostile.rows(real, model.thresholds(), **options)
