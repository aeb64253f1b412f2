"""Every coordinate, against the classic loop: evaluations, time, and what `import gradproof` costs.

    python benchmarks/classic.py

Both sides run in turn (A B A B …), so that what else the machine does falls on both; the table shows medians of
the paired ratios and differences. "Slow cost" is the fixture's cost made to take at least a millisecond by repeating it.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from unittest import mock

import numpy as np
from rich.console import Console
from rich.table import Table

import gradproof
from gradproof import course

PAIRS = 15
SLOW_COST_SECONDS = 1e-3
IMPORTS = 15


def network(sizes, examples, seed):
    """Draw a three-layer network of given sizes and its correct gradient."""
    rng = np.random.default_rng(seed)
    parameters = {}
    for layer, (fan_in, size) in enumerate(pairwise(sizes), start=1):
        parameters[f"W{layer}"] = rng.standard_normal((size, fan_in)) / np.sqrt(fan_in)
        parameters[f"b{layer}"] = rng.standard_normal((size, 1))
    X, Y = rng.standard_normal((sizes[0], examples)), rng.integers(0, 2, (1, examples))
    return X, Y, parameters


def seconds(call):
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def pairs(X, Y, parameters, count):
    """Time the classic loop and the coordinates strategy in turn; the report is the last one."""
    _, cache = course.forward_propagation_n(X, Y, parameters)
    gradients = course.backward_propagation_n(X, Y, cache)

    def classic():
        return course.gradient_check_n(parameters, gradients, X, Y)

    def modern():
        return course.check(parameters, gradients, X, Y, strategy="coordinates", seed=0)

    classic()
    modern()
    times = []
    for _ in range(count):
        slow, _ = seconds(classic)
        fast, report = seconds(modern)
        times.append((slow, fast))
    return times, report


def slowed(forward, X, Y, parameters):
    """Repeat a forward pass until one call takes a millisecond: its value stays what it is."""
    once = statistics.median(seconds(lambda: forward(X, Y, parameters))[0] for _ in range(200))
    repeats = int(np.ceil(1.3 * SLOW_COST_SECONDS / once))

    def slow(X, Y, parameters):
        for _ in range(repeats - 1):
            forward(X, Y, parameters)
        return forward(X, Y, parameters)

    return slow, statistics.median(seconds(lambda: slow(X, Y, parameters))[0] for _ in range(50))


def import_seconds(statement):
    code = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)


def spread(values, scale, unit):
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9]) * scale
    return f"{middle:.2f}{unit} ({low:.2f} … {high:.2f})"


def main() -> int:
    table = Table("what", "measured", "aim", "met", title="strategy='coordinates' against gradient_check_n")
    met = []

    def row(what, measured, aim, condition):
        met.append(bool(condition))
        table.add_row(what, measured, aim, "yes" if condition else "NO")

    fixture = course.gradient_check_n_test_case()
    times, report = pairs(*fixture, PAIRS)
    size = sum(value.size for value in fixture[2].values())
    row(
        f"evaluations, fixture, N = {size}",
        str(report.evaluations),
        f"≤ {2 * size + 20}",
        report.evaluations <= 2 * size + 20,
    )
    row("verdict, fixture", report.verdict.name, "CORRECT", report.verdict is gradproof.Verdict.CORRECT)
    extra = [fast - slow for slow, fast in times]
    row("time − classic time, fixture", spread(extra, 1e3, " ms"), "≤ 10 ms", np.median(extra) <= 0.010)

    slow_forward, once = slowed(course.forward_propagation_n, *fixture)
    with mock.patch.object(course, "forward_propagation_n", slow_forward):
        times, _ = pairs(*fixture, PAIRS)
    ratios = [fast / slow for slow, fast in times]
    row(
        f"time / classic time, {once * 1e3:.1f} ms a call, N = {size}",
        spread(ratios, 1, ""),
        "≤ 1.5",
        np.median(ratios) <= 1.5,
    )

    larger = network((30, 16, 8, 1), 569, seed=0)
    size = sum(value.size for value in larger[2].values())
    slow_forward, once = slowed(course.forward_propagation_n, *larger)
    with mock.patch.object(course, "forward_propagation_n", slow_forward):
        times, report = pairs(*larger, 3)
    ratios = [fast / slow for slow, fast in times]
    row(f"evaluations, N = {size}", str(report.evaluations), f"≤ {2 * size + 20}", report.evaluations <= 2 * size + 20)
    row(f"verdict, N = {size}", report.verdict.name, "CORRECT", report.verdict is gradproof.Verdict.CORRECT)
    row(
        f"time / classic time, {once * 1e3:.1f} ms a call, N = {size}",
        spread(ratios, 1, ""),
        "≤ 1.5",
        np.median(ratios) <= 1.5,
    )

    import_seconds("import numpy, gradproof")
    extra = [import_seconds("import gradproof") - import_seconds("import numpy") for _ in range(IMPORTS)]
    row("import gradproof − import numpy", spread(extra, 1e3, " ms"), "≤ 100 ms", np.median(extra) <= 0.100)

    console = Console(width=110)
    console.print(table)
    console.print(
        f"medians (10 % … 90 %) of {PAIRS} pairs; Python {platform.python_version()}, NumPy {np.__version__}, "
        f"{os.cpu_count()} cores, {platform.machine()}"
    )
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
