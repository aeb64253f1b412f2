"""How far to displace: the lengths over which a cost is expected to change, from the point and the claimed gradient.

They are first guesses only, which the measured values correct; and they carry the parameters' units, so that a
verdict does not depend on the units in which a parameter is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from gradproof._problem.problem import Problem
from gradproof._words.vectors import FloatArray, rms
from gradproof._words.vectors import norm as length_of

LARGEST_RAISE: Final = 1.0e3
"""Most by which a parameter's scale may exceed its size."""


def length_along(problem: Problem, components: Sequence[FloatArray]) -> float:
    """Return the t at which θ + t v has moved by about its own size, in the block where that is first.

    Blocks of zeros take their size from the others, and 1 where all are zero.
    """
    sizes = problem.sizes
    fallback = max(sizes) or 1.0
    ratios = []
    for values, component, size in zip(problem.values, components, sizes, strict=True):
        moved = component != 0
        if not moved.any():
            continue
        own = rms(values[moved]) or size or fallback
        ratios.append(own / rms(component[moved]))
    return min(ratios)


def block_scales(problem: Problem, claimed: Sequence[FloatArray]) -> list[float]:
    """Return ℓ_b, the length by which block b may be displaced, in its own units.

    The block's own size rms(θ_b); where the claim says that the block then changes the cost less than others do, more,
    until it changes it as much (a bias just made beside large weights), but at most a thousand times its size. A block
    of zeros takes what makes it change the cost as much as the others, at most the others' size; 1 where all are zero.
    """
    sizes = problem.sizes
    norms = [length_of(gradient) for gradient in claimed]
    fallback = max(sizes) or 1.0
    weight = max((s * g for s, g in zip(sizes, norms, strict=True)), default=0.0)
    scales = []
    for size, norm in zip(sizes, norms, strict=True):
        even = weight / norm if norm > 0 and weight > 0 else 0.0
        if size > 0:
            scales.append(min(max(size, even), LARGEST_RAISE * size))
        else:
            scales.append(min(even, fallback) if even > 0 else fallback)
    return scales


def coordinate_scales(problem: Problem, claimed: Sequence[FloatArray]) -> list[FloatArray]:
    """Return the length for each coordinate: its own size, raised towards its block's as `block_scales` raises blocks.

    A vector may hold parameters of many units; the claim tells them from coordinates that are small by accident, for
    which a displacement of their own size changes the cost less than the others' do.
    """
    blocks = block_scales(problem, claimed)
    result = []
    for values, gradient, block in zip(problem.values, claimed, blocks, strict=True):
        size = np.abs(values)
        slope = np.abs(gradient)
        weight = float(np.max(size * slope, initial=0.0))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            even = np.where((slope > 0) & (weight > 0), weight / slope, 0.0)
        raised = np.clip(even, size, np.maximum(block, size))
        raised = np.where(size > 0, raised, np.where(even > 0, np.minimum(even, block), block))
        result.append(raised)
    return result
