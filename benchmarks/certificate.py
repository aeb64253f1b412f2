"""The certificate, the search and the diagnosis, measured.

    python benchmarks/certificate.py [evaluations] [memory] [located] [mutants] [promise] [--quick]

Without a name all five run. ``--quick`` takes fewer seeds and sizes, to see that everything still works.

evaluations   cost calls to certify D < 1e-7 at confidence 1 − 1e-6, for 1e2 … 1e7 parameters
memory        peak memory of a check beyond claim and point, in vectors of N
located       cost calls of the search for 1, 3, 10 wrong coordinates among a million
mutants       wrong gradients caught, placed and named; right ones passed
promise       share of false CORRECT where the error is just outside the tolerance and the confidence 0.9
"""

from __future__ import annotations

import math
import os
import platform
import re
import statistics
import sys
import time
import tracemalloc
from collections import Counter

import numpy as np
from rich.console import Console
from rich.table import Table

from gradproof import Verdict, check_gradient
from gradproof.testing import gallery, mutants

TOLERANCE = 1e-7
SIZES = (10**2, 10**3, 10**4, 10**5, 10**6, 10**7)
SEEDS = 20
SEEDS_OF_THE_LARGEST = 5
BATCH = 4
PROMISE_TRIALS = 20_000
GALLERY_SEEDS = 5


# --- problems of any size ---------------------------------------------------------------------------------------------


def network(size, seed, activation):
    """A network of two hidden layers of equal width with about `size` parameters, and its gradient."""
    rng = np.random.default_rng([seed, 1])
    width = max(3, round((math.sqrt(9 + 8 * (size - 1)) - 3) / 4))
    X, Y = rng.standard_normal((width, BATCH)), rng.standard_normal((1, BATCH))
    point = {}
    for layer, rows in ((1, width), (2, width), (3, 1)):
        point[f"W{layer}"] = rng.standard_normal((rows, width)) / math.sqrt(width)
        point[f"b{layer}"] = 0.1 * rng.standard_normal((rows, 1))
    apply = np.tanh if activation == "tanh" else lambda Z: np.maximum(Z, 0)
    slope = (lambda A: 1 - A**2) if activation == "tanh" else (lambda A: (A > 0).astype(float))

    def cost(p):
        A1 = apply(p["W1"] @ X + p["b1"])
        A2 = apply(p["W2"] @ A1 + p["b2"])
        return 0.5 * float(np.sum((p["W3"] @ A2 + p["b3"] - Y) ** 2)) / BATCH

    A1 = apply(point["W1"] @ X + point["b1"])
    A2 = apply(point["W2"] @ A1 + point["b2"])
    d3 = (point["W3"] @ A2 + point["b3"] - Y) / BATCH
    d2 = (point["W3"].T @ d3) * slope(A2)
    d1 = (point["W2"].T @ d2) * slope(A1)
    gradient = {}
    for layer, d, A in ((1, d1, X), (2, d2, A1), (3, d3, A2)):
        gradient[f"W{layer}"], gradient[f"b{layer}"] = d @ A.T, d.sum(axis=1, keepdims=True)
    return cost, point, gradient


def logistic(size, seed, _activation=""):
    rng = np.random.default_rng([seed, 2])
    X, y = rng.standard_normal((BATCH, size - 1)) / math.sqrt(size), np.sign(rng.standard_normal(BATCH))
    point = {"weights": rng.standard_normal(size - 1), "bias": np.array(0.1)}

    def cost(p):
        return float(np.mean(np.logaddexp(0, -y * (X @ p["weights"] + p["bias"]))))

    d = -y / (1 + np.exp(y * (X @ point["weights"] + point["bias"]))) / BATCH
    return cost, point, {"weights": d @ X, "bias": np.array(d.sum())}


def quadratic(size, seed):
    """A smooth cost of `size` parameters whose gradient is known in closed form."""
    rng = np.random.default_rng([seed, 3])
    weights, point = rng.random(size) + 0.5, {"w": rng.standard_normal(size)}

    def cost(p):
        return float(np.sum(weights * np.cos(p["w"]))) / math.sqrt(size)

    return cost, point, {"w": -weights * np.sin(point["w"]) / math.sqrt(size)}


# --- the tables -------------------------------------------------------------------------------------------------------


def evaluations(console, *, quick):
    table = Table(title="cost calls to certify D < 1e-7 at confidence 1 − 1e-6")
    for heading in ("problem", "parameters", "certified", "median", "95 %", "seconds"):
        table.add_column(heading, justify="left" if heading == "problem" else "right")
    for name, build in (("tanh", network), ("ReLU", network), ("logistic", logistic)):
        for size in SIZES[:4] if quick else SIZES:
            calls, verdicts, seconds, count = [], Counter(), [], 0
            for seed in range(3 if quick else SEEDS_OF_THE_LARGEST if size == SIZES[-1] else SEEDS):
                cost, point, gradient = build(size, seed, name)
                count = sum(block.size for block in point.values())
                start = time.perf_counter()
                report = check_gradient(cost, point, gradient, strategy="certificate", tolerance=TOLERANCE, seed=seed)
                seconds.append(time.perf_counter() - start)
                verdicts[report.verdict] += 1
                calls.append(report.evaluations)
            table.add_row(
                name,
                f"{count:,}",
                f"{verdicts[Verdict.CORRECT]}/{verdicts.total()}",
                f"{statistics.median(calls):g}",
                f"{np.quantile(calls, 0.95):g}",
                f"{statistics.median(seconds):.3g}",
            )
    console.print(table)


def memory(console, *, quick):
    table = Table(title="peak memory of a check beyond claim and point")
    for heading in ("parameters", "the claim is", "vectors of N"):
        table.add_column(heading, justify="right")
    cost, point, gradient = network(100, 0, "tanh")
    check_gradient(
        cost, point, {name: 2 * block for name, block in gradient.items()}, seed=0
    )  # imports are no part of it
    for size in (10**5,) if quick else (10**5, 10**6, 10**7):
        for what in ("right", "doubled", "wrong in one entry", "one block, wrong in one entry"):
            cost, point, gradient = quadratic(size, 0) if what.startswith("one block") else network(size, 0, "tanh")
            if what == "doubled":
                gradient["W2"] = 2 * gradient["W2"]
            elif what == "wrong in one entry":
                gradient["W2"][1, 2] *= -1
            elif what != "right":
                gradient["w"][12] = np.abs(gradient["w"]).max()
            count = sum(block.size for block in point.values())
            tracemalloc.start()
            check_gradient(cost, point, gradient, strategy="certificate", tolerance=TOLERANCE, seed=0)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            table.add_row(f"{count:,}", what, f"{peak / (8 * count):.2f}")
    console.print(table)


def located(console, *, quick):
    size = 10**4 if quick else 10**6
    table = Table(title=f"locating k wrong coordinates among {size:,}")
    for heading in (
        "k",
        "all found",
        "cost calls, median",
        "in the search",
        "lines of 4 calls",
        "allowed: 2·k·log₂(N/k)",
    ):
        table.add_column(heading, justify="right")
    for k in (1, 3, 10):
        found, calls, searching = 0, [], []
        seeds = range(2 if quick else 5)
        for seed in seeds:
            cost, point, gradient = quadratic(size, seed)
            rng = np.random.default_rng([seed, 4])
            places = sorted(int(i) for i in rng.choice(size, k, replace=False))
            gradient["w"][places] += 0.3 * np.abs(gradient["w"]).max()
            phases = Counter()

            def observer(event, phases=phases):
                phases[getattr(event, "phase", "")] += 1

            report = check_gradient(
                cost,
                point,
                gradient,
                strategy="certificate",
                tolerance=TOLERANCE,
                seed=seed,
                budget=20_000,
                observer=observer,
            )
            listed = {int(number) for d in report.diagnoses for number in re.findall(r"\d+", d.where)}
            found += set(places) <= listed | {one.index[0] for one in report.coordinates}
            calls.append(report.evaluations)
            searching.append(phases["search"])
        limit = 2 * k * math.log2(size / k)
        search = statistics.median(searching)
        row = (
            k,
            f"{found}/{len(seeds)}",
            f"{statistics.median(calls):g}",
            f"{search:g}",
            f"{search / 4:.0f}",
            f"{limit:.0f}",
        )
        table.add_row(*map(str, row))
    console.print(table)


def named(report, mutant):
    for diagnosis in report.diagnoses:
        if diagnosis.block in {*mutant.blocks, ""} or diagnosis.where in mutant.blocks:
            return diagnosis.cause is mutant.cause
    return False


def gallery_of_mutants(console, *, quick, failures=None):
    table = Table(title="wrong gradients of the gallery")
    for heading in (
        "problem",
        "mutants",
        "caught",
        "right blocks",
        "cause named",
        "cost calls, median",
        "false alarms",
    ):
        table.add_column(heading, justify="left" if heading == "problem" else "right")
    total = Counter()
    for number in range(len(gallery())):
        tally, calls, title = Counter(), [], ""
        for seed in range(1 if quick else GALLERY_SEEDS):
            problem = gallery(seed)[number]
            title = problem.name
            report = check_gradient(problem.cost, problem.point, problem.gradient, seed=seed)
            tally["right"] += 1
            tally["alarms"] += report.verdict is Verdict.WRONG
            tally["undecided"] += report.verdict is Verdict.INCONCLUSIVE
            if report.verdict is not Verdict.CORRECT and failures is not None:
                failures.append((title, seed, "the right gradient", report.verdict.name, "", ""))
            for mutant in mutants(problem.gradient, problem.point, seed=seed):
                report = check_gradient(problem.cost, problem.point, mutant.gradient, seed=seed)
                caught = report.verdict is Verdict.WRONG
                placed = caught and set(report.faulty) == set(mutant.blocks)
                right = placed and named(report, mutant)
                tally.update(mutants=1, caught=caught, placed=placed, named=right)
                calls.append(report.evaluations)
                if not right and failures is not None:
                    said = "; ".join(diagnosis.sentence for diagnosis in report.diagnoses)
                    failures.append((title, seed, mutant.name, report.verdict.name, report.faulty, said))
        total.update(tally)
        table.add_row(*_row(title, tally, f"{statistics.median(calls):g}"))
    table.add_section()
    table.add_row(*_row("all", total, ""))
    console.print(table)


def _row(title, tally, calls):
    made = tally["mutants"]
    shares = (f"{100 * tally[key] / made:.1f} %" for key in ("caught", "placed", "named"))
    alarms = f"{tally['alarms']}/{tally['right']}"
    if tally["undecided"]:
        alarms += f" (+{tally['undecided']} undecided)"
    return (title, str(made), *shares, calls, alarms)


def promise(console, *, quick):
    """Plant an error 3 % outside the tolerance, in one random direction; ask at confidence 0.9."""
    tolerance, confidence, trials = 1e-4, 0.9, 300 if quick else PROMISE_TRIALS
    verdicts = Counter()
    for seed in range(trials):
        rng = np.random.default_rng([seed, 5])
        point = rng.standard_normal(12)
        true = np.cos(point)
        size = float(np.linalg.norm(true))
        error = rng.standard_normal(12)
        error *= 2 * 1.03 * tolerance * size / np.linalg.norm(error)

        def cost(p):
            return float(np.sum(np.sin(p)))

        report = check_gradient(
            cost, point, true + error, strategy="certificate", tolerance=tolerance, confidence=confidence, seed=seed
        )
        verdicts[report.verdict.name] += 1
    share = verdicts["CORRECT"] / trials
    table = Table(title=f"the promise: D = 1.03 × tolerance, confidence {confidence}")
    for heading in ("trials", "false CORRECT", "share", "allowed", "WRONG", "INCONCLUSIVE"):
        table.add_column(heading, justify="right")
    counts = (verdicts["WRONG"], verdicts["INCONCLUSIVE"])
    table.add_row(f"{trials:,}", str(verdicts["CORRECT"]), f"{share:.4f}", f"{1 - confidence:.1f}", *map(str, counts))
    console.print(table)


TABLES = {
    "evaluations": evaluations,
    "memory": memory,
    "located": located,
    "mutants": gallery_of_mutants,
    "promise": promise,
}


def main(arguments):
    if set(arguments) - {*TABLES, "--quick"}:
        sys.exit(__doc__)
    console = Console(width=120)
    console.print(
        f"NumPy {np.__version__}, Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.machine()}"
    )
    quick = "--quick" in arguments
    for name in [argument for argument in arguments if argument in TABLES] or TABLES:
        TABLES[name](console, quick=quick)


if __name__ == "__main__":
    main(sys.argv[1:])
