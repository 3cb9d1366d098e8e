#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the golden models and their recorded answers again, with whichever of the libraries this Python has.

  make.py                 every case of every library that can be imported
  make.py --only NAME     the cases whose folder name starts with NAME
  make.py --list          the names
  make.py --check         no training: walk the committed models and those of the examples by hand and compare (needs numpy alone)
"""

import argparse
import importlib
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import numpy as np  # noqa: E402

import goldenfile  # noqa: E402
import record  # noqa: E402

LIBRARIES = ("lightgbm", "xgboost", "catboost", "sklearn")


def available():
    """All cases of the libraries that are installed: name -> (module, case)."""
    found = {}
    for library in LIBRARIES:
        try:
            importlib.import_module(library)
        except ImportError:
            continue
        module = importlib.import_module(f"{library}_cases")
        found.update({name: (module, case) for name, case in module.cases().items()})
    return found


def make(name, module, case):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    try:
        module.make(case, folder)
    except Exception:
        traceback.print_exc()
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()
        return False
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name}: {size // 1024} KiB", flush=True)
    return True


def model_of(path, file):
    """The model that a golden file is about: beside it, or in the model store of the examples."""
    beside = path.with_name(file)
    return beside if beside.exists() else path.parents[1] / "models" / path.parent.name / "v1.0.0" / file


def check(path):
    """Compares a committed golden file with a walk through its model."""
    header, rows = goldenfile.read(path)
    if "refuse" in header or header["format"] == "onnx":
        return True  # ONNX: what the runtime answers is not walked by hand
    features = [row[0] for row in rows]
    kind = np.float32 if header["format"].startswith("xgboost") else np.float64
    wide = [np.array([row[block] for row in rows]) for block in (1, 2)]
    raw, pred = (values.astype(kind) for values in wide)
    if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(wide, (raw, pred))):
        print(f"{path.parent.name}: a recorded value is not a float")
        return False
    golden = goldenfile.Golden(header["library"], header["model"], header["format"], header["note"], features, raw, pred)
    try:
        record.verify(golden, record.model_text(model_of(path, header["model"]), header["format"]))
    except RuntimeError as problem:
        print(f"{path.parent.name}: {problem}")
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NAME")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.check:
        paths = sorted(HERE.glob("*/golden.txt")) + sorted(HERE.parents[1].glob("examples/*/golden.txt"))
        paths = [path for path in paths if path.parent.name.startswith(options.only)]
        results = [check(path) for path in paths]
    else:
        chosen = {name: pair for name, pair in available().items() if name.startswith(options.only)}
        if options.list:
            print("\n".join(chosen))
            return
        results = [make(name, module, case) for name, (module, case) in chosen.items()]
    print(f"{results.count(True)} of {len(results)} as they should be")
    sys.exit(0 if all(results) and results else 1)


if __name__ == "__main__":
    main()
