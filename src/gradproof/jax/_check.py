"""`check`: a function against JAX's derivative of it, mode by mode and order by order."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

import jax
import jax.numpy as jnp

from gradproof._examination.check_maps import MapCheck, make_task
from gradproof._verbs.assertions import Inconclusive, asserted
from gradproof._verbs.modes import LABELS, Mode, check_modes, worst_of
from gradproof._words.errors import CostRaised, UsageError
from gradproof._words.events import Observer
from gradproof._words.results import Report, Verdict
from gradproof._words.settings import DEFAULT_CONFIDENCE, Strategy
from gradproof.adapters._containers import Named
from gradproof.jax._arguments import Arguments
from gradproof.jax._coordinates import report_of_coordinates, returns_one_number
from gradproof.jax._derivatives import Derivative, GivenGradient, GivenVjp, ModeMissing
from gradproof.jax._errors import quoted
from gradproof.jax._findings import not_repeated, other_value, what_precision_hides
from gradproof.jax._functions import Evaluator, Function, Second
from gradproof.jax._reference import Doubled, in_own_precision, reference_of

SHORT: Final = {"rev": "reverse", "fwd": "forward"}
CALLED: Final = 2
"""Calls of the function before the first line."""


def check(
    f: Callable[..., Any],
    args: Any,
    modes: Sequence[Mode] = ("rev", "fwd"),
    order: Literal[1, 2] = 1,
    *,
    claimed: Any = None,
    tolerance: float | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    strategy: Strategy = "certificate",
    budget: int | None = None,
    seed: int | None = None,
    only: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    compile: bool | None = None,  # noqa: A002  # that is what it does
    reference: Literal["auto", "float64"] | None = "auto",
    observer: Observer | None = None,
) -> Report:
    """Check JAX's derivative of a function: of its own operations, and of ``custom_vjp`` and ``custom_jvp`` rules.

    Parameters
    ----------
    f
        Callable: pytrees → a pytree. It may be jitted, and donate its arguments: it is given copies.
    args
        Its arguments, as for `jax.test_util.check_grads`: a tuple or list of them; anything else is the only one. All
        floating-point and complex leaves are checked, NumPy's arrays and Python's floats too. Whole numbers, truth
        values, keys, functions and strings are held constant, as they are.
    modes
        "rev" for `jax.vjp`, "fwd" for `jax.jvp`. Where JAX has no rule for one of several modes, the report says so.
    order
        2 checks the derivative of the derivative, too: of (x, u) ↦ Jᵀu in all modes (with modes=("fwd",), of
        (x, v) ↦ J v), at cotangents drawn independently of x and f(x).
    claimed
        What to check in the place of JAX's reverse mode: a callable of the arguments and, last, the cotangent, that
        returns what the function of `jax.vjp` does; or, where f returns one real number, its gradient in the
        arguments' structure. JAX's own modes are then not checked.
    tolerance
        Largest acceptable relative difference ‖A − J‖ / (‖A‖ + ‖J‖) of each pair output × leaf, in the Frobenius norm,
        whatever the arrays' sizes. None chooses it by precision (1e-7 in float64, 1e-3 in float32, 1e-2 in float16,
        1e-1 in bfloat16) and raises it, up to 1e-2 (2e-1), to what the measured noise can resolve.
    confidence
        Whatever is claimed, a verdict is false with probability 1 − confidence at most, over the directions and cotangents drawn.
    strategy
        "certificate": a few random lines, a dozen calls of the function. "coordinates": every column of the Jacobian.
        "auto": the lines, and every column too where there are few.
    budget
        Hard limit on calls of the function, for each mode and order; None for 1000 ("coordinates": whatever it takes).
    seed
        Of the directions and cotangents; None for a fresh one, which the report records.
    only, exclude
        Patterns of the leaves' names to check, or to hold constant as they are.
    compile
        Evaluate `jax.jit(f)`, compiled once for the whole check; None where that is faster. A function that cannot be
        compiled runs as it is.
    reference
        What judges leaves below double precision. "float64": f in double precision at the same values, with 64 bits
        enabled for that; "auto": the same where that works, a note and f's own precision where not; None: its own
        precision, and so are single columns of functions with many outputs. Default tolerances are those of its own precision, always.
    observer
        Called with an event record at each evaluation.

    Returns
    -------
    Report
        Whatever the verdict; its blocks are the pairs "output × leaf", named by their paths. The worst one of the modes
        and orders, the others in its notes.

    Raises
    ------
    UsageError
        For what cannot be checked as it stands: tracers, no floating-point leaf or output, what JAX cannot
        differentiate (with JAX's own error).
    EvaluationError
        Where the function cannot be evaluated at the point itself.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> check(jnp.sin, jnp.array([0.1, 0.7]), seed=0).verdict.name
    'CORRECT'
    """
    _validate(f, modes, order, claimed)
    if reference not in {"auto", "float64", None}:
        raise UsageError(
            f"reference is {reference!r}", remedy='Choose "auto", "float64", or None for the function\'s own precision'
        )
    options = {
        "tolerance": tolerance,
        "confidence": confidence,
        "strategy": strategy,
        "budget": budget,
        "seed": secrets.randbits(32) if seed is None else seed,
        "convention": "jax",
        "observer": observer,
    }
    arguments = Arguments(f, args, only=only, exclude=exclude)
    return _Check(f, arguments, claimed, options, compile, reference).run(modes, order)


def assert_function(
    f: Callable[..., Any], args: Any, *, inconclusive: Inconclusive = "raise", **options: Any
) -> Report:
    """Assert what `check` checks, with an exception where it is not so.

    Parameters
    ----------
    f, args
        As for `check`.
    inconclusive
        What to do where it could be proved neither right nor wrong: "raise", "warn" or "skip" (return).
    **options
        As for `check`.

    Returns
    -------
    Report
        Of what is correct (or undecided).

    Raises
    ------
    WrongGradient, InconclusiveGradient
        AssertionErrors that print, and carry, the report.
    """
    return asserted(inconclusive, check, f, args, **options)


def _validate(f: Any, modes: Sequence[str], order: int, claimed: Any) -> None:
    if not callable(f):
        raise UsageError(f"f is {type(f).__name__}", remedy="Give a callable of pytrees")
    check_modes(modes, order)
    if claimed is not None and (order == 2 or "rev" not in modes):
        raise UsageError(
            "claimed is given" + (", and order is 2" if order == 2 else f", and modes is {modes!r}"),
            meaning="It stands for reverse mode, at first order",
            remedy="Leave modes and order as they are, or check JAX's own derivative without it",
        )


class _Check:
    """One function at one point, in all its modes and orders."""

    def __init__(
        self,
        f: Callable[..., Any],
        arguments: Arguments,
        claimed: Any,
        options: dict[str, Any],
        compile_: bool | None,
        reference: str | None,
    ) -> None:
        self.started = time.perf_counter()
        self.function = Function(f, arguments)
        self.claimed = claimed
        self.options = options
        self.compile = compile_
        self.reference = reference
        self.references: dict[tuple[int, str | None], tuple[Doubled | None, str]] = {}
        self.evaluator = Evaluator(self.function, compile_)
        self.notes = list(arguments.notes)
        self.missing: list[str] = []
        self.calls = CALLED

    def run(self, modes: Sequence[Mode], order: int) -> Report:
        """Check every mode and order."""
        self.say_what_was_seen()
        modes = ("rev",) if self.claimed is not None else tuple(dict.fromkeys(modes))
        parts = self.first_order(modes)
        if order == 2:
            if any(report.verdict is Verdict.WRONG for _, report in parts):
                self.notes.append("The second order was not checked: the first is wrong.")
            else:
                parts += self.second_order(modes)
        report = worst_of(parts, "jax.check", self.notes)
        skipped = (*self.function.arguments.skipped, *report.skipped)
        report = replace(report, evaluations=report.evaluations + self.calls, skipped=skipped)
        report = replace(report, notes=(*report.notes, *what_precision_hides(report)))
        return replace(report, seconds=time.perf_counter() - self.started)

    def say_what_was_seen(self) -> None:
        """Note what the first calls showed."""
        if self.function.left_out:
            self.notes.append(
                f"Outputs left out, because they have no derivative: {', '.join(self.function.left_out)}."
            )
        if self.function.donates:
            self.notes.append("f donates its arguments' buffers; it was given copies.")
        if self.evaluator.unsteady:
            self.notes.append(
                f"f returned another value when it was called a second time (by {self.evaluator.unsteady:.1e}, relatively): it keeps a state, or draws random numbers that no key among its arguments fixes."
            )
        if self.compile and not self.evaluator.is_compiled:
            self.notes.append(f"f was not compiled: {self.evaluator.refusal}.")

    def first_order(self, modes: Sequence[Mode]) -> list[tuple[str, Report]]:
        """Check the derivative in each mode."""
        if self.claimed is not None:
            claim = (
                GivenVjp(self.claimed, self.function)
                if callable(self.claimed)
                else GivenGradient(self.claimed, self.function, self.evaluator.values)
            )
            return [(LABELS["rev"], self.report("rev", self.evaluator, claim))]
        return self.in_modes(modes, self.evaluator, {mode: LABELS[mode] for mode in modes}, "f")

    def second_order(self, modes: Sequence[Mode]) -> list[tuple[str, Report]]:
        """Check the derivative of the product of the first mode that there is, in each mode."""
        inner = next(mode for mode in modes if LABELS[mode] not in self.missing)
        second = Evaluator(Second(self.function, self.evaluator, inner, self.options["seed"]), self.compile)
        self.calls += CALLED
        labels = {mode: f"second order, {SHORT[mode]} over {SHORT[inner]} mode" for mode in modes}
        return self.in_modes(modes, second, labels, "grad f")

    def in_modes(
        self, modes: Sequence[Mode], evaluator: Evaluator, labels: dict[Mode, str], what: str
    ) -> list[tuple[str, Report]]:
        """Check one function in each mode that JAX has for it."""
        parts: list[tuple[str, Report]] = []
        for mode in modes:
            try:
                derivative = Derivative(evaluator, mode, what)
            except ModeMissing as error:
                self.missing.append(labels[mode])
                if mode == modes[-1] and not parts:
                    raise UsageError(
                        str(error),
                        where=labels[mode],
                        meaning="JAX cannot differentiate the function so",
                        remedy='Check it with modes=("rev",)' if mode == "fwd" else 'Check it with modes=("fwd",)',
                    ) from error.__cause__
                self.notes.append(f"{labels[mode].capitalize()} was not checked: {error}")
                continue
            report = self.report(mode, evaluator, derivative)
            parts.append((labels[mode], self.with_values_compared(report, derivative, evaluator)))
        return parts

    def report(self, mode: Mode, evaluator: Evaluator, claim: Callable[[Any, Any], Any]) -> Report:
        """Check one product."""
        call = claim.where if isinstance(claim, Derivative) else ""
        every = mode == "rev" and self.options["strategy"] == "coordinates" and returns_one_number(evaluator)
        # Single columns are measured in batches, by JAX itself.
        asked = self.reference if every or self.options["strategy"] != "coordinates" else None
        if (id(evaluator), asked) not in self.references:
            self.references[id(evaluator), asked] = reference_of(evaluator, asked, self.notes)
        judge, precision = self.references[id(evaluator), asked]
        if judge is None:
            function: Any = evaluator
            point = Named(zip(evaluator.names, (jnp.copy(leaf) for leaf in evaluator.leaves), strict=True))
        else:
            function, point = judge, judge.point
            claim = in_own_precision(claim, evaluator, evaluator.values if mode == "rev" else evaluator.leaves)
            call = call or "claimed"
        verb = "check_vjp" if mode == "rev" else "check_jvp"
        options = {**self.options, "strategy": "certificate"} if every else self.options

        def single() -> Report:
            return report_of_coordinates(function, claim, point, self.options, precision)

        task = make_task(verb, function, claim, point, options, call=call, claimed_precision=precision)
        try:
            return MapCheck(task).run(single if every else None)
        except CostRaised as error:
            if isinstance(error.__cause__, jax.errors.UnexpectedTracerError):
                raise UsageError(
                    quoted(error.__cause__),
                    where="f(*args)",
                    meaning="f kept something from being traced (differentiated, compiled) and used it in its next call: a side effect",
                    remedy="Look for an assignment to a global, an attribute or a list outside f, and return the value instead",
                ) from error.__cause__
            raise

    def with_values_compared(self, report: Report, derivative: Derivative, evaluator: Evaluator) -> Report:
        """Call it wrong where the value that is differentiated is not the function's."""
        if evaluator.unsteady:
            return not_repeated(report, evaluator.unsteady)
        return other_value(report, derivative.where, evaluator.out_names, evaluator.values, derivative.values)
