"""What only JAX's surface finds out about a function, said in its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from gradproof._words.results import Cause, Diagnosis, Report, Verdict
from gradproof._words.settings import DEFAULT_TOLERANCES
from gradproof.jax._values import half_the_digits, relative_distance


def other_value(
    report: Report, where: str, names: Sequence[str], values: Sequence[Any], differentiated: Sequence[Any]
) -> Report:
    """Call it wrong where the value that is differentiated is not the function's."""
    off = {
        name: distance
        for name, one, two in zip(names, values, differentiated, strict=True)
        if (distance := relative_distance(one, two)) > half_the_digits(one)
    }
    if not off:
        return report
    name = max(off, key=lambda name: off[name])
    found = Diagnosis(
        cause=Cause.OTHER_VALUE,
        block="",
        coefficient=off[name],
        where=name,
        sentence=f"{where} computes another value of f than f itself: {name} differs by {off[name]:.1e}, relatively.",
        remedy="let the rule (fwd of custom_vjp, the jvp of custom_jvp) return the value that the function returns",
    )
    return replace(report, verdict=Verdict.WRONG, diagnoses=(found, *report.diagnoses))


def not_repeated(report: Report, off: float) -> Report:
    """Name the reason where a function that is different at each call leaves the question open."""
    if report.verdict is not Verdict.INCONCLUSIVE:
        return report
    found = Diagnosis(
        cause=Cause.NON_DETERMINISTIC_COST,
        block="",
        coefficient=off,
        sentence=f"f is different at each call: two calls with the same arguments differ by {off:.1e}, relatively.",
        remedy="let it take its state and its random key as arguments, and return what it changes",
    )
    others = [diagnosis for diagnosis in report.diagnoses if diagnosis.cause is not Cause.NOISE]
    return replace(report, diagnoses=(found, *others))


def what_precision_hides(report: Report) -> tuple[str, ...]:
    """Say which errors could not be seen because JAX computes in 32 bits, and how they can."""
    if report.verdict is Verdict.WRONG or jnp.result_type(float) == jnp.float64:
        return ()
    narrow = [block for block in report.blocks if block.dtype == "float32" and not block.not_exercised]
    if not narrow:
        return ()
    worst = max(narrow, key=lambda block: block.difference.upper)
    if not DEFAULT_TOLERANCES["float64"] < worst.difference.upper < 1:
        return ()
    hidden = f"relative differences below {worst.difference.upper:.0e} ({worst.name}) would not have been seen"
    finest = DEFAULT_TOLERANCES["float64"]
    return (
        f"Computed in float32, because jax_enable_x64 is off: {hidden}. To see them down to {finest:g}, make the arrays and call the check within `with jax.enable_x64(True):`, in float64.",
    )
