"""Claims in a tangent space: rotations, poses, unit vectors, symmetric matrices, angles; and bad retractions."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

import gradproof as gp
from gradproof._problem.tangents import TangentSpace

A = np.array([[0.3, -1.2, 0.5], [0.9, 0.4, -0.7], [-0.2, 0.8, 1.1]])
R = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()


def exp(w):
    return Rotation.from_rotvec(w).as_matrix()


def body(R, delta):
    return R @ exp(delta)


def world(R, delta):
    return exp(delta) @ R


def cost(R):
    return float(np.sum(A * R) + 0.3 * np.sum((A @ R) ** 2 * R))


def axial(M):
    return np.array([M[2, 1] - M[1, 2], M[0, 2] - M[2, 0], M[1, 0] - M[0, 1]])


def by_entries(R):
    return A + 0.6 * A.T @ ((A @ R) * R) + 0.3 * (A @ R) ** 2


def by_body(R):
    return axial(R.T @ by_entries(R))


def by_world(R):
    return axial(by_entries(R) @ R.T)


def check(*args, **options):
    return gp.check_gradient(*args, **{"seed": 1, **options})


# -- rotations ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("retract", "claimed"), [(body, by_body), (world, by_world)])
def test_the_gradient_of_a_cost_of_a_rotation_is_certified_in_its_frame(retract, claimed, seed):
    report = check(cost, R, claimed, retract=retract, seed=seed)
    assert report.verdict is gp.Verdict.CORRECT
    assert report.blocks[0].shape == (3,)
    assert "retract(point, δ)" in report.notes[0]


@pytest.mark.parametrize("factor", [1.001, -1.0, 2.0])
def test_a_wrong_one_is_wrong(factor):
    report = check(cost, R, factor * by_body(R), retract=body)
    assert report.verdict is gp.Verdict.WRONG
    assert report.diagnoses[0].cause in {gp.Cause.FACTOR, gp.Cause.SIGN}


@pytest.mark.parametrize(
    ("retract", "claimed", "remedy"), [(body, by_world, "R.T @ gradient"), (world, by_body, "R @ gradient")]
)
@pytest.mark.parametrize("strategy", ["auto", "certificate"])
def test_the_other_frame_is_named_and_certified(retract, claimed, remedy, strategy):
    report = check(cost, R, claimed, retract=retract, strategy=strategy)
    assert report.verdict is gp.Verdict.WRONG
    assert (report.diagnoses[0].cause, report.diagnoses[0].certified_remedy) == (gp.Cause.FRAME, remedy)


def test_no_frame_is_named_where_the_point_itself_is_displaced():
    report = check(lambda x: float(np.sum(A @ x)), np.array([0.6, 0.0, 0.8]), R @ A.sum(axis=0))
    assert report.verdict is gp.Verdict.WRONG
    assert gp.Cause.FRAME not in {d.cause for d in report.diagnoses}


@pytest.mark.parametrize("scalar_last", [True, False])
def test_a_quaternion_is_a_rotation_in_either_order(scalar_last):
    q = Rotation.from_matrix(R).as_quat(scalar_first=not scalar_last)

    def matrix(q):
        return Rotation.from_quat(q, scalar_first=not scalar_last).as_matrix()

    def retract(q, delta):
        moved = Rotation.from_quat(q, scalar_first=not scalar_last) * Rotation.from_rotvec(delta)
        found = moved.as_quat(scalar_first=not scalar_last)
        return found if found @ q > 0 else -found

    of_matrix = lambda q: cost(matrix(q))
    assert check(of_matrix, q, lambda q: by_body(matrix(q)), retract=retract).verdict is gp.Verdict.CORRECT
    report = check(of_matrix, q, lambda q: by_world(matrix(q)), retract=retract)
    assert report.diagnoses[0].cause is gp.Cause.FRAME


# -- poses -------------------------------------------------------------------------------------------------------------

POINTS = np.array([[1.0, 0.2, -0.5], [0.1, 2.0, 0.3], [-0.7, 0.4, 1.5], [0.3, -0.9, 0.8]])
POSE = np.block([[R, np.array([[0.5], [-2.0], [1.5]])], [np.zeros((1, 3)), np.ones((1, 1))]])


def hat(v):
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])


def twist(delta):
    return expm(np.block([[hat(delta[:3]), delta[3:, None]], [np.zeros((1, 4))]]))


def pose_cost(T):
    return float(np.sum(np.sin(POINTS @ T[:3, :3].T + T[:3, 3])))


def pose_gradient_right(T):
    slopes = np.cos(POINTS @ T[:3, :3].T + T[:3, 3]) @ T[:3, :3]
    return np.concatenate([np.cross(POINTS, slopes).sum(axis=0), slopes.sum(axis=0)])


def pose_gradient_left(T):
    moved = POINTS @ T[:3, :3].T + T[:3, 3]
    return np.concatenate([np.cross(moved, np.cos(moved)).sum(axis=0), np.cos(moved).sum(axis=0)])


def test_the_gradient_by_a_twist_is_certified_and_its_frame_is_told():
    right, left = (lambda T, d: T @ twist(d)), (lambda T, d: twist(d) @ T)
    assert check(pose_cost, POSE, pose_gradient_right, retract=right).verdict is gp.Verdict.CORRECT
    assert check(pose_cost, POSE, pose_gradient_left, retract=left).verdict is gp.Verdict.CORRECT
    report = check(pose_cost, POSE, pose_gradient_left, retract=right)
    assert (report.diagnoses[0].cause, report.diagnoses[0].certified_remedy) == (gp.Cause.FRAME, "Ad.T @ gradient")
    report = check(pose_cost, POSE, pose_gradient_right, retract=left)
    assert report.diagnoses[0].certified_remedy == "inv(Ad).T @ gradient"


def test_a_pose_in_parts_has_a_tangent_in_parts():
    point = {"R": R, "t": np.array([0.5, -2.0, 1500.0])}

    def retract(point, delta):
        return {"R": point["R"] @ exp(delta["w"]), "t": point["t"] + delta["v"]}

    def in_parts(point):
        return float(np.sum(np.sin(POINTS @ point["R"].T + point["t"] / 1000)))

    def gradient(point):
        slopes = np.cos(POINTS @ point["R"].T + point["t"] / 1000)
        return {"w": np.cross(POINTS, slopes @ point["R"]).sum(axis=0), "v": slopes.sum(axis=0) / 1000}

    report = check(in_parts, point, gradient, retract=retract)
    assert report.verdict is gp.Verdict.CORRECT
    assert [block.name for block in report.blocks] == ["w", "v"]
    assert check(in_parts, point, gradient, retract=retract, only="w").skipped == ("v",)


# -- other manifolds ---------------------------------------------------------------------------------------------------


def test_a_unit_vector_moves_in_its_tangent_plane():
    x = np.array([0.6, 0.0, 0.8])
    basis = np.array([[0.8, 0.0, -0.6], [0.0, 1.0, 0.0]]).T

    def retract(x, delta):
        moved = x + basis @ delta
        return moved / np.linalg.norm(moved)

    report = check(lambda x: float(x @ A @ x), x, lambda x: basis.T @ (A + A.T) @ x, retract=retract)
    assert report.verdict is gp.Verdict.CORRECT


def test_a_symmetric_matrix_changes_symmetrically_only():
    S = np.array([[2.0, 0.3, -0.1], [0.3, 1.5, 0.4], [-0.1, 0.4, 3.0]])
    rows, columns = np.triu_indices(3)

    def retract(S, delta):
        D = np.zeros((3, 3))
        D[rows, columns] = delta
        return S + D + np.triu(D, 1).T

    def gradient(S):
        G = np.linalg.inv(S)
        return np.where(rows == columns, 1, 2) * G[rows, columns]

    logdet = lambda S: float(np.log(np.linalg.det(np.linalg.cholesky(S @ S.T))))  # fails for nothing, needs symmetry
    assert check(logdet, S, gradient, retract=retract).verdict is gp.Verdict.CORRECT
    once = check(logdet, S, lambda S: np.linalg.inv(S)[rows, columns], retract=retract)
    assert once.verdict is gp.Verdict.WRONG


def test_a_retraction_that_adds_finds_what_the_plain_check_finds():
    x = np.array([0.3, -2.0, 5.0])
    cost, gradient = lambda x: float(np.sum(np.sin(x) * x)), lambda x: np.sin(x) + x * np.cos(x)
    for factor in (1.0, 1.01):
        claimed = factor * gradient(x)
        plain, composed = check(cost, x, claimed), check(cost, x, claimed, retract=lambda x, d: x + d)
        assert plain.verdict is composed.verdict


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_the_scale_of_the_displacements_is_the_points(unit):
    x = unit * np.array([0.3, -2.0, 5.0])
    cost, gradient = lambda x: float(np.sum(np.sin(x / unit))), lambda x: np.cos(x / unit) / unit
    report = check(cost, x, gradient, retract=lambda x, d: x + d)
    assert report.verdict is gp.Verdict.CORRECT
    space = TangentSpace(x, lambda x, d: x + d, 3, None)
    assert 0.5 < space.lengths["point"] / np.sqrt(np.mean(x**2)) < 2


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e12])
def test_a_tangent_of_another_unit_than_the_points_has_a_length_of_its_own(size):
    x = size * np.array([1.0, 2.0, 3.0])
    space = TangentSpace(x, lambda x, d: x * np.exp(d), 3, None)
    assert 0.2 < space.lengths["point"] < 5
    gradient = lambda x: np.cos(x / size) * x / size
    report = check(lambda x: float(np.sum(np.sin(x / size))), x, gradient, retract=lambda x, d: x * np.exp(d))
    assert report.verdict is gp.Verdict.CORRECT


def test_a_point_of_zeros_is_displaced_by_one():
    assert TangentSpace(np.zeros(3), lambda x, d: x + d, 3, None).lengths == {"point": pytest.approx(1.0)}


# -- the other verbs ---------------------------------------------------------------------------------------------------


def columns(R):
    return np.stack([(R @ hat(e)).reshape(-1) for e in np.eye(3)], axis=1)


def test_maps_are_checked_by_their_tangent_too():
    flat = lambda R: R.reshape(-1)
    given = {"retract": body, "seed": 1}
    assert gp.check_jacobian(flat, columns, R, **given).verdict is gp.Verdict.CORRECT
    assert gp.check_jacobian(flat, columns(R) * 1.01, R, **given).verdict is gp.Verdict.WRONG
    vjp, jvp = lambda R, u: columns(R).T @ u, lambda R, v: columns(R) @ v
    assert gp.check_vjp(flat, vjp, R, tangent=3, **given).verdict is gp.Verdict.CORRECT
    assert gp.check_vjp(flat, lambda R, u: -vjp(R, u), R, tangent=3, **given).verdict is gp.Verdict.WRONG
    assert gp.check_jvp(flat, jvp, R, tangent=(3,), **given).verdict is gp.Verdict.CORRECT
    assert gp.check_jvp(flat, lambda R, v: jvp(R, v) * 1.1, R, tangent=(3,), **given).verdict is gp.Verdict.WRONG


def test_the_derivative_of_a_gradient_in_frames_is_not_asked_to_be_symmetric():
    linear = lambda R: axial(R.T @ A)  # of ⟨A, R⟩, by δ in the body's frame

    def derivative(R):
        M = R.T @ A
        return np.stack([axial(-hat(e) @ M) for e in np.eye(3)], axis=1)

    assert np.linalg.norm(derivative(R) - derivative(R).T) > 0.1
    report = gp.check_hessian(linear, derivative, R, retract=body, seed=1)
    assert report.verdict is gp.Verdict.CORRECT
    assert "not tested" in report.notes[1]
    assert gp.check_hessian(linear, derivative(R).T, R, retract=body, seed=1).verdict is gp.Verdict.WRONG
    product = lambda R, v: derivative(R) @ v
    assert gp.check_hvp(linear, product, R, retract=body, tangent=3, seed=1).verdict is gp.Verdict.CORRECT


def test_derivatives_are_measured_along_tangents():
    measured = gp.numerical_gradient(cost, R, retract=body, tangent=3)
    assert np.all(np.abs(measured.values - by_body(R)) <= measured.error_bars)
    estimate = gp.directional_derivative(cost, R, np.array([0.3, -0.4, 1.2]), retract=body)
    assert abs(estimate.value - by_body(R) @ [0.3, -0.4, 1.2]) <= estimate.error_bar


def test_several_points_have_a_tangent_space_each():
    rotations = [exp(np.random.default_rng(k).standard_normal(3)) for k in range(3)]
    report = check(cost, None, by_body, retract=body, points=rotations)
    assert (report.verdict, report.where) == (gp.Verdict.CORRECT, "all 3 points")
    wrong_at_one = lambda R: by_body(R) * (1 + (np.abs(R - rotations[1]).max() < 1e-12))
    assert check(cost, None, wrong_at_one, retract=body, points=rotations).where == "point 2 of 3"


def test_a_cost_that_returns_its_gradient_needs_the_shape_of_the_tangent():
    both = lambda R: (cost(R), by_body(R))
    assert check(both, R, True, retract=body, tangent=3).verdict is gp.Verdict.CORRECT
    with pytest.raises(gp.UsageError, match="tangent is None"):
        check(both, R, True, retract=body)


class Pose:
    """A pose of somebody's library: nothing is known of what it holds."""

    def __init__(self, matrix):
        self.matrix = matrix


def test_a_point_of_an_unknown_type_is_handed_on():
    pose = Pose(R)
    retract = lambda pose, d: Pose(pose.matrix @ exp(d))
    report = check(lambda pose: cost(pose.matrix), pose, lambda pose: by_body(pose.matrix), retract=retract)
    assert report.verdict is gp.Verdict.CORRECT
    assert "was not compared" in report.notes[0]
    assert pose.matrix is R


def test_tensors_stay_tensors():
    torch = pytest.importorskip("torch")
    point = torch.tensor([0.3, 0.9], dtype=torch.float64)
    seen = []

    def retract(x, delta):
        seen.append(type(delta))
        return x * torch.exp(delta)

    report = check(lambda x: torch.sum(torch.sin(x)), point, lambda x: torch.cos(x) * x, retract=retract)
    assert report.verdict is gp.Verdict.CORRECT
    assert set(seen) == {torch.Tensor}
    single = point.float()
    report = check(lambda x: torch.sum(torch.sin(x)), single, torch.cos(single) * single, retract=retract)
    assert (report.verdict, report.blocks[0].dtype) == (gp.Verdict.CORRECT, "float32")


# -- difference= -------------------------------------------------------------------------------------------------------


def angle(x):
    return np.array([np.arctan2(x[1], x[0])])


def angle_jacobian(x):
    return np.array([[-x[1], x[0]]]) / (x @ x)


def around(a, b):
    return (a - b + np.pi) % (2 * np.pi) - np.pi


def test_an_angle_at_its_jump_is_a_point_like_any_other():
    x = np.array([-1.0, 1e-3])
    report = gp.check_jacobian(angle, angle_jacobian, x, difference=around, seed=1)
    assert report.verdict is gp.Verdict.CORRECT
    wrong = gp.check_jacobian(angle, lambda x: angle_jacobian(x) * 1.01, x, difference=around, seed=1)
    assert wrong.verdict is gp.Verdict.WRONG


def test_without_a_difference_the_jump_is_seen():
    x = np.array([-1.0, 0.0])
    assert gp.check_jacobian(angle, angle_jacobian, x, seed=1).verdict is not gp.Verdict.CORRECT
    assert gp.check_jacobian(angle, angle_jacobian, x, difference=around, seed=1).verdict is gp.Verdict.CORRECT


def test_a_function_from_rotations_to_rotations_has_a_jacobian_of_three_by_three():
    log = lambda a, b: Rotation.from_matrix(b.T @ a).as_rotvec()
    report = gp.check_jacobian(lambda R: R.T, -R, R, retract=body, difference=log, seed=1)
    assert (report.verdict, report.blocks[0].shape) == (gp.Verdict.CORRECT, (3, 3))
    vjp = lambda R, u: -R.T @ u
    report = gp.check_vjp(lambda R: R.T, vjp, R, retract=body, tangent=3, difference=log, seed=1)
    assert report.verdict is gp.Verdict.CORRECT
    assert gp.check_jacobian(lambda R: R.T, R, R, retract=body, difference=log, seed=1).verdict is gp.Verdict.WRONG


def test_a_difference_that_is_not_zero_for_equal_answers_is_refused():
    with pytest.raises(gp.UsageError, match=r"difference\(answer, answer\).*to be zero"):
        gp.check_jacobian(angle, angle_jacobian, np.ones(2), difference=lambda a, b: a, seed=1)
    with pytest.raises(gp.UsageError, match="difference is"):
        gp.check_jacobian(angle, angle_jacobian, np.ones(2), difference=3, seed=1)


# -- bad input ---------------------------------------------------------------------------------------------------------


def never(point):
    raise AssertionError("the cost was called")


@pytest.mark.parametrize(
    ("retract", "options", "error", "words"),
    [
        (lambda R, d: R @ exp(d) * 1.001, {}, gp.UsageError, "differs from the point by 0.0017"),
        (lambda R, d: R.reshape(-1), {}, gp.ShapeMismatch, "comes back with shape"),
        (lambda R, d: {"R": R}, {}, gp.ShapeMismatch, "it returns R, the point has point"),
        (lambda R, d: R, {}, gp.UsageError, "returns the point for every δ"),
        (lambda R, d: 1 / 0, {}, gp.UsageError, "ZeroDivisionError"),
        (body, {"tangent": 4}, gp.UsageError, r"δ of shape \(4,\).*has δ the dimension"),
        (body, {"tangent": "3"}, gp.NotDifferentiable, "tangent"),
        (body, {"tangent": (0,)}, gp.UsageError, "at least one number"),
        ("body", {}, gp.UsageError, "retract is"),
        (None, {"tangent": 3}, gp.UsageError, "there is no retract"),
    ],
)
def test_a_bad_retraction_is_refused_before_the_cost_is_called(retract, options, error, words):
    with pytest.raises(error, match=words):
        check(never, R, np.ones(3), retract=retract, **options)


def test_a_claim_of_another_dimension_is_refused_before_the_cost_is_called():
    with pytest.raises(gp.ShapeMismatch, match=r"\(4,\)"):
        check(never, R, np.ones(4), retract=body, tangent=3)
    with pytest.raises(gp.UsageError, match="has δ the dimension"):
        check(never, R, np.ones(4), retract=body)


def writes_into_the_point(R, delta):
    R @= exp(delta)
    R *= 1 + 1e-16
    return R


def writes_into_delta(R, delta):
    moved = R @ exp(delta)
    delta += 1
    return moved


@pytest.mark.parametrize(("retract", "name"), [(writes_into_the_point, "point"), (writes_into_delta, "delta")])
def test_a_retraction_that_changes_its_argument_is_refused(retract, name):
    before = copy.deepcopy(R)
    with pytest.raises(gp.MutatedInput, match=f"{name} changed during the call"):
        check(never, R, np.ones(3), retract=retract)
    assert np.array_equal(before, R)


def test_a_product_needs_the_shape_of_the_tangent():
    with pytest.raises(gp.UsageError, match="does not show which shape"):
        gp.check_vjp(never, lambda R, u: u, R, retract=body)
    with pytest.raises(gp.UsageError, match="Only a matrix"):
        gp.check_jacobian(never, np.zeros((2, 3, 3)), R, retract=body)


def test_no_claim_is_refused_as_ever():
    with pytest.raises(gp.ShapeMismatch, match="claimed is None"):
        check(never, R, None, retract=body)


def test_a_problem_holds_its_point_already():
    with pytest.raises(gp.UsageError, match="a Problem and, beside it"):
        check(gp.Problem(cost, R, by_entries), retract=body)
