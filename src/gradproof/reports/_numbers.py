"""Numbers for people: few digits, and never more of them than their bar allows."""

from __future__ import annotations

import math
from typing import Final

MOST_DIGITS: Final = 12
"""More significant digits than this are never printed, however small the bar."""


def short(value: float, digits: int = 3) -> str:
    """Return a magnitude in few significant digits for a sentence: ``2.92e-10``, ``0.285``, ``1e-7``."""
    return _trim(f"{value:.{digits}g}")


def figures(value: float, digits: int = 3) -> str:
    """Return a magnitude for a column, trailing zeros kept: ``1.00e-7``, ``0.600``."""
    return _trim(f"{value:#.{digits}g}".rstrip("."), keep_zeros=True) if value else "0"


def rounded_up(value: float, digits: int = 3) -> float:
    """Return the nearest number of so many digits that is not closer to zero, so that a printed bound stays one."""
    return _rounded(value, digits, outwards=1)


def bound(value: float, digits: int = 3) -> str:
    """Return an upper bound in few digits, rounded away from zero, for a sentence."""
    return short(_rounded(value, digits, outwards=1), digits)


def lower_bound(value: float, digits: int = 3) -> str:
    """Return a lower bound in few digits, rounded towards zero, for a sentence."""
    return short(_rounded(value, digits, outwards=-1), digits)


def _rounded(value: float, digits: int, outwards: int) -> float:
    if not math.isfinite(value) or value == 0:
        return value
    size = abs(value)
    nearest = float(f"{size:.{digits}g}")
    if (nearest - size) * outwards < 0:
        last_place = math.floor(math.log10(size)) - digits + 1
        nearest = float(f"{nearest + outwards * float(f'1e{last_place}'):.{digits}g}")
    return math.copysign(nearest, value)


def ratio(value: float) -> str:
    """Return a ratio in four digits, ``2.000``; ``1 + 3.1e-6`` where four digits would show 1."""
    if not math.isfinite(value):
        return str(value)
    away = value - 1
    if 0 < abs(away) < 5e-4:
        return f"1 {'+' if away > 0 else '−'} {short(abs(away), 2)}"
    return _trim(f"{value:#.4g}".rstrip("."), keep_zeros=True)


def with_bar(value: float, bar: float) -> str:
    """Return ``value ± bar``: the value to the decimal place of the bar's first digit."""
    return f"{to_bar(value, bar)} ± {bound(bar, 1)}"


def to_bar(value: float, bar: float) -> str:
    """Return a value with the digits that a bar of this half-width leaves meaningful, at least one, at most twelve."""
    if not math.isfinite(value) or not math.isfinite(bar):
        return short(value, 4)
    if value == 0:
        return "0"
    if bar <= 0:
        return short(value, MOST_DIGITS)
    leading = math.floor(math.log10(abs(value)))
    last = math.floor(math.log10(bar))
    digits = min(max(leading - last + 1, 1), MOST_DIGITS)
    text = f"{value:#.{digits}g}".rstrip(".")
    return _trim(text, keep_zeros=True)


def count(number: int, noun: str, plural: str = "") -> str:
    """Return ``1 block``, ``2 blocks``, ``12,345 blocks``."""
    return f"{grouped(number)} {noun if number == 1 else plural or noun + 's'}"


def grouped(number: int) -> str:
    """Return a whole number, its digits in groups of three from five digits on."""
    return f"{number:,}" if abs(number) >= 10_000 else str(number)


def duration(seconds: float) -> str:
    """Return a time as people say it: ``0.4 ms``, ``3.2 s``, ``4 min 10 s``, ``2 h 5 min``."""
    if seconds < 0.9995:
        return f"{short(1000 * seconds, 2 if seconds < 0.1 else 3)} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _trim(text: str, *, keep_zeros: bool = False) -> str:
    """Write exponents as people do: ``1e-07`` becomes ``1e-7``, and ``1e+02`` becomes ``100``."""
    mantissa, mark, exponent = text.partition("e")
    if not mark:
        return text
    if 0 <= int(exponent) < 5:
        return f"{float(text):.0f}"
    if not keep_zeros and "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa.rstrip('.')}e{int(exponent)}"
