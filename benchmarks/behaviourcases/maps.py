"""Functions with many outputs, 1 to 50, of one or several blocks: right products and matrices, and altered ones.

Each is written with analytic functions, so that its Jacobian is taken by complex steps, Im F(θ + i·h·e) / h with
h = 1e-100: there is no subtraction, and the result is right to rounding (Squire & Trapp 1998, SIAM Review 40). A claim, right or
altered, is a matrix of one row an output and one column a parameter; every verb's claim is made of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final

import numpy as np
from scipy import sparse

from behaviourcases.case import (
    HIGHEST_TOLERANCE,
    MASKED,
    RIGHT,
    WRONG,
    Case,
    Counted,
    Truth,
    relative_difference,
)
from gradproof import Report, check_hessian, check_hvp, check_jacobian, check_jvp, check_vjp

SOURCE: Final = "maps"
STRATEGIES: Final = ("certificate", "auto", "coordinates")
SEEDS: Final = 2
SHARE: Final = 3
"""One claim in so many is measured by "coordinates" where another verb shares the method: all with VJPs and Hessians."""
REAL: Final = 1e-6
"""Relative difference of a block below which an alteration is none."""
COMPLEX_STEP: Final = 1e-100
JACOBIANS: Final = ("check_vjp", "check_jvp", "check_jacobian")
HESSIANS: Final = ("check_hvp", "check_hessian")

Blocks = dict[str, np.ndarray]
Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Map:
    """A function of named blocks, with a name for its lone output or a dict of outputs."""

    name: str
    function: Function
    point: Blocks
    verbs: tuple[str, ...] = JACOBIANS
    disturbed: Callable[[int], Function] | None = None
    """Makes the function that is checked, of a seed; None where that is the function itself."""
    sparse: bool = False
    kind: type = np.float64

    @property
    def noisy(self) -> bool:
        return self.disturbed is not None or self.kind is not np.float64

    def outputs(self, point: Any) -> Blocks:
        value = self.function(point)
        return value if isinstance(value, dict) else {"output": np.asarray(value)}

    @property
    def rows(self) -> dict[str, slice]:
        return _slices({name: np.shape(block) for name, block in self.outputs(self.point).items()})

    @property
    def columns(self) -> dict[str, slice]:
        return _slices({name: block.shape for name, block in self.point.items()})


def _slices(shapes: dict[str, tuple[int, ...]]) -> dict[str, slice]:
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes.values())])
    return {name: slice(int(a), int(b)) for name, a, b in zip(shapes, ends[:-1], ends[1:], strict=True)}


def _flat(blocks: Any) -> np.ndarray:
    parts = blocks.values() if isinstance(blocks, dict) else [blocks]
    return np.concatenate([np.ravel(part) for part in parts])


def _shaped(vector: np.ndarray, like: Any) -> Any:
    """Return a vector in the structure of what it is like."""
    if not isinstance(like, dict):
        return vector.reshape(np.shape(like))
    places = _slices({name: np.shape(block) for name, block in like.items()})
    return {name: vector[places[name]].reshape(np.shape(block)) for name, block in like.items()}


def jacobian(function: Function, point: Blocks) -> np.ndarray:
    """Return the Jacobian of an analytic function by complex steps."""
    theta = _flat(point).astype(complex)
    columns = []
    for index in range(theta.size):
        displaced = theta.copy()
        displaced[index] += 1j * COMPLEX_STEP
        columns.append(np.imag(_flat(function(_shaped(displaced, point)))) / COMPLEX_STEP)
    return np.stack(columns, axis=1)


# ---------------------------------------------------------------------------------------------------- functions


def _tanh_layer(p: Any) -> Any:
    return np.tanh(p["W"] @ p["x"] + p["b"])


def _relu_layer(p: Any) -> Any:
    z = p["W"] @ np.tanh(p["x"]) + p["b"]
    return np.where(np.real(z) > 0, z, 0 * z)


def _softmax(p: Any) -> Any:
    powers = np.exp(p["logits"])
    return powers / powers.sum()


def _broyden(p: Any) -> Any:
    x = p["x"]
    y = (3 - x) * x + 1
    y[1:] -= x[:-1]
    y[:-1] -= 2 * x[1:]
    return y


def _decay(p: Any) -> Any:
    times = np.linspace(0, 4, 50)
    return p["amplitude"] * np.exp(-p["rate"] * times) + p["offset"]


def _polar(p: Any) -> Any:
    return {"x": p["radius"] * np.cos(p["angle"]), "y": p["radius"] * np.sin(p["angle"])}


def _fitted(p: Any, inputs: np.ndarray, targets: np.ndarray) -> Any:
    residuals = p["offset"] + np.sin(inputs @ p["slope"]) - targets
    return {"residuals": residuals, "mean square": np.sum(residuals**2) / targets.size}


def _two_layers(p: Any, x: np.ndarray) -> Any:
    logits = p["W2"] @ np.tanh(p["W1"] @ x)
    return {"logits": logits, "loss": np.log(np.sum(np.exp(logits))) - logits[0]}


def _curved(p: Any, matrix: np.ndarray) -> Any:
    return matrix @ p["x"] + np.sin(p["x"]) ** 2


def _one_output(p: Any) -> Any:
    return np.array([np.sum(np.sin(p["a"]) * p["b"]) + p["c"] ** 3])


def _sizes(p: Any) -> Any:
    z = p["A"] @ np.sin(p["x"])
    return {"small": 1e-8 * z, "large": 1e6 * np.exp(z)}


def _rosenbrock_gradient(p: Any) -> Any:
    x = p["x"]
    inner = x[1:] - x[:-1] ** 2
    slope = np.zeros_like(x)
    slope[:-1] = -400 * x[:-1] * inner - 2 * (1 - x[:-1])
    slope[1:] += 200 * inner
    return {"x": slope}


def _logistic_gradient(p: Any, inputs: np.ndarray, labels: np.ndarray) -> Any:
    weights = -labels / (1 + np.exp(labels * (inputs @ p["w"] + p["b"]))) / labels.size
    return {"w": inputs.T @ weights + 0.1 * p["w"], "b": weights.sum()}


def _quartic_gradient(p: Any) -> Any:
    """Of ¼ (Σ A²)² + Σ (A c)³ / 3, with A of shape (3, 4)."""
    product = p["A"] @ p["c"]
    squares = product**2
    return {"A": np.sum(p["A"] ** 2) * p["A"] + np.outer(squares, p["c"]), "c": p["A"].T @ squares}


def _with_noise(function: Function, level: float) -> Callable[[int], Function]:
    """Add normal noise to each output; the draws begin anew with each seed."""

    def make(seed: int) -> Function:
        rng = np.random.default_rng([seed, 77])

        def noisy(p: Any) -> Any:
            value = function(p)
            return value + level * rng.standard_normal(np.shape(value))

        return noisy

    return make


def _rounded(function: Function, places: int) -> Callable[[int], Function]:
    return lambda _seed: lambda p: np.round(function(p), places)


@cache
def problems() -> dict[str, Map]:
    """Return the functions by name."""
    rng = np.random.default_rng(314)
    normal = rng.standard_normal
    layer = {"W": normal((6, 5)) / 2, "x": normal(5), "b": normal(6) / 3}
    wide = {"W": normal((8, 6)) / 2, "x": normal(6), "b": normal(8) / 3}
    inputs, targets = normal((12, 2)), normal(12)
    fit = {"offset": np.array(0.3), "slope": normal(2)}
    features, labels = normal((20, 6)), np.sign(normal(20))
    matrix, x = normal((8, 8)), normal(4)
    found = [
        Map("tanh layer", _tanh_layer, layer),
        Map("ReLU layer", _relu_layer, wide),
        Map("softmax", _softmax, {"logits": normal(10)}),
        Map("Broyden's tridiagonal function", _broyden, {"x": normal(50)}, sparse=True),
        Map("decay curve", _decay, {"amplitude": np.array(1.3), "rate": np.array(0.7), "offset": np.array(-0.2)}),
        Map("polar coordinates", _polar, {"radius": 1 + rng.random(4), "angle": normal(4)}),
        Map("residuals and their mean square", partial(_fitted, inputs=inputs, targets=targets), fit),
        Map("two layers", partial(_two_layers, x=x), {"W1": normal((5, 4)) / 2, "W2": normal((3, 5)) / 2}),
        Map("matrix and sine", partial(_curved, matrix=matrix), {"x": normal(8)}),
        Map("one output", _one_output, {"a": normal(5), "b": normal(5), "c": np.array(0.7)}),
        Map("outputs of size 1e-8 and 1e6", _sizes, {"A": normal((4, 4)) / 2, "x": normal(4)}),
        Map("tanh layer, noise 1e-9", _tanh_layer, layer, disturbed=_with_noise(_tanh_layer, 1e-9)),
        Map("tanh layer, noise 1e-5", _tanh_layer, layer, disturbed=_with_noise(_tanh_layer, 1e-5)),
        Map("tanh layer, rounded to 1e-7", _tanh_layer, layer, disturbed=_rounded(_tanh_layer, 7)),
        Map("tanh layer in float32", _tanh_layer, {k: np.float32(v) for k, v in layer.items()}, kind=np.float32),
        Map("Rosenbrock, N = 10", _rosenbrock_gradient, {"x": normal(10)}, HESSIANS),
        Map("Rosenbrock, N = 50", _rosenbrock_gradient, {"x": normal(50)}, HESSIANS, sparse=True),
        Map(
            "logistic regression",
            partial(_logistic_gradient, inputs=features, labels=labels),
            {"w": normal(6), "b": np.array(0.2)},
            HESSIANS,
        ),
        Map("quartic of two blocks", _quartic_gradient, {"A": normal((3, 4)), "c": normal(4)}, HESSIANS),
    ]
    return {one.name: one for one in found}


# ---------------------------------------------------------------------------------------------------- alterations


@dataclass(frozen=True)
class Claim:
    """A claimed Jacobian, and the causes of which a diagnosis should name one."""

    name: str
    matrix: np.ndarray
    causes: frozenset[str] | None = None


def _live(problem: Map, true: np.ndarray) -> list[tuple[slice, slice]]:
    """Return the pairs output × parameter whose Jacobian is not zero."""
    pairs = [(row, column) for row in problem.rows.values() for column in problem.columns.values()]
    return [pair for pair in pairs if np.any(true[pair])]


def alterations(problem: Map, true: np.ndarray, seed: int) -> Iterator[Claim]:
    """Yield the right Jacobian first, then wrong ones of every kind that it allows."""
    rng = np.random.default_rng([seed, zlib.crc32(problem.name.encode())])
    yield Claim("right", true)
    live = _live(problem, true)
    for claim in _altered(problem, true, live, rng):
        pairs = [(claim.matrix[pair], true[pair]) for pair in live]
        if max(relative_difference(*pair) for pair in pairs) > REAL:
            yield claim


def _altered(
    problem: Map, true: np.ndarray, live: list[tuple[slice, slice]], rng: np.random.Generator
) -> Iterator[Claim]:
    def choose() -> tuple[slice, slice]:
        return live[int(rng.integers(len(live)))]

    def within(pair: tuple[slice, slice], new: np.ndarray) -> np.ndarray:
        altered = true.copy()
        altered[pair] = new
        return altered

    def entry(pair: tuple[slice, slice]) -> tuple[int, int]:
        sizes = np.abs(true[pair])
        index = int(rng.choice(np.flatnonzero(sizes >= np.median(sizes[sizes > 0]))))
        row, column = np.unravel_index(index, sizes.shape)
        return int(row) + pair[0].start, int(column) + pair[1].start

    for name, factor, cause in (
        ("one pair doubled", 2.0, "FACTOR"),
        ("one pair × 1.001", 1.001, "FACTOR"),
        ("one pair of the opposite sign", -1.0, "SIGN"),
    ):
        pair = choose()
        yield Claim(name, within(pair, factor * true[pair]), frozenset({cause, "COMMON_FACTOR"}))
    if len(live) > 1:
        yield Claim("everything × 8", 8 * true, frozenset({"COMMON_FACTOR", "FACTOR"}))
    square = [pair for pair in live if true[pair].shape[0] == true[pair].shape[1] > 1]
    if square:
        pair = square[int(rng.integers(len(square)))]
        yield Claim("one pair transposed", within(pair, true[pair].T), frozenset({"TRANSPOSE"}))
    pair = choose()
    row = int(rng.integers(pair[0].start, pair[0].stop))
    altered = true.copy()
    altered[row, pair[1]] = 0
    yield Claim("a row of zeros", altered)
    for name, factor in (("one entry zero", 0.0), ("one entry doubled", 2.0)):
        altered = true.copy()
        altered[entry(choose())] *= factor
        yield Claim(name, altered)
    altered = true.copy()
    row, column = entry(choose())
    altered[row, column] += 1e-4 * np.linalg.norm(true)
    yield Claim("one entry off by 1e-4 of the whole", altered)
    columns = list(problem.columns.values())
    alike = [(a, b) for i, a in enumerate(columns) for b in columns[:i] if a.stop - a.start == b.stop - b.start]
    if alike:
        one, other = alike[int(rng.integers(len(alike)))]
        altered = true.copy()
        altered[:, one], altered[:, other] = true[:, other], true[:, one]
        yield Claim("two parameters' columns exchanged", altered)
    rows = list(problem.rows.values())
    alike = [(a, b) for i, a in enumerate(rows) for b in rows[:i] if a.stop - a.start == b.stop - b.start]
    if alike:
        one, other = alike[int(rng.integers(len(alike)))]
        altered = true.copy()
        altered[one], altered[other] = true[other], true[one]
        yield Claim("two outputs' rows exchanged", altered)


# ---------------------------------------------------------------------------------------------------- checks


def _check(problem: Map, verb: str, matrix: np.ndarray, strategy: Any, seed: int) -> tuple[Report, int]:
    made = problem.function if problem.disturbed is None else problem.disturbed(seed)
    function, point = Counted(made), problem.point
    outputs = problem.function(point)
    options: dict[str, Any] = {"strategy": strategy, "seed": seed}

    def pull(_point: Any, cotangent: Any) -> Any:
        return _shaped((matrix.T @ _flat(cotangent)).astype(problem.kind), point)

    def push(_point: Any, tangent: Any) -> Any:
        return _shaped((matrix @ _flat(tangent)).astype(problem.kind), outputs)

    if verb == "check_vjp":
        report = check_vjp(function, pull, point, **options)
    elif verb == "check_jvp":
        report = check_jvp(function, push, point, **options)
    elif verb == "check_hvp":
        report = check_hvp(function, push, point, **options)
    else:
        claimed: Any = sparse.csr_array(matrix) if problem.sparse else matrix.astype(problem.kind)
        check = check_jacobian if verb == "check_jacobian" else check_hessian
        report = check(function, claimed, point, **options)
    return report, function.calls


@cache
def _true(name: str) -> np.ndarray:
    problem = problems()[name]
    return jacobian(problem.function, problem.point)


def cases(verb: str, name: str, seed: int) -> Iterator[Case]:
    """Yield the claims about one function."""
    problem, true = problems()[name], _true(name)
    for number, claim in enumerate(alterations(problem, true, seed)):

        def truth(claim: Claim = claim) -> Truth:
            difference = relative_difference([claim.matrix], [true])
            worst = max(relative_difference(claim.matrix[pair], true[pair]) for pair in _live(problem, true))
            exact = 1e-12 if problem.kind is np.float64 else 1e-6
            if claim.name == "right":
                return Truth(RIGHT, difference, exact)
            hidden = problem.noisy and worst <= HIGHEST_TOLERANCE
            return Truth(MASKED if hidden else WRONG, difference, exact)

        every = verb in ("check_vjp", "check_hessian") or number % SHARE == 0
        for strategy in STRATEGIES:
            if strategy == "certificate" or (seed == 0 and (strategy == "auto" or every)):
                check = partial(_check, problem, verb, claim.matrix)
                yield Case(verb, SOURCE, name, claim.name, strategy, seed, truth, check, claim.causes)


def units() -> Iterator[tuple[str, str, int]]:
    """Yield what `cases` takes, a part of the table each."""
    for name, problem in problems().items():
        for verb in problem.verbs:
            for seed in range(SEEDS):
                yield verb, name, seed
