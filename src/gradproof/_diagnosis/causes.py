"""Hypotheses about a whole block, one small function a cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gradproof._diagnosis.evidence import Evidence, Finding
from gradproof._diagnosis.fitting import Fit, Hypothesis, inverse, negative
from gradproof._diagnosis.frames import other_frames
from gradproof._diagnosis.mistakes import Rearrangement, rearrangements
from gradproof._words.results import Cause, Diagnosis
from gradproof._words.vectors import FloatArray

Correction = dict[int, Callable[[], FloatArray]]


def hypotheses(evidence: Evidence, block: int) -> Iterator[Hypothesis]:
    """Yield all hypotheses for one block, the likelier first."""
    yield factor(evidence, block)
    yield from parameter_terms(evidence, block)
    yield offset(evidence, block)
    yield from rearranged(evidence, block)
    yield from siblings(evidence, block)
    yield from other_frames(evidence, block)


def factor(evidence: Evidence, block: int) -> Hypothesis:
    """claimed = c × true; a c of −1 is the sign, and a true gradient of zero shows as an infinite c."""
    claimed = evidence.claimed[block]

    def describe(fit: Fit) -> Finding:
        who, code = evidence.display(block), evidence.code(block)
        if fit.lower <= 0 <= fit.upper:
            sentence = f"{who} is not zero where the true gradient is zero."
            remedy = f"0 * {code}"
            diagnosis = Diagnosis(cause=Cause.NOT_ZERO, block=evidence.names[block], sentence=sentence, remedy=remedy)
            return Finding(diagnosis, {block: lambda: np.zeros_like(claimed)})
        sentence, remedy = factor_words(fit, who, code)
        diagnosis = Diagnosis(
            cause=Cause.SIGN if fit.coefficient == -1 else Cause.FACTOR,
            block=evidence.names[block],
            coefficient=fit.coefficient,
            coefficient_bar=fit.bar,
            sentence=sentence,
            remedy=remedy,
        )
        divisor = fit.coefficient
        return Finding(diagnosis, {block: lambda: claimed / divisor})

    return Hypothesis(cause=Cause.FACTOR, vector=lambda: claimed, added=False, mistake=inverse, describe=describe)


def factor_words(fit: Fit, who: str, code: str) -> tuple[str, str]:
    """Write the sentence and the remedy of a factor."""
    if fit.coefficient == -1:
        return f"{who} has the opposite sign of the true one.", f"-{code}"
    if fit.telling is None:
        return f"{who} is {fit.described} × the true one.", division(code, fit.written, fit.coefficient)
    why = f" ({fit.telling.why})" if fit.telling.why else ""
    return f"{who} is {fit.telling.text} × the true one{why}.", division(code, fit.telling.text, fit.telling.value)


def division(code: str, text: str, value: float) -> str:
    """Write the division by a telling value as code."""
    if text.startswith("1/") and text[2:].isdigit():
        return f"{text[2:]} * {code}"
    if text.lstrip("-").replace(".", "", 1).isdigit():
        return f"{code} / {text}" if value > 0 else f"{code} / ({text})"
    return f"{code} / {value!r}"


def parameter_terms(evidence: Evidence, block: int) -> Iterator[Hypothesis]:
    """claimed = true + c·θ, and true + c·sign(θ): the gradients of weight decay, forgotten or counted twice."""
    point = evidence.point[block]
    if not np.any(point):
        return
    parameter = evidence.parameter(block)
    yield _term(evidence, block, Cause.PARAMETER_TERM, lambda: point, parameter, f"weight decay of {parameter}")
    if point.min() < 0 < point.max():  # else it is a constant, which is a cause of its own
        sign = f"sign({parameter})"
        yield _term(
            evidence, block, Cause.PARAMETER_TERM, lambda: np.sign(point), sign, f"an L1 penalty on {parameter}"
        )


def offset(evidence: Evidence, block: int) -> Hypothesis:
    """claimed = true + c in every entry."""
    size = evidence.claimed[block].size
    return _term(evidence, block, Cause.OFFSET, lambda: np.broadcast_to(1.0, size), "", "")


def _term(
    evidence: Evidence, block: int, cause: Cause, vector: Callable[[], FloatArray], term: str, origin: str
) -> Hypothesis:
    claimed = evidence.claimed[block]

    def describe(fit: Fit) -> Finding:
        who, code, c = evidence.display(block), evidence.code(block), fit.coefficient
        number, exact = fit.described.lstrip("-"), fit.written.lstrip("-")
        if not term:
            sentence = f"{who} has {number} too {'much' if c > 0 else 'little'} in every entry."
            remedy = f"{code} {'-' if c > 0 else '+'} {exact}"
        elif c > 0:
            sentence = f"{who} has {number} × {term} too much: {origin} that the cost does not have, or counted twice."
            remedy = f"{code} - {exact} * {term}"
        else:
            sentence = f"{who} lacks {number} × {term}: {origin} that the cost has was forgotten."
            remedy = f"{code} + {exact} * {term}"
        diagnosis = Diagnosis(
            cause=cause,
            block=evidence.names[block],
            coefficient=c,
            coefficient_bar=fit.bar,
            sentence=sentence,
            remedy=remedy,
        )
        return Finding(diagnosis, {block: lambda: claimed - c * vector()})

    return Hypothesis(cause=cause, vector=vector, added=True, mistake=negative, describe=describe, factor=False)


def rearranged(evidence: Evidence, block: int) -> Iterator[Hypothesis]:
    """claimed = the true entries at other places."""
    for one in rearrangements(evidence.shapes[block]):
        yield _rearranged(evidence, block, one)


def _rearranged(evidence: Evidence, block: int, one: Rearrangement) -> Hypothesis:
    shaped = evidence.claimed[block].reshape(evidence.shapes[block])

    def vector() -> FloatArray:
        return one.apply(shaped).reshape(-1)

    def describe(fit: Fit) -> Finding:
        who, code, c = evidence.display(block), evidence.code(block), fit.coefficient
        sentence, remedy = f"{who} {one.words()}", one.code(code)
        if c != 1:
            sentence, remedy = f"{sentence}, and {fit.described} × the true one", division(remedy, fit.written, c)
        diagnosis = Diagnosis(
            cause=Cause[one.cause],
            block=evidence.names[block],
            coefficient=c,
            coefficient_bar=fit.bar,
            sentence=f"{sentence}.",
            remedy=remedy,
        )
        return Finding(diagnosis, {block: lambda: vector() / c})

    return Hypothesis(cause=Cause[one.cause], vector=vector, added=False, mistake=inverse, describe=describe, plain=1.0)


def siblings(evidence: Evidence, block: int) -> Iterator[Hypothesis]:
    """claimed = the true gradient of another block of the same shape."""
    for other, shape in enumerate(evidence.shapes):
        if other != block and shape == evidence.shapes[block] and evidence.claimed[other].any():
            yield _sibling(evidence, block, other)


def _sibling(evidence: Evidence, block: int, other: int) -> Hypothesis:
    def describe(fit: Fit) -> Finding:
        c = fit.coefficient
        diagnosis = Diagnosis(
            cause=Cause.SWAPPED,
            block=evidence.names[block],
            coefficient=c,
            coefficient_bar=fit.bar,
            where=evidence.names[other],
            sentence=f"the true gradient of {evidence.names[block]} is what {evidence.names[other]} was given"
            + ("." if c == 1 else f", divided by {fit.described}."),
            remedy=evidence.code(other) if c == 1 else division(evidence.code(other), fit.written, c),
        )
        return Finding(diagnosis, {block: lambda: evidence.claimed[other] / c})

    return Hypothesis(
        cause=Cause.SWAPPED,
        vector=lambda: evidence.claimed[other],
        added=False,
        mistake=inverse,
        describe=describe,
        plain=1.0,
    )
