"""Lines of functions with many outputs: kinks on evidence, jumps and high frequencies, blocks apart."""

import numpy as np
import pytest

from gradproof import Reason, Verdict, check_gradient, check_vjp

SEEDS = range(6)


def certificate(function, vjp, point, seed):
    return check_vjp(function, vjp, point, seed=seed, strategy="certificate")


def drawn(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def test_a_wrong_gradient_of_a_linear_cost_is_wrong_and_no_division_by_zero():
    point = np.random.default_rng(5).standard_normal(5)
    report = check_gradient(lambda p: float(np.sum(1.0 * p)), point, -np.ones(5), seed=2, strategy="certificate")
    assert report.verdict is Verdict.WRONG


@pytest.mark.parametrize("seed", SEEDS)
def test_blocks_of_very_different_shares_each_get_a_step_of_their_own(seed):
    rng = np.random.default_rng(seed)
    point = {"a": rng.standard_normal(4), "b": rng.standard_normal(4)}
    report = certificate(
        lambda p: np.sin(p["a"]).sum() + 1e-6 * np.sin(p["b"]).sum(),
        lambda p, u: {"a": u * np.cos(p["a"]), "b": 1e-6 * u * np.cos(p["b"])},
        point,
        seed,
    )
    assert report.verdict is Verdict.CORRECT


@pytest.mark.parametrize("frequency", [1e5, 1e7])
@pytest.mark.parametrize("size", [1, 3, 12])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_high_frequency_is_no_kink_and_no_noise(frequency, size, seed):
    report = certificate(
        lambda x: np.sin(frequency * x), lambda x, u: frequency * u * np.cos(frequency * x), drawn(seed, size), seed
    )
    assert report.verdict is Verdict.CORRECT


@pytest.mark.parametrize("seed", [5, 20, 48, 77])
def test_a_kink_that_only_the_farthest_value_crosses_is_read_again(seed):
    def pulled(x, u):
        gradient = np.zeros_like(x)
        np.put_along_axis(gradient, x.argmin(1)[:, None, :], u[:, None, :], 1)
        return gradient

    report = certificate(lambda x: x.min(1), pulled, drawn(seed, 5, 5, 5), seed)
    assert report.verdict is Verdict.CORRECT


@pytest.mark.parametrize("decimals", [3, 6])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_staircase_is_never_taken_for_a_slope(decimals, seed):
    report = certificate(lambda x: np.round(x, decimals), lambda x, u: np.zeros_like(x), 3 * drawn(seed, 25), seed)
    assert report.verdict is not Verdict.WRONG


@pytest.mark.parametrize("factor", [1.0, 1.1])
@pytest.mark.parametrize("seed", SEEDS)
def test_single_precision_inside_is_noise_and_no_staircase(factor, seed):
    report = certificate(
        lambda x: np.sin(x.astype(np.float32)).astype(float),
        lambda x, u: factor * u * np.cos(x),
        drawn(seed, 30),
        seed,
    )
    assert report.verdict is (Verdict.CORRECT if factor == 1 else Verdict.WRONG)


@pytest.mark.parametrize("factor", [1.0, 1.1])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_kink_in_one_block_leaves_the_others_decided(factor, seed):
    a = drawn(seed, 5)
    a[2] = 0
    report = certificate(
        lambda p: np.maximum(p["a"], 0) + np.sin(p["b"]),
        lambda p, u: {"a": u * (p["a"] > 0), "b": factor * u * np.cos(p["b"])},
        {"a": a, "b": drawn(seed + 100, 5)},
        seed,
    )
    kinked, other = report.blocks
    assert (kinked.verdict, kinked.reason) == (Verdict.INCONCLUSIVE, Reason.KINK)
    assert other.verdict is (Verdict.CORRECT if factor == 1 else Verdict.WRONG)


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0)),
        (np.abs, np.sign),
        (lambda x: np.sin(3 * x) + 0.1 * np.abs(x), lambda x: 3 * np.cos(3 * x) + 0.1 * np.sign(x)),
    ],
    ids=["relu", "abs", "beside a sine"],
)
@pytest.mark.parametrize("seed", SEEDS)
def test_one_entry_at_a_kink_is_named_a_kink(function, slope, size, seed):
    point = drawn(seed, size)
    point[0] = 0
    report = certificate(function, lambda x, u: u * slope(x), point, seed)
    assert (report.verdict, report.reason) == (Verdict.INCONCLUSIVE, Reason.KINK)


def test_a_difference_near_the_tolerance_is_said_to_be_so_and_not_noise():
    report = certificate(np.sin, lambda x, u: u * np.cos(x) * (1 + 3e-7), drawn(1, 30), 1)
    assert report.reason is Reason.BORDER


def test_numbers_whose_fourth_powers_underflow_are_read():
    scale = 1e-90
    report = certificate(lambda x: scale * np.sin(x), lambda x, u: scale * u * np.cos(x), drawn(1, 30), 1)
    assert report.verdict is Verdict.CORRECT


@pytest.mark.parametrize("seed", SEEDS)
def test_a_function_that_jumps_at_the_point_itself_has_no_derivative_there(seed):
    def embedding(p):
        return np.where(p["y"] == 1, np.sin(p["x"]), 0.0) + np.where(p["y"] == -1, np.cos(p["x"]), 0.0)

    def pulled(p, u):
        slope = np.where(p["y"] == 1, np.cos(p["x"]), -np.sin(p["x"]))
        return {"x": u * slope, "y": np.zeros(5)}

    point = {"x": drawn(seed, 5), "y": np.array([1.0, -1.0, 1.0, 1.0, -1.0])}
    report = certificate(embedding, pulled, point, seed)
    assert (report.verdict, report.reason) == (Verdict.INCONCLUSIVE, Reason.KINK)
    assert [b.verdict for b in report.blocks] == [Verdict.CORRECT, Verdict.INCONCLUSIVE]
