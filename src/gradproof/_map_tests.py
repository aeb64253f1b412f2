"""What is tested of a claimed linear map without the function: finite, linear, symmetric, the same in every layout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from gradproof._directions import FloatArray
from gradproof._linear_claims import LINEARITY, Claim, JvpClaim, MatrixClaim, Structure, VjpClaim, nonlinearity
from gradproof._map_engine import Components, MapEngine, check_finite, inner
from gradproof._outputs import Outputs
from gradproof._problem import position
from gradproof._results import Cause, Diagnosis
from gradproof._settings import UNIT_ROUNDOFF

PROBES: Final = 4
"""Pairs of tangents that estimate the asymmetry of a product."""
MOST: Final = 0.05
"""Largest relative difference that is ever excused as rounding, whatever the precision."""


def find_non_finite(claim: Claim, engine: MapEngine, structure: Structure) -> str:
    """Return where the claim is not finite, "" where it is."""
    if isinstance(claim, MatrixClaim):
        return _in_matrix(claim, engine)
    generator = np.random.default_rng(0x66696E)
    if claim.rows_known:
        assert isinstance(claim, VjpClaim)  # noqa: S101  # the only claim without columns
        return check_finite(engine.problem.blocks, claim.pull(claim.random(generator)))
    product = claim.apply(tuple(generator.standard_normal(block.size) for block in structure.blocks))
    bad = np.flatnonzero(~np.isfinite(product))
    return f"{product[bad[0]]} at {engine.outputs.name_of(int(bad[0]))}" if bad.size else ""


def _in_matrix(claim: MatrixClaim, engine: MapEngine) -> str:
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


def linearity_of_vjp(claim: VjpClaim, seed: int) -> list[Diagnosis]:
    """Test additivity, scaling, repetition and layouts of the cotangent."""
    generator = np.random.default_rng([seed, 0x6C696E])
    found = nonlinearity(
        lambda u, layout="C": np.concatenate(claim.pull(u, layout)),
        lambda: claim.random(generator),
        lambda u, v, a, b: claim.outputs.rounded(a * u + b * v),
    )
    return _say(found, claim.called.name, "cotangent", _roundoff(claim.outputs, claim.structure))


def linearity_of_jvp(claim: JvpClaim, seed: int) -> list[Diagnosis]:
    """Test additivity, scaling, repetition and layouts of the tangent."""
    generator = np.random.default_rng([seed, 0x6C696E])

    def draw() -> Components:
        parts = [
            s * generator.standard_normal(b.size) for s, b in zip(claim.scales, claim.structure.blocks, strict=True)
        ]
        return tuple(
            p.astype(b.dtype).astype(np.float64) if b.dtype in {"float32", "float16"} else p
            for p, b in zip(parts, claim.structure.blocks, strict=True)
        )

    def combine(u: Components, v: Components, a: float, b: float) -> Components:
        return tuple(a * x + b * y for x, y in zip(u, v, strict=True) if x is not None and y is not None)

    found = nonlinearity(lambda v, layout="C": claim.apply(v, layout), draw, combine)
    return _say(found, claim.called.name, "tangent", _roundoff(claim.outputs, claim.structure))


def _roundoff(outputs: Outputs, structure: Structure) -> float:
    kinds = [b.dtype for b in (*outputs.blocks, *structure.blocks)]
    return max(UNIT_ROUNDOFF[kind] for kind in kinds)


def _say(found: dict[str, float], call: str, what: str, roundoff: float) -> list[Diagnosis]:
    limit = min(LINEARITY * roundoff, MOST)
    repeated = found["repeated"]
    if repeated > limit:
        return [
            Diagnosis(
                cause=Cause.NON_DETERMINISTIC_CLAIM,
                block="",
                coefficient=repeated,
                sentence=f"Two calls of {call} with the same {what} differ by {repeated:.1e}, relatively.",
                remedy="fix the random seed inside it, or reset what it accumulates between calls",
            )
        ]
    for name in ("a multiple", "a sum"):
        if found[name] > limit:
            product = (
                f"−2.5 times a {what} does not give −2.5 times its answer"
                if name == "a multiple"
                else f"a sum of two {what}s does not give the sum of their answers"
            )
            return [
                Diagnosis(
                    cause=Cause.NOT_LINEAR,
                    block="",
                    coefficient=found[name],
                    sentence=f"{call} is not linear in its {what}: {product} (off by {found[name]:.1e}, relatively).",
                    remedy=f"multiply by the {what} once, and nowhere square, clip or normalise it",
                )
            ]
    for layout, words in (("F", "in Fortran's order"), ("strided", "with strides")):
        if found[layout] > limit:
            return [
                Diagnosis(
                    cause=Cause.LAYOUT,
                    block="",
                    coefficient=found[layout],
                    sentence=f"{call} depends on the memory layout of its {what}: the same values {words} give another answer (off by {found[layout]:.1e}, relatively).",
                    remedy=f"make the {what} contiguous before its memory is read, for instance with numpy.ascontiguousarray",
                )
            ]
    return []


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


def asymmetry_of_product(claim: Claim, engine: MapEngine, seed: int, scales: Sequence[float]) -> tuple[float, str]:
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


def _split(vector: FloatArray, engine: MapEngine) -> tuple[FloatArray, ...]:
    return tuple(vector[block.rows] for block in engine.outputs.blocks)
