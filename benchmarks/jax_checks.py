"""JAX's derivatives, right and wrong: gradproof beside `jax.test_util.check_grads` and `chex.assert_numerical_grads`.

    python benchmarks/jax_checks.py [detections] [times] [--quick] [--assert]

Without a name both run. ``--quick`` takes small sizes and one point each; ``--assert`` exits with 1 where a right
derivative is called wrong, or a mutant above every noise is missed.

detections  right derivatives and six mutants of them (custom_jvp, so that both modes are wrong) of four functions, from
            10 to 1,000,000 numbers, in float32 with x64 off and in float64: how many each tool rejects. A right one that
            is rejected is a false alarm. Of gradproof, what stays open is counted by itself.
times       seconds of a check of a right derivative, the function compiled and not, with JAX warm.
"""

from __future__ import annotations

import os
import platform
import sys
import time
import warnings
from collections import Counter

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads
from rich.console import Console
from rich.table import Table

import gradproof.jax

SIZES = (10, 1000, 100_000, 1_000_000)
POINTS = {10: 3, 1000: 3, 100_000: 1, 1_000_000: 1}
"""Points at which each is checked; at the larger sizes a check takes seconds."""
LARGE = 150
"""Budget for each mode at the larger sizes: enough for a verdict; to search for the mistake would take minutes."""
FUNCTIONS = {
    "sum of squares": lambda x: jnp.sum(x**2),
    "logsumexp": jax.nn.logsumexp,
    "sine": jnp.sin,
    "scan": lambda x: jax.lax.scan(lambda c, _: (jnp.tanh(1.1 * c) + x, None), x, length=10)[0],
}


def elementwise(factor):
    return lambda tangent: factor * tangent


def one_element(tangent):
    return jnp.asarray(tangent).at[tangent.size // 3].multiply(2.0)


MUTANTS = {
    "right": elementwise(1.0),
    "× 1.001": elementwise(1.001),
    "× 1.1": elementwise(1.1),
    "× 2": elementwise(2.0),
    "sign": elementwise(-1.0),
    "zero": elementwise(0.0),
    "one element × 2": one_element,
}


def mutant(function, alteration):
    """Return the function with a derivative J∘alteration in both modes."""

    @jax.custom_jvp
    def altered(x):
        return function(x)

    def rule(primals, tangents):
        (x,), (tangent,) = primals, tangents
        return jax.jvp(function, (x,), (alteration(tangent),))

    altered.defjvp(rule)
    return altered


def by_gradproof(function, x, seed):
    budget = LARGE if x.size > SIZES[1] else None
    return gradproof.jax.check(function, x, seed=seed, budget=budget).verdict.name


def by_peer(peer):
    def run(function, x, _):
        try:
            peer(function, x)
        except AssertionError:
            return "WRONG"
        return "CORRECT"

    return run


TOOLS = {
    "gradproof": by_gradproof,
    "check_grads, both": by_peer(lambda f, x: check_grads(f, (x,), 1)),
    "check_grads, rev": by_peer(lambda f, x: check_grads(f, (x,), 1, modes=("rev",))),
    "check_grads, fwd": by_peer(lambda f, x: check_grads(f, (x,), 1, modes=("fwd",))),
    "chex": by_peer(lambda f, x: chex.assert_numerical_grads(f, (x,), 1)),
}


def point(n, seed):
    return jnp.asarray(np.random.default_rng([seed, n]).standard_normal(n), dtype=jnp.result_type(float))


def detections(console, *, quick):
    """Count verdicts, and say which of gradproof's are false."""
    false = []
    for n in SIZES[:2] if quick else SIZES:
        table = Table(title=f"{n:,} numbers: rejected, of so many checks (gradproof: rejected + left open)")
        for heading in ("precision", "derivative", "checks", *TOOLS):
            table.add_column(heading, justify="left" if heading in {"precision", "derivative"} else "right")
        for wide in (False, True):
            with jax.enable_x64(wide):
                for name, alteration in MUTANTS.items():
                    found = {tool: Counter() for tool in TOOLS}
                    points = 1 if quick else POINTS[n]
                    for called, function in FUNCTIONS.items():
                        for seed in range(points):
                            altered, x = mutant(function, alteration), point(n, seed)
                            for tool, run in TOOLS.items():
                                verdict = run(altered, x, seed)
                                found[tool][verdict] += 1
                                if tool == "gradproof" and is_false(name, verdict, n, wide=wide):
                                    false.append(f"{called}, {name}, n = {n:,}, x64 {wide}: {verdict}")
                    kind = "float64" if wide else "float32"
                    cells = [shown(tool, counts) for tool, counts in found.items()]
                    table.add_row(kind, name, str(points * len(FUNCTIONS)), *cells)
                    jax.clear_caches()
            table.add_section()
        console.print(table)
    for sentence in false:
        console.print(f"not as promised: {sentence}")
    return not false


def shown(tool, counts):
    rejected = str(counts["WRONG"])
    return f"{rejected} + {counts['INCONCLUSIVE']}" if tool == "gradproof" and counts["INCONCLUSIVE"] else rejected


def is_false(name, verdict, n, *, wide):
    """Say whether a verdict breaks the promise: a mistake above the tolerance is never certified, a right one never wrong."""
    if name == "right":
        return verdict == "WRONG"
    size = {"× 1.001": 0.001 / 2.001, "one element × 2": 0.5 / np.sqrt(n)}.get(name, 1.0)
    return verdict == "CORRECT" and size > (1e-5 if wide else 1e-2)


def times(console, *, quick):
    """Time right derivatives; everything is called once before, so that imports and single operations are warm."""
    table = Table(title="seconds of a check of a right derivative, the second of two")
    headings = ("precision", "size", "function", "compiled", "not compiled", "as chosen", "check_grads", "chex")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in {"precision", "function"} else "right")
    runs = {
        "compiled": lambda f, x: gradproof.jax.check(f, x, seed=0, compile=True),
        "not compiled": lambda f, x: gradproof.jax.check(f, x, seed=0, compile=False),
        "as chosen": lambda f, x: gradproof.jax.check(f, x, seed=0),
        "check_grads": lambda f, x: by_peer(lambda f, x: check_grads(f, (x,), 1))(f, x, 0),
        "chex": lambda f, x: by_peer(lambda f, x: chex.assert_numerical_grads(f, (x,), 1))(f, x, 0),
    }
    for wide in (False, True):
        with jax.enable_x64(wide):
            for n in SIZES[:2] if quick else SIZES:
                for name, function in FUNCTIONS.items():
                    cells = []
                    for run in runs.values():
                        seconds = []
                        for _ in range(2):
                            started = time.perf_counter()
                            run(lambda x, f=function: f(x), point(n, 0))  # anew each time: what it compiles counts
                            seconds.append(time.perf_counter() - started)
                        cells.append(f"{seconds[-1]:.2f}")
                    table.add_row("float64" if wide else "float32", f"{n:,}", name, *cells)
                table.add_section()
    console.print(table)
    return True


TABLES = {"detections": detections, "times": times}


def main(arguments):
    if set(arguments) - {*TABLES, "--quick", "--assert"}:
        sys.exit(__doc__)
    warnings.simplefilter("ignore")
    console = Console(width=150)
    console.print(
        f"JAX {jax.__version__}, chex {chex.__version__}, NumPy {np.__version__}, Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.machine()}, {jax.default_backend()}"
    )
    chosen = [argument for argument in arguments if argument in TABLES] or list(TABLES)
    kept = [TABLES[name](console, quick="--quick" in arguments) for name in chosen]
    if "--assert" in arguments and not all(kept):
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
