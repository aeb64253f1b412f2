"""The derivative φ′(0) of a function of one real variable, with an error bar.

Everything that the library knows about a cost goes through here, as φ(t) = J(θ + t v) minus what is known beforehand
(J(θ), and the claimed change ⟨g, θ_t − θ⟩: the discrepancy form, which is free of the rounding of the displacement).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from gradproof._numerics.noise import FAR_ABOVE_ROUNDING, STANDS_OUT, Pool
from gradproof._numerics.statistics import student_quantile, within
from gradproof._numerics.steps import DISPLAY_ALPHA, ENOUGH_DEGREES, FIRST_STEP, StepSearch
from gradproof._numerics.tables import REPRESENTED, Line, shorten_mantissa
from gradproof._words.results import Estimate

SHORTEN_JOINT: Final = 1 / (10 * math.pi**2)
"""By how much a step is shortened along a line on which all coordinates move: the nearest of many kinks is nearer."""
REMEASURE: Final = 4
"""Most steps, each an eighth of the one before, at which a line of four values is measured."""
UNEXPECTED: Final = 30.0
"""A fourth difference this many times above what is expected means that a kink was crossed."""
SHORTEST_RATIO: Final = 1e-3
"""Shortest step of the four-point formula over that of a first line: where no noise was seen at all."""
KINKS_CROSSED: Final = ", as the first values were not smooth"
"""Said where a fourth difference is larger than expected: by a kink that was crossed, or a cost that bends more here."""
FOUR_POINTS: Final = 0.950
"""Standard deviation of the four-point formula, over noise/step: √(2(8² + 1))/12."""


def careful_derivative(
    line: Line,
    scale: float,
    *,
    target: float = 0.0,
    pool: Pool | None = None,
    max_evaluations: int = 34,
    alpha: float = DISPLAY_ALPHA,
) -> Estimate:
    """Measure φ′(0) as well as a few looks allow.

    Parameters
    ----------
    line
        φ.
    scale
        Length over which φ is expected to change, in units of t; a first guess only, which the values correct.
    target
        Stop as soon as the error bar is this small, in units of the cost per unit of t.
    pool
        Noise known from other lines of the same cost; what this line adds to it is added.
    max_evaluations
        No further look is started past this.
    alpha
        Probability that the noise exceeds the error bar.

    Returns
    -------
    Estimate
        ``trusted`` is False where no consistent step was found.
    """
    return StepSearch(line, scale, target, pool if pool is not None else Pool(), max_evaluations, alpha).run()


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a first line teaches the later ones of its kind.

    Parameters
    ----------
    step
        For the four-point formula, in units of t.
    truncation
        Bound on that formula's truncation error at that step.
    fourth
        Largest fourth difference to be expected at that step: more means that the calibration does not fit.
    rate
        By how much the derivatives times powers of that step fall over two degrees: a line whose third derivative is
        larger than the first line's has, at this rate, the larger fifth one.
    """

    step: float
    truncation: float
    fourth: float
    rate: float = 0.0


def first_line(
    line: Line,
    target: float,
    pool: Pool,
    *,
    max_evaluations: int,
    scale: float = 1.0,
    enough: float = ENOUGH_DEGREES,
) -> tuple[Estimate, Calibration | None]:
    """Measure a first line, and learn from it at which step four values will do for the next ones.

    Truncation and noise are balanced for order 4 at h = 1.48 (ε/|φ⁽⁵⁾|)^⅕; 0.6 (7.1 ε/|φ⁽⁵⁾|)^⅕ lies below that because
    φ⁽⁵⁾ differs from one direction to the next, and three times the value seen is allowed for.

    Returns
    -------
    Estimate
        As from `careful_derivative`.
    Calibration or None
        None where no usable step was found.
    """
    search = StepSearch(line, scale, target, pool, max_evaluations, DISPLAY_ALPHA, enough, SHORTEN_JOINT)
    estimate = search.run()
    table = next((t for t in search.good if t.step == estimate.step and t.side == 0), None)
    if table is None or not estimate.trusted or estimate.kink is not None:
        return estimate, None
    noise, _ = pool.level(table.reading.floor)
    fourth, fifth = table.reading.derivatives()[3:5]  # already times h⁴ and h⁵
    fifth = max(fifth, 0.5 * noise)  # what the noise may hide
    ratio = min(max(0.6 * (7.1 * noise / fifth) ** 0.2, SHORTEST_RATIO), 1.5) if fifth > 0 else 1.5
    step = shorten_mantissa(ratio * table.step)
    truncation = 3 * ratio**5 * fifth / 30 / step
    d, c = table.reading.derivatives(), table.reading.coefficients
    # By what stands out from the noise, if anything does: two numbers that are both noise do not fall.
    clear = [k for k in (1, 2) if c[k] > STANDS_OUT * noise]
    falls = [d[k + 2] / d[k] for k in clear or (1, 2) if d[k] > 0]
    rate = min(max(falls, default=0.0), 1.0) * ratio**2
    return estimate, Calibration(step, truncation, fourth * ratio**4, rate)


def later_line(line: Line, calibration: Calibration, pool: Pool, *, expect_zero: bool = True) -> Estimate:
    """Measure a line with four values, and with four more at an eighth of the step where they do not look as expected.

    The same direction is measured again, never a fresh one: the unit whose kink was crossed may be the faulty one.

    Parameters
    ----------
    line, calibration, pool
        φ, what a first line taught, and the noise.
    expect_zero
        The derivative of a right claim's discrepancy is zero: measure again where it is not. A search knows better.
    """
    taken = line.evaluations
    floor = REPRESENTED * line.shortest
    step, truncation = max(calibration.step, floor), calibration.truncation
    previous: Estimate | None = None
    crossed = ""
    for attempt in range(REMEASURE):
        values = line([-2 * step, -step, step, 2 * step])
        value = float(values @ [1, -8, 8, -1]) / (12 * step)
        fourth = abs(float(values @ [1, -4, -4, 1]))  # the middle value, six times, is zero
        # h²φ‴/6 is what the formula of order 2 lacks, and h⁴φ⁽⁵⁾/30 what this one does.
        correction = abs(value - float(values[2] - values[1]) / (2 * step))
        shrink = (step / calibration.step) ** 2
        bound = max(truncation, 3 * correction * calibration.rate * shrink / 5)
        noise, degrees = pool.level(0.5 * line.unit_roundoff * line.magnitude(2 * step))
        noise = max(noise, line.granularity / math.sqrt(12))
        spread = FOUR_POINTS * noise / step
        estimate = Estimate(
            value=value,
            truncation_error=bound,
            roundoff_error=spread,
            error_bar=bound + student_quantile(degrees, DISPLAY_ALPHA) * spread,
            degrees_of_freedom=degrees,
            step=step,
            order=4,
            evaluations=line.evaluations - taken,
            method="central, order 4" if attempt == 0 else f"central, order 4, measured {attempt + 1} times{crossed}",
            noise=noise,
        )
        expected = max(math.sqrt(70) * noise, calibration.fourth * (step / calibration.step) ** 4)
        rounding = 0.1 * FAR_ABOVE_ROUNDING * line.parameter_roundoff * line.magnitude(2 * step)
        smooth = math.isfinite(value) and fourth <= max(
            UNEXPECTED * expected, math.sqrt(70) * rounding if attempt else 0
        )
        if not smooth:
            crossed = KINKS_CROSSED
        if smooth:
            pool.witness(fourth / math.sqrt(70), 0.5 * line.unit_roundoff * line.magnitude(2 * step))
        if smooth and (not expect_zero or within(value, bound + 10 * spread)):
            return estimate
        if previous is not None and math.isfinite(value):
            distance = abs(value - previous.value)
            if within(distance, bound + 10 * spread + previous.truncation_error + 10 * previous.roundoff_error):
                return estimate
            missed = distance * step / FOUR_POINTS
            if smooth and missed <= 10 * rounding:
                # Both steps look smooth, and differ as noise does: there is more of it than was known.
                pool.learn(missed, 0.5 * line.unit_roundoff * line.magnitude(2 * step))
                again = pool.level(0.5 * line.unit_roundoff * line.magnitude(2 * previous.step))
                return replace(
                    previous,
                    roundoff_error=FOUR_POINTS * again[0] / previous.step,
                    degrees_of_freedom=again[1],
                    noise=again[0],
                    evaluations=line.evaluations - taken,
                )
        previous = estimate if smooth else None
        step /= 8
        truncation /= 8**4
        if step < floor:
            break
    # Nothing agreed: look as carefully as a first line does.
    careful = careful_derivative(line, calibration.step / FIRST_STEP, pool=pool)
    return replace(careful, method=careful.method + crossed)
