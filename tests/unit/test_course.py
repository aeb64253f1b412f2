"""The classic assignment: its known numbers, its names, and the modern verdict beside them."""

from __future__ import annotations

import inspect

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from gradproof import course
from gradproof._words.errors import ShapeMismatch, UsageError
from gradproof._words.results import Report, Verdict

FINE = "Your backward propagation works perfectly fine! difference = "
MISTAKE = "There is a mistake in the backward propagation! difference = "


def known(value, relative=1e-6):
    return pytest.approx(value, rel=relative, abs=0)


# --- the table of known numbers ---------------------------------------------------------------------------------------


def test_the_cost_at_the_fixture_is_the_known_one(network):
    assert network.cost(network.parameters) == known(2.407833389834357)


@pytest.mark.parametrize(("x", "difference"), [(2, 2.919335883291695e-10), (3, 7.814075313343006e-11)])
def test_one_parameter_gives_the_known_differences(x, difference):
    assert course.gradient_check(x, 4) == known(difference)


@pytest.mark.parametrize(
    ("wrong", "difference"),
    [(("dW2", "db1"), 0.2850931567761623), (("dW2",), 0.173441968931459), (("db1",), 0.254422971245852)],
)
def test_the_planted_mistakes_give_the_known_differences(network, wrong, difference):
    gradients = network.gradients | {key: network.mistaken[key] for key in wrong}
    assert course.gradient_check_n(network.parameters, gradients, network.X, network.Y) == known(difference)


def test_the_mended_gradient_gives_the_known_difference_up_to_summation_order(network):
    difference = course.gradient_check_n(network.parameters, network.gradients, network.X, network.Y)
    assert 1.0e-7 < difference < 1.3e-7


def test_twenty_of_the_47_gradients_are_exactly_zero_so_the_check_does_not_exercise_them(network):
    gradient = course.gradients_to_vector(network.gradients)
    assert gradient.shape == (47, 1)
    assert np.count_nonzero(gradient == 0) == 20


def test_the_mended_gradient_at_a_longer_step_passes_by_orders_of_magnitude(network):
    difference = course.gradient_check_n(network.parameters, network.gradients, network.X, network.Y, epsilon=1e-4)
    assert difference < 1e-9


def test_exactly_the_two_planted_blocks_differ(network):
    differing = {key for key, value in network.gradients.items() if not np.array_equal(value, network.mistaken[key])}
    assert differing == {"dW2", "db1"}
    np.testing.assert_array_equal(network.mistaken["dW2"], 2 * network.gradients["dW2"])
    np.testing.assert_array_almost_equal_nulp(network.mistaken["db1"], 4 * network.gradients["db1"], nulp=4)


# --- names, signatures, sentences -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("forward_propagation", "(x, theta)"),
        ("backward_propagation", "(x, theta)"),
        ("gradient_check", "(x, theta, epsilon=1e-07, print_msg=False, threshold=1e-07)"),
        ("sigmoid", "(x)"),
        ("relu", "(x)"),
        ("dictionary_to_vector", "(parameters)"),
        ("vector_to_dictionary", "(theta, shapes=None)"),
        ("gradients_to_vector", "(gradients)"),
        ("forward_propagation_n", "(X, Y, parameters)"),
        ("backward_propagation_n", "(X, Y, cache)"),
        ("backward_propagation_n_with_mistakes", "(X, Y, cache)"),
        (
            "gradient_check_n",
            "(parameters, gradients, X, Y, epsilon=1e-07, print_msg=False, threshold=2e-07)",
        ),
        ("gradient_check_n_test_case", "()"),
        ("check", "(parameters, gradients, X, Y, **options)"),
    ],
)
def test_names_and_signatures_are_those_of_the_course(name, signature):
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(getattr(course, name)).parameters.values()
    ]
    assert str(inspect.Signature(bare)) == signature


def test_the_one_parameter_functions_compute_the_line_and_its_slope():
    assert course.forward_propagation(2, 4) == 8
    assert course.backward_propagation(2, 4) == 2


def test_a_fine_check_prints_the_classic_sentence(capsys):
    difference = course.gradient_check(2, 4, print_msg=True)
    assert capsys.readouterr().out == f"{FINE}{difference}\n"


def test_a_wrong_derivative_prints_the_classic_sentence(capsys, monkeypatch):
    monkeypatch.setattr(course, "backward_propagation", lambda x, theta: 2 * x)
    difference = course.gradient_check(2, 4, print_msg=True)
    assert difference == pytest.approx(1 / 3)
    assert capsys.readouterr().out == f"{MISTAKE}{difference}\n"


def test_the_network_check_prints_both_classic_sentences(capsys, network):
    right = course.gradient_check_n(network.parameters, network.gradients, network.X, network.Y, print_msg=True)
    wrong = course.gradient_check_n(network.parameters, network.mistaken, network.X, network.Y, print_msg=True)
    assert capsys.readouterr().out == f"{FINE}{right}\n{MISTAKE}{wrong}\n"


def test_the_first_editions_threshold_rejects_the_right_gradient(capsys, network):
    course.gradient_check_n(network.parameters, network.gradients, network.X, network.Y, print_msg=True, threshold=1e-7)
    assert capsys.readouterr().out.startswith(MISTAKE)


def test_a_gradient_with_nan_is_called_a_mistake(capsys, network):
    gradients = network.gradients | {"dW1": np.full((5, 4), np.nan)}
    assert np.isnan(course.gradient_check_n(network.parameters, gradients, network.X, network.Y, print_msg=True))
    assert capsys.readouterr().out == f"{MISTAKE}nan\n"


def test_nothing_is_printed_unless_asked_for(capsys, network):
    course.gradient_check(2, 4)
    course.gradient_check_n(network.parameters, network.gradients, network.X, network.Y)
    assert capsys.readouterr().out == ""


def test_the_difference_of_two_zero_gradients_is_zero_and_of_opposite_ones_is_one():
    zero, one = np.zeros((3, 1)), np.ones((3, 1))
    assert course.relative_difference(zero, zero) == 0
    assert course.relative_difference(one, -one) == 1


# --- forward and backward ---------------------------------------------------------------------------------------------


def test_cache_and_gradients_have_the_course_order_keys_and_shapes(network):
    _, cache = course.forward_propagation_n(network.X, network.Y, network.parameters)
    shapes = [(5, 3), (5, 3), (5, 4), (5, 1), (3, 3), (3, 3), (3, 5), (3, 1), (1, 3), (1, 3), (1, 3), (1, 1)]
    assert [array.shape for array in cache] == shapes
    keys = ["dZ3", "dW3", "db3", "dA2", "dZ2", "dW2", "db2", "dA1", "dZ1", "dW1", "db1"]
    assert list(network.gradients) == list(network.mistaken) == keys
    for name, value in network.parameters.items():
        assert network.gradients[f"d{name}"].shape == value.shape


def test_the_gradient_agrees_with_the_complex_step_to_the_last_digits(network):
    theta, _ = course.dictionary_to_vector(network.parameters)
    step = 1e-200
    derivatives = []
    for i in range(theta.size):
        displaced = theta.astype(complex)
        displaced[i] += 1j * step
        derivatives.append(network.cost(course.vector_to_dictionary(displaced)).imag / step)
    gradient = course.gradients_to_vector(network.gradients)
    assert course.relative_difference(gradient, np.reshape(derivatives, (-1, 1))) < 1e-13


def test_relu_keeps_nan_and_the_type_and_the_real_part_decides():
    np.testing.assert_array_equal(course.relu(np.array([-np.inf, -1.0, 0.0, 2.0, np.nan])), [0, 0, 0, 2, np.nan])
    np.testing.assert_array_equal(course.relu(np.array([-1 + 5j, 1 - 2j])), [0, 1 - 2j])
    assert course.relu(np.float32([-1, 1])).dtype == np.float32


def test_sigmoid_is_one_half_at_zero_and_symmetric():
    x = np.array([-3.0, 0.0, 3.0])
    np.testing.assert_allclose(course.sigmoid(x) + course.sigmoid(-x), 1, rtol=1e-15)
    assert course.sigmoid(np.array(0.0)) == 0.5


def test_a_network_of_other_sizes_is_checked_just_the_same(rng):
    sizes = [3, 7, 4, 1]
    parameters = {}
    for layer in (1, 2, 3):
        parameters[f"W{layer}"] = rng.standard_normal((sizes[layer], sizes[layer - 1]))
        parameters[f"b{layer}"] = rng.standard_normal((sizes[layer], 1))
    X, Y = rng.standard_normal((3, 10)), rng.integers(0, 2, (1, 10))
    _, cache = course.forward_propagation_n(X, Y, parameters)
    right = course.backward_propagation_n(X, Y, cache)
    wrong = course.backward_propagation_n_with_mistakes(X, Y, cache)
    assert course.gradient_check_n(parameters, right, X, Y, epsilon=1e-5) < 1e-7
    assert course.gradient_check_n(parameters, wrong, X, Y, epsilon=1e-5) > 0.01


def test_other_names_than_those_of_three_layers_are_refused(network):
    deeper = network.parameters | {"W4": np.ones((1, 1)), "b4": np.ones((1, 1))}
    with pytest.raises(UsageError, match="three layers"):
        network.cost(deeper)


# --- dictionaries and vectors -----------------------------------------------------------------------------------------


def test_the_vector_has_one_key_for_each_element_in_the_fixed_order(network):
    theta, keys = course.dictionary_to_vector(dict(reversed(network.parameters.items())))
    assert theta.shape == (47, 1)
    assert keys == ["W1"] * 20 + ["b1"] * 5 + ["W2"] * 15 + ["b2"] * 3 + ["W3"] * 3 + ["b3"]
    np.testing.assert_array_equal(theta[:20, 0], network.parameters["W1"].ravel())


def test_ten_layers_come_in_numeric_order():
    names = [f"{kind}{layer}" for layer in range(1, 12) for kind in "Wb"]
    _, keys = course.dictionary_to_vector({name: np.zeros((1, 1)) for name in sorted(names)})
    assert keys == names


@hypothesis.given(
    sizes=st.lists(st.integers(1, 4), min_size=2, max_size=6), dtype=st.sampled_from([np.float32, np.float64, complex])
)
def test_any_dictionary_survives_the_way_to_a_vector_and_back(sizes, dtype):
    generator = np.random.default_rng(sizes)
    parameters = {}
    for layer in range(1, len(sizes)):
        parameters[f"W{layer}"] = generator.standard_normal((sizes[layer], sizes[layer - 1])).astype(dtype)
        parameters[f"b{layer}"] = generator.standard_normal((sizes[layer], 1)).astype(dtype)
    theta, _ = course.dictionary_to_vector(parameters)
    back = course.vector_to_dictionary(theta, {name: value.shape for name, value in parameters.items()})
    assert list(back) == list(parameters)
    for name, value in parameters.items():
        assert back[name].dtype == dtype
        np.testing.assert_array_equal(back[name], value)


def test_gradients_of_activations_are_passed_over(network):
    np.testing.assert_array_equal(
        course.gradients_to_vector(network.gradients)[:20, 0], network.gradients["dW1"].ravel()
    )


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(ShapeMismatch, match=r"46 elements, where W1 \(5, 4\), .* take 47"):
        course.vector_to_dictionary(np.zeros((46, 1)))


@pytest.mark.parametrize("names", [["weights"], ["W1", "gamma1"], ["W0"], []])
def test_names_of_another_kind_are_refused(names):
    with pytest.raises(UsageError, match="lay out W1, b1"):
        course.dictionary_to_vector({name: np.zeros(1) for name in names})


def test_gradients_without_any_of_a_parameter_are_refused():
    with pytest.raises(UsageError, match="lay out dW1, db1"):
        course.gradients_to_vector({"W1": np.zeros(1)})


@pytest.mark.parametrize("entry", [course.gradient_check_n, course.check])
def test_a_missing_gradient_is_named(network, entry):
    gradients = {key: value for key, value in network.gradients.items() if key != "db2"}
    with pytest.raises(ShapeMismatch, match=r"b2: no gradient 'db2' among dZ3, .* Add 'db2', of shape \(3, 1\)"):
        entry(network.parameters, gradients, network.X, network.Y)


@pytest.mark.parametrize("entry", [course.gradient_check_n, course.check])
def test_a_gradient_of_another_shape_is_named(network, entry):
    gradients = network.gradients | {"dW2": network.gradients["dW2"].T}
    with pytest.raises(ShapeMismatch, match=r"W2: 'dW2' has shape \(5, 3\), the parameter \(3, 5\)"):
        entry(network.parameters, gradients, network.X, network.Y)


# --- the modern verdict -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["coordinates", "auto"])
def test_both_planted_mistakes_are_found_and_named(network, strategy):
    report = course.check(network.parameters, network.mistaken, network.X, network.Y, strategy=strategy, seed=1)
    assert isinstance(report, Report)
    assert report.verdict is Verdict.WRONG
    assert set(report.faulty) == {"W2", "b1"}
    assert report.difference.estimate == pytest.approx(0.2850931567761623, rel=1e-3)


@pytest.mark.parametrize("wrong", ["W2", "b1"])
def test_each_planted_mistake_is_found_alone(network, wrong):
    gradients = network.gradients | {f"d{wrong}": network.mistaken[f"d{wrong}"]}
    report = course.check(network.parameters, gradients, network.X, network.Y, strategy="coordinates", seed=1)
    assert report.faulty == (wrong,)


@pytest.mark.parametrize("strategy", ["coordinates", "auto"])
def test_the_mended_gradient_is_correct_at_the_tolerance_that_the_classic_check_misses(network, strategy):
    report = course.check(
        network.parameters, network.gradients, network.X, network.Y, strategy=strategy, tolerance=1e-7, seed=1
    )
    assert report.verdict is Verdict.CORRECT
    assert report.faulty == ()
    assert report.difference.upper <= 1e-7


def test_the_coordinates_that_the_fixture_does_not_exercise_are_counted(network):
    report = course.check(network.parameters, network.gradients, network.X, network.Y, strategy="coordinates", seed=1)
    assert sum(block.not_exercised for block in report.blocks) == 20
