#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the table of powers of ten that number parsing and formatting share.

Entry q holds the first 128 bits of 10^q, truncated: 10^q = (hi * 2^64 + lo + f) * 2^(floor(log2 10^q) - 127)
with 0 <= f < 1 and the top bit of hi set. The range is what parsing (from -342) and formatting (to 324) need.
"""
import sys

MIN_EXPONENT, MAX_EXPONENT = -342, 324


def power(q):
    if q >= 0:
        value = 10**q
        shift = value.bit_length() - 128
        top = value >> shift if shift >= 0 else value << -shift
    else:
        divisor = 10**-q
        top = (1 << (divisor.bit_length() + 127)) // divisor
        if top.bit_length() > 128:
            top >>= 1
    assert top.bit_length() == 128
    # Users add one to a truncated entry without carrying into the upper half.
    assert top & (2**64 - 1) != 2**64 - 1
    return top


def main():
    with open(sys.argv[1], "w", encoding="ascii") as out:
        out.write('// Written by power_table.py.\n#include "json/powers.h"\n\n')
        out.write("const struct power ms_json_powers[POWER_MAX - POWER_MIN + 1] = {\n")
        for q in range(MIN_EXPONENT, MAX_EXPONENT + 1):
            top = power(q)
            out.write(f"\t[{q} - POWER_MIN] = {{0x{top >> 64:016x}, 0x{top & (2**64 - 1):016x}}},\n")
        out.write("};\n")


main()
