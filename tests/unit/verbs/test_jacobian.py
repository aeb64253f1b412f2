"""Whole Jacobians: arrays, nested blocks, sparse matrices, linear operators."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import gradproof
from gradproof import Cause, Verdict


def broyden(x):
    """Broyden's tridiagonal function."""
    y = (3 - 2 * x) * x + 1
    y[1:] -= x[:-1]
    y[:-1] -= 2 * x[1:]
    return y


def broyden_jacobian(x):
    n = x.size
    return sparse.diags([-np.ones(n - 1), 3 - 4 * x, -2 * np.ones(n - 1)], [-1, 0, 1], format="csr")


@pytest.fixture
def dense(rng):
    A, x = rng.standard_normal((30, 20)), rng.standard_normal(20)
    return lambda p: np.tanh(A @ p), lambda p: (1 - np.tanh(A @ p) ** 2)[:, None] * A, x


@pytest.mark.parametrize("strategy", ["auto", "certificate", "coordinates"])
@pytest.mark.parametrize("seed", range(5))
def test_a_right_array_is_certified(dense, strategy, seed):
    assert gradproof.check_jacobian(*dense, strategy=strategy, seed=seed).verdict is Verdict.CORRECT


@pytest.mark.parametrize("strategy", ["auto", "certificate", "coordinates"])
@pytest.mark.parametrize("size", [1.0, 1e-3, 3e-5])
def test_a_wrong_entry_is_named(dense, strategy, size):
    function, jacobian, point = dense

    def wrong(p):
        J = jacobian(p)
        J[7, 3] += size
        return J

    report = gradproof.check_jacobian(function, wrong, point, strategy=strategy, seed=1)
    assert report.verdict is Verdict.WRONG
    (entry,) = report.coordinates
    assert entry.index == (7, 3)
    assert abs(entry.claimed - entry.numerical - size) < 1e-9
    assert "row output[7], column point[3]" in report.diagnoses[0].sentence


def test_an_entry_that_the_norm_masks_is_found(rng):
    x = rng.standard_normal(50)
    scales = np.logspace(0, 9, 50)

    def wrong(p):
        J = np.diag(scales * np.cos(p))
        J[0, 0] *= 1.5
        return J

    report = gradproof.check_jacobian(lambda p: scales * np.sin(p), wrong, x, seed=1)
    assert report.verdict is Verdict.WRONG
    assert [entry.index for entry in report.coordinates] == [(0, 0)]


def test_a_transposed_square_jacobian_is_called_that(rng):
    S, x = rng.standard_normal((20, 20)), rng.standard_normal(20)
    report = gradproof.check_jacobian(lambda p: np.sin(S @ p), lambda p: (np.cos(S @ p)[:, None] * S).T, x, seed=1)
    assert report.verdict is Verdict.WRONG
    (diagnosis,) = report.diagnoses
    assert diagnosis.cause is Cause.TRANSPOSE
    assert diagnosis.certified_remedy == "jacobian.T"


def test_a_transposed_shape_is_said(dense):
    function, jacobian, point = dense
    with pytest.raises(gradproof.ShapeMismatch, match=r"shape \(20, 30\).*transposed shape"):
        gradproof.check_jacobian(function, lambda p: jacobian(p).T, point)
    with pytest.raises(gradproof.ShapeMismatch, match="transposed shape"):
        gradproof.check_jacobian(function, lambda p: sparse.csr_array(jacobian(p).T), point)
    with pytest.raises(gradproof.ShapeMismatch, match="transposed shape"):
        gradproof.check_jacobian(function, lambda p: aslinearoperator(jacobian(p).T), point)


@pytest.mark.parametrize(
    ("answer", "kind", "phrase"),
    [
        (lambda J: J[:5], gradproof.ShapeMismatch, "(5, 20)"),
        (lambda J: J.reshape(-1), gradproof.ShapeMismatch, "reshape((30, 20))"),
        (lambda J: J > 0, gradproof.NotDifferentiable, "bool"),
        (lambda J: J + 1j, gradproof.NotDifferentiable, "complex entries"),
        (lambda J: None, gradproof.UsageError, "None"),
        (lambda J: "J", gradproof.UsageError, "jacobian"),
        (lambda J: {"x": J}, gradproof.ShapeMismatch, "x"),
    ],
)
def test_what_is_no_jacobian_is_refused(dense, answer, kind, phrase):
    function, jacobian, point = dense
    with pytest.raises(kind) as caught:
        gradproof.check_jacobian(function, lambda p: answer(jacobian(p)), point)
    assert phrase in str(caught.value)


def test_arrays_of_higher_rank_and_constant_matrices(rng):
    A, X = rng.standard_normal((4, 3)), rng.standard_normal((3, 2))
    tensor = np.einsum("ik,jl->ijkl", A, np.eye(2))
    assert gradproof.check_jacobian(lambda p: A @ p, tensor, X, seed=1).verdict is Verdict.CORRECT
    flat = tensor.reshape(8, 6)
    assert gradproof.check_jacobian(lambda p: A @ p, flat, X, seed=1).verdict is Verdict.CORRECT
    assert gradproof.check_jacobian(lambda p: A @ p, flat.tolist(), X, seed=1).verdict is Verdict.CORRECT
    wrong = np.einsum("ik,jl->ijkl", A + 1, np.eye(2))
    assert gradproof.check_jacobian(lambda p: A @ p, wrong, X, seed=1).verdict is Verdict.WRONG


def test_nested_blocks_are_named_output_by_parameter(rng):
    point = {"W": rng.standard_normal((2, 3)), "b": rng.standard_normal(2)}
    x = rng.standard_normal(3)
    function = lambda p: {"y": p["W"] @ x + p["b"] ** 2, "n": p["b"] @ p["b"]}

    def jacobian(p):
        return {
            "y": {"W": np.einsum("ik,j->ikj", np.eye(2), x), "b": np.diag(2 * p["b"])},
            "n": {"W": np.zeros((2, 3)), "b": 2 * p["b"]},
        }

    assert gradproof.check_jacobian(function, jacobian, point, seed=1).verdict is Verdict.CORRECT

    def wrong(p):
        J = jacobian(p)
        J["n"]["b"] = J["n"]["b"] / 2
        return J

    assert gradproof.check_jacobian(function, wrong, point, seed=1).faulty == ("n × b",)
    with pytest.raises(gradproof.ShapeMismatch, match=r"n\.b"):
        gradproof.check_jacobian(function, lambda p: {"y": jacobian(p)["y"], "n": {"W": np.zeros((2, 3))}}, point)
    with pytest.raises(gradproof.ShapeMismatch, match="None is no derivative"):
        gradproof.check_jacobian(function, lambda p: jacobian(p) | {"n": {"W": None, "b": 2 * p["b"]}}, point)


@pytest.mark.parametrize("seed", range(5))
def test_a_right_sparse_jacobian_is_certified(rng, seed):
    report = gradproof.check_jacobian(broyden, broyden_jacobian, rng.standard_normal(2000), seed=seed)
    assert report.verdict is Verdict.CORRECT
    assert report.evaluations <= 60  # two lines, and three groups of columns


def test_an_entry_of_a_pattern_that_its_row_and_its_norm_mask_is_found_by_column_groups(rng):
    x = rng.standard_normal(400)
    small = 1e-6

    def function(p):
        y = 1e3 * np.sin(p)
        y[1:] += small * p[:-1] ** 2
        return y

    def jacobian(p):
        return sparse.diags([small * 2 * p[:-1], 1e3 * np.cos(p)], [-1, 0], format="csr")

    assert gradproof.check_jacobian(function, jacobian, x, seed=1).verdict is Verdict.CORRECT
    wrong = jacobian(x)
    wrong[8, 7] *= 2
    assert gradproof.check_jacobian(function, wrong, x, seed=1, strategy="certificate").verdict is Verdict.CORRECT
    report = gradproof.check_jacobian(function, wrong, x, seed=1)
    assert report.verdict is Verdict.WRONG
    assert [entry.index for entry in report.coordinates] == [(8, 7)]


def test_columns_of_a_band_form_as_many_groups_as_it_has_diagonals():
    from gradproof._evidence.column_groups import column_groups

    n = 50
    band = sparse.diags([np.ones(n - 1), np.ones(n), np.ones(n - 1)], [-1, 0, 1], format="csr")
    groups = column_groups(band, 10)
    assert groups.max() == 2
    for row in range(n):
        own = groups[band[[row], :].indices]
        assert len(set(own)) == len(own)
    assert column_groups(band, 2) is None
    assert column_groups(sparse.csr_array(np.ones((3, 5))), 4) is None
    assert column_groups(sparse.csr_array((3, 5)), 1).tolist() == [0] * 5


def test_the_coordinates_of_a_large_sparse_matrix_are_measured_in_groups(rng):
    x = rng.standard_normal(20_000)
    J = broyden_jacobian(x)
    assert gradproof.check_jacobian(broyden, J, x, seed=1, strategy="coordinates").verdict is Verdict.CORRECT
    J[11, 12] = -1.99
    report = gradproof.check_jacobian(broyden, J, x, seed=1, strategy="coordinates")
    assert [entry.index for entry in report.coordinates] == [(11, 12)]


def test_a_wrong_entry_among_a_hundred_thousand_squared_is_named(rng):
    x = rng.standard_normal(100_000)
    J = broyden_jacobian(x)
    J[5000, 5001] = -1.9
    report = gradproof.check_jacobian(broyden, J, x, seed=1)
    assert report.verdict is Verdict.WRONG
    (entry,) = report.coordinates
    assert entry.index == (5000, 5001)
    assert abs(entry.numerical + 2) < 1e-9
    assert report.evaluations <= 100


@pytest.mark.parametrize(("row", "column"), [(70_000, 69_999), (0, 1), (99_999, 99_999)])
def test_an_entry_missing_from_the_pattern_is_named(rng, row, column):
    x = rng.standard_normal(100_000)
    J = broyden_jacobian(x)
    value = J[row, column]
    J[row, column] = 0
    J.eliminate_zeros()
    report = gradproof.check_jacobian(broyden, J, x, seed=1)
    assert report.verdict is Verdict.WRONG
    (entry,) = report.coordinates
    assert entry.index == (row, column)
    assert abs(entry.numerical - value) < 1e-9
    assert report.diagnoses[0].cause is Cause.PATTERN
    assert "missing from the pattern" in report.diagnoses[0].sentence


def test_several_faults_in_several_rows_are_all_named(rng):
    x = rng.standard_normal(3000)
    J = broyden_jacobian(x).tolil()
    places = [(5, 5), (100, 101), (2000, 1999), (2999, 2998), (17, 2500)]
    for row, column in places:
        J[row, column] = J[row, column] + 0.3
    report = gradproof.check_jacobian(broyden, J.tocsr(), x, seed=1)
    assert sorted(entry.index for entry in report.coordinates) == sorted(places)


def test_two_faults_in_one_row_are_named(rng):
    x = rng.standard_normal(500)
    J = broyden_jacobian(x).tolil()
    J[100, 99] = -1.5
    J[100, 101] = -2.5
    report = gradproof.check_jacobian(broyden, J.tocsr(), x, seed=1)
    assert report.verdict is Verdict.WRONG
    assert any("output[100]" in note for note in report.notes)
    assert any("99" in d.sentence + d.where and "101" in d.sentence + d.where for d in report.diagnoses)


def test_a_pattern_with_duplicates_is_said(rng):
    x = rng.standard_normal(30)
    J = broyden_jacobian(x).tocoo()
    rows, columns = np.append(J.row, 3), np.append(J.col, 4)
    twice = sparse.coo_array((np.append(J.data, 0.5), (rows, columns)), shape=(30, 30))
    report = gradproof.check_jacobian(broyden, twice, x, seed=1)
    assert report.verdict is Verdict.WRONG
    assert any("twice" in note and "row 3, column 4" in note for note in report.notes)
    halves = sparse.coo_array((np.append(J.data, 0.0), (rows, columns)), shape=(30, 30))
    report = gradproof.check_jacobian(broyden, halves, x, seed=1)
    assert report.verdict is Verdict.CORRECT
    assert any("twice" in note for note in report.notes)


def test_an_entry_that_is_not_finite_is_named(dense):
    function, jacobian, point = dense
    J = jacobian(point)
    J[2, 5] = np.inf
    for claimed in (J, sparse.csr_array(J)):
        report = gradproof.check_jacobian(function, claimed, point, seed=1)
        assert report.verdict is Verdict.WRONG
        assert "inf at row output[2], column point[5]" in report.diagnoses[0].sentence
        assert report.evaluations == 1


def test_linear_operators_by_their_matvec_and_their_rmatvec(dense):
    function, jacobian, point = dense
    right = aslinearoperator(jacobian(point))
    assert gradproof.check_jacobian(function, right, point, seed=1).verdict is Verdict.CORRECT
    lone = LinearOperator((30, 20), matvec=lambda v: jacobian(point) @ v, dtype=float)
    report = gradproof.check_jacobian(function, lone, point, seed=1)
    assert report.verdict is Verdict.CORRECT
    assert any("rmatvec was not checked" in note for note in report.notes)
    crooked = LinearOperator(
        (30, 20), matvec=lambda v: jacobian(point) @ v, rmatvec=lambda u: 1.1 * jacobian(point).T @ u, dtype=float
    )
    report = gradproof.check_jacobian(function, crooked, point, seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.NOT_ADJOINT
    doubled = aslinearoperator(2 * jacobian(point))
    assert gradproof.check_jacobian(function, doubled, point, seed=1).verdict is Verdict.WRONG


def test_complex_jacobians(rng):
    z = rng.standard_normal(5) + 1j * rng.standard_normal(5)
    M = rng.standard_normal((4, 5)) + 1j * rng.standard_normal((4, 5))
    square = lambda z: M @ z**2
    for claimed in (2 * M * z, sparse.csr_array(2 * M * z)):
        assert gradproof.check_jacobian(square, claimed, z, seed=1).verdict is Verdict.CORRECT
        assert gradproof.check_jacobian(square, np.conj(claimed), z, seed=1).verdict is Verdict.WRONG
    power = lambda z: np.abs(z) ** 2
    assert gradproof.check_jacobian(power, np.diag(2 * z), z, seed=1).verdict is Verdict.CORRECT
    assert (
        gradproof.check_jacobian(power, np.diag(2 * np.conj(z)), z, seed=1, convention="jax").verdict is Verdict.CORRECT
    )
    report = gradproof.check_jacobian(power, np.diag(2 * np.conj(z)), z, seed=1)
    assert report.diagnoses[0].cause is Cause.CONVENTION
    with pytest.raises(gradproof.UsageError, match="convention is 'numpy'"):
        gradproof.check_jacobian(power, np.diag(2 * z), z, convention="numpy")


def test_a_constant_function_and_a_jacobian_of_zeros(rng):
    x = rng.standard_normal(6)
    assert gradproof.check_jacobian(lambda p: np.ones(4), np.zeros((4, 6)), x, seed=1).verdict is Verdict.CORRECT
    assert gradproof.check_jacobian(lambda p: np.sin(p[:4]), np.zeros((4, 6)), x, seed=1).verdict is Verdict.WRONG
    assert gradproof.check_jacobian(lambda p: np.ones(4), np.ones((4, 6)), x, seed=1).verdict is Verdict.WRONG


def test_a_function_that_fails_on_one_side_is_measured_on_the_other():
    x = np.array([0.0, 1.0, 2.0])

    def function(p):
        if np.any(p < 0):
            raise ValueError("negative")
        return np.exp(p) * p

    right = lambda p: np.diag(np.exp(p) * (1 + p))
    assert gradproof.check_jacobian(function, right, x, seed=1, strategy="coordinates").verdict is Verdict.CORRECT
    wrong = lambda p: np.diag(np.exp(p) * (2 + p))
    assert gradproof.check_jacobian(function, wrong, x, seed=1, strategy="coordinates").verdict is Verdict.WRONG


@pytest.mark.parametrize("factor", [1, 2])
def test_the_report_survives_json(dense, factor):
    function, jacobian, point = dense
    report = gradproof.check_jacobian(function, factor * jacobian(point), point, seed=1)
    assert gradproof.Report.from_json(report.to_json()) == report


def test_assert_jacobian(dense):
    function, jacobian, point = dense
    gradproof.assert_jacobian(function, jacobian, point, seed=1)
    with pytest.raises(gradproof.WrongGradient, match="the Jacobian is wrong"):
        gradproof.assert_jacobian(function, 3 * jacobian(point), point, seed=1)
