"""Faults in a part of a block: rows, columns, slices, coordinates; and what is wrong within them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradproof._diagnosis.causes import Correction, division
from gradproof._diagnosis.decoding import decode_one
from gradproof._diagnosis.evidence import Evidence, Finding, Measurements
from gradproof._diagnosis.fitting import NEXT_TO_NOTHING, Fit, Hypothesis, fits, inverse
from gradproof._diagnosis.telling import counts_in
from gradproof._numerics.statistics import within
from gradproof._words.directions import Slab
from gradproof._words.results import Cause, Diagnosis

MOST_NAMED = 12
LARGEST_SHARE = 0.5
"""Share of the coordinates up to which scattered faults are called "some coordinates"."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where a fault is.

    Parameters
    ----------
    cause
        SLICES or COORDINATES.
    indices
        Flat indices of the coordinates concerned.
    where
        For people: "rows 1 and 4".
    code
        The same as an index expression: "[[1, 4]]".
    """

    cause: Cause
    indices: NDArray[np.intp]
    where: str
    code: str


def wrong_part(evidence: Evidence, measurements: Measurements) -> Part | None:
    """Say where the fault is; None for all over.

    The search knows; else all coordinates, where they were measured; else the lines themselves tell of one fault.
    """
    parts = evidence.located.get(measurements.block, ())
    if parts:
        return _from_search(parts, measurements)
    if measurements.complete:
        return _from_coordinates(measurements)
    indices = decode_one(measurements)
    return None if indices is None else _describe(indices, measurements.shape)


def part_finding(evidence: Evidence, measurements: Measurements, part: Part) -> Finding:
    """Name what is wrong within a part: zero, a factor, exchanged, or only that it is wrong."""
    for explain in (_zero_there, _factor_there, _exchanged):
        finding = explain(evidence, measurements, part)
        if finding is not None:
            return finding
    return _finding(
        evidence, measurements, part, f"{part.where} of {evidence.display(measurements.block)} {_verb(part)} wrong."
    )


def _finding(
    evidence: Evidence,
    measurements: Measurements,
    part: Part,
    sentence: str,
    fit: Fit | None = None,
    remedy: str = "",
    corrected: Correction | None = None,
) -> Finding:
    diagnosis = Diagnosis(
        cause=part.cause,
        block=evidence.names[measurements.block],
        coefficient=fit.coefficient if fit else math.nan,
        coefficient_bar=fit.bar if fit else math.nan,
        where=part.where,
        sentence=sentence,
        remedy=remedy,
    )
    return Finding(diagnosis, corrected or {})


def _verb(part: Part) -> str:
    return "is" if part.where.split()[0] in {"row", "column", "slice", "entry"} else "are"


def _zero_there(evidence: Evidence, measurements: Measurements, part: Part) -> Finding | None:
    if measurements.claimed[part.indices].any():
        return None
    sentence = (
        f"{part.where} of {evidence.display(measurements.block)} {_verb(part)} zero where the true gradient is not."
    )
    return _finding(evidence, measurements, part, sentence)


def _factor_there(evidence: Evidence, measurements: Measurements, part: Part) -> Finding | None:
    """claimed = c × true within the part and right outside: true = claimed + (1/c − 1)·(claimed within the part)."""
    claimed = measurements.claimed
    inside = np.zeros_like(claimed)
    inside[part.indices] = claimed[part.indices]

    def mistake(lower: float, upper: float) -> tuple[float, float]:
        return inverse(1 + lower, 1 + upper)

    def describe(fit: Fit) -> Finding:
        who, code = evidence.display(measurements.block), f"{evidence.code(measurements.block)}{part.code}"
        head = f"{part.where} of {who} {_verb(part)}"
        change = 1 / fit.coefficient - 1

        def corrected(change: float = change) -> NDArray[np.float64]:
            result = claimed.copy()
            result[part.indices] *= 1 + change
            return result

        if math.isinf(fit.bar):
            text = f"{head} not zero where the true gradient is zero."
            return _finding(
                evidence, measurements, part, text, None, f"{code} = 0", {measurements.block: lambda: claimed - inside}
            )
        if fit.coefficient == -1:
            text, remedy = f"{head} of the opposite sign.", f"{code} = -{code}"
        else:
            text = f"{head} {fit.described} × the true one."
            remedy = f"{code} = {division(code, fit.written, fit.coefficient)}"
        return _finding(evidence, measurements, part, text, fit, remedy, {measurements.block: corrected})

    hypothesis = Hypothesis(cause=part.cause, vector=lambda: inside, added=True, mistake=mistake, describe=describe)
    found = [
        fit
        for fit in fits(measurements, [hypothesis], counts_in(evidence))[0]
        if math.isfinite(fit.bar) or max(abs(1 + fit.lower), abs(1 + fit.upper)) <= NEXT_TO_NOTHING
    ]
    return describe(found[0]) if found else None


def _exchanged(evidence: Evidence, measurements: Measurements, part: Part) -> Finding | None:
    """Two slices (or two coordinates) with each other's values."""
    half = part.indices.size // 2
    if part.indices.size != 2 * half or half == 0 or not part.code.startswith(("[[", "[:", ".flat[[")):
        return None
    slabs = _two_slices(part, measurements.shape)
    if slabs is None:
        return None
    one, other = slabs
    claimed = measurements.claimed

    def vector() -> NDArray[np.float64]:
        result = claimed.copy()
        result[one], result[other] = claimed[other], claimed[one]
        return result

    def describe(_fit: Fit) -> Finding:
        text = f"{part.where} of {evidence.display(measurements.block)} are exchanged."
        return _finding(evidence, measurements, part, text, None, "", {measurements.block: vector})

    hypothesis = Hypothesis(
        cause=part.cause, vector=vector, added=False, mistake=lambda a, b: (a, b), describe=describe, plain=1.0
    )
    found = [fit for fit in fits(measurements, [hypothesis], {})[0] if fit.coefficient == 1]
    return describe(found[0]) if found else None


def _two_slices(part: Part, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Split the indices of two slices along one axis into the two, each in its own order."""
    places = np.unravel_index(part.indices, shape)
    for place in places:
        values = np.unique(place)
        if values.size == 2 and 2 * int(np.sum(place == values[0])) == part.indices.size:
            return part.indices[place == values[0]], part.indices[place == values[1]]
    return None


def _from_search(parts: Sequence[Slab | tuple[Slab, ...]], measurements: Measurements) -> Part | None:
    shape = measurements.shape
    indices = np.unique(np.concatenate([_part_indices(part, shape) for part in parts]))
    if indices.size == measurements.size:
        return None
    if indices.size > 1:  # entries of a slice that are zero on both sides were not found wrong, but belong to it
        wrong = np.zeros(measurements.size, dtype=bool)
        wrong[indices] = True
        grown = _whole_slices(wrong, ~wrong & (measurements.claimed == 0), shape)
        indices = indices if grown is None else grown
    return _describe(indices, shape)


def _part_indices(part: Slab | tuple[Slab, ...], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the flat indices of a slab, or of what several slabs have in common."""
    slabs = (part,) if isinstance(part, Slab) else part
    if not shape:
        return np.zeros(1, dtype=np.intp)
    flat = [slab for slab in slabs if slab.axis is None]
    if flat:
        indices = np.arange(max(slab.start for slab in flat), min(slab.stop for slab in flat))
        for slab in slabs:
            indices = indices if slab.axis is None else indices[slab.mask(shape)[indices]]
        return indices
    ranges = [np.arange(size) for size in shape]
    for slab in slabs:
        if slab.axis is not None:
            kept = ranges[slab.axis]
            ranges[slab.axis] = kept[(kept >= slab.start) & (kept < slab.stop)]
    return np.ravel_multi_index(np.ix_(*ranges), shape).reshape(-1)


def _from_coordinates(measurements: Measurements) -> Part | None:
    """Find rows, columns or slices that hold all the wrong coordinates, else a minority of coordinates."""
    misfits = measurements.entries - measurements.claimed
    wrong = np.array([not within(y, bar) for y, bar in zip(misfits, measurements.entry_bars, strict=True)])
    zero = ~wrong & (np.abs(measurements.entries) <= measurements.entry_bars)
    live = int(np.sum(~zero))
    if not wrong.any() or wrong.all() or int(wrong.sum()) == live:
        return None
    grown = _whole_slices(wrong, zero, measurements.shape)
    if grown is not None:
        return _describe(grown, measurements.shape)
    if int(wrong.sum()) > max(1, LARGEST_SHARE * live):
        return None
    return _describe(np.flatnonzero(wrong), measurements.shape)


def _whole_slices(wrong: NDArray[np.bool_], zero: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.intp] | None:
    """Return the fewest slices along one axis in which everything is wrong (or zero on both sides), and nothing outside."""
    best: NDArray[np.intp] | None = None
    fewest = math.inf
    if sum(size > 1 for size in shape) < 2:
        return None
    for axis, size in enumerate(shape):
        others = tuple(other for other in range(len(shape)) if other != axis)
        touched = wrong.reshape(shape).any(axis=others)
        full = (wrong | zero).reshape(shape).all(axis=others) & touched
        several = wrong.reshape(shape).sum(axis=others)[touched].max() > 1
        if size > 1 and several and bool(np.all(full == touched)) and not touched.all() and touched.sum() < fewest:
            fewest = int(touched.sum())
            index = np.zeros(shape, dtype=bool)
            index[(slice(None),) * axis + (np.flatnonzero(touched),)] = True
            best = np.flatnonzero(index)
    return best


def _describe(indices: NDArray[np.intp], shape: tuple[int, ...]) -> Part:
    """Name a set of coordinates: whole slices where they are such, else one by one."""
    for axis, size in enumerate(shape):
        if size == 1 or sum(length > 1 for length in shape) < 2:
            continue
        slices, counts = np.unique(np.unravel_index(indices, shape)[axis], return_counts=True)
        if np.all(counts == math.prod(shape) // size):
            return _slices_part(indices, shape, axis, slices.tolist())
    where = _coordinate_words(indices, shape)
    if indices.size == 1:
        place = ", ".join(str(int(i)) for i in np.unravel_index(int(indices[0]), shape))
        return Part(Cause.COORDINATES, indices, where, f"[{place}]" if shape else "")
    named = ", ".join(map(str, indices[:MOST_NAMED].tolist()))
    return Part(Cause.COORDINATES, indices, where, f".flat[[{named}{', …' if indices.size > MOST_NAMED else ''}]]")


def _slices_part(indices: NDArray[np.intp], shape: tuple[int, ...], axis: int, slices: list[int]) -> Part:
    matrix = len(shape) == 2
    noun = ("row", "column")[axis] if matrix else "slice"
    where = _join(noun, slices, irregular=None) + ("" if matrix else f" along axis {axis}")
    inner = str(slices[0]) if len(slices) == 1 else str(slices)
    return Part(Cause.SLICES, indices, where, f"[{':, ' * axis}{inner}]")


def _coordinate_words(indices: NDArray[np.intp], shape: tuple[int, ...]) -> str:
    if len(shape) <= 1:
        return _join("entry", indices.tolist(), irregular="entries")
    places = [tuple(int(i) for i in np.unravel_index(int(index), shape)) for index in indices[:MOST_NAMED]]
    return _join("entry", places, irregular="entries", total=indices.size)


def _join(noun: str, items: list[int] | list[tuple[int, ...]], *, irregular: str | None, total: int = 0) -> str:
    """Write "row 3", "rows 1 and 4", "rows 3 to 9", "rows 1, 4, 6 and 20 more"."""
    plural = irregular or f"{noun}s"
    total = total or len(items)
    words = [f"[{', '.join(map(str, item))}]" if isinstance(item, tuple) else str(item) for item in items]
    if total == 1:
        return f"{noun} {words[0]}"
    run = all(isinstance(item, int) for item in items) and total > 2
    if run and items[-1] - items[0] == total - 1:  # type: ignore[operator]
        return f"{plural} {words[0]} to {words[-1]}"
    if total > MOST_NAMED:
        return f"{plural} {', '.join(words[: MOST_NAMED - 1])} and {total - MOST_NAMED + 1} more"
    return f"{plural} {', '.join(words[:-1])} and {words[-1]}"
