"""What the drop-ins share: which of a peer's options have no counterpart, and what is raised for a report."""

from __future__ import annotations

import warnings
from typing import Any, Final

from gradproof._words.errors import GradproofWarning, InconclusiveGradient, WrongGradient
from gradproof._words.results import Report, Verdict

SEED: Final = 0
"""Of the directions of a drop-in: a suite that passed passes again."""


def raised_for(report: Report) -> None:
    """Raise for a report that is not CORRECT.

    Raises
    ------
    WrongGradient, InconclusiveGradient
        AssertionErrors, as JAX and autograd raise.
    """
    if report.verdict is Verdict.WRONG:
        raise WrongGradient(report)
    if report.verdict is Verdict.INCONCLUSIVE:
        raise InconclusiveGradient(report)


def warn_of(asked: dict[str, Any], checker: str) -> None:
    """Warn of options that ask for what is not checked here: a keyword is not dropped in silence.

    Parameters
    ----------
    asked
        Options of the peer, by name, that are set.
    checker
        Its name.
    """
    names = [name for name, value in asked.items() if value]
    if names:
        warnings.warn(
            f"gradproof.compat.{checker} does not check what {', '.join(names)} asks for.",
            GradproofWarning,
            stacklevel=3,
        )
