"""Formulas on seven equally spaced values: Gram's polynomials, and Lagrange's weights of interpolation and derivatives."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np

from gradproof._words.vectors import FloatArray

POINTS: Final = 7
"""Equally spaced values in a table: enough for a formula of order 6 and a plateau beside it."""
BETWEEN: Final = 0.3819660112501051
"""A place between the points (2 less the golden ratio) at which a value shows whether they were too far apart."""
CENTRAL_6: Final = np.array([-1, 9, -45, 0, 45, -9, 1]) / 60
CENTRAL_4: Final = np.array([0, 1, -8, 0, 8, -1, 0]) / 12
CENTRAL_2: Final = np.array([0, 0, -1, 0, 1, 0, 0]) / 2
FORWARD_6: Final = np.array([-147, 360, -450, 400, -225, 72, -10]) / 60
FORWARD_5: Final = np.array([-137, 300, -300, 200, -75, 12, 0]) / 60
FORWARD_4: Final = np.array([-25, 48, -36, 16, -3, 0, 0]) / 12
"""Weights of Lagrange's interpolation formulas on seven values (Fornberg, Math. Comp. 51 (1988) 699)."""
CENTRAL: Final = np.array([CENTRAL_6, CENTRAL_4, CENTRAL_2])
FORWARD: Final = np.array([FORWARD_6, FORWARD_5, FORWARD_4])
"""The best formula, the next and the one after."""
AMPLIFICATION: Final = math.sqrt(float(CENTRAL_6 @ CENTRAL_6)), math.sqrt(float(FORWARD_6 @ FORWARD_6))
"""Standard deviation of the best formula's error, over noise/step: in the middle and at the end."""


@lru_cache(maxsize=1)
def gram_polynomials() -> FloatArray:
    """Return the orthonormal polynomials of degree 0 … 6 on seven equally spaced points, a row each."""
    grid = np.arange(POINTS, dtype=float) - (POINTS - 1) / 2
    basis, _ = np.linalg.qr(np.vander(grid, POINTS, increasing=True))
    rows: FloatArray = basis.T.copy()
    rows.setflags(write=False)
    return rows


@lru_cache(maxsize=1)
def interpolation_weights() -> FloatArray:
    """Return the weights with which seven values about 0 give the value at `BETWEEN` steps, by Lagrange's formula."""
    grid = np.arange(POINTS, dtype=float) - (POINTS - 1) / 2
    others = [np.delete(grid, k) for k in range(POINTS)]
    weights: FloatArray = np.array(
        [np.prod((BETWEEN - rest) / (x - rest)) for x, rest in zip(grid, others, strict=True)]
    )
    return weights


@lru_cache(maxsize=1)
def leading_coefficients() -> tuple[float, ...]:
    """Return c_k of φ(t) = (t/h)ᵏ/k!, for k = 1 … 6."""
    grid = np.arange(POINTS, dtype=float) - (POINTS - 1) / 2
    monomials = [grid**k / math.factorial(k) for k in range(1, POINTS)]
    leading: FloatArray = np.abs(np.einsum("kp,kp->k", gram_polynomials()[1:], np.array(monomials)))
    return tuple(leading.tolist())
