"""Many single coordinates in one call of the cost: the same report, and serial evaluation wherever that is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradproof import Verdict, check_gradient, check_jacobian
from gradproof._evaluation import batches
from gradproof._evaluation.batches import Batches
from gradproof._evaluation.coordinate_lines import CoordinateLines
from gradproof._evaluation.engine import Engine
from gradproof._evaluation.lines import Line
from gradproof._evaluation.map_batches import MapBatches
from gradproof._numerics.noise import Pool
from gradproof._numerics.tables import shorten_mantissa, shorten_mantissas
from gradproof._problem.answers import OneNumber
from gradproof._problem.claims import GradientClaim
from gradproof._problem.problem import Problem
from gradproof._words.directions import Coordinate
from gradproof._words.events import Evaluated

torch = pytest.importorskip("torch")
adapter = pytest.importorskip("gradproof.adapters._torch")

WEIGHTS = torch.from_numpy(np.random.default_rng(1).standard_normal((7, 40)))


def sines(point):
    return torch.sin(WEIGHTS @ point).sum()


def network(point):
    hidden = torch.tanh(WEIGHTS.T @ point["inner"].T + point["bias"])
    return ((hidden @ point["outer"]) ** 2).mean()


def gradient(cost, point):
    if isinstance(point, dict):
        leaves = {name: leaf.clone().requires_grad_() for name, leaf in point.items()}
        found = torch.autograd.grad(cost(leaves), list(leaves.values()))
        return dict(zip(leaves, found, strict=True))
    leaf = point.clone().requires_grad_()
    return torch.autograd.grad(cost(leaf), leaf)[0]


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def layers():
    return {"inner": normal(30, 7), "bias": normal(30, seed=1), "outer": normal(30, seed=2)}


class Calls:
    """A cost that notes how it was called: at one point, or at many under a transformation."""

    def __init__(self, cost):
        self.cost, self.alone, self.together = cost, 0, 0

    def __call__(self, point):
        leaves = list(point.values()) if isinstance(point, dict) else [point]
        batched = any(isinstance(leaf, torch.Tensor) and torch._C._functorch.is_batchedtensor(leaf) for leaf in leaves)
        self.together += batched
        self.alone += not batched
        return self.cost(point)


def check(cost, point, claimed, **options):
    return check_gradient(cost, point, claimed, strategy="coordinates", seed=3, **options)


def serially(monkeypatch, *arguments, **options):
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "vectorized", lambda engine, block: None)
        return check(*arguments, **options)


# ------------------------------------------------------------------------------------------------ the same report
@pytest.mark.parametrize(("cost", "point"), [(sines, normal(40)), (network, layers())], ids=["sines", "network"])
@pytest.mark.parametrize("factor", [1.0, 1.01])
def test_the_report_is_that_of_serial_evaluation(monkeypatch, cost, point, factor):
    claimed = gradient(cost, point)
    claimed = {k: factor * g for k, g in claimed.items()} if isinstance(claimed, dict) else factor * claimed
    calls = Calls(cost)
    report, alone = check(calls, point, claimed), serially(monkeypatch, cost, point, claimed)
    assert calls.together > 0
    assert report.verdict is alone.verdict is (Verdict.CORRECT if factor == 1 else Verdict.WRONG)
    for ours, theirs in zip(report.blocks, alone.blocks, strict=True):
        assert (ours.verdict, ours.wrong_coordinates) == (theirs.verdict, theirs.wrong_coordinates)
        assert ours.difference.estimate == pytest.approx(theirs.difference.estimate, rel=1e-2, abs=1e-10)
        assert ours.difference.upper == pytest.approx(theirs.difference.upper, rel=0.5)
    # One of θ for each batch, and two for the trial of each block.
    assert alone.evaluations < report.evaluations <= alone.evaluations + 7 * len(report.blocks)
    assert [r.index for r in report.coordinates] == [r.index for r in alone.coordinates]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_lower_precisions_displace_by_what_they_represent(dtype):
    point = normal(100, dtype=getattr(torch, dtype)).abs() + 0.5
    problem = Problem(lambda x: (x.double() ** 2).sum(), point, 2 * point.double())
    engine = Engine(problem, OneNumber(problem))
    engine.evaluate_point()
    claim = GradientClaim(problem.claimed_values(problem.claimed))
    every, scales = np.arange(100), np.full(100, 0.7)
    lines = CoordinateLines(engine, claim, 0, every, scales, 1e-14)
    steps = np.tile([0.03, -0.03], (100, 1))
    together = lines(steps)
    one_by_one = [Line(engine, Coordinate(0, j, 0.7), claim) for j in range(100)]
    alone = np.array([[float(line.at(t)[0][0]) for t in (0.03, -0.03)] for line in one_by_one])
    assert together == pytest.approx(alone, abs=1e-12)
    assert lines.shortest == pytest.approx([line.shortest for line in one_by_one])
    lost = lines(np.full((100, 1), 1e-12))
    assert np.isnan(lost).all()
    assert "cannot be displaced" in engine.last_error


def test_coordinates_that_the_cost_does_not_use_are_counted(monkeypatch):
    point = normal(90)
    claimed = torch.where(torch.arange(90) < 50, 2 * point, torch.zeros(()))
    report = check(lambda x: (x[:50] ** 2).sum(), point, claimed)
    assert report.blocks[0].not_exercised == 40
    assert (
        report.blocks[0].not_exercised
        == serially(monkeypatch, lambda x: (x[:50] ** 2).sum(), point, claimed).blocks[0].not_exercised
    )


def test_what_the_cost_returns_beside_its_value_is_left_out():
    calls = Calls(lambda x: (sines(x), {"anything": 1}))
    assert check(calls, normal(40), gradient(sines, normal(40)), has_aux=True).verdict is Verdict.CORRECT
    assert calls.together > 0
    calls = Calls(lambda x: (sines(x), WEIGHTS.T @ torch.cos(WEIGHTS @ x)))
    assert check(calls, normal(40), claimed=True).verdict is Verdict.CORRECT
    assert calls.together > 0


def test_what_is_held_constant_may_be_of_any_type():
    point = {"x": normal(40), "labels": torch.arange(7), "rate": 0.5, "name": "seven"}

    def cost(p):
        assert p["name"] == "seven"
        return (torch.sin(WEIGHTS @ p["x"])[p["labels"]] * p["rate"]).sum()

    calls = Calls(cost)
    claimed = {**point, "x": 0.5 * gradient(sines, point["x"])}
    assert check(calls, point, claimed, only="x").verdict is Verdict.CORRECT
    assert calls.together > 0


def test_values_that_are_not_finite_are_failures_of_their_points(monkeypatch):
    point = torch.cat([normal(40).abs() + 0.1, torch.tensor([1e-9], dtype=torch.float64)])
    cost = lambda x: torch.log(x[:-1]).sum() + torch.sqrt(x[-1] - 1e-9)
    claimed = torch.cat([1 / point[:-1], torch.tensor([1.0], dtype=torch.float64)])
    calls = Calls(cost)
    report, alone = check(calls, point, claimed), serially(monkeypatch, cost, point, claimed)
    assert calls.together > 0
    assert (report.verdict, report.reason) == (alone.verdict, alone.reason)


@pytest.mark.parametrize("wrong", [0, 1234, 1999])
def test_one_wrong_coordinate_among_two_thousand_is_named(wrong):
    weights = normal(20, 2000)
    cost = lambda x: torch.sin(weights @ x.reshape(-1)).sum()
    point = normal(40, 50, seed=4)
    claimed = gradient(cost, point)
    claimed.view(-1)[wrong] *= 1.3
    report = check(cost, point, claimed)
    assert report.verdict is Verdict.WRONG
    assert [result.index for result in report.coordinates] == [divmod(wrong, 50)]


# ------------------------------------------------------------------------------------------------ refusals
class Stateful:
    """Differs from call to call, by far more than rounding."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return sines(x) + 1e-3 * math.sin(self.calls)


@pytest.mark.parametrize(
    "cost",
    [
        lambda x: sines(x) if float(x.sum()) > -1e9 else x.sum(),
        lambda x: torch.tensor(sines(x).item(), dtype=torch.float64),
        lambda x: float(sines(x)),
        lambda x: torch.from_numpy(np.asarray(np.sin(WEIGHTS.numpy() @ x.numpy()).sum())),
        lambda x: sines(x) + 0 * torch.rand(()),
    ],
    ids=["branch", "item", "float", "numpy", "random"],
)
def test_a_cost_that_cannot_be_batched_is_evaluated_serially(monkeypatch, cost):
    point = normal(40)
    claimed = gradient(sines, point)
    report, alone = check(cost, point, claimed), serially(monkeypatch, cost, point, claimed)
    assert report.verdict is alone.verdict is Verdict.CORRECT
    assert report.evaluations == alone.evaluations + 1
    assert report.difference == alone.difference
    assert report.notes == alone.notes


def test_a_cost_that_changes_from_call_to_call_is_no_more_wrong_than_serially():
    assert check(Stateful(), normal(40), gradient(sines, normal(40))).verdict is not Verdict.WRONG


def distorting(distorted):
    vectorized = adapter.TorchAdapter.vectorized

    def other(self, function, axes):
        run = vectorized(self, function, axes)
        return lambda leaves: distorted(run(leaves))

    return other


def test_sums_in_another_order_are_believed(monkeypatch):
    monkeypatch.setattr(adapter.TorchAdapter, "vectorized", distorting(lambda values: values + 1e-11))
    calls = Calls(sines)
    assert check(calls, normal(40), gradient(sines, normal(40))).verdict is Verdict.CORRECT
    assert calls.alone < 40


@pytest.mark.parametrize(
    "distorted",
    [
        lambda values: values + 1e-6,
        lambda values: values + 1e-11 * torch.arange(len(values)),
        lambda values: values[:1].expand(len(values)),
        lambda values: values.flip(0),
        lambda values: values[1:],
        lambda values: values.float(),
        lambda values: values[:, None],
        lambda values: torch.full_like(values, math.nan),
        lambda values: list(values),
    ],
)
def test_a_batch_of_other_values_is_not_believed(monkeypatch, distorted):
    point, claimed = normal(40), gradient(sines, normal(40))
    alone = serially(monkeypatch, sines, point, claimed)
    monkeypatch.setattr(adapter.TorchAdapter, "vectorized", distorting(distorted))
    report = check(sines, point, claimed)
    assert report.difference == alone.difference
    assert alone.evaluations < report.evaluations <= alone.evaluations + batches.FIRST + 3


@pytest.mark.parametrize("answer", ["none", "error", "missing"])
def test_an_adapter_without_batches_costs_nothing(monkeypatch, answer):
    point, claimed = normal(40), gradient(sines, normal(40))
    alone = serially(monkeypatch, sines, point, claimed)

    def refuse(self, function, axes):
        if answer == "error":
            raise RuntimeError("not this one")

    if answer == "missing":
        monkeypatch.delattr(adapter.TorchAdapter, "vectorized")
    else:
        monkeypatch.setattr(adapter.TorchAdapter, "vectorized", refuse)
    report = check(sines, point, claimed)
    assert (report.difference, report.evaluations) == (alone.difference, alone.evaluations)


# ------------------------------------------------------------------------------------------------ budget, memory
@pytest.mark.parametrize("budget", [12, 60, 88, 90, 95, 110, 500])
def test_the_budget_is_a_hard_limit(monkeypatch, budget):
    point, claimed = normal(40), gradient(sines, normal(40))
    calls = Calls(sines)
    report = check(calls, point, claimed, budget=budget)
    alone = serially(monkeypatch, sines, point, claimed, budget=budget)
    assert report.evaluations <= budget
    assert calls.alone <= budget
    assert (report.verdict, report.reason) == (alone.verdict, alone.reason)


def test_every_point_of_a_batch_is_an_evaluation():
    rows = []

    def cost(x):
        rows.append(torch._C._functorch.get_unwrapped(x).shape[0] if torch._C._functorch.is_batchedtensor(x) else 1)
        return sines(x)

    told = []
    report = check(cost, normal(40), gradient(sines, normal(40)), observer=told.append)
    assert sum(rows) == report.evaluations
    counts = [event.evaluations for event in told if isinstance(event, Evaluated)]
    assert counts == sorted(counts)


def test_nothing_of_the_users_is_written():
    point, claimed = layers(), gradient(network, layers())
    kept = [leaf.clone() for leaf in (*point.values(), *claimed.values())]
    seen = []

    def cost(p):
        seen.append({leaf.data_ptr() for leaf in p.values() if not torch._C._functorch.is_batchedtensor(leaf)})
        return network(p)

    check(cost, point, claimed)
    assert all(torch.equal(one, two) for one, two in zip(kept, (*point.values(), *claimed.values()), strict=True))
    assert not set.union(*seen) & {leaf.data_ptr() for leaf in point.values()}


def test_a_cost_that_writes_into_a_batch_is_not_believed():
    def cost(x):
        if torch._C._functorch.is_batchedtensor(x):
            x.mul_(1.0 + 1e-9)
        return sines(x)

    problem = Problem(cost, normal(40), gradient(sines, normal(40)))
    engine = Engine(problem, OneNumber(problem))
    engine.evaluate_point()
    claim = GradientClaim(problem.claimed_values(problem.claimed))
    lines = CoordinateLines(engine, claim, 0, np.arange(40), np.ones(40), 1e-16)
    assert lines(np.full((40, 2), 1e-5)) is None
    assert engine.vectorized(0) is None


def test_batches_grow_as_far_as_the_memory_that_they_take_allows(monkeypatch):
    taken = [0.0]
    monkeypatch.setattr(batches, "_peak", lambda: taken[0])

    def widths(bytes_each, points=10_000):
        taken[0], found = 0.0, []
        for part in Batches(np.zeros(40), None).parts(np.arange(points)):
            taken[0] = max(taken[0], bytes_each * part.size)
            found.append(part.size)
        assert sum(found) == points
        return found

    free = widths(0)
    assert free[:2] == [32, 256]
    assert max(free) > 1000
    greedy = widths(2 * 2**20)
    assert max(greedy) <= 64
    assert len(set(free[2:])) <= 3  # a framework that compiles does so for each width
    taken[0] = 0.0
    heavy = Batches(np.zeros(40), None)
    for part in heavy.parts(np.arange(10_000)):
        taken[0] += 2**23 * part.size
    assert not heavy.worthwhile
    assert part.size == batches.FIRST


def test_a_cost_that_takes_much_memory_is_evaluated_serially(monkeypatch):
    taken = [0.0]

    def peak():
        taken[0] += 2.0**30
        return taken[0]

    point, claimed = normal(40), gradient(sines, normal(40))
    alone = serially(monkeypatch, sines, point, claimed)
    monkeypatch.setattr(batches, "_peak", peak)
    report = check(sines, point, claimed)
    assert report.difference == alone.difference
    assert report.evaluations == alone.evaluations + batches.FIRST + 3


# ------------------------------------------------------------------------------------------------ many at once
def test_the_noise_of_many_values_is_that_of_each():
    pool = Pool()
    floors = np.array([0.0, 1e-18, 1e-16, 1e-13, 1.0])
    for reading in [None, (1e-16, 3.0, 1e-16), (1e-9, 5.0, 1e-16), (3e-15, 1.0, 1e-15), (0.0, 4.0, 0.0)]:
        if reading is not None:
            pool.readings.append(reading)
        assert pool.levels(floors) == pytest.approx([pool.level(floor)[0] for floor in floors], rel=1e-12)
    pool.extra = 1e-8
    assert pool.levels(floors) == pytest.approx([pool.level(floor)[0] for floor in floors], rel=1e-12)


def test_many_steps_are_shortened_like_each():
    steps = np.random.default_rng(0).standard_normal(200) * 10.0 ** np.arange(-100, 100)
    assert shorten_mantissas(steps).tolist() == [shorten_mantissa(step) for step in steps]


# ------------------------------------------------------------------------------------------------ many outputs
def waves(point):
    hidden = torch.tanh(WEIGHTS @ point["x"])
    return {"hidden": hidden, "energy": (hidden**2).sum() * point["y"].sum()}


def waves_and_jacobian():
    point = {"x": 0.3 * normal(40), "y": normal(35, seed=1)}
    return point, torch.func.jacrev(waves)(point)


def check_matrix(function, claimed, point, **options):
    return check_jacobian(function, claimed, point, strategy="coordinates", seed=3, **options)


def one_by_one(monkeypatch, *arguments, **options):
    with monkeypatch.context() as patch:
        patch.setattr(MapBatches, "pairs", lambda *_: None)
        return check_matrix(*arguments, **options)


def test_columns_in_batches_are_certified_by_two_values_each(monkeypatch):
    point, claimed = waves_and_jacobian()
    calls = Calls(waves)
    report, alone = check_matrix(calls, claimed, point), one_by_one(monkeypatch, waves, claimed, point)
    assert calls.together > 0
    assert report.verdict is alone.verdict is Verdict.CORRECT
    assert report.evaluations < 0.6 * alone.evaluations
    for ours, theirs in zip(report.blocks, alone.blocks, strict=True):
        assert (ours.name, ours.verdict) == (theirs.name, theirs.verdict)
        assert ours.difference.upper < 1e-7


@pytest.mark.parametrize("wrong", [(3, 17), (0, 0), (6, 39)])
def test_a_wrong_entry_is_named_though_its_column_was_measured_in_a_batch(wrong):
    point, claimed = waves_and_jacobian()
    claimed["hidden"]["x"][wrong] *= 1.01
    report = check_matrix(waves, claimed, point)
    assert report.verdict is Verdict.WRONG
    assert [block.name for block in report.blocks if block.verdict is Verdict.WRONG] == ["hidden × x"]
    assert str(list(wrong)) in str(report)


def test_a_matrix_that_is_wrong_throughout_is_called_so(monkeypatch):
    point, claimed = waves_and_jacobian()
    claimed["hidden"]["x"] *= 1.001
    report, alone = check_matrix(waves, claimed, point), one_by_one(monkeypatch, waves, claimed, point)
    assert report.verdict is alone.verdict is Verdict.WRONG
    assert [b.verdict for b in report.blocks] == [b.verdict for b in alone.blocks]


@pytest.mark.parametrize(
    "function",
    [
        lambda p: waves(p) if float(p["x"].sum()) > -1e9 else p,
        lambda p: {name: torch.from_numpy(np.array(leaf.numpy())) for name, leaf in waves(p).items()},
    ],
    ids=["branch", "numpy"],
)
def test_functions_that_cannot_be_batched_are_measured_column_by_column(monkeypatch, function):
    point, claimed = waves_and_jacobian()
    report, alone = check_matrix(function, claimed, point), one_by_one(monkeypatch, function, claimed, point)
    assert report.blocks == alone.blocks
    assert report.evaluations == alone.evaluations + 1


@pytest.mark.parametrize(
    "distorted",
    [
        lambda values: {k: v + 1e-3 * torch.arange(len(v)).reshape(-1, *[1] * (v.ndim - 1)) for k, v in values.items()},
        lambda values: {k: v[:1].expand(v.shape) for k, v in values.items()},
        lambda values: {k: v.float() for k, v in values.items()},
        lambda values: {k: v[1:] for k, v in values.items()},
        lambda values: {"hidden": values["hidden"]},
        lambda values: {k: v * math.nan for k, v in values.items()},
    ],
)
def test_batches_of_other_outputs_are_not_believed(monkeypatch, distorted):
    point, claimed = waves_and_jacobian()
    alone = one_by_one(monkeypatch, waves, claimed, point)
    monkeypatch.setattr(adapter.TorchAdapter, "vectorized", distorting(distorted))
    report = check_matrix(waves, claimed, point)
    assert report.blocks == alone.blocks
    assert alone.evaluations < report.evaluations <= alone.evaluations + batches.FIRST + 3


@pytest.mark.parametrize("budget", [30, 100, 200, 300])
def test_the_budget_of_columns_is_a_hard_limit(budget):
    point, claimed = waves_and_jacobian()
    calls = Calls(waves)
    report = check_matrix(calls, claimed, point, budget=budget)
    assert report.evaluations <= budget
    assert calls.alone <= budget
    assert report.verdict is not Verdict.WRONG


def test_complex_outputs_are_taken_apart_in_batches_too():
    angles = normal(40)
    claimed = torch.diag(1j * torch.exp(1j * angles))
    calls = Calls(lambda x: torch.exp(1j * x))
    report = check_matrix(calls, claimed, angles, convention="jax")
    assert calls.together > 0
    assert report.verdict is Verdict.CORRECT
    assert report.evaluations < 4 * 40
