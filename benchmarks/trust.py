"""How far a verdict is to be trusted: random problems whose answer is known, by family and kind of claim.

    python benchmarks/trust.py [--problems N] [--seeds FROM:TO] [--family NAME] [--jobs 2] [--json FILE] [--assert] [--show]

A problem is determined by its family and its seed alone: ``problem(family, seed)`` builds it again and
``judge(problem(family, seed))`` runs and judges it. ``--seeds 20000:20500`` takes seeds on which nothing was tuned.
``--assert`` exits with 1 on any false verdict, contradiction or crash; ``--show`` prints how each can be reproduced.

Every family is written as terms y(p) with their exact Jacobian. Checked is a cost (a weighted sum of the terms, by
`check_gradient`) or the function with many outputs (by `check_vjp`, `check_jvp`, `check_jacobian`); noise and rounding
come last. A claim is the exact derivative, spoilt in a known way, so that the exact relative difference D of each block
follows from the claim as it is given. Formulas lose digits nowhere, or are evaluated with 40 digits (cancellation,
optimum): D is known to some 1e-13 (`tests/behaviour/test_trust.py` holds it against complex steps), where the problem is
a float32 one too. Where a family's truth is less clear than that, its ``doubt`` or its second truth says by how much.

What is false, with the tolerance τ of each block as the report gives it:

* CORRECT, where a block has D > τ under every truth, unless all that it does is rounding: over the block's own scale (the
  rms of its parameters; that of all where it is below a tenth of it) neither the claim nor the truth changes the value by
  more than 30 roundings. Rounding is that of the value's terms, or the grid of a family that rounds. Noise is none.
* WRONG, where every block has D ≤ τ under every truth, or is hidden altogether (3 roundings), unless one entry is wrong by
  itself: off by more than τ relatively and by more than τ/1000 of its block's rms entry.
* What a family says in ``never``: a cost that stands still and jumps, or never changes, is neither CORRECT nor WRONG.

A contradiction is on the page itself: lower ≤ estimate ≤ upper; CORRECT needs each upper ≤ the tolerance beside it, or
a block marked zero; WRONG needs a lower bound above the tolerance, and no coordinate is listed twice. "Off" counts
printed intervals (of blocks that do not count as zero) outside of which the exact D lies.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
from scipy import integrate, interpolate, linalg, optimize

import gradproof

Blocks = dict[str, np.ndarray]
U64, U32 = 2.0**-53, 2.0**-24
ROUNDINGS, HIDDEN = 30.0, 3.0
RIGHT = {np.float64: 1e-8, np.float32: 1e-4}
"""A claim counts as right where its D is at most a tenth of the default tolerance: nearer to it nothing need be decided."""
NEAR = 1e-10
"""A kink nearer than this part of the parameters' scale may count as one at the point."""


@dataclass
class Model:
    """Terms y(p) and what is known of them.

    ``jacobian`` has for each block an array (terms, entries); ``hull`` the same, twice, between which a claim may lie at
    a kink; ``other`` a second truth, also offered as a claim; ``rounding`` the rounding of each term; ``after`` what is
    done to the value; ``doubt`` what D is uncertain by; ``never`` a kind of claim → verdicts that are false for it.
    """

    terms: Callable[[Any], Any]
    point: Blocks
    jacobian: Blocks
    rounding: np.ndarray | None = None
    after: Callable[[np.ndarray], np.ndarray] | None = None
    grid: float = 0.0
    hull: tuple[Blocks, Blocks] | None = None
    other: Blocks | None = None
    other_is_true: bool = False
    claims: tuple[str, ...] = ()
    doubt: float = 0.0
    never: dict[str, frozenset[str]] = field(default_factory=dict)
    dtype: type = np.float64
    pack: Callable[[np.ndarray], Any] | None = None
    single_claim: bool = False
    analytic: bool = True
    check: Callable[[Any, Any, dict[str, Any]], Any] | None = None
    cost_only: bool = False


@dataclass
class Problem:
    """A check that can be run, and the truth about it."""

    family: str
    seed: int
    verb: str
    claim: str
    claimed: Blocks
    truths: list[tuple[Blocks, Blocks]]
    scales: dict[str, float]
    rounding: float
    doubt: float
    never: frozenset[str]
    check: Callable[[], gradproof.Report]
    model: Model

    def difference(self, name: str, truth: int) -> float:
        """Return D of a block against the nearest derivative between the bounds of a truth."""
        low, high = (bounds[name] for bounds in self.truths[truth])
        return relative(self.claimed[name], np.clip(self.claimed[name], low, high))


@dataclass
class Outcome:
    family: str
    seed: int
    verb: str
    claim: str
    verdict: str = ""
    false: bool = False
    right: bool = False
    evaluations: int = 0
    strategy: str = ""
    reason: str = ""
    contradictions: tuple[str, ...] = ()
    off: int = 0
    crash: str = ""
    seconds: float = 0.0


def relative(claimed: np.ndarray, true: np.ndarray) -> float:
    total = np.linalg.norm(claimed) + np.linalg.norm(true)
    return float(np.linalg.norm(claimed - true) / total) if total else 0.0


def log_uniform(rng, low, high, size=None):
    return 10.0 ** rng.uniform(low, high, size)


def rms(x) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=float))))


# ---- families: each returns a Model

ELEMENTARY = {
    "sin": (lambda xp, x: xp.sin(x), np.cos),
    "tanh": (lambda xp, x: xp.tanh(x), lambda x: 1 - np.tanh(x) ** 2),
    "exp": (lambda xp, x: xp.exp(x / 4), lambda x: np.exp(x / 4) / 4),
    "square": (lambda xp, x: x * x, lambda x: 2 * x),
    "rational": (lambda xp, x: x / (1 + x * x), lambda x: (1 - x * x) / (1 + x * x) ** 2),
}


def separable(
    rng, dtype=np.float64, xp=np, pack=None, shares=(1.0, 1.0), offset=0.0, names=tuple(ELEMENTARY), shape=None
):
    """y = offset + Σ_b share_b · A_b h_b(p_b)."""
    pack = pack or (lambda a: a)
    m, n = shape or (int(rng.integers(1, 7)), int(rng.integers(1, 9)))
    blocks = "abc"[: len(shares)]
    point = {b: rng.standard_normal(n).astype(dtype) for b in blocks}
    kinds = {b: names[rng.integers(len(names))] for b in blocks}
    matrices = {b: (s * rng.standard_normal((m, n))).astype(dtype) for b, s in zip(blocks, shares, strict=True)}
    constant = (offset * rng.uniform(0.5, 2, m)).astype(dtype)
    packed, shift = {b: pack(a) for b, a in matrices.items()}, pack(constant)
    exact = {b: p.astype(np.float64) for b, p in point.items()}
    jacobian = {b: matrices[b].astype(float) * ELEMENTARY[kinds[b]][1](exact[b]) for b in blocks}

    def terms(p):
        return shift + sum(packed[b] @ ELEMENTARY[kinds[b]][0](xp, p[b]) for b in blocks)

    sizes = np.abs(constant) + sum(np.abs(matrices[b]) @ np.abs(ELEMENTARY[kinds[b]][0](np, exact[b])) for b in blocks)
    return Model(terms, point, jacobian, rounding=(U64 if dtype is np.float64 else U32) * sizes, dtype=dtype)


def network(rng, dtype=np.float64, xp=np, pack=None, shape=None):
    """y = V tanh(W x + b) over W (square) and b."""
    pack = pack or (lambda a: a)
    m, n = shape or (int(rng.integers(1, 7)), int(rng.integers(2, 7)))
    point = {"W": rng.standard_normal((n, n)).astype(dtype), "b": rng.standard_normal(n).astype(dtype)}
    v, x = rng.standard_normal((m, n)).astype(dtype), rng.standard_normal(n).astype(dtype)
    packed_v, packed_x = pack(v), pack(x)
    z = np.tanh(point["W"].astype(float) @ x.astype(float) + point["b"].astype(float))
    to_b = v.astype(float) * (1 - z * z)
    jacobian = {"W": (to_b[:, :, None] * x.astype(float)).reshape(m, n * n), "b": to_b}
    rounding = (U64 if dtype is np.float64 else U32) * (np.abs(v) @ np.ones(n))
    return Model(
        lambda p: packed_v @ xp.tanh(p["W"] @ packed_x + p["b"]), point, jacobian, rounding=rounding, dtype=dtype
    )


def product(rng, dtype=np.float64):
    """y = (A a)(B b), term by term."""
    m, n = int(rng.integers(1, 7)), int(rng.integers(1, 9))
    point = {b: rng.standard_normal(n).astype(dtype) for b in "ab"}
    A, B = (rng.standard_normal((m, n)).astype(dtype) for _ in range(2))
    a, b = (A.astype(float) @ point["a"].astype(float), B.astype(float) @ point["b"].astype(float))
    jacobian = {"a": b[:, None] * A.astype(float), "b": a[:, None] * B.astype(float)}
    sizes = (np.abs(A) @ np.abs(point["a"])) * (np.abs(B) @ np.abs(point["b"])).astype(float)
    u = U64 if dtype is np.float64 else U32
    return Model(lambda p: (A @ p["a"]) * (B @ p["b"]), point, jacobian, rounding=u * sizes, dtype=dtype)


def smooth(rng):
    return [separable, network, product][rng.integers(3)](rng)


def scales(rng):
    """Units among blocks and within them, up to sixteen orders of magnitude."""
    model = separable(rng)
    within = rng.random() < 0.5
    span = rng.uniform(1, 8)
    units = {b: log_uniform(rng, -span, span, p.size if within else 1) for b, p in model.point.items()}
    plain = model.terms
    model.terms = lambda p: plain({b: p[b] / units[b] for b in units})
    model.point = {b: p * units[b] for b, p in model.point.items()}
    model.jacobian = {b: j / units[b] for b, j in model.jacobian.items()}
    return model


def offsets(rng):
    return separable(rng, offset=log_uniform(rng, 1, 8))


def mp(function, x):
    """Return a derivative's formula, evaluated with 40 digits at each number."""
    with mpmath.workdps(40):
        return np.array([float(function(mpmath.mpf(float(v)))) for v in np.ravel(x)])


def cancellation(rng):
    """The formula's intermediate values are much larger than what comes out of it, or its arguments are."""
    n, m = int(rng.integers(1, 7)), int(rng.integers(1, 5))
    kind = ["versine", "logarithm", "softplus", "edge", "frequency"][rng.integers(5)]
    sign = rng.choice([-1.0, 1.0], n)
    if kind == "versine":
        x = sign * log_uniform(rng, -6, -2) * rng.uniform(0.5, 2, n)
        h, d = (
            (lambda x: (1 - np.cos(x)) / x**2),
            mp(lambda x: mpmath.sin(x) / x**2 - 2 * (1 - mpmath.cos(x)) / x**3, x),
        )
        rounding = U64 / x**2
    elif kind == "logarithm":
        x = log_uniform(rng, -8, -1) * rng.uniform(0.5, 2, n)
        h, d = (lambda x: np.log(1 + x) / x), mp(lambda x: 1 / (x * (1 + x)) - mpmath.log1p(x) / x**2, x)
        rounding = U64 / x
    elif kind == "softplus":
        x = rng.uniform(-38, -15) + rng.uniform(-1, 1, n)
        h, d = (lambda x: np.log(1 + np.exp(x))), 1 / (1 + np.exp(-x))
        rounding = np.full(n, U64)
    elif kind == "edge":
        x = sign * (1 - log_uniform(rng, -10, -3, n))
        h, d = (lambda x: np.sqrt(1 - x**2)), mp(lambda x: -x / mpmath.sqrt(1 - x * x), x)
        rounding = U64 / np.sqrt(1 - x * x)
    else:
        w = log_uniform(rng, 2, 6)
        x = rng.standard_normal(n)
        h, d = (lambda x: np.sin(w * x)), mp(lambda x: w * mpmath.cos(w * x), x)
        rounding = U64 * (1 + np.abs(w * x))
    A = rng.standard_normal((m, n))
    jacobian = {"a": A * d}
    return Model(lambda p: A @ h(p["a"]), {"a": x}, jacobian, rounding=np.abs(A) @ rounding, analytic=False)


def distances(rng, n):
    """How far n points are from their kinks: none, tiny, or small."""
    d = rng.choice([-1.0, 1.0], n) * log_uniform(rng, -14, -2, n)
    far = rng.random(n) < 0.4
    return np.where(far, rng.standard_normal(n), np.where(rng.random(n) < 0.2, 0.0, d))


def with_kinks(model, slopes, left, right, matrices, smooth_part):
    """Give a model its Jacobian A · slope, and its hull where a kink is near enough."""
    model.jacobian = {b: matrices[b] * slopes[b] + smooth_part[b] for b in slopes}
    ends = [{b: matrices[b] * side[b] + smooth_part[b] for b in slopes} for side in (left, right)]
    model.hull = (
        {b: np.minimum.reduce([ends[0][b], ends[1][b], model.jacobian[b]]) for b in slopes},
        {b: np.maximum.reduce([ends[0][b], ends[1][b], model.jacobian[b]]) for b in slopes},
    )
    model.analytic = False
    return model


def kinks(rng):
    """|x|, max(x, y), max(Wx + b, 0): at their kinks, 1e-14 to 1e-2 beside them, and far away."""
    m, n = int(rng.integers(1, 7)), int(rng.integers(2, 7))
    A, B = rng.standard_normal((m, n)), rng.standard_normal((m, n))
    kind = ["abs", "max", "relu"][rng.integers(3)]
    if kind == "abs":
        x = distances(rng, n)
        near = np.abs(x) < NEAR
        model = Model(lambda p: A @ np.abs(p["a"]) + B @ p["a"] ** 2, {"a": x}, {})
        s = np.sign(x)
        return with_kinks(
            model, {"a": s}, {"a": np.where(near, -1, s)}, {"a": np.where(near, 1, s)}, {"a": A}, {"a": 2 * B * x}
        )
    if kind == "max":
        y = rng.standard_normal(n)
        x = y + distances(rng, n)
        gap = x - y
        near = np.abs(gap) < NEAR
        first = np.where(gap > 0, 1.0, np.where(gap < 0, 0.0, 0.5))
        lo, hi = np.where(near, 0, first), np.where(near, 1, first)
        model = Model(lambda p: A @ np.maximum(p["a"], p["b"]) + B @ np.sin(p["a"]), {"a": x, "b": y}, {})
        smooth_part = {"a": B * np.cos(x), "b": np.zeros((m, n))}
        slopes = {"a": first, "b": 1 - first}
        return with_kinks(model, slopes, {"a": lo, "b": 1 - hi}, {"a": hi, "b": 1 - lo}, {"a": A, "b": A}, smooth_part)
    W, x = rng.standard_normal((n, n)), rng.standard_normal(n)
    target = distances(rng, n)
    bias = target - W @ x
    z = W @ x + bias  # what is really computed, rounding included
    near = np.abs(z) < NEAR
    s = (z > 0).astype(float)
    spread = lambda v: np.repeat(v, n)  # one slope for the whole row of W
    to_w = np.repeat(A, n, axis=1) * np.tile(x, n)
    zero = {"W": np.zeros_like(to_w), "b": np.zeros_like(A)}
    model = Model(lambda p: A @ np.maximum(p["W"] @ x + p["b"], 0), {"W": W, "b": bias}, {})
    lo, hi = np.where(near, 0, s), np.where(near, 1, s)
    return with_kinks(
        model,
        {"W": spread(s), "b": s},
        {"W": spread(lo), "b": lo},
        {"W": spread(hi), "b": hi},
        {"W": to_w, "b": A},
        zero,
    )


def knots(rng):
    """Tables: np.interp, whose derivative is the slope between two knots, and cubic splines; now and then at a knot."""
    m, n = int(rng.integers(1, 5)), int(rng.integers(1, 7))
    spacing = log_uniform(rng, -5, -1)
    A, x = rng.standard_normal((m, n)), rng.uniform(-2, 2, n)
    X = np.arange(-2.5, 2.5, spacing)
    Y = np.sin(X)
    if rng.random() < 0.3:
        spacing = max(spacing, 1e-3)
        X = np.arange(-2.5, 2.5, spacing)
        spline = interpolate.CubicSpline(X, np.sin(X))
        model = Model(lambda p: A @ spline(p["a"]), {"a": x}, {"a": A * spline(x, 1)}, analytic=False)
        model.other = {"a": A * np.cos(x)}
        return model
    if rng.random() < 0.15:
        x[0] = X[np.searchsorted(X, x[0])]
    i = np.searchsorted(X, x, side="right") - 1
    slope = lambda i: (Y[i + 1] - Y[i]) / (X[i + 1] - X[i])
    before = slope(np.where(x - X[i] < NEAR, i - 1, i))
    after = slope(np.where(X[i + 1] - x < NEAR, i + 1, i))
    model = Model(lambda p: A @ np.interp(p["a"], X, Y), {"a": x}, {})
    model = with_kinks(model, {"a": slope(i)}, {"a": before}, {"a": after}, {"a": A}, {"a": np.zeros((m, n))})
    model.other = {"a": A * np.cos(x)}  # the slope of what the table was made from: off by what the table is
    return model


def ripples(rng):
    """A ripple too small to see in the values, whose slope is in the claim or was left out."""
    model = separable(rng, shares=(1.0,), names=("sin", "tanh", "rational"))
    (n,) = model.point["a"].shape
    m = model.jacobian["a"].shape[0]
    w = log_uniform(rng, 3, 8)
    amplitude = max(log_uniform(rng, -6, -0.5) / w, 1e3 * U64 * m)
    direction, share = rng.standard_normal(n), rng.uniform(0.5, 2, m) * amplitude
    plain, phase = model.terms, float(direction @ model.point["a"])
    model.other = model.jacobian
    slope = mp(lambda t: w * mpmath.cos(w * t), phase)[0]
    model.jacobian = {"a": model.jacobian["a"] + np.outer(share, slope * direction)}
    model.terms = lambda p: plain(p) + share * np.sin(w * (p["a"] @ direction))
    model.rounding = model.rounding + share * w * U64 * abs(phase)
    model.doubt = w * U64 * 10  # the phase itself is rounded
    return model


def rounded(rng):
    """Values rounded to so many decimals (finer than a thousandth of them): the claim is of what was rounded."""
    model = [separable, network][rng.integers(2)](rng)
    digits = int(rng.integers(4, 13))
    model.after = lambda y: np.round(y, digits)
    model.grid = 10.0**-digits
    model.analytic = True
    return model


def staircases(rng):
    """Values that stand still and jump: neither their zero slope nor that of the ramp behind them can be proved."""
    model = separable(rng, shares=(1.0,))
    steps = log_uniform(rng, 1, 2)
    jacobian = model.jacobian
    if rng.random() < 0.4:
        steps = 16.0
        A, x = rng.standard_normal(jacobian["a"].shape), model.point["a"]
        model.terms, jacobian = (lambda p: A @ (np.round(steps * p["a"]) / steps)), {"a": A}
        model.point = {"a": x}
    else:
        # Ten to a hundred steps in what the terms come to: a thousand count as the rounding of a result.
        steps /= max(1.0, float(np.sum(np.abs(model.terms(model.point)))))
        model.after = lambda y: np.floor(steps * y) / steps
    model.jacobian = {b: np.zeros_like(j) for b, j in jacobian.items()}
    model.other, model.other_is_true, model.claims, model.analytic = jacobian, True, ("right", "other"), False
    model.never = {"right": frozenset({"CORRECT", "WRONG"}), "other": frozenset({"CORRECT"})}
    return model


def single(x):
    return np.asarray(x).astype(np.float32)


def low_precision(rng):
    """Float32 inside float64: one product, all of it, or the outputs alone; the claim exact, or in float32 too.

    Constants and the point are float32 numbers, so that the function that is computed is known exactly.
    """
    kind = ["product", "inside", "outputs"][rng.integers(3)]
    m, n = int(rng.integers(1, 7)), int(rng.integers(2, 7))
    V, x, W, b = (single(rng.standard_normal(s)).astype(float) for s in ((m, n), n, (n, n), n))
    z = np.tanh(W @ x + b)
    to_b = V * (1 - z * z)

    def terms(p):
        if kind == "product":
            hidden = np.tanh((single(p["W"]) @ single(x)).astype(float) + p["b"])
            return V @ hidden
        if kind == "inside":
            return (single(V) @ np.tanh(single(p["W"]) @ single(x) + single(p["b"]))).astype(float)
        return V @ np.tanh(p["W"] @ x + p["b"])

    jacobian = {"W": (to_b[:, :, None] * x).reshape(m, n * n), "b": to_b}
    model = Model(terms, {"W": W, "b": b}, jacobian, rounding=U32 * (np.abs(V) @ np.ones(n)), analytic=False)
    if kind == "outputs":
        model.after = lambda y: single(y).astype(float)
    model.single_claim = bool(rng.random() < 0.4)
    return model


NOISES = (
    "additive",
    "multiplicative",
    "uniform",
    "heavy",
    "quantised",
    "drifting",
    "hashed",
    "sampled",
    "solver",
    "summation",
)


def noise(rng):
    """Ten kinds of noise, of 1e-12 to 1e-2 of the values; the claim is of the value without it."""
    kind = NOISES[rng.integers(len(NOISES))]
    names = ("sin",) if kind == "sampled" else tuple(ELEMENTARY)
    model = separable(rng, names=names, shares=[(1.0,), (1.0, 1.0), (1.0, 0.01)][rng.integers(3)])
    if kind not in {"sampled", "solver"} and rng.random() < 0.3:
        model = network(rng)
    level = log_uniform(rng, -12, -2)
    e = np.random.default_rng(rng.integers(2**62))
    calls, model.analytic, plain = [0], False, model.terms

    def after(y):
        calls[0] += 1
        if kind == "additive":
            return y + level * e.standard_normal(y.shape)
        if kind == "multiplicative":
            return y * (1 + level * e.standard_normal(y.shape))
        if kind == "uniform":
            return y + level * e.uniform(-1, 1, y.shape)
        if kind == "heavy":
            return y + level * e.standard_t(1.5, y.shape)
        if kind == "quantised":  # dithered, as a measuring instrument does
            return level * np.round(y / level + e.uniform(-0.5, 0.5, y.shape))
        if kind == "drifting":
            return y + level * (0.1 * calls[0] + e.standard_normal(y.shape))
        if kind == "hashed":
            return y + level * np.random.default_rng(zlib.crc32(y.tobytes())).standard_normal(y.shape)
        return y

    model.after = after
    if kind == "sampled":  # E sin(x + s ξ) = exp(−s²/2) sin x, by 16 new samples a call
        s = min(level * 4, 1.0)

        def sampled(p):
            drawn = [{b: v + s * e.standard_normal(v.shape) for b, v in p.items()} for _ in range(16)]
            return sum(plain(d) for d in drawn) / 16

        model.terms, model.jacobian = sampled, {b: math.exp(-s * s / 2) * j for b, j in model.jacobian.items()}
    elif kind == "solver":  # y is found by bisection, within the level

        def solved(p):
            y = plain(p)
            low, high = -40.0 - 0 * y, 47.3 + 0 * y
            while np.max(high - low) > level:
                middle = (low + high) / 2
                low, high = np.where(middle < y, middle, low), np.where(middle < y, high, middle)
            return (low + high) / 2

        model.terms, model.grid = solved, level
    elif kind == "summation":  # float32 terms that cancel, in another order each time
        spread = single(e.standard_normal(200) * level / U32 / 14)

        def summed(p):
            order = e.permutation(200)
            return plain(p) + float(np.cumsum(spread[order])[-1] - np.float32(np.sum(spread, dtype=float)))

        model.terms = summed
    return model


def zero_claims(rng):
    """Blocks of shares down to 1e-16 of another's, claimed right, zero, with the other sign, thrice and reversed."""
    dtype = np.float32 if rng.random() < 0.4 else np.float64
    lowest = -8 if dtype is np.float32 else -16
    shares = (1.0, log_uniform(rng, lowest, 0)) if rng.random() < 0.7 else (1.0, *log_uniform(rng, lowest, 0, 2))
    model = separable(rng, dtype=dtype, shares=shares)
    model.claims = ("right", "small zero", "small zero", "small sign", "small thrice", "small factor", "all zero")
    if rng.random() < 0.2:
        level, e = log_uniform(rng, -8, -2), np.random.default_rng(rng.integers(2**62))
        model.after = lambda y: (y + level * e.standard_normal(y.shape)).astype(dtype)
        model.analytic = False
    return model


def not_exercised(rng):
    """The value never changes: a constant, a dead network, or (one block alone) a parameter that is not used."""
    kind = ["constant", "dead", "unused"][rng.integers(3)]
    if kind == "unused":
        model = separable(rng)
        plain, held = model.terms, model.point["b"].copy()
        model.terms = lambda p: plain({"a": p["a"], "b": held})
        model.jacobian["b"] = np.zeros_like(model.jacobian["b"])
        model.claims = ("right", "noisy zero")
        return model
    m, n = int(rng.integers(1, 5)), int(rng.integers(1, 7))
    A, c, x = rng.standard_normal((m, n)), rng.standard_normal(m), rng.standard_normal(n)
    point = {"a": x} if kind == "constant" else {"a": x, "b": -50 - rng.random(n)}
    terms = (
        (lambda p: c + 0.0) if kind == "constant" else (lambda p: c + A @ np.maximum(-(p["a"] ** 2) - p["b"] ** 2, 0))
    )
    model = Model(terms, point, {b: np.zeros((m, n)) for b in point}, analytic=False)
    model.claims = ("right", "noisy zero")
    model.never = {"right": frozenset({"CORRECT", "WRONG"})}
    return model


def zero_to_rounding(rng):
    """The derivative is zero and the value changes by rounding: sums of probabilities, v(1/x − x/x²), det of rank one."""
    kind = ["softmax", "quotient", "determinant"][rng.integers(3)]
    m = int(rng.integers(1, 4))
    if kind == "softmax":
        x = rng.standard_normal(int(rng.integers(2, 9)))
        c = rng.standard_normal(m)
        terms = lambda p: c * np.sum(np.exp(p["a"] - np.max(p["a"])) / np.sum(np.exp(p["a"] - np.max(p["a"]))))
        point, rounding = {"a": x}, U64 * np.abs(c) * x.size
    elif kind == "quotient":
        n = int(rng.integers(1, 7))
        x, v = rng.uniform(0.5, 3, n), rng.standard_normal(n)
        A = rng.standard_normal((m, n))
        terms = lambda p: A @ (p["b"] * (1 / p["a"] - p["a"] / p["a"] ** 2))
        point, rounding = {"a": x, "b": v}, U64 * (np.abs(A) @ np.abs(v / x))
    else:
        n = int(rng.integers(3, 5))
        matrix = np.outer(rng.integers(1, 9, n), rng.integers(1, 9, n)).astype(float)  # exactly of rank one
        c = rng.standard_normal(m)
        terms = lambda p: c * np.linalg.det(p["a"])
        point, rounding = {"a": matrix}, U64 * np.abs(c) * rms(matrix) ** n * n
    model = Model(terms, point, {b: np.zeros((m, p.size)) for b, p in point.items()}, rounding=rounding, analytic=False)
    model.claims = ("right", "rounding", "rounding", "noisy zero")
    return model


EDGES = {
    "log": (np.log, lambda x: 1 / x),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "power": (lambda x: x**1.5, lambda x: 1.5 * np.sqrt(x)),
    "sin": (np.sin, np.cos),
}


def bounds(rng):
    """Near or at the edge of the domain: NaN beyond it, or `check_scipy` with some or all coordinates at a bound."""
    m, n = int(rng.integers(1, 5)), int(rng.integers(1, 9))
    kind = list(EDGES)[rng.integers(len(EDGES))]
    h, d = EDGES[kind]
    A, c = rng.standard_normal((m, n)), rng.uniform(1, 2)
    x = log_uniform(rng, -12, 0, n) if kind in {"log", "sqrt"} else log_uniform(rng, -6, 0, n)
    at = rng.random(n) < rng.choice([0.0, 0.3, 1.0])
    if rng.random() < 0.5:
        x = rng.uniform(0.1, 2, n)
    model = Model(lambda p: A @ h(p["a"]) + c, {"a": x}, {"a": A * d(x)}, analytic=False)
    model.rounding = U64 * (np.abs(A) @ (np.abs(h(x)) + 1))
    if rng.random() < 0.5:
        low = np.where(at, x, 0.0)

        def check(function, claim, options):
            def kept(v):
                if np.any(v < low):
                    raise ValueError("outside the bounds")
                return function({"a": v})

            jac = claim["a"] if callable(claim["a"]) else (lambda v: claim["a"])
            return gradproof.check_scipy(kept, x, jac, bounds=optimize.Bounds(low, np.full(n, np.inf)), **options)

        model.check = check
    return model


def solvers(rng):
    """Values out of an iteration or an integrator that stops at a tolerance: the claim is the exact solution's slope.

    What is computed has a slope of its own, which differs by some tolerances: that much is D in doubt.
    """
    kind = ["fixed point", "mean field", "ODE"][rng.integers(3)]
    n, m = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    V = rng.standard_normal((m, n))
    tolerance = log_uniform(rng, -10, -6)
    if kind == "ODE":
        A = rng.standard_normal((n, n)) - 2 * np.eye(n)
        y0 = rng.standard_normal(n)

        def terms(p):
            options = {"rtol": tolerance, "atol": tolerance * 1e-2}
            return V @ integrate.solve_ivp(lambda t, y: A @ y, (0, 1), p["a"], t_eval=[1.0], **options).y[:, -1]

        model = Model(terms, {"a": y0}, {"a": V @ linalg.expm(A)}, grid=tolerance, analytic=False)
        model.doubt = 1e4 * tolerance
        return model
    A = rng.standard_normal((n, n))
    A = (A + A.T) / 2
    A *= rng.uniform(0.2, 0.8) / np.linalg.norm(A, 2)
    theta = rng.standard_normal(n)

    def fixed(t, stop):
        z = 0 * t
        for _ in range(2000):
            new = np.tanh(A @ z + t)
            if np.max(np.abs(new - z)) < stop:
                return new
            z = new
        return z

    exact = fixed(theta, 1e-16)
    slope = np.linalg.solve(np.eye(n) - (1 - exact**2)[:, None] * A, np.diag(1 - exact**2))
    if kind == "fixed point":
        model = Model(lambda p: V @ fixed(p["a"], tolerance), {"a": theta}, {"a": V @ slope}, analytic=False)
    else:  # the free energy is stationary in z: its slope is −z
        scale = rng.uniform(0.5, 2, m)

        def energy(p):
            z = fixed(p["a"], tolerance)
            entropy = -np.sum((1 + z) / 2 * np.log((1 + z) / 2) + (1 - z) / 2 * np.log((1 - z) / 2))
            return scale * (-z @ A @ z / 2 - p["a"] @ z - entropy)

        model = Model(energy, {"a": theta}, {"a": -np.outer(scale, exact)}, analytic=False)
    model.grid, model.doubt = tolerance, 1e3 * tolerance
    return model


OPTIMISERS = ("BFGS", "L-BFGS-B", "CG", "TNC", "SLSQP")


def optimum(rng):
    """A logistic regression where an optimiser left it; its gradient by 30 digits, and what the same code gives."""
    n, m = int(rng.integers(2, 6)), int(rng.integers(30, 60))
    A, ridge = rng.standard_normal((m, n)), log_uniform(rng, -2, 0)
    y = np.where(rng.random(m) > 0.5, 1.0, -1.0)
    cost = lambda w: np.sum(np.logaddexp(0, -y * (A @ w))) + ridge / 2 * w @ w
    gradient = lambda w: -A.T @ (y / (1 + np.exp(y * (A @ w)))) + ridge * w
    w = optimize.minimize(cost, np.zeros(n), jac=gradient, method=OPTIMISERS[rng.integers(5)]).x
    with mpmath.workdps(30):
        exact = [ridge * mpmath.mpf(v) for v in w]
        for row, label in zip(A, y, strict=True):
            margin = mpmath.fsum(mpmath.mpf(a) * mpmath.mpf(v) for a, v in zip(row, w, strict=True)) * label
            weight = label / (1 + mpmath.exp(margin))
            exact = [g - weight * mpmath.mpf(a) for g, a in zip(exact, row, strict=True)]
        exact = np.array([[float(g) for g in exact]])
    model = Model(lambda p: np.array([cost(p["a"])]), {"a": w}, {"a": exact}, cost_only=True, analytic=False)
    model.rounding = U64 * np.array([abs(cost(w)) + m])
    model.other = {"a": gradient(w)[None]}  # right but for its own rounding, which its D measures
    model.claims = ("right", "other", "other", "factor", "sign", "entry", "forgotten")
    return model


def arctan2(rng):
    """Angles near ±π, some of them at the jump."""
    m, n = int(rng.integers(1, 5)), int(rng.integers(1, 6))
    A = rng.standard_normal((m, n))
    y, x = distances(rng, n), -rng.uniform(0.2, 2, n)
    far = rng.random(n) < 0.3
    y, x = np.where(far, rng.standard_normal(n), y), np.where(far, rng.standard_normal(n), x)
    r = x * x + y * y
    model = Model(lambda p: A @ np.arctan2(p["a"], p["b"]), {"a": y, "b": x}, {"a": A * x / r, "b": -A * y / r})
    model.analytic = False
    model.rounding = U64 * (np.abs(A) @ np.full(n, math.pi))
    return model


def float32(rng):
    """NumPy float32: smooth, products, networks, offsets."""
    if rng.random() < 0.25:
        return separable(rng, dtype=np.float32, offset=log_uniform(rng, 0, 4))
    return [separable, network, product][rng.integers(3)](rng, dtype=np.float32)


def torch_float32(rng):
    """PyTorch float32, by tensors and by modules; half and bfloat16 inside, as autocast has it."""
    import torch

    torch.set_num_threads(1)
    pack = lambda a: torch.from_numpy(np.ascontiguousarray(a))
    inside = [None, None, torch.float16, torch.bfloat16][rng.integers(4)]
    if inside is None:
        model = [separable, network][rng.integers(2)](rng, dtype=np.float32, xp=torch, pack=pack)
    else:  # everything representable in it, so that the function that is computed is known exactly
        m, n = int(rng.integers(1, 7)), int(rng.integers(2, 7))
        draw = lambda *s: pack(rng.standard_normal(s)).to(inside).float()
        V, x, W, b = draw(m, n), draw(n), draw(n, n), draw(n)
        rounded = (W.to(inside) @ x.to(inside)).double() + b.double()  # where the slopes of what follows are taken
        to_b = V.numpy().astype(float) * (1 - np.tanh(rounded.numpy()) ** 2)
        jacobian = {"W": (to_b[:, :, None] * x.numpy().astype(float)).reshape(m, n * n), "b": to_b}
        u = 2.0**-11 if inside is torch.float16 else 2.0**-8
        model = Model(
            lambda p: V @ torch.tanh((p["W"].to(inside) @ x.to(inside)).float() + p["b"]),
            {"W": W.numpy(), "b": b.numpy()},
            jacobian,
            rounding=u * (np.abs(V.numpy()) @ np.ones(n)),
        )
    model.dtype, model.pack, model.analytic = np.float32, pack, False
    if rng.random() < 0.4:
        model.cost_only = True

        def check(function, claim, options):
            module = torch.nn.ParameterDict({b: torch.nn.Parameter(pack(p)) for b, p in model.point.items()})
            return gradproof.torch.check_module(module, function, claimed=claim, **options)

        model.check = check
    return model


def jax_float32(rng):
    """JAX float32, in two shapes only: each new one is compiled."""
    import jax.numpy as jnp

    shape = [(1, 3), (3, 5)][rng.integers(2)]
    model = [separable, network][rng.integers(2)](rng, dtype=np.float32, xp=jnp, pack=jnp.asarray, shape=shape)
    model.pack, model.analytic = jnp.asarray, False
    return model


FAMILIES: dict[str, Callable[[np.random.Generator], Model]] = {
    "smooth": smooth,
    "scales": scales,
    "offsets": offsets,
    "cancellation": cancellation,
    "kinks": kinks,
    "knots": knots,
    "ripples": ripples,
    "rounded": rounded,
    "staircases": staircases,
    "low precision": low_precision,
    "noise": noise,
    "zero claims": zero_claims,
    "not exercised": not_exercised,
    "zero to rounding": zero_to_rounding,
    "bounds": bounds,
    "solvers": solvers,
    "optimum": optimum,
    "arctan2": arctan2,
    "float32": float32,
    "torch float32": torch_float32,
    "jax float32": jax_float32,
}
SINGLE = ("float32", "torch float32", "jax float32")
PART = {"jax float32": 0.25}
"""Share of the seeds that a family gets where a problem takes long (compilation)."""

# ---- claims

CLAIMS = ("right",) * 8 + ("factor",) * 4 + ("sign", "entry", "entry", "forgotten", "swapped", "missing", "transposed")


def spoil(kind: str, model: Model, rng) -> Blocks:
    """Return the claim of every term."""
    claimed = {b: j.copy() for b, j in model.jacobian.items()}
    names = list(claimed)
    chosen = names[rng.integers(len(names))]
    block = claimed[chosen]
    small = names[1:] or names
    if kind == "other":
        claimed = {b: j.copy() for b, j in model.other.items()}
    elif kind == "factor":
        factor = 1 + rng.choice([-1.0, 1.0]) * log_uniform(rng, -9, 0)
        for b in [chosen] if rng.random() < 0.5 else names:
            claimed[b] *= factor
    elif kind == "sign":
        block *= -1
    elif kind == "forgotten":
        block *= 0
    elif kind == "entry":
        i = tuple(int(rng.integers(s)) for s in block.shape)
        block[i] += rng.choice([-1.0, 1.0]) * log_uniform(rng, -6, 1) * (abs(block[i]) or rms(block))
    elif kind == "swapped":
        twins = [b for b in names if b != chosen and claimed[b].shape == block.shape]
        if twins:
            claimed[chosen], claimed[twins[0]] = claimed[twins[0]], block
        else:
            claimed[chosen] = np.roll(block, 1, axis=1)
    elif kind == "missing":
        i = int(rng.integers(block.shape[0]))
        for b in names:
            claimed[b][i] = 0
    elif kind == "transposed":
        shape = model.point[chosen].shape
        square = len(shape) == 2 and shape[0] == shape[1]
        claimed[chosen] = (
            block.reshape(-1, *shape).transpose(0, 2, 1).reshape(block.shape) if square else block[:, ::-1].copy()
        )
    elif kind == "small zero":
        for b in small:
            claimed[b] *= 0
    elif kind == "all zero":
        for b in names:
            claimed[b] *= 0
    elif kind in {"small sign", "small thrice", "small factor"}:
        factor = {"sign": -1.0, "thrice": -3.0, "factor": 1 + log_uniform(rng, -9, 0)}[kind.split()[1]]
        claimed[small[0]] *= factor
    elif kind == "noisy zero":
        claimed[chosen] += log_uniform(rng, -6, 0) * rng.standard_normal(block.shape)
    elif kind == "rounding":
        claimed[chosen] += model.rounding[:, None] * rng.standard_normal(block.shape) / rms(model.point[chosen])
    return claimed


def own_scales(point: Blocks) -> dict[str, float]:
    whole = rms(np.concatenate([np.ravel(p) for p in point.values()])) or 1.0
    own = {b: rms(p) for b, p in point.items()}
    return {b: s if s >= whole / 10 else (s or whole) for b, s in own.items()}


def problem(family: str, seed: int) -> Problem:
    """Build the problem of a family and a seed: the same one every time."""
    rng = np.random.default_rng([seed, zlib.crc32(family.encode())])
    with np.errstate(all="ignore"):
        model = FAMILIES[family](rng)
    count = len(next(iter(model.jacobian.values())))
    kinds = model.claims or (CLAIMS + (("other",) * 4 if model.other is not None else ()))
    kind = kinds[rng.integers(len(kinds))]
    claimed = spoil(kind, model, rng)
    verb = "check_gradient" if model.cost_only else ["check_gradient", "check_vjp", "check_jvp", "check_jacobian"][
        rng.choice(4, p=[0.5, 1 / 6, 1 / 6, 1 / 6])
    ]  # fmt: skip
    if model.check is not None and verb != "check_gradient":
        verb = "check_jacobian"
    weights = rng.choice([-1.0, 1.0], count) * rng.uniform(0.5, 2, count)
    if model.dtype is np.float32:
        weights = single(weights).astype(float)
    truths = [(model.jacobian, model.jacobian)]
    if model.hull is not None:
        truths.append(model.hull)
    if model.other_is_true:
        truths.append((model.other, model.other))
    never = model.never.get(kind, frozenset())
    with np.errstate(all="ignore"):
        rounding = model.rounding if model.rounding is not None else U64 * np.abs(model.terms(model.point))
    if verb == "check_gradient":
        scalar = lambda low, high: (
            {b: np.minimum(weights[:, None] * low[b], weights[:, None] * high[b]).sum(0, keepdims=True) for b in low},
            {b: np.maximum(weights[:, None] * low[b], weights[:, None] * high[b]).sum(0, keepdims=True) for b in low},
        )
        truths = [scalar(*truth) for truth in truths]
        claimed = {b: weights[None] @ c for b, c in claimed.items()}
        rounding = np.abs(weights) @ rounding
    elif "WRONG" in never:
        never = frozenset({"WRONG"})  # many outputs whose derivative is zero are what they are claimed to be
    if model.single_claim or model.dtype is np.float32:
        claimed = {b: single(c).astype(float) for b, c in claimed.items()}
    options = {
        "seed": int(rng.integers(2**31)),
        "strategy": ("auto", "certificate", "coordinates")[rng.choice(3, p=[0.6, 0.3, 0.1])],
    }
    return Problem(
        family=family,
        seed=seed,
        verb=verb,
        claim=kind,
        claimed=claimed,
        truths=truths,
        scales=own_scales(model.point),
        rounding=float(np.linalg.norm(rounding)) + model.grid,
        doubt=model.doubt,
        never=never,
        check=partial(run, model, verb, claimed, weights, options),
        model=model,
    )


def run(model: Model, verb: str, claimed: Blocks, weights: np.ndarray, options: dict[str, Any]) -> gradproof.Report:
    """Call the public function that the verb names."""
    dtype = np.float32 if model.single_claim else model.dtype
    pack = model.pack or np.asarray
    point = {b: pack(p) for b, p in model.point.items()}
    shapes = {b: p.shape for b, p in model.point.items()}
    after = model.after or (lambda y: y)
    factors = pack(weights.astype(model.dtype))

    def cost(p):
        value = (factors * model.terms(p)).sum()
        return value if model.pack else model.dtype(after(np.asarray(value)))

    def function(p):
        value = model.terms(p)
        return value if model.pack else np.asarray(after(value), dtype=model.dtype)

    def back(p, u):
        u = np.asarray(u).astype(dtype)
        return {b: pack((u @ c.astype(dtype)).reshape(shapes[b]).astype(model.dtype)) for b, c in claimed.items()}

    def forward(p, v):
        pushed = sum(c.astype(dtype) @ np.ravel(np.asarray(v[b])).astype(dtype) for b, c in claimed.items())
        return pack(pushed.astype(model.dtype))

    if verb == "check_gradient":
        gradient = {b: pack(c.reshape(shapes[b]).astype(model.dtype)) for b, c in claimed.items()}
        if model.check is not None:
            return model.check(cost, gradient, options)
        return gradproof.check_gradient(cost, point, gradient, **options)
    if verb == "check_jacobian":
        nested = {b: pack(c.reshape(-1, *shapes[b]).astype(model.dtype)) for b, c in claimed.items()}
        if model.check is not None:
            return model.check(function, nested, options)
        return gradproof.check_jacobian(function, nested, point, **options)
    if verb == "check_vjp":
        return gradproof.check_vjp(function, back, point, **options)
    return gradproof.check_jvp(function, forward, point, **options)


# ---- judging


def judge(given: Problem) -> Outcome:
    """Run a problem and hold the report against the truth and against itself."""
    outcome = Outcome(given.family, given.seed, given.verb, given.claim)
    started = time.perf_counter()
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = given.check()
            str(report)
    except gradproof.UsageError as error:
        if not given.never:  # where nothing can be proved, a refusal is an answer
            outcome.crash = f"{type(error).__name__}: {error}".splitlines()[0]
        return outcome
    except Exception as error:
        outcome.crash = f"{type(error).__name__}: {error}".splitlines()[0]
        return outcome
    finally:
        outcome.seconds = time.perf_counter() - started
    outcome.verdict, outcome.evaluations, outcome.strategy = report.verdict.name, report.evaluations, report.strategy
    outcome.reason = report.reason.name if report.reason else ""
    outcome.contradictions = tuple(contradictions(report))
    names = list(given.claimed)
    if len(report.blocks) != len(names):
        outcome.crash = f"{len(report.blocks)} blocks reported for {len(names)}"
        return outcome
    by_name = dict(zip(sorted(names), report.blocks, strict=True))
    excess = {"CORRECT": False, "WRONG": True}
    for name, block in by_name.items():
        differences = [given.difference(name, k) for k in range(len(given.truths))]
        size = max(np.linalg.norm(m) for m in (given.claimed[name], *(t[0][name] for t in given.truths)))
        roundings = float(size) * given.scales[name] / given.rounding if given.rounding else math.inf
        if min(differences) - given.doubt > block.tolerance and roundings > ROUNDINGS:
            excess["CORRECT"] = True
        wrong = max(differences) + given.doubt > block.tolerance and roundings > HIDDEN
        if wrong or single_entry(given, name, block.tolerance):
            excess["WRONG"] = False
        zero = marked_zero(report, block) or roundings <= ROUNDINGS
        low, high = block.difference.lower, block.difference.upper
        if not zero and not any(low - given.doubt - 1e-12 <= d <= high + given.doubt + 1e-12 for d in differences):
            outcome.off += 1
    outcome.right = all(given.difference(name, 0) <= RIGHT[given.model.dtype] for name in names)
    outcome.false = outcome.verdict in given.never or excess.get(outcome.verdict, False)
    return outcome


def single_entry(given: Problem, name: str, tolerance: float) -> bool:
    """Say whether an entry may be called wrong by itself."""
    claimed = given.claimed[name]
    for low, high in (given.truths[0],):
        true = np.clip(claimed, low[name], high[name])
        off = np.abs(claimed - true)
        relatively = off > tolerance * (np.abs(claimed) + np.abs(true))
        if np.any(relatively & (off > tolerance / 1000 * rms(true))):
            return True
    return False


def marked_zero(report: gradproof.Report, block: gradproof.BlockResult) -> bool:
    """Say whether the report tells that a block counts as zero."""
    named = any("is nothing beside" in note and block.name.split(" × ")[-1] in note for note in report.notes)
    return bool(getattr(block, "zero", False)) or 0 < math.prod(block.shape) == block.not_exercised or named


def contradictions(report: gradproof.Report) -> list[str]:
    """Return what on a page contradicts what else is on it."""
    found = []
    parts = [("the whole", report.difference), *((b.name, b.difference) for b in report.blocks)]
    for name, d in parts:
        if not d.lower <= d.estimate * (1 + 1e-9) + 1e-300 and not math.isnan(d.estimate):
            found.append(f"{name}: estimate {d.estimate:.3g} below lower {d.lower:.3g}")
        if d.estimate > d.upper * (1 + 1e-9):
            found.append(f"{name}: estimate {d.estimate:.3g} above upper {d.upper:.3g}")
    zero = [marked_zero(report, block) for block in report.blocks]
    if report.verdict is gradproof.Verdict.CORRECT:
        if not any(zero) and not report.difference.upper <= report.tolerance * (1 + 1e-9):
            found.append(f"CORRECT with upper {report.difference.upper:.3g} above {report.tolerance:.3g}")
        found += [
            f"CORRECT, {b.name}: upper {b.difference.upper:.3g} above {b.tolerance:.3g}"
            for b, nothing in zip(report.blocks, zero, strict=True)
            if not nothing and not b.difference.upper <= b.tolerance * (1 + 1e-9)
        ]
        found += [f"CORRECT, {b.name} is {b.verdict.name}" for b in report.blocks if b.verdict is not report.verdict]
    if report.verdict is gradproof.Verdict.WRONG:
        shown = [report.difference.lower > report.tolerance]
        shown += [b.difference.lower > b.tolerance for b in report.blocks]
        shown += [
            abs(c.claimed - c.numerical) - c.error_bar > report.tolerance * (abs(c.claimed) + abs(c.numerical))
            for c in report.coordinates
        ]
        if not any(shown):
            found.append("WRONG without a lower bound above the tolerance")
    listed = Counter((c.block, c.index) for c in report.coordinates)
    found += [f"{block}{list(index)} is listed {k} times" for (block, index), k in listed.items() if k > 1]
    return found


def judged(task: tuple[str, int]) -> Outcome:
    family, seed = task
    try:
        return judge(problem(family, seed))
    except Exception as error:  # a family's own mistake must not end the run unseen
        return Outcome(family, seed, "?", "?", crash=f"benchmark: {type(error).__name__}: {error}")


def outcomes(tasks: list[tuple[str, int]], jobs: int) -> list[Outcome]:
    if jobs == 1:
        return [judged(task) for task in tasks]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return list(pool.map(judged, tasks, chunksize=10))


# ---- the table

HEADINGS = (
    "family | problems | CORRECT | WRONG | INCONCLUSIVE | false CORRECT | false WRONG | right, undecided | off | "
    "contradictions | crashes | median calls | most"
)


def row(name: str, part: list[Outcome]) -> str:
    verdicts = Counter(o.verdict for o in part)
    false = Counter(o.verdict for o in part if o.false)
    right = [o for o in part if o.right]
    undecided = sum(o.verdict == "INCONCLUSIVE" for o in right)
    calls = [o.evaluations for o in part if o.verdict]
    cells = (
        name,
        len(part),
        *(verdicts[v] for v in ("CORRECT", "WRONG", "INCONCLUSIVE")),
        false["CORRECT"],
        false["WRONG"],
        f"{undecided} of {len(right)}",
        sum(o.off > 0 for o in part),
        sum(bool(o.contradictions) for o in part),
        sum(bool(o.crash) for o in part),
        f"{statistics.median(calls):g}" if calls else "–",
        max(calls, default=0),
    )
    return " | ".join(map(str, cells))


def table(done: list[Outcome]) -> str:
    families = [f for f in FAMILIES if any(o.family == f for o in done)]
    lines = [HEADINGS, "--- | " + " | ".join(["--:"] * 12)]
    lines += [row(f, [o for o in done if o.family == f]) for f in families]
    lines.append(row("**all**", done))
    return "\n".join(f"| {line} |" for line in lines)


def summary(done: list[Outcome]) -> str:
    """Return the figures that the project wants to reach."""
    plain = [o for o in done if o.family == "smooth" and o.right]
    low = [o for o in done if o.family in SINGLE and o.right]
    certified = [o.evaluations for o in plain if o.verdict == "CORRECT" and o.strategy == "certificate"]
    share = lambda part, verdict: f"{sum(o.verdict == verdict for o in part)} of {len(part)}"
    return "\n".join(
        [
            f"smooth right float64: {share(plain, 'CORRECT')} CORRECT",
            f"right float32: {share(low, 'INCONCLUSIVE')} INCONCLUSIVE",
            f"calls of a certificate: median {statistics.median(certified) if certified else '–'}",
            f"false verdicts: {sum(o.false for o in done)} of {len(done)}",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=2100, help="about how many, over all families")
    parser.add_argument("--seeds", default="0:", help="FROM:TO, the seeds taken of each family")
    parser.add_argument("--family", action="append", choices=list(FAMILIES))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", help="a file for every outcome")
    parser.add_argument("--assert", action="store_true", dest="must", help="exit with 1 on anything false")
    parser.add_argument("--show", action="store_true", help="say how each false verdict is reproduced")
    chosen = parser.parse_args()
    families = chosen.family or list(FAMILIES)
    first, _, end = chosen.seeds.partition(":")
    start = int(first or 0)
    stop = int(end) if end else start + math.ceil(chosen.problems / sum(PART.get(f, 1.0) for f in families))
    started = time.perf_counter()
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # of the processes to be started
        os.environ.setdefault(threads, "1")
    last = {f: start + math.ceil((stop - start) * PART.get(f, 1.0)) for f in families}
    done = outcomes([(f, s) for s in range(start, stop) for f in families if s < last[f]], chosen.jobs)
    print(table(done))
    print(f"\n{summary(done)}")
    print(f"seeds {start} to {stop - 1}; {time.perf_counter() - started:.0f} s on {chosen.jobs} processes")
    faults = [o for o in done if o.false or o.contradictions or o.crash]
    if chosen.show:
        for o in faults:
            what = [f"false {o.verdict}"] * o.false + list(o.contradictions) + [o.crash] * bool(o.crash)
            print(f"judge(problem({o.family!r}, {o.seed}))  # {o.verb}, {o.claim}: {'; '.join(what)}")
    if chosen.json:
        Path(chosen.json).write_text(json.dumps([asdict(o) for o in done], indent=1), encoding="utf-8")
    return int(chosen.must and bool(faults))


if __name__ == "__main__":
    sys.exit(main())
