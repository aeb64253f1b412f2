"""One report from several checks of the same function: its modes of differentiation, its orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gradproof._results import Report, Verdict

RANK: Final = (Verdict.CORRECT, Verdict.INCONCLUSIVE, Verdict.WRONG)


def worst_of(parts: Sequence[tuple[str, Report]], verb: str, notes: Sequence[str] = ()) -> Report:
    """Return the first worst report of several checks, and say in its notes what the others found.

    Parameters
    ----------
    parts
        What each check was about, for people ("reverse mode"), and its report.
    verb
        The function that made them all.
    notes
        Sentences that hold for all of them.
    """
    _, worst = max(parts, key=lambda part: RANK.index(part[1].verdict))  # the first of several
    said = list(notes)
    if len(parts) > 1:
        said += [f"{label}: {_found(report)}{' (this report)' if report is worst else ''}." for label, report in parts]
    return replace(
        worst,
        verb=verb,
        notes=tuple(dict.fromkeys([*said, *worst.notes])),
        evaluations=sum(report.evaluations for _, report in parts),
        seconds=sum(report.seconds for _, report in parts),
    )


def _found(report: Report) -> str:
    if report.verdict is Verdict.CORRECT:
        return f"CORRECT, the relative difference is at most {report.difference.upper:.1e}"
    if report.verdict is Verdict.WRONG:
        return f"WRONG in {', '.join(report.faulty[:3])}" if report.faulty else "WRONG"
    return f"INCONCLUSIVE, {report.reason.value}" if report.reason else "INCONCLUSIVE"
