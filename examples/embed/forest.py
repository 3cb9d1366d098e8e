#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scores a CSV file inside Python, without a server and without a package: forest.py MODEL ROWS.csv

MAINSTAY_FOREST names the library if the system does not find it. The first line of the file names the features;
a field is a number, a category or, empty, missing.
"""
import csv
import ctypes
import math
import os
import sys
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_size_t, c_uint32, c_uint64, c_void_p

DEFAULT = 0  # enum mainstay_forest_output


class Text(ctypes.Structure):
    _fields_ = [("bytes", c_void_p), ("length", c_size_t)]

    def __str__(self):
        return ctypes.string_at(self.bytes, self.length).decode()


class Feature(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("name", Text), ("category_count", c_uint64), ("categorical", c_uint32),
                ("takes_strings", c_uint32), ("any_string", c_uint32)]


class Forest:
    def __init__(self, path):
        self.library = lib = ctypes.CDLL(os.environ.get("MAINSTAY_FOREST", "libmainstay-forest.so.0"))
        lib.mainstay_forest_output_width.argtypes = [c_void_p, c_int]
        lib.mainstay_forest_output_width.restype = c_size_t
        lib.mainstay_forest_predict_f64.argtypes = [c_void_p, c_void_p, c_int, POINTER(c_double), c_size_t,
                                                    POINTER(c_double), c_size_t]
        lib.mainstay_forest_encode_number.argtypes = [c_void_p, c_size_t, c_double, c_char_p, c_size_t, POINTER(c_double)]
        self.handle, self.scratch, self.error = c_void_p(), c_void_p(), ctypes.create_string_buffer(512)
        self.check(lib.mainstay_forest_load_file(os.fsencode(path), None, self.error, c_size_t(512), byref(self.handle)))
        self.check(lib.mainstay_forest_scratch_new(self.handle, byref(self.scratch)))
        self.features = []
        feature = Feature(struct_size=ctypes.sizeof(Feature))
        while lib.mainstay_forest_get_feature(self.handle, c_size_t(len(self.features)), byref(feature)) == 0:
            self.features.append((str(feature.name), bool(feature.takes_strings)))
        self.width = lib.mainstay_forest_output_width(self.handle, DEFAULT)

    def check(self, status):
        if status != 0:
            raise ValueError(self.error.value.decode() or f"status {status}")

    def encode(self, feature, field):
        value = c_double(math.nan)
        if field and self.features[feature][1]:
            text = field.encode()
            self.check(self.library.mainstay_forest_encode_string(self.handle, c_size_t(feature), text, c_size_t(len(text)),
                                                                  self.error, c_size_t(512), byref(value)))
        elif field:
            self.check(self.library.mainstay_forest_encode_number(self.handle, feature, float(field), self.error, 512, value))
        return value.value

    def predict(self, rows):
        values = (c_double * (len(rows) * self.width))()
        # A NumPy array of float64 needs no such copy: array.ctypes.data_as(POINTER(c_double)).
        flat = (c_double * (len(rows) * len(self.features)))(*(x for row in rows for x in row))
        self.check(self.library.mainstay_forest_predict_f64(self.handle, self.scratch, DEFAULT, flat, len(rows), values,
                                                            len(values)))
        return [values[i:i + self.width] for i in range(0, len(values), self.width)]

    def close(self):
        self.library.mainstay_forest_scratch_free(self.scratch)
        self.library.mainstay_forest_free(self.handle)


if __name__ == "__main__":
    forest = Forest(sys.argv[1])
    table = csv.DictReader(open(sys.argv[2], newline="", encoding="utf-8"))
    for values in forest.predict([[forest.encode(i, row[name]) for i, (name, _) in enumerate(forest.features)] for row in table]):
        print(",".join(map(repr, values)))
    forest.close()
