"""Gradient checks inside a training run, made at chosen steps and then turned off.

::

    monitor = GradientMonitor(lambda parameters, gradients: course.check(parameters, gradients, X, Y), at=(0, 10, 100))
    for step in range(1000):
        ...
        monitor(step, parameters, gradients)

Checking a gradient is slow and training is long, so the check runs a few times and is then over. A step at which
nothing is due costs one comparison of two numbers.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Generic, Literal, ParamSpec, TypeAlias, get_args

from gradproof._words.errors import EvaluationError, GradproofWarning, InconclusiveGradient, UsageError, WrongGradient
from gradproof._words.results import Report, Verdict

P = ParamSpec("P")
Reaction: TypeAlias = Literal["warn", "stop", "ignore"]


class GradientMonitor(Generic[P]):
    """Run a check at chosen steps of any training loop.

    Parameters
    ----------
    check
        Returns the report of a check, made as you like: ``lambda: gradproof.check_gradient(…)``, or a function of
        whatever the loop passes to the monitor after the step's number.
    at
        The steps at which to check, whole numbers from 0; in any order.
    every
        Check at each multiple of this number, too, and so never stop; None checks at `at` only.
    on_wrong
        What a WRONG gradient does: "warn" (a `GradproofWarning`; the training goes on), "stop" (raises) or "ignore"
        (kept in `reports` only). A cost that cannot be evaluated stops or warns likewise, and is never ignored.
    on_inconclusive
        The same for an INCONCLUSIVE check.

    Raises
    ------
    UsageError
        Where one of these cannot be used.

    Attributes
    ----------
    reports : dict
        The report of each check made so far, by its step.

    Notes
    -----
    Steps count over the whole run. A step that the loop leaps over (it may resume, or count by tens) is checked at the
    first step after it, once.
    """

    __slots__ = ("_at", "_check", "_next", "_on_inconclusive", "_on_wrong", "every", "reports")

    def __init__(
        self,
        check: Callable[P, Report],
        at: Iterable[int] = (0, 10, 100),
        every: int | None = None,
        *,
        on_wrong: Reaction = "warn",
        on_inconclusive: Reaction = "warn",
    ) -> None:
        if not callable(check):
            raise UsageError(
                f"check is {check!r}",
                remedy="Give a function that makes the check: GradientMonitor(lambda: gradproof.check_gradient(…))",
            )
        for name, reaction in (("on_wrong", on_wrong), ("on_inconclusive", on_inconclusive)):
            if reaction not in get_args(Reaction):
                raise UsageError(
                    f"{name} is {reaction!r}", remedy=f"Choose one of {', '.join(map(repr, get_args(Reaction)))}"
                )
        self._check = check
        self._at = tuple(sorted({_whole(step, "at", smallest=0) for step in at}))
        self._on_wrong = on_wrong
        self._on_inconclusive = on_inconclusive
        self.every = None if every is None else _whole(every, "every", smallest=1)
        self.reports: dict[int, Report] = {}
        self._next: float = self._due_from(0)

    def __call__(self, step: int, /, *args: P.args, **kwargs: P.kwargs) -> Report | None:
        """Make the check if it is due at this step.

        Parameters
        ----------
        step
            The number of the training step, counted from 0.
        *args, **kwargs
            Handed to the check as they are.

        Returns
        -------
        Report or None
            The report where a check was made.

        Raises
        ------
        WrongGradient
            Where the gradient is wrong and ``on_wrong="stop"``.
        InconclusiveGradient
            Where that could not be settled and ``on_inconclusive="stop"``.
        EvaluationError
            Where the cost cannot be evaluated at this step and ``on_wrong="stop"``.
        """
        if step < self._next:
            return None
        self._next = self._due_from(step + 1)
        try:
            report = self._check(*args, **kwargs)
        except EvaluationError as error:
            if self._on_wrong == "stop":
                raise
            warnings.warn(f"step {step}: the gradient could not be checked. {error}", GradproofWarning, stacklevel=2)
            return None
        self._judge(step, report)
        return report

    @property
    def active(self) -> bool:
        """Whether any check is still to come."""
        return self._next < math.inf

    def due(self, step: int) -> bool:
        """Say whether calling the monitor at this step would make the check.

        Parameters
        ----------
        step
            The number of the training step.

        Returns
        -------
        bool
            For loops in which it takes work to prepare what the check needs.
        """
        return step >= self._next

    def _due_from(self, step: int) -> float:
        """Find the first step to check at that is not before this one; infinity where there is none."""
        upcoming = [at for at in self._at if at >= step]
        if self.every is not None:
            upcoming.append(-(-step // self.every) * self.every)
        return min(upcoming, default=math.inf)

    def _judge(self, step: int, report: Report) -> None:
        if not isinstance(report, Report):
            raise UsageError(
                f"the check returned {type(report).__name__}",
                where=f"step {step}",
                remedy="Let it return the report of gradproof.check_gradient(…), which is what the monitor judges",
            )
        self.reports[step] = report
        if report.verdict is Verdict.CORRECT:
            return
        wrong = report.verdict is Verdict.WRONG
        reaction = self._on_wrong if wrong else self._on_inconclusive
        if reaction == "stop":
            raise (WrongGradient if wrong else InconclusiveGradient)(report)
        if reaction == "warn":
            warnings.warn(_sentence(step, report), GradproofWarning, stacklevel=3)


def _sentence(step: int, report: Report) -> str:
    if report.verdict is Verdict.WRONG:
        where = f" in {', '.join(report.faulty)}" if report.faulty else ""
        keyword = "on_wrong"
    else:
        where = f" ({report.reason.value})" if report.reason is not None else ""
        keyword = "on_inconclusive"
    return (
        f"step {step}: {report.verdict.value}{where}; relative difference {report.difference.estimate:.3g}, "
        f"tolerance {report.tolerance:.3g}. The training goes on; print monitor.reports[{step}] for the whole report, "
        f"or stop here with {keyword}='stop'."
    )


def _whole(value: Any, name: str, *, smallest: int) -> int:
    """Accept whole numbers of any integer type; True is none."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < smallest:
        raise UsageError(f"{name} has {value!r}", remedy=f"Give whole numbers from {smallest}")
    return int(value)
