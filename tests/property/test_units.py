"""Units do not matter, nor do names, their order, or how the parameters are cut into blocks.

A verdict and the causes named are about the gradient: multiplying the cost, measuring a parameter in other units,
renaming or reordering blocks changes nothing. Cutting blocks apart or joining them moves what the tolerance is applied
to; a right gradient is never WRONG for it, and a wrong one stays WRONG.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from gradproof import Report, Verdict, check_gradient

Gradient = dict[str, np.ndarray]


class Case(NamedTuple):
    """A smooth cost of a few named blocks, and its gradient."""

    cost: Callable[[Gradient], float]
    gradient: Callable[[Gradient], Gradient]
    point: Gradient


def tanh_network() -> Case:
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((12, 3)), rng.standard_normal(12)
    point = {"W": rng.standard_normal((3, 4)), "b": 0.3 * rng.standard_normal(4), "v": rng.standard_normal(4)}

    def cost(p):
        return float(np.mean((np.tanh(X @ p["W"] + p["b"]) @ p["v"] - Y) ** 2))

    def gradient(p):
        h = np.tanh(X @ p["W"] + p["b"])
        r = 2 * (h @ p["v"] - Y) / len(Y)
        back = np.outer(r, p["v"]) * (1 - h**2)
        return {"W": X.T @ back, "b": back.sum(0), "v": h.T @ r}

    return Case(cost, gradient, point)


def logistic_regression() -> Case:
    rng = np.random.default_rng(2)
    X, Y = rng.standard_normal((30, 5)), rng.integers(0, 2, 30)

    def margins(p):
        return (2 * Y - 1) * (X @ p["w"] + p["b"])

    def cost(p):
        return float(np.mean(np.logaddexp(0, -margins(p))) + 0.05 * p["w"] @ p["w"])

    def gradient(p):
        pull = -(2 * Y - 1) / (1 + np.exp(margins(p))) / len(Y)
        return {"w": X.T @ pull + 0.1 * p["w"], "b": np.array(pull.sum())}

    return Case(cost, gradient, {"w": rng.standard_normal(5), "b": np.array(0.4)})


def growth() -> Case:
    times = np.linspace(0, 2, 9)
    seen = 3.0 / (1 + 5 * np.exp(-1.7 * times)) + 0.1 * np.cos(7 * times)

    def parts(p):
        falling = np.exp(-p["rate"] * times)
        share = 1 / (1 + p["start"] * falling)
        return falling, share, p["capacity"] * share - seen

    def cost(p):
        return float(np.sum(parts(p)[2] ** 2))

    def gradient(p):
        falling, share, off = parts(p)
        common = 2 * off * p["capacity"] * share**2
        return {
            "capacity": np.array(2 * off @ share),
            "rate": np.array(common @ (p["start"] * times * falling)),
            "start": np.array(-common @ falling),
        }

    return Case(cost, gradient, {"capacity": np.array(2.5), "rate": np.array(1.3), "start": np.array(4.0)})


CASES = {"network": tanh_network(), "logistic": logistic_regression(), "growth": growth()}


def one_entry(value: np.ndarray) -> np.ndarray:
    """Return the array with its largest entry half again as large."""
    changed = np.array(value)
    changed.flat[np.argmax(np.abs(value))] *= 1.5
    return changed


MUTATIONS: dict[str, Callable[[np.ndarray], np.ndarray] | None] = {
    "none": None,
    "doubled": lambda value: 2 * value,
    "sign": lambda value: -value,
    "detached": np.zeros_like,
    "nearly": lambda value: value * (1 + 1e-4),
    "one entry": one_entry,
}


def mutated(case: Case, mutation: str, name: str) -> Gradient:
    claimed = case.gradient(case.point)
    change = MUTATIONS[mutation]
    return claimed if change is None else {**claimed, name: change(claimed[name])}


@st.composite
def checks(draw) -> tuple[Case, str, Gradient, str, int]:
    """Draw a case, a mutation, a claim, the block that it is wrong in, and a seed."""
    case = CASES[draw(st.sampled_from(sorted(CASES)))]
    mutation = draw(st.sampled_from(list(MUTATIONS)))
    name = draw(st.sampled_from(sorted(case.point)))
    return case, mutation, mutated(case, mutation, name), name, draw(st.integers(0, 5))


STRATEGIES = st.sampled_from(["auto", "certificate", "coordinates"])


def verdicts(report: Report) -> dict[str, Verdict]:
    return {block.name: block.verdict for block in report.blocks}


def causes(report: Report) -> set[tuple[str, str]]:
    return {(diagnosis.cause.name, diagnosis.block) for diagnosis in report.diagnoses}


def expected(case: Case, mutation: str, name: str) -> dict[str, Verdict]:
    return {b: Verdict.WRONG if b == name and mutation != "none" else Verdict.CORRECT for b in case.point}


@hypothesis.settings(max_examples=40)
@hypothesis.given(checks(), STRATEGIES)
def test_the_problems_are_judged_as_they_should_be(check, strategy):
    case, mutation, claimed, name, seed = check
    report = check_gradient(case.cost, case.point, claimed, strategy=strategy, seed=seed)
    assert verdicts(report) == expected(case, mutation, name)


@pytest.mark.parametrize("factor", [1e-12, 1e-6, 1e6, 1e12])
@hypothesis.settings(max_examples=25)
@hypothesis.given(checks(), STRATEGIES)
def test_multiplying_the_cost_changes_no_verdict_and_no_cause(factor, check, strategy):
    case, _, claimed, _, seed = check
    plain = check_gradient(case.cost, case.point, claimed, strategy=strategy, seed=seed)
    multiplied = check_gradient(
        lambda p: factor * case.cost(p),
        case.point,
        {name: factor * value for name, value in claimed.items()},
        strategy=strategy,
        seed=seed,
    )
    assert verdicts(multiplied) == verdicts(plain)
    assert causes(multiplied) == causes(plain)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
@hypothesis.settings(max_examples=25)
@hypothesis.given(checks(), STRATEGIES, st.data())
def test_measuring_a_parameter_in_other_units_changes_no_verdict_and_no_cause(unit, check, strategy, data):
    case, _, claimed, _, seed = check
    plain = check_gradient(case.cost, case.point, claimed, strategy=strategy, seed=seed)
    measured = data.draw(st.sampled_from(sorted(case.point)))
    other = check_gradient(
        lambda p: case.cost({**p, measured: p[measured] / unit}),
        {**case.point, measured: case.point[measured] * unit},
        {**claimed, measured: claimed[measured] / unit},
        strategy=strategy,
        seed=seed,
    )
    assert verdicts(other) == verdicts(plain)
    assert causes(other) == causes(plain)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
@hypothesis.settings(max_examples=15)
@hypothesis.given(checks(), STRATEGIES)
def test_measuring_everything_in_other_units_changes_no_verdict_and_no_cause(unit, check, strategy):
    case, _, claimed, _, seed = check
    plain = check_gradient(case.cost, case.point, claimed, strategy=strategy, seed=seed)
    other = check_gradient(
        lambda p: case.cost({name: value / unit for name, value in p.items()}),
        {name: value * unit for name, value in case.point.items()},
        {name: value / unit for name, value in claimed.items()},
        strategy=strategy,
        seed=seed,
    )
    assert verdicts(other) == verdicts(plain)
    assert causes(other) == causes(plain)


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8)


@hypothesis.settings(max_examples=40)
@hypothesis.given(checks(), STRATEGIES, st.data())
def test_renaming_blocks_changes_only_names(check, strategy, data):
    case, _, claimed, _, seed = check
    plain = check_gradient(case.cost, case.point, claimed, strategy=strategy, seed=seed)
    count = len(case.point)
    keys = data.draw(st.lists(NAMES, min_size=count, max_size=count, unique=True))
    key_of = dict(zip(case.point, keys, strict=True))
    renamed = check_gradient(
        lambda p: case.cost({name: p[key] for name, key in key_of.items()}),
        {key: case.point[name] for name, key in key_of.items()},
        {key: claimed[name] for name, key in key_of.items()},
        strategy=strategy,
        seed=seed,
    )
    assert [block.verdict for block in renamed.blocks] == [block.verdict for block in plain.blocks]
    assert [block.difference for block in renamed.blocks] == [block.difference for block in plain.blocks]
    assert [diagnosis.cause for diagnosis in renamed.diagnoses] == [diagnosis.cause for diagnosis in plain.diagnoses]
    assert Report.from_json(renamed.to_json()) == renamed
    str(renamed)


@hypothesis.settings(max_examples=40)
@hypothesis.given(checks(), STRATEGIES, st.data())
def test_reordering_blocks_changes_no_verdict_and_no_cause(check, strategy, data):
    case, _, claimed, _, seed = check
    plain = check_gradient(case.cost, case.point, claimed, strategy=strategy, seed=seed)
    order = data.draw(st.permutations(list(case.point)))
    reordered = check_gradient(
        case.cost,
        {name: case.point[name] for name in order},
        {name: claimed[name] for name in sorted(claimed)},
        strategy=strategy,
        seed=seed,
    )
    assert [block.name for block in reordered.blocks] == order
    assert verdicts(reordered) == verdicts(plain)
    assert causes(reordered) == causes(plain)


def flat(tree: Gradient) -> np.ndarray:
    return np.concatenate([value.reshape(-1) for value in tree.values()])


def unflat(values: np.ndarray, like: Gradient) -> Gradient:
    ends = np.cumsum([value.size for value in like.values()])
    parts = np.split(values, ends[:-1])
    return {name: part.reshape(like[name].shape) for (name, part) in zip(like, parts, strict=True)}


@hypothesis.settings(max_examples=40)
@hypothesis.given(checks(), STRATEGIES)
def test_joining_all_blocks_keeps_right_and_wrong_apart(check, strategy):
    case, mutation, claimed, _, seed = check
    report = check_gradient(
        lambda w: case.cost(unflat(w, case.point)), flat(case.point), flat(claimed), strategy=strategy, seed=seed
    )
    assert report.verdict is (Verdict.CORRECT if mutation == "none" else Verdict.WRONG)


@hypothesis.settings(max_examples=40)
@hypothesis.given(checks(), STRATEGIES, st.data())
def test_cutting_the_parameters_anywhere_keeps_right_and_wrong_apart(check, strategy, data):
    case, mutation, claimed, _, seed = check
    size = sum(value.size for value in case.point.values())
    cuts = sorted(data.draw(st.sets(st.integers(1, size - 1), max_size=min(size - 1, 6))))
    report = check_gradient(
        lambda pieces: case.cost(unflat(np.concatenate(pieces), case.point)),
        np.split(flat(case.point), cuts),
        np.split(flat(claimed), cuts),
        strategy=strategy,
        seed=seed,
    )
    if mutation == "none":
        assert report.verdict is not Verdict.WRONG
    else:
        assert report.verdict is Verdict.WRONG


@hypothesis.settings(max_examples=30)
@hypothesis.given(checks(), STRATEGIES)
def test_numbers_one_by_one_keep_right_and_wrong_apart(check, strategy):
    case, mutation, claimed, _, seed = check
    report = check_gradient(
        lambda numbers: case.cost(unflat(np.array(numbers), case.point)),
        [float(value) for value in flat(case.point)],
        [float(value) for value in flat(claimed)],
        strategy=strategy,
        seed=seed,
    )
    if mutation == "none":
        assert report.verdict is not Verdict.WRONG
    else:
        assert report.verdict is Verdict.WRONG
