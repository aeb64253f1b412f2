"""The user's problem: what a point may be, how its blocks are called, and what a cost is given."""

from __future__ import annotations

import collections
import dataclasses
import enum
from typing import Any, NamedTuple

import numpy as np
import pytest

from gradproof import MixedFrameworks, NotDifferentiable, Problem, ShapeMismatch, UsageError, Verdict, check_gradient
from gradproof._problem.claims import GradientClaim
from gradproof.adapters import MODULES, adapter_for, kind_of

W = np.array([1.0, 2.0, 3.0])


def nothing(point):
    return 0.0


def names(point):
    return [block.name for block in Problem(nothing, point, point).all_blocks]


# --- containers and names ---------------------------------------------------------------------------------------------


class Layer(NamedTuple):
    weight: Any
    bias: Any


@dataclasses.dataclass
class Encoder:
    layers: list
    scale: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    weight: Any
    bias: Any


class Color(enum.Enum):
    RED = 1


def test_blocks_are_called_by_the_path_that_python_would_write():
    point = {
        "encoder": Encoder([Layer(W, 1.0), Layer(W, 2.0)]),
        "a.b": W,
        "two words": W,
        3: W,
        ("x", 1): W,
        "deep": {"er": (W, [W])},
        "frozen": Frozen(W, 1.0),
    }
    assert names(point) == [
        "encoder.layers[0].weight",
        "encoder.layers[0].bias",
        "encoder.layers[1].weight",
        "encoder.layers[1].bias",
        "encoder.scale",
        "['a.b']",
        "['two words']",
        "[3]",
        "[('x', 1)]",
        "deep.er[0]",
        "deep.er[1][0]",
        "frozen.weight",
        "frozen.bias",
    ]


def test_a_lone_array_or_number_is_called_point():
    assert names(W) == names(3.0) == names(2) == names(np.float32(1)) == ["point"]


def test_the_items_of_a_list_are_called_by_their_places():
    assert names([1.0, [2.0, W]]) == ["[0]", "[1][0]", "[1][1]"]


def test_blocks_keep_the_order_in_which_they_were_given():
    assert names({"z": W, "a": W, "m": W}) == ["z", "a", "m"]
    assert names(collections.OrderedDict(z=W, a=W)) == ["z", "a"]
    assert names(collections.defaultdict(list, z=W, a=W)) == ["z", "a"]


def test_a_key_of_any_kind_has_a_name():
    assert names({Color.RED: W}) == ["[<Color.RED: 1>]"]
    assert names({"": W, "a b": W, "a": W}) == ["['']", "['a b']", "a"]


def sum_of_cubes(point):
    if isinstance(point, (float, np.ndarray, np.floating)):
        return float(np.sum(point**3))
    if isinstance(point, dict):
        return sum(map(sum_of_cubes, point.values()))
    if dataclasses.is_dataclass(point):
        return sum(sum_of_cubes(getattr(point, field.name)) for field in dataclasses.fields(point))
    return sum(map(sum_of_cubes, point))


def gradient_of_cubes(point):
    if isinstance(point, (float, np.ndarray)):
        return 3 * point**2
    if isinstance(point, dict):
        return {key: gradient_of_cubes(value) for key, value in point.items()}
    if dataclasses.is_dataclass(point):
        fields = [field.name for field in dataclasses.fields(point)]
        return type(point)(**{name: gradient_of_cubes(getattr(point, name)) for name in fields})
    items = [gradient_of_cubes(value) for value in point]
    return type(point)(*items) if isinstance(point, Layer) else type(point)(items)


POINTS = {
    "number": 1.5,
    "array": W,
    "0-d array": np.array(1.5),
    "list": [1.5, W],
    "tuple": (W, 2.5),
    "dictionary": {"W": W, "b": 0.5},
    "namedtuple": Layer(W, 0.5),
    "dataclass": Encoder([W, 0.5], 2.0),
    "frozen dataclass with slots": Frozen(W, 0.5),
    "all of them": {"encoder": Encoder([Layer(W, 0.5), (W,)], 2.0), "decoder": [Frozen(W, 1.0)]},
}


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS.keys())
def test_every_container_is_checked_as_values_as_a_callable_and_beside_the_cost(point):
    claims = [
        (sum_of_cubes, gradient_of_cubes(point)),
        (sum_of_cubes, gradient_of_cubes),
        (lambda p: (sum_of_cubes(p), gradient_of_cubes(p)), True),
    ]
    for cost, claimed in claims:
        assert check_gradient(cost, point, claimed, seed=1).verdict is Verdict.CORRECT


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS.keys())
def test_every_container_is_found_wrong_in_each_of_the_three_ways(point):
    def wrong(p):
        right = gradient_of_cubes(p)
        problem = Problem(nothing, p, right)
        return problem.assembled([1.5 * values for values in problem.claimed_values(right)])

    claims = [(sum_of_cubes, wrong(point)), (sum_of_cubes, wrong), (lambda p: (sum_of_cubes(p), wrong(p)), True)]
    for cost, claimed in claims:
        assert check_gradient(cost, point, claimed, seed=1).verdict is Verdict.WRONG


@dataclasses.dataclass
class WithDerived:
    weight: Any
    total: Any = dataclasses.field(init=False)

    def __post_init__(self):
        if np.any(np.asarray(self.weight) > 1e6):
            raise ValueError
        self.total = 1.0
        self.cache = {"seen": True}


def test_a_dataclass_keeps_what_is_beside_its_fields():
    def cost(point):
        assert point.cache == {"seen": True}
        return float(np.sum(point.weight**2)) * point.total

    claimed = WithDerived(2 * W)
    claimed.total = float(W @ W)
    assert check_gradient(cost, WithDerived(W), claimed, seed=1).verdict is Verdict.CORRECT


def test_none_within_a_container_is_no_parameter_and_stays_where_it_is():
    def cost(point):
        assert point["bias"] is None
        return float(point["W"] @ point["W"])

    assert names({"W": W, "bias": None}) == ["W"]
    for claimed in ({"W": 2 * W, "bias": None}, {"W": 2 * W}):
        assert check_gradient(cost, {"W": W, "bias": None}, claimed, seed=1).verdict is Verdict.CORRECT


# --- the claim --------------------------------------------------------------------------------------------------------


def test_a_claim_is_matched_by_names_whatever_the_order_of_its_keys():
    point = {"a": W, "b": 2 * W}
    claimed = {"b": 12 * W**2, "a": 3 * W**2}
    assert check_gradient(sum_of_cubes, point, claimed, seed=1).verdict is Verdict.CORRECT


def test_a_list_may_be_claimed_for_a_tuple():
    assert check_gradient(sum_of_cubes, (W, 1.0), [3 * W**2, 3.0], seed=1).verdict is Verdict.CORRECT


def test_a_claim_of_another_precision_is_a_claim():
    for dtype in (np.float32, np.float64, np.longdouble, np.int32):
        claimed = Problem(nothing, W, (2 * W).astype(dtype)).claimed_values((2 * W).astype(dtype))
        assert claimed[0].dtype == np.float64
        np.testing.assert_array_equal(claimed[0], 2 * W)


def test_a_claim_is_read_by_position_whatever_its_layout():
    grid = np.arange(6.0).reshape(2, 3) + 1
    layouts = [grid, np.asfortranarray(grid), np.ascontiguousarray(grid.T).T, np.repeat(grid, 2, axis=1)[:, ::2]]
    for claimed in layouts:
        (values,) = Problem(nothing, grid, claimed).claimed_values(claimed)
        np.testing.assert_array_equal(values, grid.reshape(-1))


def test_a_claim_is_copied():
    claimed = 2 * W
    problem = Problem(nothing, W, claimed)
    (values,) = problem.claimed_values(claimed)
    assert not np.shares_memory(values, claimed)


def test_a_claim_may_leave_out_what_is_held_constant():
    point = {"W": W, "steps": np.arange(3)}
    problem = Problem(nothing, point, {"W": W}, only="W")
    assert problem.skipped == ("steps",)
    np.testing.assert_array_equal(problem.claimed_values({"W": W})[0], W)
    with pytest.raises(ShapeMismatch):
        problem.claimed_values({"steps": W})


# --- which blocks -----------------------------------------------------------------------------------------------------

TREE = {"encoder": [Layer(W, 1.0), Layer(W, 2.0)], "decoder": Layer(W, 3.0), "layers0": W}


@pytest.mark.parametrize(
    ("only", "exclude", "expected"),
    [
        ("decoder.weight", None, ["decoder.weight"]),
        ("decoder.*", None, ["decoder.weight", "decoder.bias"]),
        ("*.bias", None, ["encoder[0].bias", "encoder[1].bias", "decoder.bias"]),
        ("encoder[0].*", None, ["encoder[0].weight", "encoder[0].bias"]),
        ("encoder[?].bias", None, ["encoder[0].bias", "encoder[1].bias"]),
        ("encoder[[]0].*", None, ["encoder[0].weight", "encoder[0].bias"]),
        (["decoder.*", "layers0"], None, ["decoder.weight", "decoder.bias", "layers0"]),
        (("decoder.*",), "*.bias", ["decoder.weight"]),
        (None, ["*.weight", "layers[0-9]"], ["encoder[0].bias", "encoder[1].bias", "decoder.bias"]),
    ],
)
def test_patterns_choose_blocks_and_brackets_stand_for_themselves(only, exclude, expected):
    problem = Problem(nothing, TREE, TREE, only=only, exclude=exclude)
    assert [block.name for block in problem.blocks] == expected
    assert set(problem.skipped) == set(names(TREE)) - set(expected)


def test_what_is_left_out_is_not_displaced():
    seen = []

    def cost(point):
        seen.append((point["W"].copy(), point["b"]))
        return float(point["W"] @ point["W"]) * point["b"]

    report = check_gradient(cost, {"W": W, "b": 2.0}, {"W": 4 * W, "b": 99.0}, exclude="b", seed=1)
    assert report.verdict is Verdict.CORRECT
    assert {b for _, b in seen} == {2.0}
    assert any(not np.array_equal(w, W) for w, _ in seen)


@pytest.mark.parametrize("constant", ["relu", np.arange(4), None, {1, 2}, object, np.array(["a"]), 1j], ids=repr)
def test_what_is_held_constant_may_be_of_any_type_and_arrives_as_it_was(constant):
    def cost(point):
        given = point["constant"]
        assert type(given) is type(constant)
        assert np.array_equal(given, constant) if isinstance(constant, np.ndarray) else given == constant
        return float(point["W"] @ point["W"])

    options = {} if constant is None else {"exclude": "constant"}
    report = check_gradient(cost, {"W": W, "constant": constant}, {"W": 2 * W}, seed=1, **options)
    assert report.verdict is Verdict.CORRECT


# --- memory -----------------------------------------------------------------------------------------------------------


def test_the_users_arrays_are_as_they_were_and_the_cost_is_given_others():
    point = {"W": np.random.default_rng(0).standard_normal((3, 4)), "b": W.copy(), "c": np.arange(3)}
    claimed = {"W": 3 * point["W"] ** 2, "b": 3 * W**2}
    before = {key: value.tobytes() for key, value in point.items()}
    claimed_before = {key: value.tobytes() for key, value in claimed.items()}
    previous = []

    def cost(p):
        for key, value in p.items():
            assert not np.shares_memory(value, point[key])
            assert all(not np.shares_memory(value, other[key]) for other in previous)
        previous.append(p)
        return float(np.sum(p["W"] ** 3) + np.sum(p["b"] ** 3))

    for factor in (1.0, 2.0):
        previous.clear()
        scaled = {key: factor * value for key, value in claimed.items()}
        check_gradient(cost, point, scaled, exclude="c", seed=1)
    assert before == {key: value.tobytes() for key, value in point.items()}
    assert claimed_before == {key: value.tobytes() for key, value in claimed.items()}


def test_a_cost_may_write_into_arrays_that_it_is_given_at_displaced_points_without_consequence():
    first = []

    def cost(w):
        value = float(np.sum(w**3))
        if first:
            w *= 0
        first.append(True)
        return value

    point = W.copy()
    assert check_gradient(cost, point, 3 * W**2, seed=1).verdict is Verdict.CORRECT
    np.testing.assert_array_equal(point, W)


GRID = np.random.default_rng(1).standard_normal((4, 6))
LAYOUTS = {
    "fortran": np.asfortranarray(GRID),
    "strided": np.repeat(GRID, 2, axis=0)[::2],
    "reversed": np.ascontiguousarray(GRID[::-1])[::-1],
    "transposed": np.ascontiguousarray(GRID.T).T,
    "big-endian": GRID.astype(">f8"),
    "broadcast": np.broadcast_to(np.array([1.0, 2.0, 3.0]), (2, 3)),
}


@pytest.mark.parametrize("strategy", ["auto", "certificate"])
@pytest.mark.parametrize("point", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_every_layout_is_a_point(point, strategy):
    weights = np.random.default_rng(2).standard_normal(point.shape)

    def cost(w):
        assert w.shape == point.shape
        return float(np.sum(weights * w**3))

    right = weights * 3 * point**2
    assert check_gradient(cost, point, right, strategy=strategy, seed=1).verdict is Verdict.CORRECT
    wrong = right.copy()
    wrong[0] *= 1.5
    assert check_gradient(cost, point, wrong, strategy=strategy, seed=1).verdict is Verdict.WRONG


def test_a_read_only_point_is_a_point_and_the_cost_may_do_what_it_likes_with_its_copy():
    point = W.copy()
    point.flags.writeable = False

    def cost(w):
        assert w.flags.writeable
        return float(np.sum(w**3))

    assert check_gradient(cost, point, 3 * W**2, seed=1).verdict is Verdict.CORRECT


class Measured(np.ndarray):
    """An array that carries its unit."""

    unit = ""

    def __array_finalize__(self, other):
        self.unit = getattr(other, "unit", "")


def test_a_subclass_of_array_keeps_what_it_carries():
    point = W.view(Measured)
    point.unit = "metre"

    def cost(w):
        assert w.unit == "metre"
        return float(np.sum(np.asarray(w) ** 3))

    assert check_gradient(cost, point, 3 * W**2, seed=1).verdict is Verdict.CORRECT


@pytest.mark.parametrize("number", [1.5, np.float64(1.5), np.float32(1.5), np.float16(1.5), np.array(1.5), 2])
def test_a_number_arrives_as_a_number_of_its_kind(number):
    kinds = set()

    def cost(x):
        kinds.add(type(x))
        return float(x) ** 3

    check_gradient(cost, number, 3 * float(number) ** 2, seed=1)
    assert kinds == {float if isinstance(number, int) else type(number)}


# --- problems ---------------------------------------------------------------------------------------------------------


def test_a_problem_is_checked_like_its_parts():
    problem = Problem(sum_of_cubes, {"a": W, "b": 1.0}, {"a": 3 * W**2, "b": 4.0}, exclude="b")
    parts = check_gradient(sum_of_cubes, {"a": W, "b": 1.0}, {"a": 3 * W**2, "b": 4.0}, exclude="b", seed=1)
    whole = check_gradient(problem, seed=1)
    assert whole.verdict is Verdict.CORRECT
    assert whole.blocks == parts.blocks
    assert whole.skipped == parts.skipped == ("b",)


def test_the_same_problem_at_another_point_has_the_same_blocks():
    problem = Problem(sum_of_cubes, {"a": W, "b": 1.0}, gradient_of_cubes, only="a")
    other = problem.at({"a": 2 * W, "b": 5.0})
    assert other.blocks == problem.blocks
    assert check_gradient(other, seed=1).verdict is Verdict.CORRECT


def test_values_are_put_back_into_the_points_structure():
    problem = Problem(nothing, {"a": Layer(W, 1.0), "b": 2.0}, 0, exclude="b")
    made = problem.assembled([W + 1, np.array([5.0])])
    np.testing.assert_array_equal(made["a"].weight, W + 1)
    assert made["a"].bias == 5.0
    assert np.isnan(made["b"])


# --- displacements ----------------------------------------------------------------------------------------------------


def displaced_and_claimed(problem, values, claimed):
    """Return the displaced point, and what a gradient claims of the displacement."""
    contraction = GradientClaim(claimed).along(lambda: ()).contraction(1.0)
    point = problem.displaced(values, contraction.take)
    return point, float(contraction.total()[0])


def test_what_is_claimed_of_a_displacement_is_that_of_the_representable_one():
    start = np.array([1.0, 100.0], dtype=np.float32)
    problem = Problem(nothing, start, start)
    wanted = np.array([1.0 + 1e-7, 100.0 + 1e-5])
    point, change = displaced_and_claimed(problem, [wanted.copy()], [np.array([1.0, 1.0])])
    assert point.dtype == np.float32
    moved = point.astype(np.float64) - start.astype(np.float64)
    assert change == moved.sum()
    assert abs(change - (wanted - start).sum()) > 1e-8  # the fixture rounds


def test_what_is_claimed_of_a_displacement_of_a_long_block_is_summed_in_parts():
    rng = np.random.default_rng(0)
    start, claimed = rng.standard_normal(200_001), rng.standard_normal(200_001)
    moved = start + rng.standard_normal(start.size)
    _, change = displaced_and_claimed(Problem(nothing, start, start), [moved.copy()], [claimed])
    assert change == pytest.approx(claimed @ (moved - start), rel=1e-12)


@pytest.mark.parametrize(
    ("dtype", "fine", "lost"), [(np.float64, 1e-14, 1e-17), (np.float32, 1e-5, 1e-9), (np.float16, 1e-2, 1e-5)]
)
def test_a_displacement_that_is_lost_in_the_spacing_of_the_parameters_is_named(dtype, fine, lost):
    direction = np.array([1.0, -2.0, 0.5])
    problem = Problem(nothing, {"W": W.astype(dtype), "b": 1.0}, 0)
    assert problem.lost([direction, None], fine) == ""
    assert problem.lost([direction, None], lost) == "W"
    assert problem.lost([None, np.array([1.0])], 1e-3) == ""


def test_one_coordinate_of_a_long_block_is_not_lost_beside_large_ones():
    start = np.full(100_000, 1e6)
    start[7] = 1e-3
    direction = np.zeros(start.size)
    direction[7] = 1e-3
    problem = Problem(nothing, start, start)
    assert problem.lost([direction], 1e-8) == ""
    direction[7], direction[8] = 0.0, 1e-3
    assert problem.lost([direction], 1e-8) == "point"


def test_a_displacement_beyond_the_range_of_the_precision_is_lost():
    problem = Problem(nothing, np.array([1.0], dtype=np.float16), 0)
    assert problem.lost([np.array([1.0])], 1e6) == "point"


# --- adapters ---------------------------------------------------------------------------------------------------------


def test_a_value_is_described_for_people():
    described = {
        "None": None,
        "a bool (True)": True,
        "an int (3)": 3,
        "a float (1.5)": 1.5,
        "a str ('relu')": "relu",
        "an array of float64 of shape (3,)": W,
        "a 0-d array of float64 (1.5)": np.array(1.5),
        "a float32 (1.5)": np.float32(1.5),
        "a list": [1, 2],
        "a dict": {},
        "an int": 10**400,
        "an object": object(),
        "a collections.OrderedDict": collections.OrderedDict(),
    }
    for text, value in described.items():
        assert kind_of(value) == text


class Elsewhere:
    """An array of a framework that is known, but not installed."""


def test_blocks_of_two_frameworks_are_refused_with_both_names(monkeypatch):
    monkeypatch.setitem(MODULES, Elsewhere.__module__.partition(".")[0], "gradproof.adapters._elsewhere")
    with pytest.raises(MixedFrameworks, match=r"a \(numpy\) and b \(elsewhere\)"):
        adapter_for([("a", W), ("b", Elsewhere())])


def test_a_framework_that_is_not_installed_is_named(monkeypatch):
    from gradproof import MissingFramework

    monkeypatch.setitem(MODULES, Elsewhere.__module__.partition(".")[0], "gradproof.adapters._elsewhere")
    with pytest.raises(MissingFramework, match="elsewhere"):
        adapter_for([("b", Elsewhere())])


def test_an_object_of_no_known_framework_is_refused_by_its_type():
    with pytest.raises(NotDifferentiable, match=r"b: .*Elsewhere.*neither a number, nor an array"):
        adapter_for([("a", W), ("b", Elsewhere())])


def test_the_kinds_of_error_are_usage_errors():
    for kind in (MixedFrameworks, NotDifferentiable, ShapeMismatch):
        assert issubclass(kind, UsageError)
