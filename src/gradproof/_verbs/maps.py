"""The public checks of functions with many outputs, and their assertions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any

from gradproof._verbs.assertions import Inconclusive, asserted
from gradproof._words.events import Observer
from gradproof._words.results import Report
from gradproof._words.settings import DEFAULT_CONFIDENCE, Convention, Execution, Map, Strategy

if TYPE_CHECKING:
    from concurrent.futures import Executor

if TYPE_CHECKING:
    from gradproof._examination.check_maps import Task


def check_vjp(
    function: Callable[[Any], Any],
    vjp: Callable[[Any, Any], Any],
    point: Any,
    *,
    tolerance: float | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    strategy: Strategy = "auto",
    budget: int | None = None,
    seed: int | None = None,
    diagnose: bool = True,
    only: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    retract: Callable[[Any, Any], Any] | None = None,
    tangent: Any = None,
    difference: Callable[[Any, Any], Any] | None = None,
    convention: Convention = "torch",
    observer: Observer | None = None,
    engine: Executor | None = None,
    workers: int | Map | None = None,
    timeout: float | None = None,
    journal: str | PathLike[str] | None = None,
) -> Report:
    """Check a vector-Jacobian product: a hand-written backward pass.

    Parameters
    ----------
    function
        Callable: point → an array, a number, or nested containers of them.
    vjp
        Callable: (point, cotangent) → the product Jᵀu in the point's structure; the cotangent comes in the outputs' structure.
    point
        A number, an array, or nested containers of them; complex numbers count as pairs of reals. Never written to.
    tolerance
        Largest acceptable relative difference ‖A − J‖ / (‖A‖ + ‖J‖) of each pair output × parameter, in the Frobenius
        norm. None chooses it by precision (1e-7 in float64, 1e-3 in float32) and raises it, up to 1e-2, to what the
        measured noise can resolve.
    confidence
        Whatever is claimed, a verdict is false with probability 1 − confidence at most, over the directions drawn.
    strategy
        "certificate": a few random lines. "coordinates": every column of the Jacobian, some six evaluations each.
        "auto": the lines, and every column too where there are few.
    budget
        Hard limit on calls of the function; None for 1000 ("coordinates": whatever it takes). Calls of the claim are not
        counted.
    seed
        Of the directions; None for a fresh one, which the report records.
    diagnose
        False: a WRONG verdict is all that is asked for, and nothing is spent on where the fault is, and why.
    only, exclude
        Patterns of the names of the point's blocks to check, or to hold constant.
    retract
        Callable: (point, δ) → the displaced point, for a point on a manifold: what is claimed is then the derivative by δ,
        at δ = 0. See docs/tangent-spaces.md.
    tangent
        δ's shape, or an example of it; it is needed where there is a retract.
    difference
        Callable: (answer, first) → the displacement from the first answer to the other, where the function's answers lie
        on a circle or a manifold: what is claimed is then the derivative of that displacement.
    convention
        Of complex derivatives: "torch" for g = ∂/∂Re + i ∂/∂Im, with ⟨u, y⟩ = Re Σ conj(u)·y; "jax" for
        g = ∂/∂Re − i ∂/∂Im, with ⟨u, y⟩ = Re Σ u·y.
    observer
        Called with an event record at each evaluation.
    engine, workers, timeout, journal
        What evaluates the function, how long a call may take, and where its values are kept: as for `check_gradient`.

    Returns
    -------
    Report
        Whatever the verdict; its blocks are the pairs "output × parameter".

    Raises
    ------
    UsageError
        For what cannot be checked as it stands: a wrong structure, shape or type, each named.
    EvaluationError
        Where the function cannot be evaluated at the point itself.

    Examples
    --------
    >>> import numpy as np
    >>> report = check_vjp(np.sin, lambda x, u: u * np.cos(x), np.array([0.1, 0.7]), seed=0)
    >>> report.verdict.name
    'CORRECT'
    """
    options = {
        "tolerance": tolerance,
        "confidence": confidence,
        "strategy": strategy,
        "budget": budget,
        "seed": seed,
        "diagnose": diagnose,
        "only": only,
        "exclude": exclude,
        "retract": retract,
        "tangent": tangent,
        "difference": difference,
        "convention": convention,
        "observer": observer,
    }
    execution = Execution(engine=engine, workers=workers, timeout=timeout, journal=journal)
    return _run("check_vjp", function, vjp, point, options, execution)


def assert_vjp(
    function: Callable[[Any], Any],
    vjp: Callable[[Any, Any], Any],
    point: Any,
    *,
    inconclusive: Inconclusive = "raise",
    **options: Any,
) -> Report:
    """Assert what `check_vjp` checks, with an exception where it is not so.

    Parameters
    ----------
    function, vjp, point
        As for `check_vjp`.
    inconclusive
        What to do where it could be proved neither right nor wrong: "raise", "warn" or "skip" (return).
    **options
        As for `check_vjp`.

    Returns
    -------
    Report
        Of what is correct (or undecided).

    Raises
    ------
    WrongGradient, InconclusiveGradient
        AssertionErrors that print, and carry, the report.
    """
    return asserted(inconclusive, check_vjp, function, vjp, point, **options)


def check_jvp(
    function: Callable[[Any], Any],
    jvp: Callable[[Any, Any], Any],
    point: Any,
    *,
    tolerance: float | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    strategy: Strategy = "auto",
    budget: int | None = None,
    seed: int | None = None,
    diagnose: bool = True,
    only: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    retract: Callable[[Any, Any], Any] | None = None,
    tangent: Any = None,
    difference: Callable[[Any, Any], Any] | None = None,
    observer: Observer | None = None,
    engine: Executor | None = None,
    workers: int | Map | None = None,
    timeout: float | None = None,
    journal: str | PathLike[str] | None = None,
) -> Report:
    """Check a Jacobian-vector product: a hand-written tangent.

    Parameters
    ----------
    function
        Callable: point → an array, a number, or nested containers of them.
    jvp
        Callable: (point, tangent) → the product Jv in the outputs' structure; the tangent comes in the point's structure.
    point
        A number, an array, or nested containers of them; complex numbers count as pairs of reals. Never written to.
    tolerance
        Largest acceptable relative difference ‖A − J‖ / (‖A‖ + ‖J‖) of each pair output × parameter, in the Frobenius
        norm. None chooses it by precision (1e-7 in float64, 1e-3 in float32) and raises it, up to 1e-2, to what the
        measured noise can resolve.
    confidence
        Whatever is claimed, a verdict is false with probability 1 − confidence at most, over the directions drawn.
    strategy
        "certificate": a few random lines. "coordinates": every column of the Jacobian, some six evaluations each.
        "auto": the lines, and every column too where there are few.
    budget
        Hard limit on calls of the function; None for 1000 ("coordinates": whatever it takes). Calls of the claim are not
        counted.
    seed
        Of the directions; None for a fresh one, which the report records.
    diagnose
        False: a WRONG verdict is all that is asked for, and nothing is spent on where the fault is, and why.
    only, exclude
        Patterns of the names of the point's blocks to check, or to hold constant.
    retract
        Callable: (point, δ) → the displaced point, for a point on a manifold: what is claimed is then the derivative by δ,
        at δ = 0. See docs/tangent-spaces.md.
    tangent
        δ's shape, or an example of it; it is needed where there is a retract.
    difference
        Callable: (answer, first) → the displacement from the first answer to the other, where the function's answers lie
        on a circle or a manifold: what is claimed is then the derivative of that displacement.
    observer
        Called with an event record at each evaluation.
    engine, workers, timeout, journal
        What evaluates the function, how long a call may take, and where its values are kept: as for `check_gradient`.

    Returns
    -------
    Report
        Whatever the verdict; its blocks are the pairs "output × parameter".

    Raises
    ------
    UsageError
        For what cannot be checked as it stands: a wrong structure, shape or type, each named.
    EvaluationError
        Where the function cannot be evaluated at the point itself.

    Examples
    --------
    >>> import numpy as np
    >>> report = check_jvp(np.sin, lambda x, v: np.cos(x) * v, np.array([0.1, 0.7]), seed=0)
    >>> report.verdict.name
    'CORRECT'
    """
    options = {
        "tolerance": tolerance,
        "confidence": confidence,
        "strategy": strategy,
        "budget": budget,
        "seed": seed,
        "diagnose": diagnose,
        "only": only,
        "exclude": exclude,
        "retract": retract,
        "tangent": tangent,
        "difference": difference,
        "observer": observer,
    }
    execution = Execution(engine=engine, workers=workers, timeout=timeout, journal=journal)
    return _run("check_jvp", function, jvp, point, options, execution)


def assert_jvp(
    function: Callable[[Any], Any],
    jvp: Callable[[Any, Any], Any],
    point: Any,
    *,
    inconclusive: Inconclusive = "raise",
    **options: Any,
) -> Report:
    """Assert what `check_jvp` checks, with an exception where it is not so.

    Parameters
    ----------
    function, jvp, point
        As for `check_jvp`.
    inconclusive
        What to do where it could be proved neither right nor wrong: "raise", "warn" or "skip" (return).
    **options
        As for `check_jvp`.

    Returns
    -------
    Report
        Of what is correct (or undecided).

    Raises
    ------
    WrongGradient, InconclusiveGradient
        AssertionErrors that print, and carry, the report.
    """
    return asserted(inconclusive, check_jvp, function, jvp, point, **options)


def check_jacobian(
    function: Callable[[Any], Any],
    jacobian: Any,
    point: Any,
    *,
    tolerance: float | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    strategy: Strategy = "auto",
    budget: int | None = None,
    seed: int | None = None,
    diagnose: bool = True,
    only: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    retract: Callable[[Any, Any], Any] | None = None,
    tangent: Any = None,
    difference: Callable[[Any, Any], Any] | None = None,
    convention: Convention = "torch",
    observer: Observer | None = None,
    engine: Executor | None = None,
    workers: int | Map | None = None,
    timeout: float | None = None,
    journal: str | PathLike[str] | None = None,
) -> Report:
    """Check a whole Jacobian.

    Parameters
    ----------
    function
        Callable: point → an array, a number, or nested containers of them.
    jacobian
        An array of one row an output and one column a parameter (or of shape output.shape + point.shape), nested blocks
        ``jacobian["output"]["parameter"]``, a SciPy sparse matrix, a LinearOperator; or a callable point → one of these.
    point
        A number, an array, or nested containers of them; complex numbers count as pairs of reals. Never written to.
    tolerance
        Largest acceptable relative difference ‖A − J‖ / (‖A‖ + ‖J‖) of each pair output × parameter, in the Frobenius
        norm. None chooses it by precision (1e-7 in float64, 1e-3 in float32) and raises it, up to 1e-2, to what the
        measured noise can resolve.
    confidence
        Whatever is claimed, a verdict is false with probability 1 − confidence at most, over the directions drawn.
    strategy
        "certificate": a few random lines. "coordinates": every column of the Jacobian, some six evaluations each.
        "auto": the lines, and every column too where there are few.
    budget
        Hard limit on calls of the function; None for 1000 ("coordinates": whatever it takes). Calls of the claim are not
        counted.
    seed
        Of the directions; None for a fresh one, which the report records.
    diagnose
        False: a WRONG verdict is all that is asked for, and nothing is spent on where the fault is, and why.
    only, exclude
        Patterns of the names of the point's blocks to check, or to hold constant.
    retract
        Callable: (point, δ) → the displaced point, for a point on a manifold: what is claimed is then the derivative by δ,
        at δ = 0. See docs/tangent-spaces.md.
    tangent
        δ's shape, or an example of it; None to take it from the claimed matrix.
    difference
        Callable: (answer, first) → the displacement from the first answer to the other, where the function's answers lie
        on a circle or a manifold: what is claimed is then the derivative of that displacement.
    convention
        Of complex derivatives: "torch" for g = ∂/∂Re + i ∂/∂Im, with ⟨u, y⟩ = Re Σ conj(u)·y; "jax" for
        g = ∂/∂Re − i ∂/∂Im, with ⟨u, y⟩ = Re Σ u·y.
    observer
        Called with an event record at each evaluation.
    engine, workers, timeout, journal
        What evaluates the function, how long a call may take, and where its values are kept: as for `check_gradient`.

    Returns
    -------
    Report
        Whatever the verdict; its blocks are the pairs "output × parameter".

    Raises
    ------
    UsageError
        For what cannot be checked as it stands: a wrong structure, shape or type, each named.
    EvaluationError
        Where the function cannot be evaluated at the point itself.

    Examples
    --------
    >>> import numpy as np
    >>> report = check_jacobian(np.sin, lambda x: np.diag(np.cos(x)), np.array([0.1, 0.7]), seed=0)
    >>> report.verdict.name
    'CORRECT'
    """
    options = {
        "tolerance": tolerance,
        "confidence": confidence,
        "strategy": strategy,
        "budget": budget,
        "seed": seed,
        "diagnose": diagnose,
        "only": only,
        "exclude": exclude,
        "retract": retract,
        "tangent": tangent,
        "difference": difference,
        "convention": convention,
        "observer": observer,
    }
    execution = Execution(engine=engine, workers=workers, timeout=timeout, journal=journal)
    return _run("check_jacobian", function, jacobian, point, options, execution)


def assert_jacobian(
    function: Callable[[Any], Any], jacobian: Any, point: Any, *, inconclusive: Inconclusive = "raise", **options: Any
) -> Report:
    """Assert what `check_jacobian` checks, with an exception where it is not so.

    Parameters
    ----------
    function, jacobian, point
        As for `check_jacobian`.
    inconclusive
        What to do where it could be proved neither right nor wrong: "raise", "warn" or "skip" (return).
    **options
        As for `check_jacobian`.

    Returns
    -------
    Report
        Of what is correct (or undecided).

    Raises
    ------
    WrongGradient, InconclusiveGradient
        AssertionErrors that print, and carry, the report.
    """
    return asserted(inconclusive, check_jacobian, function, jacobian, point, **options)


def check_hvp(
    gradient: Callable[[Any], Any],
    hvp: Callable[[Any, Any], Any],
    point: Any,
    *,
    tolerance: float | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    strategy: Strategy = "auto",
    budget: int | None = None,
    seed: int | None = None,
    diagnose: bool = True,
    only: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    retract: Callable[[Any, Any], Any] | None = None,
    tangent: Any = None,
    observer: Observer | None = None,
    engine: Executor | None = None,
    workers: int | Map | None = None,
    timeout: float | None = None,
    journal: str | PathLike[str] | None = None,
) -> Report:
    """Check a Hessian-vector product against the gradient, and its symmetry.

    Parameters
    ----------
    gradient
        Callable: point → the cost's gradient, in the point's structure. Check it first, with `check_gradient`.
    hvp
        Callable: (point, vector) → the product Hv; vector and product in the point's structure.
    point
        A number, an array, or nested containers of them; complex numbers count as pairs of reals. Never written to.
    tolerance
        Largest acceptable relative difference ‖A − J‖ / (‖A‖ + ‖J‖) of each pair output × parameter, in the Frobenius
        norm. None chooses it by precision (1e-7 in float64, 1e-3 in float32) and raises it, up to 1e-2, to what the
        measured noise can resolve.
    confidence
        Whatever is claimed, a verdict is false with probability 1 − confidence at most, over the directions drawn.
    strategy
        "certificate": a few random lines. "coordinates": every column of the Jacobian, some six evaluations each.
        "auto": the lines, and every column too where there are few.
    budget
        Hard limit on calls of the gradient; None for 1000 ("coordinates": whatever it takes). Calls of the claim are not
        counted.
    seed
        Of the directions; None for a fresh one, which the report records.
    diagnose
        False: a WRONG verdict is all that is asked for, and nothing is spent on where the fault is, and why.
    only, exclude
        Patterns of the names of the point's blocks to check, or to hold constant.
    retract
        Callable: (point, δ) → the displaced point, for a point on a manifold: what is claimed is then the derivative by δ,
        at δ = 0. See docs/tangent-spaces.md.
    tangent
        δ's shape, or an example of it; it is needed where there is a retract.
    observer
        Called with an event record at each evaluation.
    engine, workers, timeout, journal
        What evaluates the function, how long a call may take, and where its values are kept: as for `check_gradient`.

    Returns
    -------
    Report
        Whatever the verdict; its blocks are the pairs "output × parameter".

    Raises
    ------
    UsageError
        For what cannot be checked as it stands: a wrong structure, shape or type, each named.
    EvaluationError
        Where the gradient cannot be evaluated at the point itself.

    Examples
    --------
    >>> import numpy as np
    >>> report = check_hvp(np.cos, lambda x, v: -np.sin(x) * v, np.array([0.1, 0.7]), seed=0)
    >>> report.verdict.name
    'CORRECT'
    """
    options = {
        "tolerance": tolerance,
        "confidence": confidence,
        "strategy": strategy,
        "budget": budget,
        "seed": seed,
        "diagnose": diagnose,
        "only": only,
        "exclude": exclude,
        "retract": retract,
        "tangent": tangent,
        "observer": observer,
    }
    execution = Execution(engine=engine, workers=workers, timeout=timeout, journal=journal)
    return _run("check_hvp", gradient, hvp, point, options, execution, symmetric=True)


def assert_hvp(
    gradient: Callable[[Any], Any],
    hvp: Callable[[Any, Any], Any],
    point: Any,
    *,
    inconclusive: Inconclusive = "raise",
    **options: Any,
) -> Report:
    """Assert what `check_hvp` checks, with an exception where it is not so.

    Parameters
    ----------
    gradient, hvp, point
        As for `check_hvp`.
    inconclusive
        What to do where it could be proved neither right nor wrong: "raise", "warn" or "skip" (return).
    **options
        As for `check_hvp`.

    Returns
    -------
    Report
        Of what is correct (or undecided).

    Raises
    ------
    WrongGradient, InconclusiveGradient
        AssertionErrors that print, and carry, the report.
    """
    return asserted(inconclusive, check_hvp, gradient, hvp, point, **options)


def check_hessian(
    gradient: Callable[[Any], Any],
    hessian: Any,
    point: Any,
    *,
    tolerance: float | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    strategy: Strategy = "auto",
    budget: int | None = None,
    seed: int | None = None,
    diagnose: bool = True,
    only: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    retract: Callable[[Any, Any], Any] | None = None,
    tangent: Any = None,
    observer: Observer | None = None,
    engine: Executor | None = None,
    workers: int | Map | None = None,
    timeout: float | None = None,
    journal: str | PathLike[str] | None = None,
) -> Report:
    """Check a Hessian against the gradient, and its symmetry.

    Parameters
    ----------
    gradient
        Callable: point → the cost's gradient, in the point's structure. Check it first, with `check_gradient`.
    hessian
        As the Jacobian of `check_jacobian`: an array, nested blocks, a sparse matrix, a LinearOperator; or a callable.
    point
        A number, an array, or nested containers of them; complex numbers count as pairs of reals. Never written to.
    tolerance
        Largest acceptable relative difference ‖A − J‖ / (‖A‖ + ‖J‖) of each pair output × parameter, in the Frobenius
        norm. None chooses it by precision (1e-7 in float64, 1e-3 in float32) and raises it, up to 1e-2, to what the
        measured noise can resolve.
    confidence
        Whatever is claimed, a verdict is false with probability 1 − confidence at most, over the directions drawn.
    strategy
        "certificate": a few random lines. "coordinates": every column of the Jacobian, some six evaluations each.
        "auto": the lines, and every column too where there are few.
    budget
        Hard limit on calls of the gradient; None for 1000 ("coordinates": whatever it takes). Calls of the claim are not
        counted.
    seed
        Of the directions; None for a fresh one, which the report records.
    diagnose
        False: a WRONG verdict is all that is asked for, and nothing is spent on where the fault is, and why.
    only, exclude
        Patterns of the names of the point's blocks to check, or to hold constant.
    retract
        Callable: (point, δ) → the displaced point, for a point on a manifold: what is claimed is then the derivative by δ,
        at δ = 0. See docs/tangent-spaces.md.
    tangent
        δ's shape, or an example of it; None to take it from the claimed matrix.
    observer
        Called with an event record at each evaluation.
    engine, workers, timeout, journal
        What evaluates the function, how long a call may take, and where its values are kept: as for `check_gradient`.

    Returns
    -------
    Report
        Whatever the verdict; its blocks are the pairs "output × parameter".

    Raises
    ------
    UsageError
        For what cannot be checked as it stands: a wrong structure, shape or type, each named.
    EvaluationError
        Where the gradient cannot be evaluated at the point itself.

    Examples
    --------
    >>> import numpy as np
    >>> report = check_hessian(np.cos, lambda x: np.diag(-np.sin(x)), np.array([0.1, 0.7]), seed=0)
    >>> report.verdict.name
    'CORRECT'
    """
    options = {
        "tolerance": tolerance,
        "confidence": confidence,
        "strategy": strategy,
        "budget": budget,
        "seed": seed,
        "diagnose": diagnose,
        "only": only,
        "exclude": exclude,
        "retract": retract,
        "tangent": tangent,
        "observer": observer,
    }
    execution = Execution(engine=engine, workers=workers, timeout=timeout, journal=journal)
    return _run("check_hessian", gradient, hessian, point, options, execution, symmetric=True)


def assert_hessian(
    gradient: Callable[[Any], Any], hessian: Any, point: Any, *, inconclusive: Inconclusive = "raise", **options: Any
) -> Report:
    """Assert what `check_hessian` checks, with an exception where it is not so.

    Parameters
    ----------
    gradient, hessian, point
        As for `check_hessian`.
    inconclusive
        What to do where it could be proved neither right nor wrong: "raise", "warn" or "skip" (return).
    **options
        As for `check_hessian`.

    Returns
    -------
    Report
        Of what is correct (or undecided).

    Raises
    ------
    WrongGradient, InconclusiveGradient
        AssertionErrors that print, and carry, the report.
    """
    return asserted(inconclusive, check_hessian, gradient, hessian, point, **options)


def _run(
    verb: str,
    function: Any,
    claimed: Any,
    point: Any,
    options: dict[str, Any],
    execution: Execution,
    *,
    symmetric: bool = False,
) -> Report:
    from gradproof._evaluation.supply import Means  # loaded when it is used: imports stay cheap
    from gradproof._examination.check_maps import MapCheck, make_task

    manifold = {name: options.pop(name, None) for name in ("retract", "tangent", "difference")}
    task = make_task(verb, function, claimed, point, options, symmetric=symmetric)
    task, notes = _on_a_manifold(task, **manifold)
    with Means(execution, time.perf_counter, task.observer) as means:
        if options["seed"] is None:
            task = replace(task, settings=replace(task.settings, seed=means.seed(task.settings.seed)))
        report = MapCheck(task, means).run()
        means.conclude(report)
    return replace(report, notes=(*notes, *report.notes)) if notes else report


def _on_a_manifold(task: Task, retract: Any, tangent: Any, difference: Any) -> tuple[Task, list[str]]:
    """Return the task in the tangent space of its point, and what the report is to say of it."""
    notes: list[str] = []
    if retract is None and tangent is None and difference is None:
        return task, notes
    from gradproof._problem.differences import Compared
    from gradproof._problem.tangents import FRAME, Displacements, TangentSpace, must_have_retraction

    if difference is not None:
        task = replace(task, function=Compared(task.function, difference))
        notes.append("The function's answers are seen as difference(answer, first answer).")
    if retract is None:
        must_have_retraction(tangent)
        return task, notes
    matrix = task.claimed if task.verb in {"check_jacobian", "check_hessian"} else None
    space = TangentSpace(task.point, retract, tangent, matrix, columns=True)
    notes.append(space.note("gradient" if task.symmetric else "function"))
    if task.symmetric:
        notes.append(FRAME)
    task = replace(
        task,
        function=space.pulled(task.function),
        claimed=space.claim(task.claimed),
        point=space.origin,
        problem=partial(Displacements, lengths=space.lengths, frames=space.arrays),
        symmetric=False,
    )
    return task, notes
