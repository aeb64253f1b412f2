"""PyTorch's operator database: its gradients certified and their mutants caught, beside PyTorch's own gradcheck.

    python benchmarks/operators.py [right] [mutants] [scaled] [coordinates] [--quick] [--operator NAME] [--assert]

Without a part all four run. ``--quick`` takes every 12th operator, ``--operator`` those of one name (all their variants);
``--assert`` ends with exit code 1 where the reach at the foot of each part is missed. Needs PyTorch and `expecttest`, which
PyTorch's database imports.

A case is one sample of one operator in float64 on the CPU, as PyTorch's own test of gradients takes it: a function of the
tensors that require a gradient, everything else held, with the operator's own wrapper, output processing and tolerance of
non-determinism. Three samples an operator. Operators whose gradient PyTorch's own test skips, or expects to fail, are checked
and listed apart, and count nowhere.

right         gradients as they are: false alarms, undecided, calls of the function, seconds
mutants       backwards altered in some twenty ways: caught by kind. The unaltered backward goes through the same wrapper first.
scaled        outputs times 1e-6 and 1e6, right and ten percent off: is the verdict the same?
coordinates   every coordinate of functions of 2 000 parameters, beside gradcheck's slow mode

The checkers run in turn on the same case in the same process, on one thread. A point is called "not differentiable" on
evidence only: one-sided differences of the function that disagree, and do so no less at shorter steps. Slow mode runs where a
case has up to 1 000 inputs and outputs together, and on mutants up to 100; fast mode on mutants up to 1 000, as it runs
slow mode for its message once it has found a mistake. Mutants of products that change the output by less than its rounding
over the input's own size are listed apart: no evaluation shows them.
"""

from __future__ import annotations

import itertools
import os
import platform
import statistics
import sys
import time
import unittest
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch.autograd.function import once_differentiable
from torch.autograd.gradcheck import GradcheckError
from torch.testing._internal.common_methods_invocations import op_db

import gradproof.torch

SAMPLES = 3
QUICK = 12
LARGEST = 20_000
"""Inputs, and outputs, beyond which a sample is left out."""
SLOW, SLOW_MUTANTS = 1_000, 100
"""Inputs and outputs together beyond which gradcheck's slow mode is left out: it takes as many evaluations."""
VISIBLE = 1e-13
"""Change of an output over an input's own size, relatively to the output, from which on a derivative shows at all."""
REAL = 1e-6
"""A mutation that changes no pair output × input by this relative difference (ten tolerances) is none."""
CHECKERS = ("gradproof", "gradcheck fast", "gradcheck slow")
PAIRS = 5
PARAMETERS = 2_000
CALLS = 200


# ---------------------------------------------------------------------------------------------------- cases


@dataclass
class Case:
    """One sample: a function of those tensors that require a gradient."""

    operator: str
    sample: int
    function: Callable[..., Any]
    tensors: tuple[torch.Tensor, ...]
    nondet_tol: float
    inputs: int
    outputs: int

    @property
    def seed(self) -> int:
        return zlib.crc32(f"{self.operator}/{self.sample}".encode())

    @property
    def where(self) -> str:
        return f"{self.operator}, sample {self.sample}"

    def fresh(self) -> tuple[torch.Tensor, ...]:
        return tuple(t.detach().clone().requires_grad_() for t in self.tensors)

    def size(self) -> int:
        return self.inputs + self.outputs


class LeftOut(Exception):
    """Why a sample is no case."""


class Slot(NamedTuple):
    """Where a tensor that requires a gradient goes."""

    index: int


def taken_apart(value: Any, tensors: list[torch.Tensor]) -> Any:
    """Return the value with a slot in the place of each tensor that requires a gradient, which joins the list."""
    if isinstance(value, torch.Tensor) and value.requires_grad:
        tensors.append(value)
        return Slot(len(tensors) - 1)
    if isinstance(value, (list, tuple)) and value and all(isinstance(x, torch.Tensor) for x in value):
        return [taken_apart(x, tensors) for x in value]
    return value


def put_together(value: Any, tensors: tuple[torch.Tensor, ...]) -> Any:
    if isinstance(value, Slot):
        return tensors[value.index]
    if isinstance(value, list) and any(isinstance(x, Slot) for x in value):
        return [put_together(x, tensors) for x in value]
    return value


def as_tuple(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, torch.Tensor) else tuple(value)


def lone(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else values


def case_of(op, index, sample) -> Case:
    """Make a case of a sample, as PyTorch's own test of gradients does.

    Raises
    ------
    LeftOut
        Where there is nothing to check.
    """
    tensors: list[torch.Tensor] = []
    parts = [taken_apart(x, tensors) for x in (sample.input, *sample.args)]
    named = {key: taken_apart(x, tensors) for key, x in sample.kwargs.items()}
    if any(t.layout is not torch.strided for t in tensors):
        raise LeftOut("sparse inputs")
    inputs = sum(t.numel() for t in tensors)
    if not inputs:
        raise LeftOut("no input that requires a gradient, or only empty ones")
    if inputs > LARGEST:
        raise LeftOut(f"more than {LARGEST:,} inputs")
    variant, process = op.get_op(), sample.output_process_fn_grad

    def whole(*given):
        positional = [put_together(x, given) for x in parts]
        value = op.gradcheck_wrapper(variant, *positional, **{k: put_together(x, given) for k, x in named.items()})
        return as_tuple(value if process is None else process(value))

    point = tuple(t.detach().clone().requires_grad_() for t in tensors)
    answer = whole(*point)
    chosen = [i for i, y in enumerate(answer) if isinstance(y, torch.Tensor) and y.requires_grad and y.numel()]
    if not chosen:
        raise LeftOut("no output that depends differentiably on the inputs")
    if any(answer[i].layout is not torch.strided for i in chosen):
        raise LeftOut("sparse outputs")
    outputs = sum(answer[i].numel() for i in chosen)
    if outputs > LARGEST:
        raise LeftOut(f"more than {LARGEST:,} outputs")

    def function(*given):
        value = whole(*given)
        return lone(tuple(value[i] for i in chosen))

    name = op.name if not op.variant_test_name else f"{op.name}.{op.variant_test_name}"
    return Case(name, index, function, tuple(t.detach() for t in point), op.gradcheck_nondet_tol, inputs, outputs)


def disowned(op) -> bool:
    """Whether PyTorch's own test of this gradient is skipped, or expected to fail."""
    active = [
        d for d in op.decorators if hasattr(d, "is_active") and d.is_active(
            "TestBwdGradients", "test_fn_grad", "cpu", torch.float64, {}
        )
    ]  # fmt: skip
    for decorator in itertools.chain.from_iterable(d.decorators for d in active):
        if decorator is unittest.expectedFailure or "skip" in getattr(decorator, "__qualname__", ""):
            return True
    return False


@dataclass
class Database:
    """The cases, and what is none."""

    cases: list[Case]
    apart: list[Case]
    left_out: Counter
    operators: Counter


def database(*, quick: bool, only: str | None) -> Database:
    """Collect the cases."""
    cases, apart, left_out, operators = [], [], Counter(), Counter()
    chosen = [op for op in op_db if only is None or op.name == only]
    for op in chosen[:: QUICK if quick else 1]:
        if not op.supports_autograd:
            operators["no derivative"] += 1
            continue
        if not op.supports_dtype(torch.float64, "cpu"):
            operators["not in float64 on the CPU"] += 1
            continue
        torch.manual_seed(zlib.crc32(op.name.encode()))
        try:
            samples = list(op.sample_inputs("cpu", torch.float64, requires_grad=True))
        except Exception as error:
            operators[f"no samples ({type(error).__name__})"] += 1
            continue
        found, reasons = [], Counter()
        last = len(samples) - 1
        for index in dict.fromkeys([0, last, last // 2, *range(last + 1)]):
            if len(found) == SAMPLES or last < 0:
                break
            try:
                found.append(case_of(op, index, samples[index]))
            except LeftOut as reason:
                reasons[str(reason)] += 1
            except Exception as error:
                reasons[f"{type(error).__name__} when called"] += 1
        left_out.update(reasons)
        found.sort(key=lambda case: case.sample)
        if not found:
            operators[
                f"no sample that can be checked ({reasons.most_common(1)[0][0] if reasons else 'none given'})"
            ] += 1
        elif disowned(op):
            operators["PyTorch's own test of it is skipped or expected to fail: listed apart"] += 1
            apart += found
        else:
            operators["checked"] += 1
            cases += found
    return Database(cases, apart, left_out, operators)


# ------------------------------------------------------------------------------------------------- checkers


@dataclass
class Outcome:
    """What a checker said of a case, and what that took."""

    verdict: str
    reason: str
    calls: int
    seconds: float
    tolerance: float = 0.0

    @property
    def accepted(self) -> bool:
        return self.verdict == "CORRECT"


class Counted:
    """A function, and how often it was called."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *tensors):
        self.calls += 1
        return self.function(*tensors)


def ask(checker: str, case: Case, function=None, **options) -> Outcome:
    """Let a checker check a case; an exception that is no verdict is the verdict "FAILED"."""
    counted = Counted(function or case.function)
    tensors = case.fresh()
    started = time.perf_counter()
    tolerance = 0.0
    try:
        if checker == "gradproof":
            report = gradproof_report(counted, tensors, case.seed, **options)
            verdict, reason = report.verdict.name, said(report)
            tolerance = max(block.tolerance for block in report.blocks)
        else:
            torch.autograd.gradcheck(counted, tensors, nondet_tol=case.nondet_tol, fast_mode=checker.endswith("fast"))
            verdict, reason = "CORRECT", ""
    except GradcheckError as error:
        verdict, reason = "WRONG", first_line(error)
    except Exception as error:
        verdict, reason = "FAILED", f"{type(error).__name__}: {first_line(error)}"
    return Outcome(verdict, reason, counted.calls, time.perf_counter() - started, tolerance)


def first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), "")[:160]


def gradproof_report(function, tensors, seed, **options):
    return gradproof.torch.check(function, tensors, seed=seed, **options)


def said(report) -> str:
    """What gradproof names, in a line."""
    if report.verdict is gradproof.Verdict.CORRECT:
        return ""
    named = [f"{d.cause.name}: {d.sentence}" for d in report.diagnoses]
    reason = report.reason.name if report.reason is not None else ""
    return " · ".join([*([reason] if reason else []), *named, *report.notes])[:300]


def sides_disagree(case: Case) -> str:
    """Say where one-sided differences of the function disagree and do so no less at shorter steps; "" where nowhere.

    Such a point has no derivative, or one that no difference can see. No gradient is asked.
    """
    rng = np.random.default_rng(case.seed)
    sizes = [t.numel() for t in case.tensors]
    total = sum(sizes)
    picks = range(total) if total <= 300 else rng.choice(total, 300, replace=False)
    owners = [(i, j) for i, size in enumerate(sizes) for j in range(size)]

    def values(tensors):
        with torch.no_grad():
            answer = as_tuple(case.function(*tensors))
        parts = [torch.view_as_real(y.resolve_conj()) if y.is_complex() else y for y in answer]
        return torch.cat([p.reshape(-1).double() for p in parts]).numpy()

    def moved(direction, t):
        return [(x + t * v).detach() for x, v in zip(case.tensors, direction, strict=True)]

    with torch.no_grad():
        answer = as_tuple(case.function(*case.tensors))
    if any(x.dtype not in {torch.float64, torch.complex128} for x in (*case.tensors, *answer)):
        return ""  # steps so short are lost in lower precisions
    middle = values(case.tensors)
    size = np.abs(middle[np.isfinite(middle)]).max(initial=0.0)

    def directions():
        for pick in picks:
            tensor, entry = owners[pick]
            flats = [torch.zeros(t.numel(), dtype=t.dtype) for t in case.tensors]
            flats[tensor][entry] = 1.0
            name = f"input {tensor}{list(map(int, np.unravel_index(entry, case.tensors[tensor].shape)))}"
            yield name, [f.reshape(t.shape) for f, t in zip(flats, case.tensors, strict=True)]
        for _ in range(4):
            drawn = [torch.from_numpy(np.asarray(rng.standard_normal(t.shape))).to(t.dtype) for t in case.tensors]
            yield "a random direction", drawn

    for name, direction in directions():
        jumps = []
        for t in (1e-4, 1e-5, 1e-6):
            right, left = values(moved(direction, t)), values(moved(direction, -t))
            if right.shape != middle.shape or left.shape != middle.shape:
                return f"along {name} the outputs change their shape"
            if (
                not (np.isfinite(right) == np.isfinite(middle)).all()
                or not (np.isfinite(left) == np.isfinite(middle)).all()
            ):
                return f"along {name} the function is not finite on both sides"
            with np.errstate(invalid="ignore"):
                above, below = (right - middle) / t, (middle - left) / t
            jumps.append((above, below, np.nan_to_num(np.abs(above - below))))
        above, below, jump = jumps[-1]
        noise = 1e-9 * size / 1e-6 + 1e-9
        slope = np.maximum(np.abs(above), np.abs(below))
        bad = (jump > 0.5 * jumps[0][2]) & (jump > noise) & (jump > 1e-3 * slope)
        if bad.any():
            worst = int(np.argmax(np.where(bad, jump, 0)))
            return f"along {name} output {worst} has the slopes {below[worst]:.4g} and {above[worst]:.4g}"
    return ""


# -------------------------------------------------------------------------------------------------- mutants


class Altered(torch.autograd.Function):
    """The case's function with another backward."""

    @staticmethod
    def forward(ctx, function, mutation, *tensors):
        ctx.mutation = mutation
        ctx.set_materialize_grads(False)
        ctx.leaves = tuple(t.detach().clone().requires_grad_() for t in tensors)
        with torch.enable_grad():
            ctx.answer = as_tuple(function(*ctx.leaves))
        return tuple(y.detach().clone() for y in ctx.answer)

    @staticmethod
    @once_differentiable
    def backward(ctx, *cotangents):
        alone = any(u is None for u in cotangents)
        given = tuple(torch.zeros_like(y) if u is None else u for u, y in zip(cotangents, ctx.answer, strict=True))
        return None, None, *ctx.mutation.applied(ctx.answer, ctx.leaves, given, alone=alone)


def pull(answer, leaves, cotangents):
    pulled = torch.autograd.grad(answer, leaves, cotangents, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for g, t in zip(pulled, leaves, strict=True)]


@dataclass
class Mutation:
    """A mistake of a backward: what it does to the cotangents and to the gradients."""

    kind: str
    change: Callable[[list[torch.Tensor], tuple[torch.Tensor, ...]], list[torch.Tensor]] = lambda g, _: g
    twist: Callable[[torch.Tensor], torch.Tensor] = lambda u: u
    dropped: int | None = None
    fails_alone: bool = False

    def applied(self, answer, leaves, cotangents, *, alone: bool):
        """Return the altered gradients; alone: not every output has got a cotangent."""
        given = tuple(self.twist(u) for u in cotangents)
        if self.dropped is not None:
            given = tuple(torch.zeros_like(u) if i == self.dropped else u for i, u in enumerate(given))
        pulled = pull(answer, leaves, given)
        return [torch.zeros_like(g) for g in pulled] if alone and self.fails_alone else self.change(pulled, given)


UNALTERED = Mutation("unaltered")


def altered(case: Case, mutation: Mutation) -> Callable[..., Any]:
    def function(*tensors):
        if not torch.is_grad_enabled():
            return case.function(*tensors)
        return lone(as_tuple(Altered.apply(case.function, mutation, *tensors)))

    return function


def read_as_contiguous(u: torch.Tensor) -> torch.Tensor:
    """Read the storage from where the tensor begins, whatever its strides: what a kernel does that trusts its pointer."""
    if u.is_contiguous():
        return u
    there = u.untyped_storage().nbytes() // u.element_size() - u.storage_offset()
    raw = torch.as_strided(u, (there,), (1,), u.storage_offset())
    return raw.repeat(-(-u.numel() // there))[: u.numel()].reshape(u.shape)


class Facts:
    """What is known of a case's right gradient: some products, and where it is not zero."""

    def __init__(self, case: Case):
        generator = torch.Generator().manual_seed(case.seed)
        self.leaves = case.fresh()
        self.answer = as_tuple(case.function(*self.leaves))
        self.cotangents = []
        for index in range(min(len(self.answer), 4)):
            for _ in range(2):
                drawn = [torch.zeros_like(y, memory_format=torch.contiguous_format).detach() for y in self.answer]
                shape = self.answer[index].shape
                drawn[index] = torch.randn(shape, dtype=self.answer[index].dtype, generator=generator)
                self.cotangents.append(tuple(drawn))
        self.products = [pull(self.answer, self.leaves, u) for u in self.cotangents]
        self.squares = [sum(g.abs() ** 2 for g in gs) for gs in zip(*self.products, strict=True)]
        count = sum(y.numel() for y in self.answer)
        self.rms = [
            float(torch.sqrt(s.mean() / len(self.products) / count)) if s.numel() else 0.0 for s in self.squares
        ]

    def shows(self, row: int, column: int) -> bool:
        """Say whether an output changes by more than its rounding where an input changes by its own size."""
        weights = [
            float((g.abs() ** 2).sum()) ** 0.5 for g in (self.products[row][column], self.products[row + 1][column])
        ]
        leaf, answer = self.leaves[column].detach(), self.answer[row // 2].detach()
        reach = float(leaf.abs().pow(2).mean()) ** 0.5 if leaf.numel() else 0.0
        return max(weights) * reach > VISIBLE * float((answer.abs() ** 2).sum()) ** 0.5 or reach == 0

    def difference(self, mutation: Mutation, *, seen: bool = False) -> float:
        """Return the largest relative difference of a pair output × input, over the cotangents drawn.

        With `seen`, of those that show in an evaluation.
        """
        off, size = defaultdict(float), defaultdict(float)
        for row, (cotangents, right) in enumerate(zip(self.cotangents, self.products, strict=True)):
            strided = tuple(spread(u) for u in cotangents)
            wrong = mutation.applied(self.answer, self.leaves, strided, alone=True)
            for column, (g, w) in enumerate(zip(right, wrong, strict=True)):
                off[row // 2, column] += float(((w - g).abs() ** 2).sum())
                size[row // 2, column] += float(((w.abs() ** 2).sum() ** 0.5 + (g.abs() ** 2).sum() ** 0.5) ** 2)
        pairs = [pair for pair in off if not seen or self.shows(2 * pair[0], pair[1])]
        return max(((off[pair] / size[pair]) ** 0.5 if size[pair] else 0.0 for pair in pairs), default=0.0)


def spread(u: torch.Tensor) -> torch.Tensor:
    """Return the same values in every other place of a storage."""
    wide = torch.randn((*u.shape, 2), dtype=u.dtype, generator=torch.Generator().manual_seed(u.numel()))
    wide[..., 0] = u
    return wide[..., 0]


def mutations(case: Case, facts: Facts) -> list[Mutation]:
    """Everything that can go wrong with this case; some of it may change nothing."""
    rng = np.random.default_rng([case.seed, 2])
    scaled = [partial(multiplied, by) for by in (1.0001, 1.001, 1.1, 2.0, -1.0, 0.0)]
    names = ("× 1.0001", "× 1.001", "× 1.1", "× 2", "opposite sign", "all zero")
    made = [Mutation(name, change) for name, change in zip(names, scaled, strict=True)]
    alive = [i for i, s in enumerate(facts.squares) if bool((s > 0).any())]
    if not alive:
        return made
    target = int(rng.choice(alive))
    squares = facts.squares[target]
    nonzero = torch.nonzero(squares.reshape(-1) > 0).reshape(-1).numpy()
    entry = int(rng.choice(nonzero))
    made += [
        Mutation("one element zero", partial(element, target, entry, 0.0)),
        Mutation("one element × 1.01", partial(element, target, entry, 1.01)),
        Mutation(
            "two percent of the elements zero", partial(some_zero, target, nonzero[rng.random(nonzero.size) < 0.02])
        ),
        Mutation("a slice of the last axis zero", partial(slice_zero, target, entry)),
        Mutation("rolled by one", partial(on_each, lambda g: g.roll(1, -1) if g.ndim else g)),
        Mutation("transposed", partial(on_each, transposed)),
        Mutation("a constant of 1e-3 rms added", partial(offset, facts.rms)),
        Mutation("grad_output taken for ones", twist=torch.ones_like),
        Mutation("grad_output's layout ignored", twist=read_as_contiguous),
    ]
    if len(case.tensors) > 1:
        made.append(Mutation("one input × 1.1", partial(one_input, target)))
        if len(alive) > 1:
            made.append(Mutation("one input zero", partial(element, target, slice(None), 0.0)))
    if len(facts.answer) > 1:
        made.append(Mutation("one output's cotangent dropped", dropped=int(rng.integers(min(len(facts.answer), 4)))))
        made.append(Mutation("zero where an output has no cotangent", fails_alone=True))
    return made


def multiplied(by, gradients, _):
    return [by * g for g in gradients]


def on_each(change, gradients, _):
    return [change(g) for g in gradients]


def element(target, where, by, gradients, _):
    made = [g.clone(memory_format=torch.contiguous_format) for g in gradients]
    made[target].view(-1)[where] *= by
    return made


def some_zero(target, where, gradients, _):
    return element(target, torch.from_numpy(where), 0.0, gradients, _)


def slice_zero(target, entry, gradients, _):
    made = [g.clone(memory_format=torch.contiguous_format) for g in gradients]
    if made[target].ndim:
        made[target].view(-1, made[target].shape[-1])[entry // made[target].shape[-1]] = 0
    return made


def transposed(g):
    return g.transpose(-1, -2).clone() if g.ndim > 1 and g.shape[-1] == g.shape[-2] else g


def offset(rms, gradients, cotangents):
    total = sum(float(u.real.sum() if u.is_complex() else u.sum()) for u in cotangents)
    return [g + 1e-3 * size * total for g, size in zip(gradients, rms, strict=True)]


def one_input(target, gradients, _):
    return [1.1 * g if i == target else g for i, g in enumerate(gradients)]


# ---------------------------------------------------------------------------------------------------- parts


def columns(table: Table, *headings: str, left: int = 1) -> None:
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < left else "right")


def listed(console: Console, title: str, lines: list[str]) -> None:
    if lines:
        console.print(f"[bold]{escape(title)}[/bold] ({len(lines)})")
        for line in lines:
            console.print(f"  {escape(line)}", soft_wrap=True)


def in_turn(turn: int, checkers: list[str]) -> list[str]:
    """Return the checkers beginning with another one each time."""
    shift = turn % len(checkers)
    return checkers[shift:] + checkers[:shift]


def suited(case: Case, limit: int) -> list[str]:
    return [c for c in CHECKERS if c != "gradcheck slow" or case.size() <= limit]


class Reach:
    """What is to be reached, and whether it was."""

    def __init__(self, console: Console):
        self.console, self.missed = console, 0

    def say(self, sentence: str, *, reached: bool) -> None:
        self.missed += not reached
        self.console.print(f"  {'[green]reached[/green]' if reached else '[red]missed[/red] '}  {escape(sentence)}")


def right(console: Console, data: Database, reach: Reach) -> None:
    listed(console, "apart: PyTorch's own test of these is skipped or expected to fail", [apart(c) for c in data.apart])
    if not data.cases:
        return
    answers: dict[str, list[tuple[Case, Outcome]]] = {checker: [] for checker in CHECKERS}
    for turn, case in enumerate(data.cases):
        for checker in in_turn(turn, suited(case, SLOW)):
            answers[checker].append((case, ask(checker, case)))
    doubtful = {case.where: case for asked in answers.values() for case, outcome in asked if not outcome.accepted}
    evidence = {where: evident(case) for where, case in doubtful.items()}
    table = Table(title="gradients as they are")
    columns(
        table, "", "cases", "accepted", "undecided", "false alarms", "not differentiable", "failed", "calls", "ms", "s"
    )
    lists: dict[str, list[str]] = defaultdict(list)
    alarms = Counter()
    for checker, asked in answers.items():
        counts = Counter()
        for case, outcome in asked:
            found = evidence.get(case.where, "")
            if outcome.accepted:
                counts["accepted"] += 1
                continue
            kind = "not differentiable" if found else outcome.verdict
            counts[kind] += 1
            line = f"{checker}: {case.where}: {outcome.verdict}: {outcome.reason}" + (f" [{found}]" if found else "")
            lists[TITLES[kind]].append(line)
        alarms[checker] = counts["WRONG"]
        seconds = [outcome.seconds for _, outcome in asked]
        table.add_row(
            checker,
            f"{len(asked):,}",
            f"{counts['accepted']:,}",
            str(counts["INCONCLUSIVE"]),
            str(counts["WRONG"]),
            str(counts["not differentiable"]),
            str(counts["FAILED"]),
            f"{statistics.median(outcome.calls for _, outcome in asked):g}" if asked else "–",
            f"{1e3 * statistics.median(seconds):.2f}" if asked else "–",
            f"{sum(seconds):.1f}",
        )
    console.print(table)
    taken = {checker: {case.where: outcome.seconds for case, outcome in asked} for checker, asked in answers.items()}
    mine, fast, slow = (taken[checker] for checker in CHECKERS)
    both = sum(mine[where] for where in slow), sum(slow.values())
    ratio = statistics.median(mine[where] / fast[where] for where in fast)
    console.print(
        f"where slow mode ran: gradproof {both[0]:.1f} s, slow mode {both[1]:.1f} s; gradproof / fast mode, median of the ratios: {ratio:.2f}"
    )
    for title, lines in lists.items():
        listed(console, title, lines)
    median = statistics.median(mine.values())
    reach.say(f"no false alarm at a differentiable point: {alarms['gradproof']}", reached=not alarms["gradproof"])
    reach.say(f"below slow mode in sum: {both[0]:.1f} s against {both[1]:.1f} s", reached=both[0] < both[1])
    reach.say(f"at most five times fast mode in the median: {ratio:.2f}", reached=ratio <= 5)
    reach.say(f"at most 5 ms a check in the median: {1e3 * median:.2f} ms", reached=median <= 5e-3)


TITLES = {
    "WRONG": "false alarms at differentiable points",
    "INCONCLUSIVE": "undecided at differentiable points",
    "FAILED": "failed",
    "not differentiable": "points where the function is not differentiable, with the evidence",
}


def evident(case: Case) -> str:
    try:
        return sides_disagree(case)
    except Exception as error:
        return f"could not be looked at: {type(error).__name__}: {first_line(error)}"


def apart(case: Case) -> str:
    outcomes = {checker: ask(checker, case) for checker in suited(case, SLOW)}
    verdicts = ", ".join(f"{checker} {outcome.verdict}" for checker, outcome in outcomes.items())
    evidence = "" if all(outcome.accepted for outcome in outcomes.values()) else evident(case)
    return f"{case.where}: {verdicts} · {outcomes['gradproof'].reason[:160]}" + (f" [{evidence}]" if evidence else "")


def mutants(console: Console, data: Database, reach: Reach) -> None:
    tallies: dict[str, dict[str, Counter]] = defaultdict(lambda: defaultdict(Counter))
    none: Counter = Counter()
    below: Counter = Counter()
    lists: dict[str, list[str]] = defaultdict(list)
    for case in data.cases:
        try:
            facts = Facts(case)
            made = mutations(case, facts)
        except Exception as error:
            lists["could not be altered"].append(f"{case.where}: {type(error).__name__}: {first_line(error)}")
            continue
        unaltered = ask("gradproof", case, altered(case, UNALTERED))
        if not unaltered.accepted:
            lists["left out: the unaltered backward is not certified"].append(
                f"{case.where}: {unaltered.verdict}: {unaltered.reason}"
            )
            continue
        given = suited(case, SLOW_MUTANTS)[1:] if case.size() <= SLOW else []
        peers = [c for c in given if ask(c, case, altered(case, UNALTERED)).accepted]
        for mutation in made:
            try:
                difference = facts.difference(mutation)
            except Exception as error:
                lists["could not be altered"].append(
                    f"{case.where}, {mutation.kind}: {type(error).__name__}: {first_line(error)}"
                )
                continue
            if not difference >= REAL:
                none[mutation.kind] += 1
                continue
            if not facts.difference(mutation, seen=True) >= REAL:
                below[mutation.kind] += 1
                lists["of products that change the output by less than its rounding"].append(
                    f"{case.where}, {mutation.kind}: {difference:.1e}"
                )
                continue
            if difference < 2 * unaltered.tolerance:
                below[mutation.kind] += 1
                lists["smaller than twice the tolerance that the noise left"].append(
                    f"{case.where}, {mutation.kind}: {difference:.1e}, tolerance {unaltered.tolerance:.1e}"
                )
                continue
            function = altered(case, mutation)
            for checker in ("gradproof", *peers):
                outcome = ask(checker, case, function)
                tallies[mutation.kind][checker][outcome.verdict] += 1
                if checker == "gradproof" and outcome.verdict != "WRONG":
                    lists[f"missed by gradproof: {outcome.verdict}"].append(
                        f"{case.where}, {mutation.kind} (D = {difference:.1e}): {outcome.reason}"
                    )
    table = Table(title="backwards altered")
    columns(
        table,
        "mistake",
        "mutants",
        "caught",
        "undecided",
        "missed",
        "failed",
        "gradcheck fast",
        "gradcheck slow",
        "none",
        "too small",
    )
    total: dict[str, Counter] = defaultdict(Counter)
    for kind in dict.fromkeys([*tallies, *none, *below]):
        for checker, tally in tallies[kind].items():
            total[checker].update(tally)
        table.add_row(*mutant_row(kind, tallies[kind]), str(none[kind]), str(below[kind]))
    table.add_row(*mutant_row("all", total), str(none.total()), str(below.total()), style="bold")
    console.print(table)
    console.print(
        "gradcheck: share caught of the mutants it was given (small cases only; where it accepts the unaltered backward)"
    )
    for title, lines in lists.items():
        listed(console, title, lines)
    if not total:
        return
    tally = total["gradproof"]
    share = tally["WRONG"] / tally.total() if tally else 0.0
    reach.say(
        f"at least 99.5 % of the mutants caught: {100 * share:.2f} % of {tally.total():,}", reached=share >= 0.995
    )


def mutant_row(kind: str, tallies: dict[str, Counter]) -> list[str]:
    tally = tallies["gradproof"] if "gradproof" in tallies else Counter()
    row = [
        kind,
        f"{tally.total():,}",
        *(f"{tally[verdict]:,}" for verdict in ("WRONG", "INCONCLUSIVE", "CORRECT", "FAILED")),
    ]
    for checker in CHECKERS[1:]:
        peer = tallies[checker] if checker in tallies else Counter()
        row.append(f"{100 * peer['WRONG'] / peer.total():.1f} % of {peer.total():,}" if peer else "–")
    return row


def times(factor: float, function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *tensors: lone(tuple(factor * y for y in as_tuple(function(*tensors))))


def scaled(console: Console, data: Database, reach: Reach) -> None:
    table = Table(title="outputs times 1e-6 and 1e6: the verdicts beside those of the function as it is")
    columns(
        table,
        "backward",
        "checker",
        "cases",
        "same at 1e-6",
        "same at 1e6",
        "right as it is",
        "right at 1e-6",
        "right at 1e6",
        left=2,
    )
    lists: dict[str, list[str]] = defaultdict(list)
    same = True
    for mutation in (UNALTERED, Mutation("× 1.1", partial(multiplied, 1.1))):
        expected = "CORRECT" if mutation is UNALTERED else "WRONG"
        tallies: dict[str, Counter] = defaultdict(Counter)
        for case in data.cases:
            if mutation is not UNALTERED:
                try:
                    if Facts(case).difference(mutation) < REAL:
                        continue
                except Exception as error:
                    lists["could not be altered"].append(f"{case.where}: {type(error).__name__}: {first_line(error)}")
                    continue
            base = case.function if mutation is UNALTERED else altered(case, mutation)
            for checker in suited(case, SLOW_MUTANTS):
                answers = [ask(checker, case, function) for function in (base, times(1e-6, base), times(1e6, base))]
                tally = tallies[checker]
                tally["cases"] += 1
                for index, answer in enumerate(answers):
                    tally["same", index] += answer.verdict == answers[0].verdict
                    tally["right", index] += answer.verdict == expected
                if checker == "gradproof" and len({answer.verdict for answer in answers}) > 1:
                    verdicts = " / ".join(answer.verdict for answer in answers)
                    reasons = " / ".join(answer.reason[:120] for answer in answers)
                    lists["verdicts of gradproof that depend on the scale (× 1 / × 1e-6 / × 1e6)"].append(
                        f"{case.where}, {mutation.kind}: {verdicts}: {reasons}"
                    )
        for checker, tally in tallies.items():
            counts = [tally["cases"], tally["same", 1], tally["same", 2], *(tally["right", i] for i in range(3))]
            table.add_row(mutation.kind, checker, *(f"{count:,}" for count in counts))
        mine = tallies["gradproof"]
        same = same and mine["same", 1] == mine["same", 2] == mine["cases"]
    console.print(table)
    for title, lines in lists.items():
        listed(console, title, lines)
    reach.say("the same verdicts at 1e-6 and 1e6", reached=same)


def coordinates(console: Console, _: Database, reach: Reach) -> None:
    table = Table(title=f"every coordinate of {PARAMETERS:,} parameters, medians of {PAIRS} pairs")
    columns(
        table,
        "function",
        "outputs",
        "gradproof",
        "verdict",
        "calls",
        "s",
        "slow mode",
        "calls",
        "s",
        "slow / gradproof",
        "one call, µs",
    )
    for name, function, tensors, outputs in large_functions():
        case = Case(name, 0, function, tensors, 0.0, PARAMETERS, outputs)
        ask("gradproof", case)
        mine, slow = [], []
        for _ in range(PAIRS):
            mine.append(ask("gradproof", case, strategy="coordinates"))
            slow.append(ask("gradcheck slow", case))
        ratio = statistics.median(b.seconds / a.seconds for a, b in zip(mine, slow, strict=True))
        row = [name, str(outputs), "coordinates", mine[0].verdict, f"{mine[0].calls:,}"]
        row += [f"{statistics.median(a.seconds for a in mine):.3f}", slow[0].verdict, f"{slow[0].calls:,}"]
        row += [f"{statistics.median(a.seconds for a in slow):.2f}", f"{ratio:.1f}", f"{1e6 * one_call(case):.0f}"]
        table.add_row(*row)
        if mine[0].verdict != "CORRECT":
            listed(console, name, [mine[0].reason])
        reach.say(f"{name}: every coordinate certified", reached=mine[0].accepted)
        reach.say(f"{name}: at least ten times faster than slow mode: {ratio:.1f}", reached=ratio >= 10)
    console.print(table)


def one_call(case: Case) -> float:
    """Return the seconds that one call of the function itself takes: batches can save no more than what is beside it."""
    with torch.no_grad():
        tensors, started = case.fresh(), time.perf_counter()
        for _ in range(CALLS):
            case.function(*tensors)
    return (time.perf_counter() - started) / CALLS


def large_functions():
    """Yield name, function, tensors and number of outputs."""
    generator = torch.Generator().manual_seed(7)

    def drawn(*shape):
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    def loss_on(X, Y):
        return lambda W, b, w, c: ((torch.tanh(X @ W + b) @ w + c - Y) ** 2).mean()

    hidden = 38
    sizes = [(50, hidden), (hidden,), (hidden, 1), (PARAMETERS - 52 * hidden,)]
    z = drawn(PARAMETERS // 40)
    yield "sum of sin(W z)", lambda W: torch.sin(W @ z).sum(), (drawn(40, PARAMETERS // 40),), 1
    yield "sum of squares", lambda x: (x * x).sum(), (drawn(PARAMETERS),), 1
    for samples in (4, 32):
        weights = tuple(0.2 * drawn(*shape) for shape in sizes)
        yield f"loss of a network, {samples} samples", loss_on(drawn(samples, 50), drawn(samples, 1)), weights, 1
    P = drawn(PARAMETERS, 10) / PARAMETERS**0.5
    yield "tanh(P x), ten outputs", lambda x: torch.tanh(x @ P), (drawn(PARAMETERS),), 10


PARTS = {"right": right, "mutants": mutants, "scaled": scaled, "coordinates": coordinates}


def main(arguments: list[str]) -> None:
    only = None
    if "--operator" in arguments:
        at = arguments.index("--operator")
        only = arguments[at + 1] if at + 1 < len(arguments) else sys.exit(__doc__)
        arguments = arguments[:at] + arguments[at + 2 :]
    if set(arguments) - {*PARTS, "--quick", "--assert"}:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the database calls deprecated operators
    console = Console(width=170)
    console.print(
        f"PyTorch {torch.__version__}, NumPy {np.__version__}, Python {platform.python_version()}, {os.cpu_count()} CPUs, "
        f"one thread, {platform.machine()}"
    )
    chosen = [argument for argument in arguments if argument in PARTS] or list(PARTS)
    needed = set(chosen) - {"coordinates"}
    data = database(quick="--quick" in arguments, only=only) if needed else Database([], [], Counter(), Counter())
    if needed:
        console.print(
            f"{data.operators.total()} operators; " + "; ".join(f"{n} {why}" for why, n in data.operators.most_common())
        )
        console.print(
            f"{len(data.cases):,} cases; samples passed over: "
            + "; ".join(f"{n} {why}" for why, n in data.left_out.most_common())
        )
        for checker, case in itertools.product(CHECKERS, data.cases[:1]):
            ask(checker, case)  # loads what is loaded at the first call
    reach = Reach(console)
    for name in chosen:
        PARTS[name](console, data, reach)
    if "--assert" in arguments and reach.missed:
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
