"""`check_gradient` and `assert_gradient`: the whole flow on one page."""

from __future__ import annotations

import secrets
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from gradproof._errors import GradproofWarning, InconclusiveGradient, UsageError, WrongGradient
from gradproof._events import Evaluated, Event, Planned, Settled
from gradproof._examination import Examination
from gradproof._problem import Problem
from gradproof._results import Report, Verdict
from gradproof._self_test import self_test_results
from gradproof._settings import DEFAULT_CONFIDENCE, Settings, Strategy

Observer = Callable[[Event], None]
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
        ``claimed=True``. Or a `Problem`, which holds the next two arguments as well.
    point
        θ: a number, an array, or nested dict, list, tuple, namedtuple or dataclass of them. Never written to.
    claimed
        The claimed gradient in the point's structure; or a callable point → that structure; or True.
    tolerance
        Largest acceptable relative difference D = ‖g − ∇J‖ / (‖g‖ + ‖∇J‖) of each block. None chooses it by precision
        (1e-7 in float64, 1e-3 in float32) and raises it, up to 1e-2, to what the measured noise can resolve.
    confidence
        Probability, over the directions drawn, with which a verdict holds.
    strategy
        "certificate": random directions, a dozen evaluations for any size. "coordinates": every coordinate, some 2N
        evaluations. "auto": the certificate, and every coordinate too where 2N ≤ 256.
    budget
        Hard limit on calls of the cost; None for 1000 ("coordinates": whatever it takes).
    seed
        Of the directions; None for a fresh one, which the report records.
    only, exclude
        Name patterns (``fnmatch``) of blocks.
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
        tolerance=tolerance,
        confidence=confidence,
        strategy=strategy,
        budget=budget,
        seed=secrets.randbits(32) if seed is None else seed,
    )
    if points is None:
        return _check_one(problem, settings, observer, self_test=self_test)
    return _check_points(problem, _other_points(points, settings.seed), settings, observer, self_test=self_test)


def assert_gradient(
    cost: Callable[[Any], Any] | Problem,
    point: Any = None,
    claimed: Any = None,
    *,
    inconclusive: Literal["raise", "warn", "skip"] = "raise",
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
    if inconclusive not in {"raise", "warn", "skip"}:
        raise UsageError(f"inconclusive is {inconclusive!r}", remedy='Choose "raise", "warn" or "skip"')
    report = check_gradient(cost, point, claimed, **options)
    if report.verdict is Verdict.WRONG:
        raise WrongGradient(report)
    if report.verdict is Verdict.INCONCLUSIVE:
        if inconclusive == "raise":
            raise InconclusiveGradient(report)
        if inconclusive == "warn":
            warnings.warn(str(report), GradproofWarning, stacklevel=2)
    return report


def _check_one(problem: Problem, settings: Settings, observer: Observer | None, *, self_test: bool = False) -> Report:
    """Check at one point, with a clock and an observer beside it."""
    started = time.perf_counter()
    examination = Examination(problem, settings)

    def on_evaluated(count: int) -> None:
        if observer is not None:
            observer(Evaluated(count, examination.budget, examination.phase))

    examination.engine.on_evaluated = on_evaluated
    examination.begin()
    if observer is not None:
        seconds = time.perf_counter() - started
        planned = examination.planned_evaluations()
        observer(Planned(planned, planned * seconds, examination.strategy))
    report = examination.run()
    if self_test:
        report = replace(report, self_test=self_test_results(examination))
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
    problems = [problem, *(problem.at(point) for point in others)]
    rank = [Verdict.CORRECT, Verdict.INCONCLUSIVE, Verdict.WRONG]
    worst: Report | None = None
    evaluations, seconds = 0, 0.0
    for k, one in enumerate(problems):
        report = _check_one(one, settings, observer, self_test=self_test)
        evaluations += report.evaluations
        seconds += report.seconds
        if worst is None or rank.index(report.verdict) > rank.index(worst.verdict):
            worst = replace(report, where=f"point {k + 1} of {len(problems)}")
        if report.verdict is Verdict.WRONG:
            break
    assert worst is not None  # noqa: S101  # there is always a first point
    if worst.verdict is Verdict.CORRECT:
        worst = replace(worst, where=f"all {len(problems)} points")
    return replace(worst, evaluations=evaluations, seconds=seconds)


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
