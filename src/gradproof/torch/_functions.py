"""`check`: a function of tensors against PyTorch's own derivative of it, or another one."""

from __future__ import annotations

import secrets
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Literal

import torch

from gradproof._examination.check_maps import MapCheck, make_task
from gradproof._problem.problem import Problem
from gradproof._verbs.assertions import Inconclusive, asserted
from gradproof._verbs.gradient import check_gradient
from gradproof._verbs.modes import LABELS, Mode, check_modes, of_output, worst_of
from gradproof._words.errors import CostRaised, GradproofError, UsageError
from gradproof._words.events import Observer
from gradproof._words.results import Report
from gradproof._words.settings import DEFAULT_CONFIDENCE, Strategy
from gradproof.adapters._containers import Named, flatten
from gradproof.adapters._torch import ADAPTER
from gradproof.torch._autograd import Graph, derivative_of, push
from gradproof.torch._evaluation import Evaluator
from gradproof.torch._inputs import Inputs
from gradproof.torch._randomness import Generators
from gradproof.torch._reference import (
    Reference,
    double,
    judged_in_double,
    lowest_precision,
    narrowed,
    tried,
    validate,
)
from gradproof.torch._reports import random_report

ONCE: Final = "trying to differentiate twice a function that was marked with @once_differentiable"


def check(
    function: Callable[..., Any],
    inputs: Any,
    *,
    claimed: Callable[..., Any] | None = None,
    modes: Sequence[Mode] = ("rev",),
    order: Literal[1, 2] = 1,
    tolerance: float | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    strategy: Strategy = "certificate",
    budget: int | None = None,
    seed: int | None = None,
    only: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    replay_rng: bool = False,
    reference: Reference = "auto",
    observer: Observer | None = None,
) -> Report:
    """Check PyTorch's derivative of a function: of an operator, a custom `torch.autograd.Function`, a composition.

    Parameters
    ----------
    function
        Callable: tensors → a tensor, or nested containers of them. It is given copies, and may write into them.
    inputs
        Its arguments: a tensor, or a tuple of tensors, nested containers of them and anything else. What requires a
        gradient is checked; the rest is held constant.
    claimed
        Another backward pass to check, in place of autograd's: a callable of the arguments and, last, the cotangent
        (in the structure of the function's answer) that returns the gradients of what requires one: a tensor, a
        sequence in their order, or a dict by their names.
    modes
        "rev" for the backward pass, "fwd" for forward mode (``jvp``); a function without rules for the latter gets a
        note, unless it is asked for alone.
    order
        2 checks the derivative of the backward pass, too: double backward, along cotangents of its own.
    tolerance
        Largest acceptable relative difference ‖A − J‖ / (‖A‖ + ‖J‖) of each pair output × input, in the Frobenius norm.
        None chooses it by precision (1e-7 in float64, 1e-3 in float32, 1e-2 in float16, 1e-1 in bfloat16) and raises
        it, up to 1e-2 (2e-1), to what the measured noise can resolve.
    confidence
        Whatever is claimed, a verdict is false with probability 1 − confidence at most, over the directions and cotangents drawn.
    strategy
        "certificate": a few random lines, a dozen calls of the function. "coordinates": every column of the Jacobian.
        "auto": the lines, and every column too where there are few.
    budget
        Hard limit on calls of the function, for each mode and order; None for 1000 ("coordinates": whatever it takes).
        The call that autograd differentiates is not counted.
    seed
        Of the directions and cotangents; None for a fresh one, which the report records.
    only, exclude
        Patterns of the names of inputs to check, or to hold constant. Names are those of the function's parameters.
    replay_rng
        Put the global random generators back before each call, so that dropout draws the same mask each time.
    reference
        What judges inputs below double precision. "float64": the function in double precision at the same values,
        constants on loan, casts left out; "auto": the same where that works, a note and the function's own precision
        where not; None: its own precision. Default tolerances are those of its own precision, always.
    observer
        Called with an event record at each evaluation.

    Returns
    -------
    Report
        Whatever the verdict; its blocks are the pairs "output × input". The worst one of the modes and orders, the
        others in its notes. The random generators, the inputs and their ``.grad`` are as before.

    Raises
    ------
    UsageError
        For what cannot be checked as it stands: no input that requires a gradient, no path from the output to an
        input, a double backward through a function that can be differentiated once.
    EvaluationError
        Where the function cannot be evaluated at the point itself.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([0.1, 0.7], dtype=torch.float64, requires_grad=True)
    >>> check(torch.sin, x, seed=0).verdict.name
    'CORRECT'
    """
    _validate(function, modes, order)
    validate(reference)
    options = {
        "tolerance": tolerance,
        "confidence": confidence,
        "strategy": strategy,
        "budget": budget,
        "seed": secrets.randbits(32) if seed is None else seed,
        "only": only,
        "exclude": exclude,
        "observer": observer,
    }
    generators = Generators()
    one = None
    try:
        one = _Check(function, inputs, claimed, options, generators, reference, replay=replay_rng)
        return one.run(modes, order)
    finally:
        if one is None or one.draws is not False or generators.moved(everywhere=False):
            generators.restore()


def assert_function(
    function: Callable[..., Any], inputs: Any, *, inconclusive: Inconclusive = "raise", **options: Any
) -> Report:
    """Assert what `check` checks, with an exception where it is not so.

    Parameters
    ----------
    function, inputs
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
    return asserted(inconclusive, check, function, inputs, **options)


def _validate(function: Any, modes: Sequence[str], order: int) -> None:
    if not callable(function):
        raise UsageError(f"function is {type(function).__name__}", remedy="Give a callable of tensors")
    check_modes(modes, order)


class _Check:
    """One function at one point, in all its modes and orders."""

    def __init__(
        self,
        function: Callable[..., Any],
        inputs: Any,
        claimed: Callable[..., Any] | None,
        options: dict[str, Any],
        generators: Generators,
        reference: Reference,
        *,
        replay: bool,
    ) -> None:
        self.started = time.perf_counter()
        self.inputs = Inputs(function, inputs)
        self.function = function
        self.claimed = claimed
        self.options = options
        self.generators = generators
        self.reference = reference
        self.replay = replay
        self.draws: bool | None = None
        self.notes = list(self.inputs.notes)

    def values(self, values: Sequence[Any]) -> Any:
        """Call the user's function."""
        if self.replay:
            self.generators.restore()
        return self.inputs.call(self.function, values)

    def run(self, modes: Sequence[Mode], order: int) -> Report:
        """Check every mode and order."""
        graph = self.graph()
        evaluator = Evaluator(self.values, graph)
        self.draws = self.replay or self.generators.moved()
        if self.draws and not self.replay:
            difference = evaluator.difference_from_graph()
            if difference > 0:
                return random_report(graph, difference, self.options, evaluations=2, notes=self.notes)
        evaluator = self.judge(evaluator)
        parts = []
        for mode in modes:
            report = (
                self.reverse(graph, evaluator)
                if mode == "rev"
                else self.forward(graph, evaluator, alone=len(modes) == 1)
            )
            if report is not None:
                parts.append((LABELS[mode], report))
        if order == 2:
            parts.append(("second order", self.second(graph)))
        if graph.left_out:
            self.notes.append(f"Outputs left out, because they have no derivative: {', '.join(graph.left_out)}.")
        if graph.written:
            self.notes.append(f"The function writes into {', '.join(graph.written)}; it was given copies.")
        if graph.unreached:
            self.notes.append(
                f"Autograd knows of no path to {', '.join(graph.unreached)}: its gradient counts as zero."
            )
        self.notes += evaluator.notes
        return replace(worst_of(parts, "torch.check", self.notes), seconds=time.perf_counter() - self.started)

    def judge(self, evaluator: Evaluator) -> Evaluator:
        """Return the function in double precision, where that can judge it; else as it is."""
        graph = evaluator.graph
        precision = lowest_precision(graph.outputs, graph.leaves)
        if not judged_in_double(self.reference, precision, graph.leaves):
            return evaluator
        doubled = evaluator.doubled(precision)
        found = tried(
            partial(doubled.evaluated, point_of(graph, precision)),
            lambda found: max((off for off, _ in evaluator.distances(found)), default=0.0),
            reference=self.reference,
            precision=precision,
            noun="function",
            drawn=graph.drawn if self.replay else None,
            notes=self.notes,
        )
        return evaluator if found is None else doubled

    def graph(self) -> Graph:
        """Call the function for the first time.

        Raises
        ------
        CostRaised
            Where it cannot be evaluated at the point itself.
        """
        try:
            return Graph(self.values, self.inputs.point)
        except GradproofError:
            raise
        except Exception as error:
            if self.inputs.unpacked_list:  # torch.cat takes its tensors as one list, and tells nobody
                self.inputs = Inputs(self.function, ([*self.inputs.unpacked_list],))
                return self.graph()
            raise CostRaised(
                f"{type(error).__name__}: {_first_line(error)}",
                where=f"function({', '.join(self.inputs.argument_names)})",
                meaning="The function cannot be evaluated at its inputs",
                remedy="Call it once by hand with them",
            ) from error

    def reverse(self, graph: Graph, evaluator: Evaluator) -> Report:
        """Check the backward pass, or the one that was given."""
        pull = graph.pull if self.claimed is None else self.given_pull(graph)
        options = self.options
        one_number = len(graph.outputs) == 1 and graph.outputs[0].ndim == 0 and not graph.outputs[0].is_complex()
        every = one_number and options["strategy"] == "coordinates" and not any(x.is_complex() for x in graph.leaves)
        if every:
            options = {**options, "strategy": "certificate"}

        def single() -> Report:
            claim = pull(Named({graph.output_names[0]: torch.ones_like(graph.outputs[0])}))
            return _coordinates_report(evaluator, claim, graph, self.options)

        return _map_report(
            "check_vjp", evaluator, lambda _, u: pull(u), graph, options, single=single if every else None
        )

    def forward(self, graph: Graph, evaluator: Evaluator, *, alone: bool) -> Report | None:
        """Check forward mode, where there is one."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's own, of what it loads for this
                push(
                    self.values,
                    graph,
                    Named({n: torch.zeros_like(x) for n, x in zip(graph.names, graph.leaves, strict=True)}),
                )
        except (NotImplementedError, RuntimeError) as error:
            if alone:
                raise UsageError(
                    f"{type(error).__name__}: {_first_line(error)}",
                    where="forward mode",
                    meaning="The function cannot be differentiated in forward mode",
                    remedy='Give the custom function a jvp, or check modes=("rev",)',
                ) from error
            self.notes.append(f"Forward mode was not checked: {_first_line(error)}")
            return None
        options = {name: value for name, value in self.options.items() if name != "convention"}
        return _map_report("check_jvp", evaluator, lambda _, v: push(self.values, graph, v), graph, options)

    def second(self, graph: Graph) -> Report:
        """Check the derivative of the backward pass."""
        function, point = derivative_of(self.values, graph)
        try:
            second = Graph(function, point)
            zeros = Named({n: torch.zeros_like(o) for n, o in zip(second.output_names, second.outputs, strict=True)})
            second.pull(zeros)
            if second.refuses_backward():
                raise RuntimeError(ONCE)  # noqa: TRY301  # as PyTorch itself would, were it asked
        except RuntimeError as error:
            raise UsageError(
                f"RuntimeError: {_first_line(error)}",
                where="order=2",
                meaning="The backward pass cannot be differentiated itself",
                remedy="Write it in differentiable operations, without @once_differentiable, or check order=1 only",
            ) from error
        options = {**self.options, "only": None, "exclude": None}
        evaluator = self.judge(Evaluator(function, second))
        return _map_report("check_vjp", evaluator, lambda _, u: second.pull(u), second, options)

    def given_pull(self, graph: Graph) -> Callable[[Named], Named]:
        """Return the user's backward pass as products by name."""
        claimed = self.claimed
        assert claimed is not None  # noqa: S101  # else autograd's own is checked

        def pull(cotangents: Named) -> Named:
            cotangent = next(iter(cotangents.values())) if len(cotangents) == 1 else tuple(cotangents.values())
            values = [ADAPTER.copy(leaf) for leaf in graph.leaves]
            return _by_name(
                self.inputs.call(lambda *arguments: claimed(*arguments, cotangent), values),
                graph.names,
            )

        return pull


CALLED: Final = {"check_vjp": "the backward pass", "check_jvp": "forward mode"}


def _map_report(
    verb: str,
    evaluator: Evaluator,
    claim: Callable[[Any, Any], Any],
    graph: Graph,
    options: dict[str, Any],
    single: Callable[[], Report] | None = None,
) -> Report:
    point, precision = point_of(graph, evaluator.precision), evaluator.precision
    if precision != "float64":
        claim = _in_own_precision(claim, graph.outputs if verb == "check_vjp" else graph.leaves)
    task = make_task(verb, evaluator, claim, point, options, call=CALLED[verb], claimed_precision=precision)
    return MapCheck(task).run(single)


def point_of(graph: Graph, precision: str) -> Named:
    """Return the point; in double precision where that judges what was worked out in a lower one."""
    leaves = [leaf.detach() if precision == "float64" else double(leaf) for leaf in graph.leaves]
    return Named(zip(graph.names, leaves, strict=True))


def _in_own_precision(claim: Callable[[Any, Any], Any], like: Sequence[torch.Tensor]) -> Callable[[Any, Any], Any]:
    """Return a product that takes its cotangents or tangents, and gives its answers, in double precision."""

    def product(point: Any, given: Named) -> Named:
        own = Named({name: narrowed(u, one) for (name, u), one in zip(given.items(), like, strict=True)})
        found = claim(point, own)
        return Named({name: double(g) if isinstance(g, torch.Tensor) else g for name, g in found.items()})

    return product


def _coordinates_report(evaluator: Evaluator, claim: Named, graph: Graph, options: dict[str, Any]) -> Report:
    """Check every coordinate of a function of one number; its blocks are named as those of several outputs are."""
    (output,) = graph.output_names
    point = point_of(graph, evaluator.precision)
    chosen = {name: options[name] for name in ("only", "exclude")}
    problem = Problem(lambda p: evaluator(p)[output], point, claim, **chosen, claimed_precision=evaluator.precision)
    report = check_gradient(problem, **{name: value for name, value in options.items() if name not in chosen})
    return of_output(report, output)


def _by_name(answer: Any, names: Sequence[str]) -> Named:
    """Return gradients by the names of the inputs that they belong to."""
    if isinstance(answer, torch.Tensor):
        answer = (answer,)
    if isinstance(answer, dict) and set(answer) == set(names):
        return Named({name: answer[name] for name in names})
    _, gradients, _ = flatten(answer, what="claimed gradients", none_is_leaf=True)
    if len(gradients) != len(names):
        raise UsageError(
            f"{len(gradients)} gradients, for {len(names)} inputs that require one",
            where="claimed(*inputs, cotangent)",
            meaning=f"They belong to {', '.join(names)}, in this order",
            remedy="Return one gradient for each of them",
        )
    return Named(zip(names, gradients, strict=True))


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else "no message"
