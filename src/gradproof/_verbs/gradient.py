"""`check_gradient` and `assert_gradient`: the whole flow on one page."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from gradproof._problem.blocks import NothingThere
from gradproof._problem.problem import Problem
from gradproof._verbs.assertions import Inconclusive, asserted
from gradproof._words.errors import BudgetTooSmall, GradproofError, NonFinitePoint, UsageError
from gradproof._words.events import Evaluated, Observer, Planned, Settled
from gradproof._words.results import Report, Verdict
from gradproof._words.settings import DEFAULT_CONFIDENCE, SMALLEST_BUDGET, Execution, Map, Settings, Strategy

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from gradproof._evaluation.supply import Means

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
    diagnose: bool = True,
    only: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    has_aux: bool = False,
    retract: Callable[[Any, Any], Any] | None = None,
    tangent: Any = None,
    points: Iterable[Any] | Callable[[np.random.Generator], Any] | None = None,
    self_test: bool = False,
    observer: Observer | None = None,
    engine: Executor | None = None,
    workers: int | Map | None = None,
    timeout: float | None = None,
    journal: str | PathLike[str] | None = None,
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
    diagnose
        False: a WRONG verdict is all that is asked for, and nothing is spent on where the fault is, and why.
    only, exclude
        Patterns of the names of the parameters to check, or to hold constant: ``*`` and ``?`` stand for any characters.
    has_aux
        The cost returns ``(J, anything)``.
    retract
        Callable: (point, δ) → the displaced point, for a point on a manifold (a rotation, a unit vector): what is claimed
        is then the gradient of δ ↦ cost(retract(point, δ)) at δ = 0, in δ's structure. See docs/tangent-spaces.md.
    tangent
        δ's shape (a whole number, or a tuple of them), or an example of it; None to take it from the claim.
    points
        Further points to check at, for a claim that is a callable or True: a sequence, or a callable that draws a
        point from a `numpy.random.Generator` (three are drawn). The report is that of the worst point.
    self_test
        Mutate the claim in many ways and report which mistakes would have been caught here.
    observer
        Called with an event record at each step (see `gradproof.reports.Progress`).
    engine
        A `concurrent.futures.Executor` that evaluates: threads, processes, Dask's, loky's, MPI's. The report is that of
        a check without one. It stays yours to end.
    workers
        Processes to start on this machine, −1 for one a core; or a map-like callable, as SciPy takes it.
    timeout
        Seconds after which a call of a worker is given up, and made once more, twice at most.
    journal
        A file in which every value is kept as it arrives: after a crash the same call goes on where it was, and gives
        the report that it would have given.

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
    JournalError
        Where the journal is another check's, or cannot be written.
    WorkersLost
        Where the engine breaks, and cannot be made anew.

    Examples
    --------
    >>> report = check_gradient(lambda x: float(x @ x), np.array([1.0, 2.0]), np.array([2.0, 4.0]), seed=0)
    >>> report.verdict.name
    'CORRECT'
    """
    settings = Settings(
        tolerance=_plain(tolerance),
        confidence=_plain(confidence),
        strategy=strategy,
        budget=_plain(budget),
        seed=secrets.randbits(32) if seed is None else _plain(seed),
        diagnose=diagnose,
    )
    notes: tuple[str, ...] = ()
    if isinstance(cost, Problem):
        problem = cost
        _must_be_whole(has_aux or None, point, claimed, only, exclude, retract, tangent)
    else:
        if point is None and points is not None:
            point, points = _first_point(points, seed)
        held: dict[str, Any] = {"only": only, "exclude": exclude, "has_aux": has_aux}
        try:
            problem, notes = make_problem(cost, point, claimed, retract=retract, tangent=tangent, **held)
        except NothingThere as nothing:
            if points is not None:
                raise
            return _nothing(settings, nothing.meaning, observer)
    execution = Execution(engine=engine, workers=workers, timeout=_plain(timeout), journal=journal)
    from gradproof._evaluation.supply import Means  # loaded when it is used: imports stay cheap

    with Means(execution, time.perf_counter, observer) as means:
        if seed is None:
            settings = replace(settings, seed=means.seed(settings.seed))
        if points is None:
            report = _check_one(problem, settings, observer, means, self_test=self_test)
        else:
            others = _other_points(points, settings.seed)
            report = _check_points(problem, others, settings, observer, means, self_test=self_test)
    return replace(report, notes=(*notes, *report.notes)) if notes else report


def _must_be_whole(*beside: Any) -> None:
    if any(given is not None for given in beside):
        raise UsageError(
            "a Problem and, beside it, a point, a claim or patterns",
            meaning="A Problem holds all of them",
            remedy="Give check_gradient(problem, tolerance=…, …) or the parts, not both",
        )


def _nothing(settings: Settings, why: str, observer: Observer | None) -> Report:
    from gradproof._examination.conclusion import nothing_report  # loaded when it is used: imports stay cheap

    report = nothing_report(settings, why, "check_gradient")
    if observer is not None:
        observer(Settled(report.verdict))
    return report


def make_problem(
    cost: Any, point: Any, claimed: Any, *, retract: Any = None, tangent: Any = None, **options: Any
) -> tuple[Problem, tuple[str, ...]]:
    """Return the problem, in the tangent space of its point where there is a retraction; and notes for its report."""
    if retract is None and tangent is None:
        try:
            return Problem(cost, point, claimed, **options), ()
        except NonFinitePoint as error:
            from gradproof._problem.held import held_problem  # for those who need it

            held, note = held_problem(error, cost, point, claimed, **options)
            return held, (note,)
    from gradproof._problem.tangents import must_have_retraction, tangent_problem  # for those who use it

    if retract is None:
        must_have_retraction(tangent)
    problem, note = tangent_problem(cost, point, claimed, retract=retract, tangent=tangent, **options)
    return problem, (note,)


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


def _check_one(
    problem: Problem,
    settings: Settings,
    observer: Observer | None,
    means: Means,
    place: int = 0,
    *,
    self_test: bool = False,
) -> Report:
    """Check at one point, with a clock and an observer beside it.

    Numbers beyond the range of float64 become infinite, and what they bound undecided: that is no warning to the user.
    """
    with np.errstate(all="ignore"):
        report = _timed(problem, settings, observer, means, place, self_test=self_test)
    means.conclude(report)
    return report


def _timed(
    problem: Problem, settings: Settings, observer: Observer | None, means: Means, place: int, *, self_test: bool
) -> Report:
    from gradproof._examination.examination import Examination  # loaded when it is used: imports stay cheap
    from gradproof._examination.self_test import self_test_results

    started = time.perf_counter()
    examination = Examination(problem, settings, means, place)

    def on_evaluated(count: int) -> None:
        if observer is not None:
            observer(Evaluated(count, int(examination.engine.budget), examination.phase))

    examination.engine.on_evaluated = on_evaluated
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
    problem: Problem,
    others: list[Any],
    settings: Settings,
    observer: Observer | None,
    means: Means,
    *,
    self_test: bool,
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
            report = _check_one(one, replace(settings, budget=share), observer, means, k, self_test=self_test)
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
