"""Telling values of a coefficient: 2, ½, −1, a count found in the shapes; the simplest that lies within the bar.

Occam's razor is a number here. A candidate's weight is about how many candidates are as simple as it is, or simpler,
in the range of one factor e; ``weight × relative bar`` is then the probability that a coefficient without any meaning
comes to lie within the bar of one of them, and only candidates for which that is small are named. A wide bar can so
name a 2 but not a 1.37.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from gradproof._diagnosis.evidence import Evidence
from gradproof._diagnosis.mistakes import short_decimal

LARGEST_CHANCE = 0.05
"""Weight times relative bar up to which a value is named."""
MOST_COUNTS = 40
LARGEST_INTEGER = 1000
AXIS_WORDS = {0: "rows", 1: "columns"}


@dataclass(frozen=True, slots=True)
class Telling:
    """A value that says where a coefficient may come from.

    Parameters
    ----------
    value
        The value itself.
    text
        As people write it: "2", "1/4", "π".
    why
        "5 is the number of rows of W1"; "" where it speaks for itself.
    weight
        How many candidates are as simple, see above.
    """

    value: float
    text: str
    why: str
    weight: float


def telling_value(lower: float, upper: float, counts: Mapping[int, str], *, factor: bool = True) -> Telling | None:
    """Return the simplest telling value in [lower, upper], or None.

    Parameters
    ----------
    lower, upper
        The interval of the coefficient.
    counts
        Numbers with what they count.
    factor
        Whether the coefficient is a factor, for which counts and constants are telling, too; else only decimals are.
    """
    if not (math.isfinite(lower) and math.isfinite(upper)) or lower <= 0 <= upper:
        return None
    chance = abs(upper - lower) / abs(upper + lower)
    fitting = [
        candidate
        for candidate in _candidates(lower, upper, counts, factor=factor)
        if lower <= candidate.value <= upper and candidate.weight * chance <= LARGEST_CHANCE
    ]
    return min(fitting, key=lambda candidate: candidate.weight, default=None)


def counts_in(evidence: Evidence) -> dict[int, str]:
    """Collect the counts that a factor may come from, those given first, then the lengths of axes and the sizes."""
    counts: dict[int, str] = {}
    for what, number in evidence.counts.items():
        if number > 1:
            counts.setdefault(number, f"the number of {what}" if " " not in what else what)
    for name, shape in zip(evidence.names, evidence.shapes, strict=True):
        for axis, size in enumerate(shape):
            if size > 1:
                kind = AXIS_WORDS.get(axis, "") if len(shape) == 2 else ""
                counts.setdefault(
                    size, f"the number of {kind} of {name}" if kind else f"the length of {name}'s axis {axis}"
                )
    for name, shape in zip(evidence.names, evidence.shapes, strict=True):
        if len(shape) > 1 and math.prod(shape) > 1:
            counts.setdefault(math.prod(shape), f"the number of entries of {name}")
    return dict(list(counts.items())[:MOST_COUNTS])


def _candidates(lower: float, upper: float, counts: Mapping[int, str], *, factor: bool) -> Iterator[Telling]:
    if factor:
        yield from _simple()
        yield from _from_counts(counts)
        yield from _integers(lower, upper)
        yield from _constants()
        yield from _decimals_beside_one(lower, upper)
    yield from _decimals(lower, upper)


def _simple() -> Iterator[Telling]:
    """Numbers that need no origin: so small a count is found in any shapes, and says nothing of where a 4 comes from."""
    yield Telling(-1.0, "-1", "", 0.2)  # much likelier than any other negative number
    for integer, weight in ((2, 1), (3, 3), (4, 3), (10, 4)):
        for sign in (1, -1):
            heavier = weight if sign > 0 else 3 * weight
            yield Telling(float(sign * integer), f"{sign * integer}", "", heavier)
            yield Telling(sign / integer, f"{'-' * (sign < 0)}1/{integer}", "", heavier)


def _from_counts(counts: Mapping[int, str]) -> Iterator[Telling]:
    weight = 2.0 + 2.0 * len(counts)
    for count, what in counts.items():
        why = f"{count} is {what}"
        for sign, mark, heavier in ((1, "", 1), (-1, "-", 3)):
            yield Telling(float(sign * count), f"{mark}{count}", why, heavier * weight)
            yield Telling(sign / count, f"{mark}1/{count}", why, heavier * weight)
        if count > 2:
            yield Telling(math.sqrt(count), f"√{count}", why, 3 * weight)
            yield Telling(1 / math.sqrt(count), f"1/√{count}", why, 3 * weight)
            yield Telling(count / (count - 1), f"{count}/{count - 1}", why, 3 * weight)
            yield Telling((count - 1) / count, f"{count - 1}/{count}", why, 3 * weight)
            yield Telling(float(count) ** 2, f"{count}²", why, 3 * weight)
            yield Telling(1 / float(count) ** 2, f"1/{count}²", why, 3 * weight)


def _integers(lower: float, upper: float) -> Iterator[Telling]:
    """Integers n and 1/n: near n one finds n of them within a factor e."""
    middle = (lower + upper) / 2
    for value, text in ((middle, "{}"), (1 / middle, "1/{}")):
        integer = round(value) if abs(value) <= LARGEST_INTEGER else 0
        if abs(integer) >= 2:
            sign = "-" if integer < 0 else ""
            number = float(integer) if text == "{}" else 1.0 / integer
            yield Telling(number, sign + text.format(abs(integer)), "", 2.0 * abs(integer))


@lru_cache(maxsize=1)
def _constants() -> tuple[Telling, ...]:
    named = {
        "π": (math.pi, ""),
        "2π": (2 * math.pi, ""),
        "√2": (math.sqrt(2), ""),
        "√(2π)": (math.sqrt(2 * math.pi), "the constant of the normal density"),
        "ln 2": (math.log(2), "logarithms of base 2 against natural ones"),
        "ln 10": (math.log(10), "logarithms of base 10 against natural ones"),
        "π/180": (math.pi / 180, "degrees against radians"),
        "2/3": (2 / 3, ""),
        "3/4": (3 / 4, ""),
    }
    ones = [Telling(value, text, why, 30) for text, (value, why) in named.items()]
    inverses = [
        Telling(1 / one.value, f"1/({one.text})" if len(one.text) > 1 else f"1/{one.text}", one.why, 30) for one in ones
    ]
    return (*ones, *inverses)


def _decimals(lower: float, upper: float) -> Iterator[Telling]:
    middle = (lower + upper) / 2
    for digits in (1, 2, 3):
        text = f"{float(f'{middle:.{digits}g}'):.6g}"
        yield Telling(float(text), text, "", 10.0 * 10.0 ** (digits - 1) * 2)


def _decimals_beside_one(lower: float, upper: float) -> Iterator[Telling]:
    """1.001, 0.9999: one, and a decimal of one digit."""
    excess = short_decimal((lower + upper) / 2 - 1)
    if 0 < abs(excess) < 0.1:
        yield Telling(1 + excess, f"{1 + excess:.12g}", "", 20.0 / abs(excess))


def describe_number(lower: float, upper: float) -> str:
    """Write the middle of an interval with the digits that its width justifies, at most six."""
    middle = (lower + upper) / 2
    if middle == 0:
        return "0"
    relative = abs(upper - lower) / (2 * abs(middle))
    digits = 6 if relative <= 0 else min(6, max(1, math.floor(0.7 - math.log10(relative))))
    return f"{float(f'{middle:.{digits}g}'):.6g}"  # twice, so that 20 is not written 2e+01


def nearby_decimal(middle: float, bar: float) -> tuple[str, float]:
    """Return the shortest decimal that is off by at most a twentieth of the bar, as text and as the number it says.

    What is printed is what is tried: rounding for people costs the precision of a measured coefficient nothing.
    """
    if not (math.isfinite(middle) and math.isfinite(bar)):
        return repr(middle), middle
    rounded = (float(f"{middle:.{digits}g}") for digits in range(1, 18))
    value = next((one for one in rounded if abs(one - middle) <= bar / 20), middle)
    return (f"{value:g}" if float(f"{value:g}") == value else repr(value)), value


def written_number(coefficient: float, bar: float) -> tuple[str, float]:
    """Return a factor as it is written, and the number that this is: one that speaks for itself, else a decimal."""
    telling = telling_value(coefficient - bar, coefficient + bar, {})
    return (telling.text, telling.value) if telling else nearby_decimal(coefficient, bar)
