"""What is tested of a claimed linear map without the function: finite, linear, symmetric, the same in every layout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from gradproof._evaluation.engine import Engine
from gradproof._evaluation.seen import ENOUGH_VALUES
from gradproof._problem.claims import JvpClaim, LinearMap, MatrixClaim, VjpClaim, lowest_precision
from gradproof._problem.linearity import LINEARITY, Nonlinearity, nonlinearity
from gradproof._problem.outputs import Outputs
from gradproof._problem.problem import position
from gradproof._problem.structure import Structure
from gradproof._words.precision import UNIT_ROUNDOFF, rounded_to
from gradproof._words.results import Cause, Diagnosis
from gradproof._words.settings import DEFAULT_TOLERANCES, HIGHEST_TOLERANCES, round_up
from gradproof._words.vectors import FloatArray, inner

PROBES: Final = 4
"""Pairs of tangents that estimate the asymmetry of a product."""
MOST: Final = 0.05
"""Largest relative difference that is ever excused as rounding, whatever the precision; and largest one between two
calls that is no mistake: a mask drawn anew, or a sum that goes on from call to call, changes more."""
UNSTEADY: Final = 10.0
"""A claim that differs from call to call hides what is below so many times the difference of two calls."""
BELOW_TOLERANCE: Final = 0.1
"""Share of the tolerance up to which a product may deviate from linearity."""
BELOW_HIGHEST: Final = 0.3
"""The same in low precision, where a tolerance that was not given may be raised: a share of up to where. Formulas that
take logarithms and exponentials lose three digits there, and what they lose is no function of the cotangent."""
AT_ONCE: Final = "multiply by the {} once, and nowhere square, clip or normalise it"
IN_WORDS: Final = {
    "F": "in Fortran's order",
    "strided": "with strides",
    "expanded": "expanded from one number (stride 0)",
}


def find_non_finite(claim: LinearMap, engine: Engine, structure: Structure) -> str:
    """Return where the claim is not finite, "" where it is."""
    if isinstance(claim, MatrixClaim):
        return _in_matrix(claim, engine)
    assert isinstance(claim, (VjpClaim, JvpClaim))  # noqa: S101  # there is no other
    _, product = claim.first()
    if isinstance(claim, VjpClaim):
        return in_blocks(engine, product, structure)
    bad = np.flatnonzero(~np.isfinite(product))
    return f"{product[bad[0]]} at {engine.outputs.name_of(int(bad[0]))}" if bad.size else ""


def non_finite_of_ones(claim: VjpClaim, engine: Engine, structure: Structure) -> str:
    """Return where the product with a cotangent of ones is not finite, "" where it is.

    Sums over many outputs overflow where they are of one sign, as a loss's cotangents are, and not for random ones.
    """
    where = in_blocks(engine, claim.product(claim.even()), structure)
    return f"{where}, for a cotangent of ones" if where else ""


def in_blocks(engine: Engine, product: FloatArray, structure: Structure) -> str:
    """Return where the first number that is not finite lies, "" where all are."""
    for block, columns in zip(engine.problem.blocks, structure.columns, strict=True):
        part = product[columns]
        bad = np.flatnonzero(~np.isfinite(part))
        if bad.size:
            return f"{part[bad[0]]} in {block.name} at {position(int(bad[0]), block.shape)}"
    return ""


def _in_matrix(claim: MatrixClaim, engine: Engine) -> str:
    if claim.sparse:
        coo = claim.matrix.tocoo()
        bad = np.flatnonzero(~np.isfinite(coo.data))
        if not bad.size:
            return ""
        row, column, value = int(coo.coords[0][bad[0]]), int(coo.coords[1][bad[0]]), coo.data[bad[0]]
    else:
        bad = np.flatnonzero(~np.isfinite(claim.matrix))
        if not bad.size:
            return ""
        row, column = divmod(int(bad[0]), claim.matrix.shape[1])
        value = claim.matrix[row, column]
    for block, columns in zip(engine.problem.blocks, claim.structure.columns, strict=True):
        if columns.start <= column < columns.stop:
            where = f"{block.name}{position(column - columns.start, block.shape) if block.shape else ''}"
            return f"{value} at row {engine.outputs.name_of(row)}, column {where}"
    return str(value)


@dataclass(frozen=True, slots=True)
class Tested:
    """What the tests of a product said.

    Parameters
    ----------
    diagnoses
        Each of them makes it wrong.
    unsteady
        By how much two calls with the same argument differ, relatively, where that is more than rounding and no mistake.
    call, what
        How the call reads, and its last argument.
    precision
        The lowest one that its answers show: those of a product may all be numbers of a lower one than their type.
    finite
        All of the answers were.
    """

    diagnoses: tuple[Diagnosis, ...] = ()
    unsteady: float = 0.0
    call: str = ""
    what: str = ""
    precision: str = "float64"
    finite: bool = True

    def judged_by(self, tolerance: float) -> Tested:
        """Return the tests judged by the tolerance that the check has come to: a raised one excuses more rounding."""
        limit = min(BELOW_TOLERANCE * tolerance, MOST)
        excused = {Cause.NOT_LINEAR, Cause.LAYOUT}
        return replace(
            self, diagnoses=tuple(d for d in self.diagnoses if d.cause not in excused or not d.coefficient <= limit)
        )

    @property
    def hidden(self) -> float:
        """Largest relative difference that two calls of the claim may show."""
        return UNSTEADY * self.unsteady

    def seen(self) -> str:
        """Say by how much the claim differs from call to call, and what that hides."""
        return (
            f"Two calls of {self.call} with the same {self.what} differ by {self.unsteady:.1e}, relatively, as sums do "
            f"whose order is left to threads: mistakes below about {self.hidden:.0e} would not be told from that."
        )

    def diagnosis(self, upper: float) -> Diagnosis:
        """Return that as the cause of an open verdict, where the difference is proved to be below `upper`."""
        known = round_up(max(self.hidden, upper))
        tolerance = f", or give a tolerance of {known:g}" if known < 1 else ""
        return Diagnosis(
            cause=Cause.NON_DETERMINISTIC_CLAIM,
            block="",
            coefficient=self.unsteady,
            sentence=self.seen(),
            remedy=f"make it deterministic (in PyTorch, torch.use_deterministic_algorithms(True)){tolerance}",
        )


def linearity_of(claim: VjpClaim | JvpClaim, tolerance: float | None = None, least: float = 0.0) -> Tested:
    """Test additivity, scaling, repetition and layouts of the cotangent or the tangent.

    Where a formula cancels, rounding breaks all of them by far more than a unit; what stays well below the tolerance
    cannot make the derivative wrong.
    """
    what = "cotangent" if isinstance(claim, VjpClaim) else "tangent"
    precision = shown_precision(claim)
    allowed = BELOW_TOLERANCE * (tolerance or DEFAULT_TOLERANCES[precision])
    if tolerance is None and precision != "float64":
        allowed = BELOW_HIGHEST * HIGHEST_TOLERANCES[precision]
    steady = min(LINEARITY * UNIT_ROUNDOFF[precision], MOST)
    limit = min(max(steady, allowed), MOST)
    call, found = claim.called.name, nonlinearity(claim, steady, limit, least)
    finite = math.isfinite(found.multiple + found.sum + found.repeated)
    if found.repeated > MOST:
        return Tested((_different_each_time(found.repeated, call, what),), precision=precision, finite=finite)
    unsteady = found.repeated if found.repeated > steady else 0.0
    limit = max(limit, UNSTEADY * unsteady)
    return Tested(
        tuple(_not_linear(found, limit, call, what) or _by_layout(found, limit, call, what)),
        unsteady,
        call,
        what,
        precision,
        finite,
    )


def shown_precision(claim: VjpClaim | JvpClaim) -> str:
    """Return the lowest precision at work in a product: of the types, or one in which all numbers of an answer lie."""
    _, product = claim.first()
    of = claim.structure.columns if isinstance(claim, VjpClaim) else [block.rows for block in claim.outputs.blocks]
    worked_out = claim.called.problem.claimed_precision
    found = max(lowest_precision(claim.outputs, claim.structure), worked_out, key=lambda kind: UNIT_ROUNDOFF[kind])
    for kind in ("float32", "float16", "bfloat16"):
        if UNIT_ROUNDOFF[kind] <= UNIT_ROUNDOFF[found]:
            continue
        for part in [product, *(product[own] for own in of)]:
            values = np.unique(part[part != 0])
            with np.errstate(all="ignore"):  # beyond its range
                fits = values.size >= ENOUGH_VALUES and np.array_equal(rounded_to(values, kind), values)
            if fits:
                found = kind
                break
    return found


def _different_each_time(size: float, call: str, what: str) -> Diagnosis:
    return Diagnosis(
        cause=Cause.NON_DETERMINISTIC_CLAIM,
        block="",
        coefficient=size,
        sentence=f"Two calls of {call} with the same {what} differ by {size:.1e}, relatively.",
        remedy="fix the random seed inside it, or reset what it accumulates between calls",
    )


def _not_linear(found: Nonlinearity, limit: float, call: str, what: str) -> list[Diagnosis]:
    size, product, remedy = next(
        (
            (size, product, remedy)
            for size, product, remedy in (
                (found.multiple, f"−2.5 times a {what} does not give −2.5 times its answer", AT_ONCE.format(what)),
                (found.sum, f"a sum of two {what}s does not give the sum of their answers", AT_ONCE.format(what)),
                (
                    found.apart,
                    f"its answers to the {what}s of some arrays, with none for the others, do not add up to that for all of them",
                    f"treat a {what} that is missing as zeros, and let no part of the answer depend on which are there",
                ),
            )
            if size > limit
        ),
        (0.0, "", ""),
    )
    if size == 0:
        return []
    return [
        Diagnosis(
            cause=Cause.NOT_LINEAR,
            block="",
            coefficient=size,
            sentence=_sentence(f"{call} is not linear in its {what}: {product} (off by {size:.1e}, relatively)."),
            remedy=remedy,
        )
    ]


def _by_layout(found: Nonlinearity, limit: float, call: str, what: str) -> list[Diagnosis]:
    layout = next((layout for layout, size in found.layouts.items() if size > limit), None)
    if layout is None:
        return []
    words = IN_WORDS[layout]
    size, failure = found.layouts[layout], found.failures.get(layout)
    off = (
        f"raise {failure.rstrip('.')}"
        if failure is not None
        else f"give another answer{f' (off by {size:.1e}, relatively)' if math.isfinite(size) else ' that is not finite'}"
    )
    return [
        Diagnosis(
            cause=Cause.LAYOUT,
            block="",
            coefficient=size if math.isfinite(size) else math.nan,
            sentence=_sentence(f"{call} depends on the memory layout of its {what}: the same values {words} {off}."),
            remedy=f"make the {what} contiguous before its memory is read or written: numpy.ascontiguousarray({what}), or {what}.contiguous() in PyTorch",
        )
    ]


def _sentence(text: str) -> str:
    """Begin with a capital letter, but for what reads as code."""
    return text if "(" in text.partition(" ")[0] else text[:1].upper() + text[1:]


def asymmetry_of_matrix(claim: MatrixClaim, outputs: Outputs) -> tuple[float, str]:
    """Return ‖H − Hᵀ‖ / 2‖H‖, and where it is largest."""
    difference = claim.matrix - claim.transposed
    if claim.sparse:
        coo = difference.tocoo()
        values, rows, columns = coo.data, coo.coords[0], coo.coords[1]
    else:
        values = difference.reshape(-1)
        rows, columns = np.divmod(np.arange(values.size), claim.matrix.shape[1])
    size = float(np.linalg.norm(claim.row_norms()))
    if values.size == 0 or size == 0:
        return 0.0, ""
    worst = int(np.argmax(np.abs(values)))
    i, j = int(rows[worst]), int(columns[worst])
    where = f"{outputs.name_of(i)}, {outputs.name_of(j)}: {claim.entry(i, j):.6g} against {claim.entry(j, i):.6g}"
    return float(np.linalg.norm(values)) / (2 * size), where


def asymmetry_of_product(claim: LinearMap, engine: Engine, seed: int, scales: Sequence[float]) -> tuple[float, str]:
    """Estimate the same in units of the scales, from u·Hv − v·Hu over normal u and v."""
    generator = np.random.default_rng([seed, 0x73796D])
    blocks = engine.problem.blocks
    differences, sizes = [], []
    for _ in range(PROBES):
        u, v = (
            tuple(s * generator.standard_normal(b.size) for s, b in zip(scales, blocks, strict=True)) for _ in range(2)
        )
        one, two = _split(claim.apply(v), engine), _split(claim.apply(u), engine)
        differences.append(inner(one, u) - inner(two, v))
        sizes.append(math.hypot(inner(one, u), inner(two, v)))
        whole = [
            float(np.linalg.norm(np.concatenate([s * x for s, x in zip(scales, part, strict=True)])))
            for part in (one, two)
        ]
        sizes[-1] = max(sizes[-1], *whole)
    total = math.hypot(*sizes)
    return (math.hypot(*differences) / (2 * total) if total > 0 else 0.0), ""


def _split(vector: FloatArray, engine: Engine) -> tuple[FloatArray, ...]:
    return tuple(vector[block.rows] for block in engine.outputs.blocks)
