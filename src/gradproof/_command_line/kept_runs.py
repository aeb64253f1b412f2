"""What ``gradproof runs JOURNAL`` prints: the runs of a journal, or one of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gradproof._words.errors import UsageError
from gradproof._words.results import Report

if TYPE_CHECKING:
    from gradproof._evaluation.journal import Kept


def listed(journal: Path) -> str:
    """Return a line a run."""
    from gradproof._evaluation.journal import read_runs

    runs = read_runs(str(journal))
    return "\n".join(f"{k:>3}  {_line(run)}" for k, run in enumerate(runs, 1)) or f"{journal} holds no run yet."


def shown(journal: Path, number: int) -> str:
    """Return what is known of one run: what it belongs to, how far it is, and its report where it is over.

    Raises
    ------
    UsageError
        Where there is no such run.
    """
    from gradproof._evaluation.journal import read_runs

    runs = read_runs(str(journal))
    if not 1 <= number <= len(runs):
        raise UsageError(f"there is no run {number}", where=str(journal), remedy=f"It holds {len(runs)}, from 1 on")
    run = runs[number - 1]
    given = "\n".join(f"  {name:<12}{_plain(value)}" for name, value in run.identity.items() if value not in (None, ""))
    report = str(Report.from_json(run.report)) if run.report else "It is not over: the same call goes on with it."
    return f"{_line(run)}\n{given}\n\n{report}"


def _line(run: Kept) -> str:
    from gradproof.reports._numbers import count, duration

    point = f", point {run.place + 1}" if run.place else ""
    failed = f" ({run.failed} failed)" if run.failed else ""
    calls = f"{count(run.evaluations, 'evaluation')}{failed} in {duration(run.seconds)}"
    return f"{run.verb}{point}, begun {run.started} UTC: {run.verdict or 'not over'}, {calls}"


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
