"""`check_module`: every parameter of a module by its name, with everything left as it was."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from gradproof._problem.problem import Problem
from gradproof._verbs.assertions import Inconclusive, asserted
from gradproof._verbs.gradient import check_gradient
from gradproof._words.errors import CostRaised, NotDifferentiable, NotScalar, UsageError
from gradproof._words.events import Observer
from gradproof._words.results import BlockResult, Reason, Report, Verdict
from gradproof._words.settings import DEFAULT_CONFIDENCE, DEFAULT_TOLERANCES, Strategy
from gradproof.adapters import kind_of
from gradproof.adapters._containers import Named
from gradproof.adapters._torch import ADAPTER
from gradproof.torch._borrowed import Borrowed
from gradproof.torch._parameters import Parameters, listed
from gradproof.torch._randomness import Generators
from gradproof.torch._reference import (
    DoubledModule,
    Reference,
    double,
    judged_in_double,
    lowest_precision,
    tried,
    validate,
)
from gradproof.torch._reports import UNKNOWN, random

SAME = 1e-2
"""Two values of a cost are the same where they differ, relatively, by no more than this part of the tolerance."""


def check_module(
    module: torch.nn.Module,
    cost: Callable[[Any], Any],
    *,
    claimed: Mapping[str, torch.Tensor] | None = None,
    tolerance: float | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    strategy: Strategy = "auto",
    budget: int | None = None,
    seed: int | None = None,
    only: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    replay_rng: bool = False,
    reference: Reference = "auto",
    observer: Observer | None = None,
) -> Report:
    """Check the gradient of a cost with respect to every parameter of a module.

    Parameters
    ----------
    module
        Any `torch.nn.Module`. Its parameters, buffers, training mode, hooks and ``.grad`` are afterwards as before.
    cost
        Callable: module → a real 0-d tensor, for instance ``lambda module: loss(module(inputs), targets)``.
    claimed
        The gradient to check, by the parameters' names, for instance what ``.grad`` holds; None for autograd's own.
    tolerance, confidence, strategy, budget, seed, observer
        As for `gradproof.check_gradient`.
    only, exclude
        Patterns of parameters' dotted names to check, or to hold constant; either name of a tied parameter will do.
    replay_rng
        Put the global random generators back before each call, so that dropout draws the same mask each time.
    reference
        What judges parameters below double precision. "float64": the cost in double precision at the same values,
        the module, its inputs and constants on loan, casts left out; "auto": the same where that works, a note and the
        cost's own precision where not; None: the cost's own precision. Default tolerances are those of its own
        precision, always.

    Returns
    -------
    Report
        Whatever the verdict; its blocks are the parameters. Frozen and unused ones are named in its notes; a tied one
        counts once, under both names.

    Raises
    ------
    UsageError
        For what cannot be checked as it stands: no parameter that requires a gradient, a cost that is no real 0-d
        tensor, or has no path to any parameter.
    EvaluationError
        Where the cost cannot be evaluated.

    Examples
    --------
    >>> import torch
    >>> module = torch.nn.Linear(3, 2, dtype=torch.float64)
    >>> x = torch.ones(4, 3, dtype=torch.float64)
    >>> check_module(module, lambda module: module(x).square().mean(), seed=0).verdict.name
    'CORRECT'
    """
    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"module is {kind_of(module)}", remedy="Give a torch.nn.Module")
    if not callable(cost):
        raise UsageError(
            f"cost is {kind_of(cost)}",
            remedy="Give a function of the module, for instance lambda module: loss(module(inputs), targets)",
        )
    validate(reference)
    options: dict[str, Any] = {
        "tolerance": tolerance,
        "confidence": confidence,
        "strategy": strategy,
        "budget": budget,
        "seed": secrets.randbits(32) if seed is None else seed,
        "observer": observer,
    }
    started = time.perf_counter()
    parameters = Parameters(module, only, exclude)
    generators = Generators()
    with Borrowed(module) as borrowed:
        try:
            report = _check(parameters, borrowed, cost, claimed, options, generators if replay_rng else None, reference)
        finally:
            generators.restore()
    return replace(report, verb="torch.check_module", seconds=time.perf_counter() - started)


def assert_module(
    module: torch.nn.Module, cost: Callable[[Any], Any], *, inconclusive: Inconclusive = "raise", **options: Any
) -> Report:
    """Assert what `check_module` checks, with an exception where it is not so.

    Parameters
    ----------
    module, cost
        As for `check_module`.
    inconclusive
        What to do where it could be proved neither right nor wrong: "raise", "warn" or "skip" (return).
    **options
        As for `check_module`.

    Returns
    -------
    Report
        Of what is correct (or undecided).

    Raises
    ------
    WrongGradient, InconclusiveGradient
        AssertionErrors that print, and carry, the report.
    """
    return asserted(inconclusive, check_module, module, cost, **options)


class ModuleCost:
    """The cost as a function of the parameters' values, which it puts into the module for the time of the call."""

    def __init__(
        self,
        parameters: Parameters,
        borrowed: Borrowed,
        cost: Callable[[Any], Any],
        replayed: Generators | None,
        lend: Callable[[Sequence[Any]], AbstractContextManager[Any]] | None = None,
    ) -> None:
        self.own = parameters
        self.parameters = list(parameters.checked.values())
        self.borrowed = borrowed
        self.lend: Callable[[Sequence[Any]], AbstractContextManager[Any]] = lend or partial(
            borrowed.displaced, self.parameters
        )
        self.cost = cost
        self.replayed = replayed
        self.with_gradients = False
        self.expected: torch.Tensor | None = None
        self.known: Any = None
        self.notes: list[str] = []

    def __call__(self, point: Named) -> Any:
        """Return the cost at a point; the first time, see that it is the value which autograd has differentiated."""
        if self.known is not None:
            known, self.known = self.known, None
            return known
        expected, self.expected = self.expected, None
        return self.once(point) if expected is None else self.first(point, expected)

    def first(self, point: Named, expected: torch.Tensor) -> Any:
        """Evaluate without a graph where that gives the value which autograd has differentiated; else with one."""
        try:
            found = self.once(point)
        except Exception:
            self.with_gradients = True  # it differentiates something itself
            return self.once(point)
        off = relative(found, expected)
        if off == 0:
            return found
        self.with_gradients = True
        again = self.once(point)
        if relative(again, expected) > 0:  # noisy in both ways: that will be measured
            self.with_gradients = False
            return found
        self.notes.append(
            f"The cost differs with and without gradients enabled (by {off:.1e}, relatively): it was evaluated with them, as autograd did."
        )
        return again

    def once(self, point: Named) -> Any:
        """Evaluate."""
        with (
            self.lend([_joined(v, p) for v, p in zip(point.values(), self.parameters, strict=True)]),
            torch.set_grad_enabled(self.with_gradients),
        ):
            answer = self.call()
            return answer.detach() if isinstance(answer, torch.Tensor) else answer

    def doubled(self) -> ModuleCost:
        """Return the same cost in double precision."""
        module = self.borrowed.module
        tensors = (*module.parameters(), *module.buffers())
        scripted = any(isinstance(each, torch.jit.ScriptModule) for each in module.modules())
        loan = DoubledModule(self.borrowed.replaced, tensors, self.parameters, scripted=scripted)
        return ModuleCost(self.own, self.borrowed, self.cost, self.replayed, loan.lend)

    def evaluated(self, point: Named, *, with_gradients: bool) -> Any:
        """Evaluate at the point itself, once for all."""
        self.with_gradients = with_gradients
        self.known = self.once(point)
        return self.known

    def call(self) -> Any:
        """Call the user's cost as things stand."""
        if self.replayed is not None:
            self.replayed.restore()
        return self.cost(self.borrowed.module)


def _check(
    parameters: Parameters,
    borrowed: Borrowed,
    cost: Callable[[Any], Any],
    claimed: Mapping[str, torch.Tensor] | None,
    options: dict[str, Any],
    replayed: Generators | None,
    reference: Reference,
) -> Report:
    evaluate = ModuleCost(parameters, borrowed, cost, replayed)
    before = Generators() if replayed is None else None
    value, gradients, unused, precision = _gradient(parameters, borrowed, evaluate)
    drawn = Generators() if replayed is not None else None
    notes = parameters.notes(unused)
    point = Named({name: ADAPTER.copy(_pairs(parameter)) for name, parameter in parameters.checked.items()})
    complex_ = [name for name, parameter in parameters.checked.items() if parameter.is_complex()]
    if complex_:
        notes.append(
            f"Complex parameters ({listed(complex_)}) are pairs of reals: the last index is 0 for the real part, 1 for the imaginary part."
        )
    if before is not None and before.moved():
        difference = relative(evaluate(point), value)
        if difference > 0:
            blocks = [_random_block(name, parameter, options) for name, parameter in parameters.checked.items()]
            return random(
                blocks,
                difference,
                options,
                evaluations=2,
                notes=notes,
                verb="torch.check_module",
                subject="cost",
                cost=float(value),
            )
    claim: Any = gradients if claimed is None else _given(claimed, parameters)
    problem = None
    if judged_in_double(reference, precision, evaluate.parameters):
        problem = _in_double(evaluate, point, claim, value, reference, precision, drawn, notes)
    if problem is None:
        evaluate.expected = value
        problem = Problem(evaluate, point, claim)
    report = check_gradient(problem, **options)
    return replace(
        report,
        notes=(*notes, *evaluate.notes, *report.notes),
        skipped=(*parameters.left_out, *report.skipped),
    )


def _in_double(
    evaluate: ModuleCost,
    point: Named,
    claim: Any,
    value: torch.Tensor,
    reference: Reference,
    precision: str,
    drawn: Generators | None,
    notes: list[str],
) -> Problem | None:
    """Return the problem in double precision, where the cost can judge so; the point is then given away."""
    doubled = evaluate.doubled()
    there = Named({name: double(leaf) for name, leaf in point.items()})
    found = tried(
        partial(doubled.evaluated, there),
        lambda found: distance(found, value),
        reference=reference,
        precision=precision,
        noun="cost",
        drawn=drawn,
        notes=notes,
    )
    if found is None:
        return None
    problem = Problem(doubled, there, claim, claimed_precision=precision)
    for copies in (there, point):
        copies.clear()  # it has copies of its own
    return problem


def _gradient(
    parameters: Parameters, borrowed: Borrowed, evaluate: ModuleCost
) -> tuple[torch.Tensor, Named, list[str], str]:
    """Return the cost, autograd's gradient of it, the names of what it does not reach, and the lowest precision at work.

    Raises
    ------
    CostRaised, NotScalar, NotDifferentiable
    """
    tensors = list(parameters.checked.values())
    mode = "training" if borrowed.module.training else "evaluation"
    with borrowed.displaced([], []), torch.enable_grad():
        try:
            answer = evaluate.call()
        except Exception as error:
            raise CostRaised(
                f"{type(error).__name__}: {error}",
                where=f"cost(module), the module in {mode} mode",
                meaning="The cost cannot be evaluated at the parameters themselves",
                remedy=f"Call cost(module) once by hand, in the same mode ({'module.train()' if mode == 'training' else 'module.eval()'})",
            ) from error
        try:
            ADAPTER.scalar(answer)
        except TypeError as error:
            raise NotScalar(
                f"the cost returns {error}",
                where="cost(module)",
                meaning="A gradient is checked against one real number",
                remedy="Does the cost lack a return statement?"
                if answer is None
                else "Return a 0-d tensor, for instance a mean or a sum",
            ) from None
        if not isinstance(answer, torch.Tensor) or not answer.requires_grad:
            raise NotDifferentiable(
                f"no path from the cost to {listed([repr(name) for name in parameters.checked])}",
                where="cost(module)",
                meaning="A Python number has no path back to the parameters"
                if not isinstance(answer, torch.Tensor)
                else "Autograd records nothing between them: the cost does not require a gradient",
                remedy="Look for .detach(), .data, .numpy(), .item() or torch.no_grad() within the cost and the module",
            )
        precision = lowest_precision([answer], tensors)
        found = torch.autograd.grad(answer, tensors, allow_unused=True)
    unused = [name for name, gradient in zip(parameters.checked, found, strict=True) if gradient is None]
    gradients = Named(
        {
            name: _pairs(torch.zeros_like(tensor) if gradient is None else gradient)
            for (name, tensor), gradient in zip(parameters.checked.items(), found, strict=True)
        }
    )
    return answer.detach(), gradients, unused, precision


def relative(one: Any, two: Any) -> float:
    """Return by how much two values of the cost differ; 0 for what rounding explains."""
    off = distance(one, two)
    return off if off > SAME * DEFAULT_TOLERANCES[ADAPTER.describe(two)[1]] else 0.0


def distance(one: Any, two: Any) -> float:
    """Return by how much two values of the cost differ, relatively; 0 where one is not finite."""
    a, b = float(one), float(two)
    size = max(abs(a), abs(b))
    return abs(a - b) / size if size > 0 and math.isfinite(a - b) else 0.0


def _given(claimed: Mapping[str, torch.Tensor], parameters: Parameters) -> Named:
    """Return the user's gradients by the names of the blocks; either name of a tied parameter will do."""
    found = {}
    for name in parameters.checked:
        given = next((claimed[alias] for alias in name.split(" = ") if claimed.get(alias) is not None), None)
        if given is None:
            raise UsageError(
                f"no gradient is claimed for {name}",
                where="claimed",
                meaning=f"It has {listed(list(claimed)) or 'nothing'}",
                remedy=f"Give a tensor for each parameter (zeros where there is no dependence), or exclude={name.split(' = ')[0]!r}",
            )
        found[name] = _pairs(given)
    return Named(found)


def _pairs(tensor: torch.Tensor) -> Any:
    """Return a complex tensor as pairs of reals, others as they are; PyTorch's g = ∂/∂Re + i ∂/∂Im is the pair of both."""
    pairs = ADAPTER.pairs(tensor) if isinstance(tensor, torch.Tensor) else None
    return tensor if pairs is None else pairs


def _joined(value: Any, parameter: torch.Tensor) -> Any:
    return ADAPTER.from_pairs(value, parameter) if parameter.is_complex() else value


def _random_block(name: str, parameter: torch.Tensor, options: dict[str, Any]) -> BlockResult:
    shape, dtype = ADAPTER.describe(_pairs(parameter))
    return BlockResult(
        name=name,
        shape=shape,
        dtype=dtype,
        verdict=Verdict.INCONCLUSIVE,
        difference=UNKNOWN,
        resolution=1.0,
        tolerance=options["tolerance"] or DEFAULT_TOLERANCES[dtype],
        reason=Reason.RANDOM,
    )
