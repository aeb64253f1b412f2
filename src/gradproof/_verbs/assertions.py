"""From a report to an assertion: what every ``assert_…`` does after its ``check_…``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from gradproof._words.errors import GradproofWarning, InconclusiveGradient, UsageError, WrongGradient
from gradproof._words.results import Report, Verdict

Inconclusive: TypeAlias = Literal["raise", "warn", "skip"]


def asserted(inconclusive: Inconclusive, check: Callable[..., Report], *arguments: Any, **options: Any) -> Report:
    """Run a check, and raise for a report that is not CORRECT; called by the ``assert_…`` functions directly.

    Parameters
    ----------
    inconclusive
        What to do where nothing could be proved: "raise", "warn" (at the line of the assertion's caller) or "skip".
    check
        The ``check_…`` function; its arguments follow.

    Raises
    ------
    UsageError
        For another word, before the check spends anything.
    WrongGradient, InconclusiveGradient
        AssertionErrors that print, and carry, the report.
    """
    if inconclusive not in {"raise", "warn", "skip"}:
        raise UsageError(f"inconclusive is {inconclusive!r}", remedy='Choose "raise", "warn" or "skip"')
    report = check(*arguments, **options)
    if report.verdict is Verdict.WRONG:
        raise WrongGradient(report)
    if report.verdict is Verdict.INCONCLUSIVE:
        if inconclusive == "raise":
            raise InconclusiveGradient(report)
        if inconclusive == "warn":
            warnings.warn(str(report), GradproofWarning, stacklevel=3)
    return report
