"""A short form of `benchmarks/trust.py`: what is open today is named, and the list must shrink.

The whole benchmark is the measure; here are a few seeds of each family, those on which a fault was seen among them.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "trust.py"


def load():
    """Import the benchmark under a name of its own: dataclasses look their module up."""
    spec = importlib.util.spec_from_file_location("benchmark_of_trust", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


trust = load()

SEEDS = {
    "smooth": (4, 19, 32, 37),
    "scales": (3, 7, 11, 40, 65, 131, 168, 173, 3061, 3290),
    "offsets": (5, 6, 30, 42),
    "cancellation": (7, 12, 27, 33, 56, 151, 162, 232, 20065),
    "kinks": (2, 19, 36, 55, 112, 157, 173),
    "knots": (3, 9, 10, 66, 99, 170, 187, 206),
    "ripples": (5, 6, 7, 10, 14, 25, 40, 60, 98, 3087),
    "rounded": (3, 8, 22, 133, 141, 145, 174),
    "staircases": (3, 13, 20, 35, 38, 55, 84, 155),
    "low precision": (1, 3, 7, 109, 134, 196),
    "noise": (4, 23, 24, 37, 41, 192, 231),
    "zero claims": (3, 16, 20, 38, 88, 127, 232, 20060),
    "not exercised": (10, 32, 37, 39, 120, 149, 190),
    "zero to rounding": (2, 3, 4, 6, 135, 188, 200, 20207, 20280),
    "bounds": (2, 3, 35, 92, 244),
    "solvers": (7, 28, 34, 122),
    "optimum": (6, 7, 20, 188),
    "arctan2": (2, 4, 36, 145, 183),
    "float32": (4, 6, 32, 115),
    "torch float32": (1, 9, 29, 32, 37, 70, 84, 88, 93, 97, 188, 20065),
    "jax float32": (17, 39),
}
"""A few cheap seeds of each family."""

OPEN = {
    ("ripples", "verdict"): "a ripple shorter than the step is read through",
}
"""What is false today, by family and kind of fault, and why. An entry that shows nothing any more has to go."""

FAULTS = {
    "verdict": lambda outcome: outcome.false,
    "page": lambda outcome: bool(outcome.contradictions),
    "crash": lambda outcome: bool(outcome.crash),
}


@pytest.mark.parametrize("family", trust.FAMILIES)
def test_nothing_is_false_but_what_is_named_as_open(family):
    outcomes = [trust.judge(trust.problem(family, seed)) for seed in SEEDS[family]]
    for kind, shows in FAULTS.items():
        faulty = [(o.seed, o.verb, o.claim, o.verdict, *o.contradictions[:1], o.crash) for o in outcomes if shows(o)]
        if (family, kind) in OPEN:
            assert faulty, f"{family}, {kind}: nothing is false any more; take it out of OPEN"
        else:
            assert not faulty, faulty


def test_every_open_fault_is_of_a_family_and_has_its_reason():
    assert {family for family, _ in OPEN} <= set(trust.FAMILIES)
    assert {kind for _, kind in OPEN} <= set(FAULTS)
    assert all(OPEN.values())


def test_a_problem_is_determined_by_its_family_and_seed():
    for family in trust.FAMILIES:
        first, second = (trust.problem(family, 5) for _ in range(2))
        assert (first.verb, first.claim) == (second.verb, second.claim)
        for name, claimed in first.claimed.items():
            np.testing.assert_array_equal(claimed, second.claimed[name])


def complex_step(model):
    """Return the Jacobian of a model's terms, exact to rounding where they are analytic."""
    return {
        name: np.stack(
            [np.imag(model.terms(nudged(model.point, name, j, 1e-30j))) / 1e-30 for j in range(p.size)], axis=1
        )
        for name, p in model.point.items()
    }


def nudged(point, name, j, by):
    moved = {b: p.astype(complex if isinstance(by, complex) else float) for b, p in point.items()}
    moved[name].reshape(-1)[j] += by
    return moved


@pytest.mark.parametrize("family", ["smooth", "scales", "offsets", "ripples", "rounded", "zero claims", "float32"])
def test_the_truth_is_what_complex_steps_give(family):
    for seed in range(40):
        rng = np.random.default_rng([seed, 0x7472])
        model = trust.FAMILIES[family](rng)
        if not model.analytic or (family in {"float32", "zero claims"} and model.dtype is np.float32):
            continue  # float32 constants are exact, and the formulas those of float64
        for name, measured in complex_step(model).items():
            size = np.linalg.norm(measured) + np.linalg.norm(model.jacobian[name])
            off = np.linalg.norm(measured - model.jacobian[name])
            assert off <= (1e-13 + model.doubt) * size, (family, seed, name, off / size)


@pytest.mark.parametrize(
    "family", ["cancellation", "kinks", "knots", "low precision", "bounds", "arctan2", "solvers", "optimum", "float32"]
)
def test_the_truth_is_what_differences_give_at_some_step(family):
    """Of ten steps the best, which only someone who knows the answer can choose: nearly all entries must then agree.

    Left out are entries that rounding hides at a step of a hundredth, and those at a kink.
    """
    agree = []
    for seed in range(15):
        with np.errstate(all="ignore"):
            model = trust.FAMILIES[family](np.random.default_rng([seed, 0x7472]))
            for name, p in model.point.items():
                for j in range(min(p.size, 3)):
                    true, length = model.jacobian[name][:, j], abs(float(p.reshape(-1)[j])) or 1.0
                    slopes = [difference(model, name, j, length * 10.0**k) for k in range(-10, 0)]
                    best = np.nanmin(np.abs(np.array(slopes) - true), axis=0)
                    size = np.linalg.norm(model.jacobian[name], axis=1)
                    seen = np.ones(true.size, bool) if model.rounding is None else model.rounding < 1e-6 * length * size
                    smooth = seen if model.hull is None else seen & (model.hull[0][name] == model.hull[1][name])[:, j]
                    agree.extend((best <= 1e-3 * size)[smooth])
    assert len(agree) >= 30
    assert np.mean(agree) > 0.9, np.mean(agree)


def difference(model, name, j, step):
    low, high = (model.terms(nudged(model.point, name, j, s * step)) for s in (-1, 1))
    return (high - low).astype(float) / (2 * step)


def problem_with(family, claim, seeds=range(300)):
    return next(p for p in (trust.problem(family, seed) for seed in seeds) if p.claim == claim)


def test_the_judge_calls_a_verdict_false_that_is_the_opposite_of_the_truth():
    from dataclasses import replace

    from gradproof import Verdict

    for claim, verdict in (("right", Verdict.WRONG), ("sign", Verdict.CORRECT)):
        given = problem_with("smooth", claim)
        report = given.check()
        assert not trust.judge(given).false
        given.check = lambda report=report, verdict=verdict: replace(report, verdict=verdict)
        assert trust.judge(given).false


def test_a_page_with_a_bound_above_its_tolerance_contradicts_itself():
    from dataclasses import replace

    report = problem_with("smooth", "right").check()
    assert not trust.contradictions(report)
    block = report.blocks[0]
    above = replace(block, difference=replace(block.difference, upper=2 * block.tolerance))
    assert trust.contradictions(replace(report, blocks=(above, *report.blocks[1:])))
