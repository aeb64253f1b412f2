"""The phase of single coordinates: measure each one, and tell the pairs what they say."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np

from gradproof._evaluation.coordinate_lines import CoordinateLines
from gradproof._evaluation.engine import BudgetSpent
from gradproof._evidence.certificate import group_blocks
from gradproof._evidence.columns import Exhaustive, two_point_step
from gradproof._evidence.evidence import Finding, Pair
from gradproof._evidence.looks import looks_short
from gradproof._examination.certification import (
    ALONE,
    JOINTLY,
    aliased,
    certify_groups,
    reconsider,
    relative_norms,
    unit_of,
)
from gradproof._examination.study import Study, claim_roundoff
from gradproof._numerics.statistics import difference_from_above
from gradproof._problem.scales import coordinate_scales
from gradproof._words.directions import Coordinate
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.results import Reason, Verdict
from gradproof._words.settings import round_up
from gradproof._words.vectors import FloatArray

ENOUGH_FOR_COORDINATES: Final = 8.0
"""Degrees of freedom of the noise below which the bars of single coordinates would be needlessly wide."""


def measure_coordinates(study: Study) -> None:
    """Measure every coordinate of every block of a function with one output."""
    if aliased(study, 0):
        study.pool.forget()
    if any(pair.zero for pair in study.pairs[0]):
        study.hidden(0)
    claimed = study.claimed
    scales = coordinate_scales(study.problem, claimed)
    step = coordinate_step(study, scales)
    exhaustive = Exhaustive(
        claimed,
        scales,
        study.phi,
        pool=study.pool,
        step=step,
        tolerances=[pair.tolerance for pair in study.pairs[0]],
        alpha=study.settings.alpha,
        roundoff=max(UNIT_ROUNDOFF[study.engine.precision], claim_roundoff(study, 0)),
        negligible=[pair.possible if pair.zero else 0.0 for pair in study.pairs[0]],
        lines_of=lambda block, indices, scales: CoordinateLines(
            study.engine, study.gradient, block, indices, scales, study.noise
        ),
        left=lambda: study.engine.budget - study.engine.evaluations,
        hidden=lambda: study.hidden(0),
        ahead=study.engine.source.width,
    )
    study.exhaustive = exhaustive
    exhaustive.run()
    for pair in study.pairs[0]:
        tell(study, pair)
    if study.settings.strategy == "coordinates":
        # A line moves all coordinates at once, where each by itself drowns in noise.
        open_ = [pair.block for pair in study.pairs[0] if pair.reason is Reason.NOISE and not pair.zero]
        if open_:
            certify_groups(study, open_, JOINTLY, ALONE)
            reconsider(study)
    for pair in study.pairs[0]:
        if pair.reason in {Reason.NOISE, Reason.BORDER}:
            # Longer steps tell more where noise is what limits; then a tolerance that was not given may be raised.
            exhaustive.sweep_four(pair.block, longer_step(study))
            tell(study, pair)
            raise_for_coordinates(study, pair)
    if study.settings.strategy == "coordinates":
        look_below(study, step, [b for b, measured in enumerate(exhaustive.blocks) if measured.kinks])


def noise_over_change(study: Study) -> float:
    """Return the noise of one value over what the cost changes by over the parameters' lengths."""
    change = math.hypot(*(pair.scale * pair.norm for pair in study.pairs[0])) or study.sizes[0] or 1.0
    return max(study.noise, study.engine.granularity(study.claim.views[0].output)) / change


def longer_step(study: Study) -> float:
    """Return the step of the four-point formula: (ε/A)^⅕ of the parameters' length."""
    return float(min(max(noise_over_change(study), 1e-17) ** 0.2, 0.2))


def steepest(study: Study, scales: Sequence[FloatArray]) -> Coordinate:
    """Return the coordinate that is claimed to change the cost most over its own length."""
    changes = [np.abs(g) * s for g, s in zip(study.claimed, scales, strict=True)]
    b = max(range(len(changes)), key=lambda k: float(np.max(changes[k], initial=0.0)))
    j = int(np.argmax(changes[b]))
    return Coordinate(b, j, float(scales[b][j]))


def coordinate_step(study: Study, scales: Sequence[FloatArray]) -> float:
    """Return the step of the two-point formula, from what a line has taught; a first line where none was made."""
    if not study.pool.readings:
        line = study.line(study.random_direction(dict(enumerate(study.scales))))
        study.reader.first(line, [0.0], scale=0.1, max_evaluations=12, enough=ENOUGH_FOR_COORDINATES)
    if not study.pool.readings and study.engine.last_error:
        # Between bounds no random direction leads inside; the noise is known from one coordinate, too.
        line = study.line(steepest(study, scales))
        study.reader.first(line, [0.0], scale=0.1, max_evaluations=12, enough=ENOUGH_FOR_COORDINATES)
    return two_point_step(noise_over_change(study), min(pair.tolerance for pair in study.pairs[0]))


def tell(study: Study, pair: Pair) -> None:
    """Tell a pair what its coordinates say."""
    exhaustive = study.exhaustive
    assert exhaustive is not None  # noqa: S101  # it has been measured
    b, measured = pair.block, exhaustive.blocks[pair.block]
    estimate, lower, upper = exhaustive.residual_bounds(b)
    noise = math.sqrt(float(np.sum(measured.spread**2))) + float(np.linalg.norm(measured.truncation))
    pair.wrong_entries = int(measured.wrong.sum())
    pair.not_exercised = int(measured.still.sum())
    undecided = bool(measured.undecided.any())
    if undecided and not np.isfinite(measured.truncation).any():
        estimate = math.nan  # nothing could be measured
    reason = Reason.NOISE
    if undecided:
        reason = Reason.STRUCTURE if exhaustive.structured else Reason.DOMAIN if study.engine.last_error else reason
    pair.find(
        Finding(
            "coordinates",
            lower=lower,
            upper=math.inf if undecided else upper,
            estimate=estimate,
            shown=5 * noise,
            called=math.inf if undecided else pair.possible + exhaustive.bar(b),
            reason=reason,
            wrong=bool(measured.wrong.any()),
            numerical=float(np.linalg.norm(exhaustive.claimed[b] + measured.discrepancy)),
        )
    )


def raise_for_coordinates(study: Study, pair: Pair) -> None:
    """Raise a tolerance that was not given to what single coordinates resolve."""
    if study.settings.tolerance is not None or pair.verdict is not Verdict.INCONCLUSIVE or pair.zero:
        return
    last = pair.findings[-1]
    wanted = round_up(difference_from_above(last.upper, pair.low))
    if pair.lower <= pair.possible and wanted <= study.highest_tolerance(pair):
        pair.tolerance = max(pair.tolerance, wanted)


def look_below(study: Study, step: float, kinked: Collection[int] = ()) -> None:
    """Leave open what single coordinates hide below their steps, where no line has looked.

    Parameters
    ----------
    step
        Of the coordinates, in units of the parameters' scale.
    kinked
        Blocks with a coordinate at a kink, where a claim of one side's slope is right, and no line of all has it.
    """
    chosen = [p for p in study.every_pair if p.verdict is Verdict.CORRECT and not p.zero and p.block not in kinked]
    norms = relative_norms(study)
    try:
        for members in group_blocks(study.scales, norms, sorted({p.block for p in chosen if norms[p.block] > 0})):
            line = study.line(study.random_direction({m.block: m.scale for m in members}))
            for o in sorted({p.output for p in chosen}):
                pairs = [study.pairs[o][m.block] for m in members]
                claimed = math.hypot(*(p.norm * m.scale for p, m in zip(pairs, members, strict=True)))
                proved = math.hypot(*(p.upper * m.scale for p, m in zip(pairs, members, strict=True)))
                noise = study.reader.pools[o].level(0.5 * unit_of(study, o))[0]
                tolerance = max(pair.tolerance for pair in pairs)
                if not looks_short(study.reader, [(line, step)], o, claimed, proved, tolerance, noise):
                    for pair in pairs:
                        pair.hold(Reason.STRUCTURE)
    except BudgetSpent:
        study.run_out()
