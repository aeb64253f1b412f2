"""`check_gradient` and `assert_gradient`: the whole flow on one page."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradproof._problem.problem import Problem
from gradproof._verbs.assertions import Inconclusive, asserted
from gradproof._words.errors import BudgetTooSmall, GradproofError, UsageError
from gradproof._words.events import Evaluated, Observer, Planned, Settled
from gradproof._words.results import Report, Verdict
from gradproof._words.settings import DEFAULT_CONFIDENCE, SMALLEST_BUDGET, Settings, Strategy

POINTS_DRAWN = 3
"""Points drawn where ``points`` is a callable."""


def check_gradient(
    cost: Callable[[Any], Any] | Problem,
    point: Any = None,
    claimed: Any = None,
    *,
    tolerance: float | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    strategy: Strategy = "auto",
    budget: int | None = None,
    seed: int | None = None,
    only: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    has_aux: bool = False,
    points: Iterable[Any] | Callable[[np.random.Generator], Any] | None = None,
    self_test: bool = False,
    observer: Observer | None = None,
) -> Report:
    """Check a claimed gradient against the cost that it belongs to.

    Parameters
    ----------
    cost
        Callable: point → J, a real number; ``(J, anything)`` with ``has_aux=True``, ``(J, gradient)`` with
        ``claimed=True``, ``((J, anything), gradient)`` with both. Or a `Problem`, which holds the next two arguments
        as well.
    point
        θ: a number, an array, or nested dict, list, tuple, namedtuple or dataclass of them. Never written to.
    claimed
        The claimed gradient in the point's structure; or a callable point → that structure; or True. Beside the
        parameters' it may have gradients by intermediate values, under the names by which the cost marks them
        (`gradproof.tap`): they are blocks of the report, too, which then says which step of a backward pass is wrong.
    tolerance
        Largest acceptable relative difference D = ‖g − ∇J‖ / (‖g‖ + ‖∇J‖) of each block. None chooses it by precision
        (1e-7 in float64, 1e-3 in float32) and raises it, up to 1e-2, to what the measured noise can resolve.
    confidence
        Whatever is claimed, a verdict is false with probability 1 − confidence at most, over the directions drawn.
    strategy
        "certificate": random directions, a dozen evaluations for any size. "coordinates": every coordinate, some 2N
        evaluations. "auto": the certificate, and every coordinate too where 2N ≤ 256.
    budget
        Hard limit on calls of the cost, in all; None for 1000 a point ("coordinates": whatever it takes).
    seed
        Of the directions; None for a fresh one, which the report records.
    only, exclude
        Patterns of the names of the parameters to check, or to hold constant: ``*`` and ``?`` stand for any characters.
    has_aux
        The cost returns ``(J, anything)``.
    points
        Further points to check at, for a claim that is a callable or True: a sequence, or a callable that draws a
        point from a `numpy.random.Generator` (three are drawn). The report is that of the worst point.
    self_test
        Mutate the claim in many ways and report which mistakes would have been caught here.
    observer
        Called with an event record at each step (see `gradproof.reports.Progress`).

    Returns
    -------
    Report
        Whatever the verdict: a wrong gradient is the product, not a failure.

    Raises
    ------
    UsageError
        For what cannot be checked as it stands, before any displacement.
    EvaluationError
        Where the cost cannot be evaluated at the point itself.

    Examples
    --------
    >>> report = check_gradient(lambda x: float(x @ x), np.array([1.0, 2.0]), np.array([2.0, 4.0]), seed=0)
    >>> report.verdict.name
    'CORRECT'
    """
    if isinstance(cost, Problem):
        problem = cost
        if point is not None or claimed is not None or only is not None or exclude is not None or has_aux:
            raise UsageError(
                "a Problem and, beside it, a point, a claim or patterns",
                meaning="A Problem holds all of them",
                remedy="Give check_gradient(problem, tolerance=…, …) or the parts, not both",
            )
    elif point is None and points is not None:
        first, points = _first_point(points, seed)
        problem = Problem(cost, first, claimed, only=only, exclude=exclude, has_aux=has_aux)
    else:
        problem = Problem(cost, point, claimed, only=only, exclude=exclude, has_aux=has_aux)
    settings = Settings(
        tolerance=_plain(tolerance),
        confidence=_plain(confidence),
        strategy=strategy,
        budget=_plain(budget),
        seed=secrets.randbits(32) if seed is None else _plain(seed),
    )
    if points is None:
        return _check_one(problem, settings, observer, self_test=self_test)
    return _check_points(problem, _other_points(points, settings.seed), settings, observer, self_test=self_test)


def assert_gradient(
    cost: Callable[[Any], Any] | Problem,
    point: Any = None,
    claimed: Any = None,
    *,
    inconclusive: Inconclusive = "raise",
    **options: Any,
) -> Report:
    """Assert that a claimed gradient is right: `check_gradient`, and an exception where it is not.

    Parameters
    ----------
    cost, point, claimed
        As for `check_gradient`.
    inconclusive
        What to do where the gradient could be proved neither right nor wrong: "raise", "warn" or "skip" (return).
    **options
        As for `check_gradient`.

    Returns
    -------
    Report
        Of the correct (or undecided) gradient.

    Raises
    ------
    WrongGradient
        An AssertionError that prints, and carries, the report.
    InconclusiveGradient
        Likewise, where the check stayed undecided.
    """
    return asserted(inconclusive, check_gradient, cost, point, claimed, **options)


def _check_one(problem: Problem, settings: Settings, observer: Observer | None, *, self_test: bool = False) -> Report:
    """Check at one point, with a clock and an observer beside it.

    Numbers beyond the range of float64 become infinite, and what they bound undecided: that is no warning to the user.
    """
    with np.errstate(all="ignore"):
        return _timed(problem, settings, observer, self_test=self_test)


def _timed(problem: Problem, settings: Settings, observer: Observer | None, *, self_test: bool) -> Report:
    from gradproof._examination.examination import Examination  # loaded when it is used: imports stay cheap
    from gradproof._examination.self_test import self_test_results

    started = time.perf_counter()

    def on_evaluated(count: int) -> None:
        if observer is not None:
            observer(Evaluated(count, int(examination.engine.budget), examination.phase))

    examination = Examination(problem, settings, on_evaluated)
    examination.begin()
    if observer is not None:
        seconds = time.perf_counter() - started
        planned = examination.planned_evaluations()
        observer(Planned(planned, planned * seconds, settings.strategy))
    report = examination.run()
    if self_test and examination.study is not None:
        report = replace(report, self_test=self_test_results(examination.study))
    report = replace(report, evaluations=examination.engine.evaluations, seconds=time.perf_counter() - started)
    if observer is not None:
        observer(Settled(report.verdict))
    return report


def _check_points(
    problem: Problem, others: list[Any], settings: Settings, observer: Observer | None, *, self_test: bool
) -> Report:
    """Check at several points; return the report of the first worst one."""
    if problem.claimed is not True and not callable(problem.claimed):
        raise UsageError(
            "several points, but the claimed gradient is one array",
            meaning="Its values belong to one point only",
            remedy="Give claimed as a callable point → gradient, or True where the cost returns (J, gradient)",
        )
    count = 1 + len(others)
    if settings.budget is not None and settings.budget < count * SMALLEST_BUDGET:
        raise BudgetTooSmall(
            f"budget is {settings.budget}, for {count} points",
            meaning=f"Each of them takes {SMALLEST_BUDGET} calls of the cost at least",
            remedy=f"Give at least {count * SMALLEST_BUDGET}, or fewer points",
        )
    rank = [Verdict.CORRECT, Verdict.INCONCLUSIVE, Verdict.WRONG]
    worst: Report | None = None
    evaluations, seconds = 0, 0.0
    for k in range(count):
        # What one point leaves of its share goes to the others.
        share = None if settings.budget is None else (settings.budget - evaluations) // (count - k)
        try:
            one = problem if k == 0 else problem.at(others[k - 1])
            report = _check_one(one, replace(settings, budget=share), observer, self_test=self_test)
        except GradproofError as error:
            raise error.at(f"point {k + 1} of {count}") from error.__cause__
        evaluations += report.evaluations
        seconds += report.seconds
        if worst is None or rank.index(report.verdict) > rank.index(worst.verdict):
            worst = replace(report, where=f"point {k + 1} of {count}")
        if report.verdict is Verdict.WRONG:
            break
    assert worst is not None  # noqa: S101  # there is always a first point
    if worst.verdict is Verdict.CORRECT:
        worst = replace(worst, where=f"all {count} points")
    budget = worst.budget if settings.budget is None else settings.budget
    return replace(worst, evaluations=evaluations, seconds=seconds, budget=budget)


def _plain(number: Any) -> Any:
    """Return a NumPy number as the Python number that it is."""
    return number.item() if isinstance(number, np.generic) else number


def _first_point(points: Any, seed: int | None) -> tuple[Any, Any]:
    drawn = _other_points(points, 0 if seed is None else seed)
    if not drawn:
        raise UsageError("points is empty", remedy="Give at least one point")
    return drawn[0], drawn[1:]


def _other_points(points: Any, seed: int) -> list[Any]:
    if callable(points):
        generator = np.random.default_rng([seed, 0x706F696E])
        return [points(generator) for _ in range(POINTS_DRAWN)]
    return list(points)
