"""What mistakes do to arrays, and the catalogue of mutants."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradproof._diagnosis.mistakes import (
    Permutation,
    bias_like,
    broadcast_total,
    rearrangements,
    scale_part,
    short_decimal,
)
from gradproof._words.precision import round_to
from gradproof._words.results import Cause
from gradproof.testing import gallery, mutants

SHAPES = [(3,), (2,), (4, 4), (5, 4), (5, 1), (2, 3, 4), (3, 3, 3), (2, 1, 3), ()]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_rearrangement_keeps_the_numbers_and_the_shape_and_leaves_its_argument_alone(shape):
    array = np.arange(float(math.prod(shape))).reshape(shape)
    before = array.copy()
    for one in rearrangements(shape):
        new = one.apply(array)
        assert new.shape == shape
        assert sorted(new.ravel()) == sorted(array.ravel())
        assert not np.array_equal(new, array), one
        assert np.array_equal(array, before)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_code_of_a_rearrangement_is_what_it_does(shape):
    array = np.arange(float(math.prod(shape))).reshape(shape)
    for one in rearrangements(shape):
        assert np.array_equal(eval(one.code("array"), {"np": np, "array": array}), one.apply(array)), one


@pytest.mark.parametrize("shape", SHAPES)
def test_every_rearrangement_is_undone_by_another_one(shape):
    array = np.arange(float(math.prod(shape))).reshape(shape)
    for one in rearrangements(shape):
        assert any(np.array_equal(other.apply(one.apply(array)), array) for other in rearrangements(shape)), one


def test_a_permutation_that_changes_lengths_has_an_inverse_of_its_own():
    array = np.arange(20.0).reshape(5, 4)
    forth, back = Permutation((5, 4), (1, 0)), Permutation((5, 4), (1, 0), undo=True)
    assert np.array_equal(back.apply(forth.apply(array)), array)
    assert not np.array_equal(forth.apply(forth.apply(array)), array)


def test_only_a_square_matrix_is_called_transposed():
    assert Permutation((4, 4), (1, 0)).cause == "TRANSPOSE"
    assert Permutation((5, 4), (1, 0)).cause == "PERMUTED_AXES"


@pytest.mark.parametrize(("precision", "dtype"), [("float32", np.float32), ("float16", np.float16)])
def test_rounding_agrees_with_the_type_of_that_precision(precision, dtype, rng):
    values = rng.standard_normal(200)
    assert np.array_equal(round_to(values, precision), values.astype(dtype).astype(np.float64))


def test_bfloat16_keeps_eight_bits():
    assert round_to(np.array([1 + 2**-7, 1 + 2**-9]), "bfloat16").tolist() == [1 + 2**-7, 1.0]


def test_part_total_and_decimals():
    array = np.arange(6.0).reshape(2, 3)
    assert scale_part(array, (1,), 2.0).tolist() == [[0, 1, 2], [6, 8, 10]]
    assert broadcast_total(array, mean=False).tolist() == [[15] * 3] * 2
    assert broadcast_total(array, mean=True)[0, 0] == 2.5
    assert [short_decimal(x) for x in (0.0123, -0.96, 0.0, 37.0)] == [0.01, -1.0, 0.0, 40.0]


def test_a_bias_has_one_long_axis():
    assert bias_like((5, 1))
    assert bias_like((5,))
    assert not bias_like((5, 4))
    assert not bias_like((1, 1))


# --- mutants ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", gallery(), ids=lambda problem: problem.name)
def test_mutants_are_wrong_where_they_say_and_nowhere_else(problem):
    for mutant in mutants(problem.gradient, problem.point, seed=3):
        assert mutant.gradient.keys() == problem.gradient.keys()
        for name, right in problem.gradient.items():
            same = np.array_equal(mutant.gradient[name], right)
            assert same == (name not in mutant.blocks), (mutant.name, name)


@pytest.mark.parametrize("problem", gallery(), ids=lambda problem: problem.name)
def test_no_two_mutants_are_the_same_gradient(problem):
    made = [
        np.concatenate([block.ravel() for block in mutant.gradient.values()]).tobytes()
        for mutant in mutants(problem.gradient, problem.point)
    ]
    assert len(set(made)) == len(made)


def test_the_gallery_has_more_than_twenty_kinds_of_mutants_for_each_problem_with_a_matrix():
    for problem in gallery():
        kinds = {mutant.name for mutant in mutants(problem.gradient, problem.point)}
        assert len(kinds) >= 25, problem.name


def test_mutants_cover_every_cause_that_a_claim_can_have():
    seen = {mutant.cause for problem in gallery() for mutant in mutants(problem.gradient, problem.point)}
    of_the_cost = {Cause.KINK, Cause.NOISE, Cause.NON_DETERMINISTIC_COST, Cause.NON_DETERMINISTIC_CLAIM}
    of_maps = {
        Cause.LAYOUT,
        Cause.CONVENTION,
        Cause.OTHER_VALUE,
        Cause.PATTERN,
        Cause.NOT_SYMMETRIC,
        Cause.NOT_LINEAR,
        Cause.NOT_ADJOINT,
    }
    of_tangent_spaces = {Cause.FRAME}
    assert seen == set(Cause) - of_the_cost - of_maps - of_tangent_spaces


def test_mutants_take_any_nested_structure_and_name_paths_as_python_would():
    claimed = {"layers": [{"weight": np.arange(1.0, 7).reshape(2, 3)}, (np.array(2.0),)], "a b": np.array([1.0, -3])}
    names = {name for mutant in mutants(claimed) for name in mutant.blocks}
    assert names == {"layers[0].weight", "layers[1][0]", "['a b']"}
    assert {name for mutant in mutants(np.array([1.0, 2.0])) for name in mutant.blocks} == {"point"}


def test_mutants_of_one_seed_are_the_same_and_of_another_are_not():
    problem = gallery()[1]

    def entries(seed):
        return [
            [block.tolist() for block in mutant.gradient.values()]
            for mutant in mutants(problem.gradient, problem.point, seed=seed)
            if mutant.cause is not Cause.NON_FINITE
        ]

    assert entries(1) == entries(1)
    assert entries(1) != entries(2)


def test_a_gradient_of_zeros_has_only_mutants_that_change_something():
    made = list(mutants({"w": np.zeros(3), "v": np.ones(3)}))
    assert any(mutant.cause is Cause.NOT_ZERO for mutant in made)
    assert all(mutant.blocks == ("v",) for mutant in made if mutant.cause is Cause.FACTOR)


# --- gallery ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", gallery(), ids=lambda problem: problem.name)
def test_every_gradient_of_the_gallery_agrees_with_differences(problem, rng):
    size = math.sqrt(sum(float(np.sum(block**2)) for block in problem.gradient.values()))
    step = 1e-4 if problem.smooth else 1e-7  # below the nearest kink
    for _ in range(3):
        v = {name: rng.standard_normal(block.shape) for name, block in problem.point.items()}

        def phi(t, v=v):
            return problem.cost({name: block + t * v[name] for name, block in problem.point.items()})

        slope = (8 * (phi(step) - phi(-step)) - (phi(2 * step) - phi(-2 * step))) / (12 * step)
        claimed = sum(float(np.sum(block * v[name])) for name, block in problem.gradient.items())
        assert abs(slope - claimed) <= (1e-9 if problem.smooth else 1e-7) * size


def test_the_gallery_is_varied_in_size_and_drawn_from_its_seed():
    sizes = [sum(block.size for block in problem.point.values()) for problem in gallery()]
    assert len(sizes) >= 10
    assert min(sizes) <= 25
    assert max(sizes) >= 4000
    first, again, other = gallery(1)[0], gallery(1)[0], gallery(2)[0]
    assert np.array_equal(first.point["W1"], again.point["W1"])
    assert not np.array_equal(first.point["W1"], other.point["W1"])
