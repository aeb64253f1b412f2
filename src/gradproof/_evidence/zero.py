"""What counts as zero: how small a change excuses a claim of zero, over which reach it is judged, and how it is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gradproof._numerics.steps import FIRST_STEP

NEGLIGIBLE: Final = 0.75
"""A block whose claim changes the cost by less than u^0.75 of what the others do counts as zero."""
ROUNDED: Final = 30.0
"""Unit roundoffs of a value up to which its changes are rounding, √n being what n terms of its size add up to, for a
thousand of them. Changes that excuse a claim of zero must be smaller."""
HIDDEN: Final = 100.0
"""Spreads of a line that a gradient of zero may be off by: few lines prove no less, and more would certify what is wrong."""
AGAIN: Final = 0.1
"""Share of the probability of an error that is kept for each second look: at claims that turn out to count as zero, and,
for functions of many outputs, with more cotangents."""
NEARBY: Final = 3.3 * FIRST_STEP
"""Reach, in units of the parameters' scale, over which it counts how much a cost changes: that of a first look. Further
out a curvature that says nothing of the slope may be all that is seen, and would excuse any claim of zero."""


def rounding_note(names: Sequence[str], of: str) -> str:
    """Say that what is claimed of these blocks counts as zero beside what the cost, or an output, does nearby."""
    shown = f"{', '.join(names[:6])}{' …' if len(names) > 6 else ''}"
    return (
        f"What is claimed of {shown} is nothing beside what the {of} does nearby, as a gradient at a "
        "minimum is the rounding of its own terms: it counts as zero, and its digits were not judged."
    )
