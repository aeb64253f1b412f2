"""Recipes of directions: reproducible, independent, normal, small."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gradproof._words.directions import (
    BlockDirection,
    Coordinate,
    GivenDirection,
    RandomDirection,
    Slab,
    normal_entries,
)

shapes = st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple)


def test_a_recipe_makes_the_same_direction_every_time_and_after_a_journey():
    recipe = RandomDirection(7, 3, (0.5, 0.0, 2.0))
    again = pickle.loads(pickle.dumps(recipe))
    assert again == recipe
    assert np.array_equal(recipe.component(2, (40,)), again.component(2, (40,)))


def test_a_recipe_takes_no_more_room_for_a_million_coordinates():
    recipe = BlockDirection(7, 3, 0, 1.0, (Slab(None, 0, 500_000),), 32)
    assert len(pickle.dumps(recipe)) < 300
    assert not hasattr(recipe, "__dict__")


def test_a_block_of_scale_zero_is_left_out():
    recipe = RandomDirection(7, 3, (0.5, 0.0))
    assert recipe.component(1, (4,)) is None
    assert recipe.component(0, (4,)) is not None


def test_scales_multiply_the_same_entries():
    one, three = (RandomDirection(7, 3, (scale,)).component(0, (9,)) for scale in (1.0, 3.0))
    assert three == pytest.approx(3 * one)


@pytest.mark.parametrize("change", ["seed", "stream", "block"])
def test_another_seed_stream_or_block_draws_other_entries(change):
    first = {"seed": 1, "stream": 1, "block": 1}
    second = first | {change: 2}
    one, two = (normal_entries(size=1000, **numbers) for numbers in (first, second))
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.15  # 4.7 standard deviations of independent entries


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_the_entries_are_not_those_that_a_user_draws_with_the_same_seed(seed):
    ours = normal_entries(seed, 0, 0, 1000)
    theirs = np.random.default_rng(seed).standard_normal(1000)
    assert abs(np.corrcoef(ours, theirs)[0, 1]) < 0.15


def test_the_entries_follow_the_normal_law():
    # Signs ±1 do not: of two equal residuals they would miss every second direction.
    entries = np.concatenate([normal_entries(seed, 1, 0, 2000) for seed in range(10)])
    assert stats.kstest(entries, "norm").pvalue > 1e-3
    assert stats.kstest(np.sign(entries), "norm").pvalue < 1e-3


def test_consecutive_directions_are_independent():
    first = np.array([RandomDirection(5, stream, (1.0,)).component(0, (1,))[0] for stream in range(2000)])
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.11
    assert stats.kstest(first, "norm").pvalue > 1e-3


def test_large_matrices_are_products_of_their_rank_and_small_blocks_have_normal_entries():
    recipe = RandomDirection(7, 3, (0.5, 2.0, 0.5), 8)
    product = recipe.component(0, (100, 9, 10)).reshape(100, 90)
    assert np.linalg.matrix_rank(product) == 8
    assert abs(np.mean(product**2) / 0.25 - 1) < 0.25
    for block, shape in ((1, (63, 500)), (2, (5000,))):
        full = RandomDirection(7, 3, (0.5, 2.0, 0.5)).component(block, shape)
        assert np.array_equal(recipe.component(block, shape), full)
    other = RandomDirection(7, 4, (0.5, 2.0, 0.5), 8).component(0, (100, 9, 10))
    assert abs(np.corrcoef(product.reshape(-1), other)[0, 1]) < 0.1


def test_a_coordinate_has_one_entry():
    assert Coordinate(1, 4, 2.5).component(1, (2, 3)).tolist() == [0, 0, 0, 0, 2.5, 0]
    assert Coordinate(1, 4).component(0, (2, 3)) is None


# ------------------------------------------------------------------------------------------ parts of a block
@given(shapes, st.data())
def test_a_part_and_its_complement_add_up_to_the_whole(shape, data):
    axis = data.draw(st.one_of(st.none(), st.integers(0, len(shape) - 1)))
    length = int(np.prod(shape)) if axis is None else shape[axis]
    cut = data.draw(st.integers(0, length))
    whole, left, right = (
        BlockDirection(3, 9, 0, 1.5, parts).component(0, shape)
        for parts in ((), (Slab(axis, 0, cut),), (Slab(axis, cut, length),))
    )
    assert np.array_equal(left + right, whole)
    assert not (left * right).any()


@given(shapes, st.data())
def test_a_mask_covers_as_many_coordinates_as_the_part_counts(shape, data):
    axis = data.draw(st.one_of(st.none(), st.integers(0, len(shape) - 1)))
    length = int(np.prod(shape)) if axis is None else shape[axis]
    start = data.draw(st.integers(0, length - 1))
    slab = Slab(axis, start, data.draw(st.integers(start + 1, length)))
    mask = slab.mask(shape)
    assert mask.shape == (int(np.prod(shape)),)
    assert np.count_nonzero(mask) == slab.size(shape)


def test_a_row_and_a_column_are_where_numpy_has_them():
    row, column = Slab(0, 1, 2).mask((3, 4)).reshape(3, 4), Slab(1, 2, 3).mask((3, 4)).reshape(3, 4)
    assert row[1].all()
    assert row.sum() == 4
    assert column[:, 2].all()
    assert column.sum() == 3


def test_parts_are_intersected():
    direction = BlockDirection(3, 9, 0, 1.0, (Slab(0, 1, 2), Slab(1, 2, 3)))
    component = direction.component(0, (3, 4)).reshape(3, 4)
    assert np.flatnonzero(component).tolist() == [6]
    assert direction.component(1, (3, 4)) is None


def test_a_sample_keeps_one_in_so_many_and_other_streams_keep_others():
    kept = [BlockDirection(3, stream, 0, 1.0, (), 32).component(0, (32_000,)) != 0 for stream in (1, 2)]
    for mask in kept:
        assert 850 <= np.count_nonzero(mask) <= 1150  # 1000 ± 4.8 standard deviations
    assert np.count_nonzero(kept[0] & kept[1]) < 70  # 31 of independent samples
    whole = BlockDirection(3, 1, 0, 1.0).component(0, (32_000,))
    sample = BlockDirection(3, 1, 0, 1.0, (), 32).component(0, (32_000,))
    assert np.array_equal(sample[kept[0]], whole[kept[0]])


def test_a_given_direction_is_passed_on_and_zeros_are_left_out():
    given_ = GivenDirection((np.array([1.0, 0.0]), np.zeros(3)))
    assert given_.component(0, (2,)).tolist() == [1.0, 0.0]
    assert given_.component(1, (3,)) is None
