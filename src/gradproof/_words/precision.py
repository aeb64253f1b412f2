"""Floating-point precisions by name: unit roundoffs, ranges, and rounding to one of them."""

from __future__ import annotations

from typing import Final

import numpy as np

from gradproof._words.vectors import FloatArray

UNIT_ROUNDOFF: Final = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
HALF: Final = 1e-6
"""Unit roundoffs above this are half precisions."""
RANGE: Final = {"float64": 1e300, "float32": 1e38, "float16": 6e4, "bfloat16": 1e38}
"""Sizes that are represented for certain."""
SIGNIFICAND_BITS: Final = {"float32": 24, "bfloat16": 8, "float16": 11}
"""Bits of the significand, the hidden one included."""


def round_to(array: FloatArray, precision: str) -> FloatArray:
    """Round to the significand of a lower precision ("float32", "bfloat16" or "float16"), keeping float64's range."""
    scale = 2.0 ** SIGNIFICAND_BITS[precision]
    significand, exponent = np.frexp(array)
    return np.ldexp(np.rint(significand * scale) / scale, exponent)


def rounded_to(array: FloatArray, precision: str) -> FloatArray:
    """Round to a lower precision, its range included; what is of another precision is returned as it is."""
    if precision in {"float32", "float16"}:
        return array.astype(precision).astype(np.float64)
    return round_to(array, precision) if precision == "bfloat16" else array  # its range is that of float32
