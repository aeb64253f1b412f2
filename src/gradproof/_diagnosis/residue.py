"""Causes that are seen in the claim itself or in its residual's size, and what is known where no cause fits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gradproof._diagnosis.evidence import Evidence, Finding, Measurements, Trial
from gradproof._diagnosis.mistakes import bias_like
from gradproof._diagnosis.telling import AXIS_WORDS
from gradproof._words.precision import SIGNIFICAND_BITS, UNIT_ROUNDOFF, round_to
from gradproof._words.results import Cause, Diagnosis
from gradproof._words.vectors import FloatArray

ROUNDINGS = 100.0
"""Unit roundoffs of a lower precision that a computation may lose, relative to the gradient."""
LARGEST_ZERO_SHARE = 0.4
LARGEST_EMPTY_SHARE = 0.05
"""Share of the slices of zeros along an axis that may be missing ones; more of them are dead units."""
SINGULAR = ("row ", "column ", "slice ", "1 of")
LARGEST_INEXACT = 1e-3
"""Relative error up to which a solver's tolerance, or a finite difference, is suggested."""
SIMPLE_BITS = 5
"""A number with at most so many bits is representable everywhere and says nothing about the precision."""
LARGEST_SPAN = 1_000_000
"""Entries of a weight's gradient up to which its column space is worked out."""
CHUNK = 65_536
"""Entries whose bits are looked at at once."""
LARGEST_RANK = 0.75
"""Share of the space up to which lying in a span says something; softmax alone takes one dimension away."""
FEWEST_FOR_CORRELATION = 8


def zero(evidence: Evidence, measurements: Measurements) -> Finding | None:
    """Every entry of the claim is zero."""
    if measurements.claimed.any():
        return None
    who = evidence.display(measurements.block)
    sentence = (
        f"{who} is zero everywhere, and the true one is not: it was never filled in, was overwritten, "
        "or the backward pass does not reach it (detached)."
    )
    return _finding(evidence, measurements, Cause.ZERO, sentence)


def left_out(evidence: Evidence, measurements: Measurements) -> Finding | None:
    """Some entries or slices of the claim are exactly zero, and the residual is of the size that they would explain.

    Entries missing at random leave ‖residual‖² ≈ ‖claim‖²·k/(n − k), for k zeros among n entries. Dead units make slices
    of zeros that are right, so that only few slices are believed to be missing. The size alone proves nothing: one more
    line is to show that the claim is right elsewhere.
    """
    claimed, size = measurements.claimed, measurements.size
    count = size - int(np.count_nonzero(claimed))
    if count == 0 or count > LARGEST_ZERO_SHARE * size:
        return None
    elsewhere = claimed[measurements.indices] != 0
    off = np.abs(measurements.entries - claimed[measurements.indices]) > measurements.entry_bars
    if bool(np.any(off & elsewhere)):
        return None
    expected = float(np.linalg.norm(claimed)) * math.sqrt(count / (size - count))
    # A few entries say little about their own size: a factor of 10 is allowed for one of them, of 3 for many.
    allowance = 3 + 7 / math.sqrt(count)
    if not expected / allowance <= measurements.residual_norm <= expected * allowance:
        return None
    who = evidence.display(measurements.block)
    slices = _zero_slices(claimed.reshape(measurements.shape), count)
    if slices == "":
        return None
    cause = Cause.COORDINATES if slices is None else Cause.SLICES
    what = f"{count} of the {size} entries" if slices is None else slices
    head = f"{what} of {who} {'is' if what.startswith(SINGULAR) else 'are'} exactly zero, and "
    sentence = (
        f"{head}the error is of the size that would be missing there: it may have been left out, which was not tested."
    )
    where = f"the {count} entries that are zero" if slices is None else slices
    finding = _finding(evidence, measurements, cause, sentence, where=where)
    trial = Trial(
        right=lambda: claimed != 0,
        confirmed=f"{head}all the others are right: what is missing there was left out.",
        otherwise=unknown(evidence, measurements, "").diagnosis,
    )
    return replace(finding, trial=trial)


def _zero_slices(shaped: FloatArray, count: int) -> str | None:
    """Name the few slices of zeros; None where the zeros are scattered, "" where it is neither."""
    if sum(length > 1 for length in shaped.shape) < 2:
        return None
    filled = shaped != 0
    for axis, length in enumerate(shaped.shape):
        empty = np.flatnonzero(~filled.any(axis=tuple(other for other in range(shaped.ndim) if other != axis)))
        if empty.size == 0 or length == 1:
            continue
        alone = empty.size * (shaped.size // length) == count  # no zeros elsewhere
        if not alone or empty.size > max(1, LARGEST_EMPTY_SHARE * length):
            return ""
        noun = AXIS_WORDS.get(axis, "slice").removesuffix("s") if shaped.ndim == 2 else "slice"
        places = " and ".join(map(str, empty.tolist()))
        along = "" if shaped.ndim == 2 else f" along axis {axis}"
        return f"{noun}{'s' if empty.size > 1 else ''} {places}{along}"
    return None


def low_precision(evidence: Evidence, measurements: Measurements) -> Finding | None:
    """The claim holds numbers of a lower precision than its own, and is off by a few roundings of that.

    The size of an error alone is no sign of it: solvers, and finite differences in a claim, err by as much.
    """
    size = float(np.linalg.norm(measurements.claimed))
    if size == 0:  # or so small that its square is
        return None
    relative = measurements.residual_norm / size
    own = UNIT_ROUNDOFF.get(evidence.dtypes[measurements.block], UNIT_ROUNDOFF["float64"])
    for precision in sorted(SIGNIFICAND_BITS, key=UNIT_ROUNDOFF.__getitem__, reverse=True):
        unit = UNIT_ROUNDOFF[precision]
        if unit <= own or not relative <= ROUNDINGS * unit:
            continue
        if not _representable(measurements.claimed, precision):
            continue
        sentence = (
            f"{evidence.display(measurements.block)} was worked out in {precision}: it holds numbers of that precision "
            f"(relative error {relative:.1e}, one rounding is {unit:.1e})."
        )
        return _finding(
            evidence, measurements, Cause.LOW_PRECISION, sentence, where=precision, remedy="the same in float64"
        )
    return None


def _representable(claimed: FloatArray, precision: str) -> bool:
    """Say whether all entries have the significand of a precision, and some entry needs more than a few bits."""
    telling = False
    for start in range(0, claimed.size, CHUNK):
        part = claimed[start : start + CHUNK]
        if not np.array_equal(round_to(part, precision), part):
            return False
        significand, _ = np.frexp(part)
        scaled = np.ldexp(significand, SIMPLE_BITS)
        telling = telling or bool(np.any(scaled != np.rint(scaled)))
    return telling


def not_summed(evidence: Evidence, measurements: Measurements) -> Finding | None:
    """A bias whose gradient was reduced over the wrong axes, or holds one sample's.

    Two signs count. All entries are the same: the sum ran over the units as well. Or the weights of the same layer are
    right, their gradient Σ δᵢxᵢᵀ leaves some directions out, and the bias's claim lies within those it spans, as any
    combination of the errors δᵢ does and nothing else would.
    """
    if not bias_like(measurements.shape) or measurements.size < 2:
        return None
    who = evidence.display(measurements.block)
    if np.ptp(measurements.claimed) <= 4 * UNIT_ROUNDOFF["float64"] * np.abs(measurements.claimed).max():
        sentence = (
            f"{who} holds the same number in every entry: it was summed or averaged over the units, "
            "and not over the batch alone."
        )
        remedy = f"sum {evidence.code(measurements.block)} over the batch's axis only"
        return _finding(evidence, measurements, Cause.NOT_SUMMED, sentence, remedy=remedy)
    for weights, span in _right_weights(evidence, measurements):
        left = measurements.claimed - span @ (span.T @ measurements.claimed)
        if np.linalg.norm(left) <= 1e-9 * np.linalg.norm(measurements.claimed):
            sentence = (
                f"{who} is a combination of the samples' errors, but not the right one: it was not summed or averaged "
                f"over the batch as {evidence.names[weights]} was, whose gradient is right."
            )
            return _finding(evidence, measurements, Cause.NOT_SUMMED, sentence, where=evidence.names[weights])
    return None


def _right_weights(evidence: Evidence, measurements: Measurements) -> Iterator[tuple[int, FloatArray]]:
    """Yield right matrices of which the bias fits one axis, with an orthonormal basis of what their columns span."""
    length = measurements.size
    for other, shape in enumerate(evidence.shapes):
        if other in evidence.faulty or len(shape) != 2 or length not in shape or math.prod(shape) > LARGEST_SPAN:
            continue
        matrix = evidence.claimed[other].reshape(shape)
        for axis in (0, 1):
            if shape[axis] != length:
                continue
            vectors, values, _ = np.linalg.svd(matrix if axis == 0 else matrix.T, full_matrices=False)
            rank = int(np.sum(values > 1e-10 * values[0])) if values.size else 0
            if 0 < rank <= LARGEST_RANK * length:
                yield other, vectors[:, :rank]


def unknown(evidence: Evidence, measurements: Measurements, guess: str) -> Finding:
    """No pattern fits for sure: say how large the residual is, how far it spreads, what it goes with, and the best guess."""
    claimed = measurements.claimed
    known = []
    size, norm = measurements.residual_norm, float(np.linalg.norm(claimed))
    if math.isfinite(size) and norm:
        known.append(f"claimed − true is {size / norm:.2g} times as large as the claim{_as_large_as(size / norm)}")
    if measurements.complete:
        wrong = int(np.sum(np.abs(measurements.entries - claimed) > measurements.entry_bars))
        if wrong:  # else the lines alone show it
            known.append(f"{wrong} of {measurements.size} entries are off")
    known.extend(_goes_with(evidence, measurements))
    copies = [
        evidence.names[other]
        for other, shape in enumerate(evidence.shapes)
        if other != measurements.block
        and shape == measurements.shape
        and np.array_equal(evidence.claimed[other], claimed)
    ]
    if copies:
        known.append(f"it is a copy of the gradient of {copies[0]}")
    pattern = "and too little was measured to be sure of the pattern" if guess else "in no pattern that is known here"
    sentence = f"{evidence.display(measurements.block)} is wrong, {pattern}"
    sentence = f"{sentence}: {'; '.join(known)}." if known else f"{sentence}."
    if guess:
        sentence += f" What was measured would agree with this: {guess}"
    return _finding(evidence, measurements, Cause.UNKNOWN, sentence)


def _as_large_as(relative: float) -> str:
    """Say what makes errors of such a size, in a double-precision claim: that is no proof of any of them."""
    single = UNIT_ROUNDOFF["float32"]
    if not single / 10 <= relative <= LARGEST_INEXACT:
        return ""
    inside = "single precision inside the computation, of " if relative <= ROUNDINGS * single else ""
    return f", which is of the size of {inside}a solver's tolerance, or of a finite difference in the claim"


def _goes_with(evidence: Evidence, measurements: Measurements) -> Iterator[str]:
    """Correlations of the residual with the claim and with the parameter, where they are strong and there are enough probes."""
    misfits = measurements.misfits
    if len(misfits) < FEWEST_FOR_CORRELATION:
        return
    residual = np.array([-misfit.value / misfit.scale for misfit in misfits])
    along_claim = np.array([(misfit.true - misfit.value) / misfit.scale for misfit in misfits])
    point = evidence.point[measurements.block]
    lines = [float(point @ z) / scale if scale else 0.0 for _, z, scale in measurements.components()]
    along_point = np.concatenate([point[measurements.indices], lines])
    for what, along in (("the claim", along_claim), (evidence.parameter(measurements.block), along_point)):
        size = float(np.linalg.norm(along) * np.linalg.norm(residual))
        correlation = float(along @ residual) / size if size else 0.0
        if abs(correlation) > max(0.5, 3 / math.sqrt(len(misfits))):
            yield f"its correlation with {what} is {correlation:+.2f}"


def _finding(
    evidence: Evidence, measurements: Measurements, cause: Cause, sentence: str, where: str = "", remedy: str = ""
) -> Finding:
    diagnosis = Diagnosis(
        cause=cause, block=evidence.names[measurements.block], sentence=sentence, where=where, remedy=remedy
    )
    return Finding(diagnosis, {})
