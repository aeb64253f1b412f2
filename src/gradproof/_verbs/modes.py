"""One report from several checks of the same function: its modes of differentiation, its orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from gradproof._words.errors import UsageError
from gradproof._words.results import Report, Verdict

Mode = Literal["rev", "fwd"]
LABELS: Final[dict[Mode, str]] = {"rev": "reverse mode", "fwd": "forward mode"}
RANK: Final = (Verdict.CORRECT, Verdict.INCONCLUSIVE, Verdict.WRONG)


def check_modes(modes: Any, order: Any) -> None:
    """Refuse modes and orders that there are not.

    Raises
    ------
    UsageError
    """
    if not modes or isinstance(modes, str) or not set(modes) <= set(LABELS):
        raise UsageError(f"modes is {modes!r}", remedy='Give ("rev",), ("fwd",) or ("rev", "fwd")')
    if order not in {1, 2}:
        raise UsageError(f"order is {order!r}", remedy="Give 1, or 2 for the derivative of the derivative, too")


def worst_of(parts: Sequence[tuple[str, Report]], verb: str = "", notes: Sequence[str] = ()) -> Report:
    """Return the first worst report of several checks, and say in its notes what the others found.

    Parameters
    ----------
    parts
        What each check was about, for people ("reverse mode"), and its report.
    verb
        The function that made them all; "" to keep that of the report that is returned.
    notes
        Sentences that hold for all of them.
    """
    _, worst = max(parts, key=lambda part: RANK.index(part[1].verdict))  # the first of several
    said = list(notes)
    if len(parts) > 1:
        said += [f"{label}: {_found(report)}{' (this report)' if report is worst else ''}." for label, report in parts]
    return replace(
        worst,
        verb=verb or worst.verb,
        notes=tuple(dict.fromkeys([*said, *worst.notes])),
        evaluations=sum(report.evaluations for _, report in parts),
        seconds=sum(report.seconds for _, report in parts),
    )


def of_output(report: Report, output: str) -> Report:
    """Return the report of a cost with its blocks named as those of a function's outputs are: "output × parameter"."""
    full = {block.name: f"{output} × {block.name}" for block in report.blocks}
    return replace(
        report,
        blocks=tuple(replace(block, name=full[block.name]) for block in report.blocks),
        coordinates=tuple(replace(entry, block=full.get(entry.block, entry.block)) for entry in report.coordinates),
        diagnoses=tuple(replace(d, block=full.get(d.block, d.block)) for d in report.diagnoses),
    )


def _found(report: Report) -> str:
    if report.verdict is Verdict.CORRECT:
        return f"CORRECT, the relative difference is at most {report.difference.upper:.1e}"
    if report.verdict is Verdict.WRONG:
        return f"WRONG in {', '.join(report.faulty[:3])}" if report.faulty else "WRONG"
    return f"INCONCLUSIVE, {report.reason.value}" if report.reason else "INCONCLUSIVE"
