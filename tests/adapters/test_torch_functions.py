"""`gradproof.torch.check`: functions of tensors against the framework's own derivatives."""

from __future__ import annotations

import inspect
import random

import numpy as np
import pytest

import gradproof
from gradproof import Cause, CostRaised, MixedFrameworks, NotDifferentiable, Reason, UsageError, Verdict

torch = pytest.importorskip("torch")

from gradproof.torch import assert_function, check  # noqa: E402

DOUBLE = torch.float64


def normal(*shape, dtype=DOUBLE, seed=1, grad=True):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=dtype, generator=generator).requires_grad_(grad)


def scaled(factor, function=torch.sin, derivative=torch.cos):
    """Return a function whose backward pass is `factor` times the true one."""

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return function(x)

        @staticmethod
        def backward(ctx, cotangent):
            (x,) = ctx.saved_tensors
            return factor * derivative(x) * cotangent

    return Scaled.apply


class Product(torch.autograd.Function):
    """A matrix product whose gradient of the weight is twice the true one."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight

    @staticmethod
    def backward(ctx, cotangent):
        x, weight = ctx.saved_tensors
        return cotangent @ weight.T, 2 * x.T @ cotangent


# --- right and wrong --------------------------------------------------------------------------------------------------


RIGHT = {
    "a lone tensor": (torch.sin, normal(4, 3)),
    "a number": (lambda x: x**2, normal()),
    "two inputs": (torch.matmul, (normal(4, 3), normal(3, 5, seed=2))),
    "several outputs": (lambda x: torch.linalg.eigh(x + x.mT), normal(3, 3)),
    "an output of whole numbers": (lambda x: x.max(dim=1), normal(4, 3)),
    "nested containers": (
        lambda p, q: {"a": p["w"] * q[0], "b": q[1].sum()},
        ({"w": normal(3)}, [normal(3, seed=2), normal(2)]),
    ),
    "a list of tensors": (torch.cat, [normal(4, 3), normal(2, 3)]),
    "a list that is one argument": (lambda parts: torch.cat(parts), [normal(4, 3), normal(2, 3)]),
    "indices beside it": (lambda w, i: torch.nn.functional.embedding(i, w), (normal(4, 3), torch.tensor([0, 1, 1]))),
    "a sparse gradient": (
        lambda w: torch.nn.functional.embedding(torch.tensor([0, 1, 1]), w, sparse=True),
        normal(4, 3),
    ),
    "a transposed input": (torch.sin, normal(4, 3).detach().T.requires_grad_()),
    "an input with gaps": (torch.sin, normal(8, 3).detach()[::2].requires_grad_()),
    "an expanded input": (torch.sin, normal(1, 3).detach().expand(4, 3).requires_grad_()),
    "several precisions": (lambda a, b: a * b.double(), (normal(3), normal(3, dtype=torch.float32))),
    "float32": (torch.tanh, normal(20, 20, dtype=torch.float32)),
    "float16": (torch.sin, normal(20, 20, dtype=torch.float16)),
    "bfloat16": (torch.sin, normal(20, 20, dtype=torch.bfloat16)),
    "complex, holomorphic": (torch.sin, normal(3, dtype=torch.complex128)),
    "complex, not holomorphic": (lambda z: z * z.conj(), normal(3, dtype=torch.complex128)),
    "complex to real": (torch.abs, normal(3, dtype=torch.complex128)),
    "real to complex": (torch.fft.fft, normal(4)),
    "a gradient inside": (torch.func.grad(lambda x: x.sin().sum()), normal(3)),
    "autograd inside": (lambda x: torch.autograd.grad((x**3).sum(), x, create_graph=True)[0], normal(3)),
    "vmap inside": (torch.func.vmap(torch.sin), normal(4, 3)),
    "compiled": (torch.compile(lambda x: x.sin() * 2, backend="eager"), normal(3)),
    "in place": (lambda x: x.mul_(2).sin(), normal(4, 3)),
    "an empty input beside it": (lambda x, y: x.sin().sum() + y.sum(), (normal(3), normal(0))),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_derivative_is_certified(name):
    function, inputs = RIGHT[name]
    report = check(function, inputs, seed=3)
    assert report.verdict is Verdict.CORRECT, str(report)
    assert report.verb == "torch.check"
    assert report.evaluations < 100


@pytest.mark.parametrize("strategy", ["auto", "certificate", "coordinates"])
def test_rows_that_are_zero_but_for_rounding_are_no_mistake(strategy):
    # the imaginary parts of real eigenvalues: autograd returns 1e-8 for them
    report = check(torch.linalg.eigvals, normal(5, 5, dtype=torch.float32, seed=5), strategy=strategy, seed=3)
    assert report.verdict is not Verdict.WRONG


@pytest.mark.parametrize("dtype", [DOUBLE, torch.complex128])
def test_a_gradient_of_zero_without_memory_of_its_own_is_read(dtype):
    assert check(torch.sgn, normal(4, dtype=dtype).detach().add(3).requires_grad_(), seed=3).verdict is Verdict.CORRECT


@pytest.mark.parametrize("factor", [2.0, -1.0, 0.0, 1.0001, 1.00001])
@pytest.mark.parametrize("size", [(), (5,), (20, 20)])
def test_a_wrong_factor_is_caught_at_every_size(factor, size):
    report = check(scaled(factor), normal(*size), seed=3)
    assert report.verdict is Verdict.WRONG


def test_the_faulty_input_is_named_as_forward_names_it_and_so_is_the_factor():
    report = check(Product.apply, (normal(4, 3), normal(3, 5, seed=2)), seed=3)
    assert report.faulty == ("output × weight",)
    (diagnosis,) = report.diagnoses
    assert diagnosis.cause is Cause.FACTOR
    assert diagnosis.coefficient == pytest.approx(2)
    assert "the derivative by weight / 2" in str(report)
    assert "gradproof.torch.check(function, inputs, seed=3" in " ".join(str(report).split())


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(("factor", "verdict"), [(1.0, Verdict.CORRECT), (1.001, Verdict.WRONG), (0.0, Verdict.WRONG)])
def test_the_scale_of_the_output_changes_no_verdict(scale, factor, verdict):
    function = scaled(factor)
    assert check(lambda x: scale * function(x), normal(5, 5), seed=3).verdict is verdict


@pytest.mark.parametrize("strategy", ["auto", "coordinates"])
def test_other_strategies_agree(strategy):
    inputs = (normal(4, 3), normal(3, 5, seed=2))
    assert check(torch.matmul, inputs, strategy=strategy, seed=3).verdict is Verdict.CORRECT
    assert check(Product.apply, inputs, strategy=strategy, seed=3).faulty == ("output × weight",)


def test_a_path_that_autograd_does_not_know_is_a_wrong_gradient_of_zero():
    report = check(lambda x, y: x.detach() * y, (normal(3), normal(3, seed=2)), seed=3)
    assert report.faulty == ("output × x",)
    assert any("no path to x" in note for note in report.notes)


def test_what_requires_no_gradient_is_held_constant_and_said_to_be():
    report = check(lambda x, y: x * y, (normal(3), normal(3, grad=False)), seed=3)
    assert [block.name for block in report.blocks] == ["output × x"]
    assert any("y (float64)" in note for note in report.notes)


def test_only_and_exclude_choose_inputs():
    inputs = (normal(4, 3), normal(3, 5, seed=2))
    assert check(Product.apply, inputs, only="x", seed=3).verdict is Verdict.CORRECT
    assert check(Product.apply, inputs, exclude="x", seed=3).verdict is Verdict.WRONG


def test_another_backward_pass_may_be_claimed():
    x = normal(4)
    assert check(torch.sin, x, claimed=lambda x, u: u * x.cos(), seed=3).verdict is Verdict.CORRECT
    assert check(torch.sin, x, claimed=lambda x, u: u * x.sin(), seed=3).verdict is Verdict.WRONG
    pair = (normal(3), normal(3, seed=2))
    assert check(torch.mul, pair, claimed=lambda a, b, u: (u * b, u * a), seed=3).verdict is Verdict.CORRECT
    assert (
        check(lambda a, b: a * b, pair, claimed=lambda a, b, u: {"b": u * a, "a": u * b}, seed=3).verdict
        is Verdict.CORRECT
    )
    with pytest.raises(UsageError, match="1 gradients, for 2 inputs"):
        check(torch.mul, pair, claimed=lambda a, b, u: u * b)


def test_an_assertion_raises_with_the_report():
    assert assert_function(torch.sin, normal(3), seed=3).verdict is Verdict.CORRECT
    with pytest.raises(gradproof.WrongGradient, match="2 times the true one"):
        assert_function(scaled(2.0), normal(3), seed=3)


# --- layouts ----------------------------------------------------------------------------------------------------------


def breaks(condition):
    """Return a function whose backward pass reads its cotangent as if it were contiguous, where a condition holds."""

    class Raw(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, cotangent):
            (x,) = ctx.saved_tensors
            if condition(cotangent):
                cotangent = cotangent.flip(0)
            return x.cos() * cotangent

    return Raw.apply


@pytest.mark.parametrize(
    ("condition", "word"),
    [
        pytest.param(
            lambda u: not u.is_contiguous() and u.stride()[0] == 1 and u.stride()[1] > 1, "Fortran", id="transposed"
        ),
        pytest.param(lambda u: 2 in u.stride() and u.storage_offset() == 0, "strides", id="with gaps"),
    ],
)
def test_a_backward_pass_that_ignores_strides_is_named(condition, word):
    report = check(breaks(condition), normal(4, 3), seed=3)
    assert report.verdict is Verdict.WRONG
    (diagnosis,) = report.diagnoses
    assert diagnosis.cause is Cause.LAYOUT
    assert word in diagnosis.sentence


def test_a_backward_pass_that_fails_on_expanded_cotangents_is_named():
    class Refuses(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, cotangent):
            return 2 * cotangent.view(-1).view(cotangent.shape)  # an expanded tensor cannot be viewed so

    report = check(Refuses.apply, normal(4, 3), seed=3)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.LAYOUT


def test_a_backward_pass_that_is_wrong_where_another_output_is_not_used_is_found():
    class Both(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(x)
            return x.sin(), (x**2).sum()

        @staticmethod
        def backward(ctx, cotangent, of_sum):
            (x,) = ctx.saved_tensors
            if cotangent is None:
                return torch.zeros_like(x)
            return x.cos() * cotangent + (0 if of_sum is None else 2 * x * of_sum)

    report = check(Both.apply, normal(20), seed=3)
    assert report.faulty == ("output[1] × x",)


# --- modes and orders -------------------------------------------------------------------------------------------------


def with_jvp(factor):
    class Cubed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.save_for_forward(x)
            return x**3

        @staticmethod
        def backward(ctx, cotangent):
            (x,) = ctx.saved_tensors
            return 3 * x**2 * cotangent

        @staticmethod
        def jvp(ctx, tangent):
            (x,) = ctx.saved_tensors
            return factor * 3 * x**2 * tangent

    return Cubed.apply


def test_forward_mode_is_checked_where_it_is_asked_for():
    assert check(with_jvp(1.0), normal(4), modes=("rev", "fwd"), seed=3).verdict is Verdict.CORRECT
    report = check(with_jvp(1.01), normal(4), modes=("rev", "fwd"), seed=3)
    assert report.verdict is Verdict.WRONG
    assert any(note.startswith("reverse mode: CORRECT") for note in report.notes)
    assert check(with_jvp(1.01), normal(4), seed=3).verdict is Verdict.CORRECT


def test_a_function_without_forward_mode_gets_a_note_or_an_error_where_nothing_else_was_asked_for():
    report = check(scaled(1.0), normal(4), modes=("rev", "fwd"), seed=3)
    assert report.verdict is Verdict.CORRECT
    assert any("Forward mode was not checked" in note for note in report.notes)
    with pytest.raises(UsageError, match="forward mode"):
        check(scaled(1.0), normal(4), modes=("fwd",), seed=3)


def second_order(factor):
    """Return x³ whose backward pass is right and whose double backward is not."""

    class Slope(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, cotangent):
            ctx.save_for_backward(x, cotangent)
            return 3 * x**2 * cotangent

        @staticmethod
        def backward(ctx, u):
            x, cotangent = ctx.saved_tensors
            return factor * 6 * x * cotangent * u, 3 * x**2 * u

    class Cubed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, cotangent):
            return Slope.apply(ctx.saved_tensors[0], cotangent)

    return Cubed.apply


def test_the_second_order_is_checked_along_cotangents_of_its_own():
    x = normal(4)
    assert check(second_order(1.0), x, order=2, seed=3).verdict is Verdict.CORRECT
    assert check(second_order(2.0), x, seed=3).verdict is Verdict.CORRECT
    report = check(second_order(2.0), x, order=2, seed=3)
    assert report.verdict is Verdict.WRONG
    assert report.faulty == ("gradient of x × x",)


def test_the_second_order_is_no_empty_claim_where_the_function_is_zero():
    zero = lambda x: second_order(2.0)(x) - x.detach() ** 3  # f = 0 and f' ≠ 0 at the point
    assert (
        check(
            lambda x: second_order(2.0)(x - 1 + 1) * 1.0,
            torch.full((3,), 0.5, dtype=DOUBLE, requires_grad=True),
            order=2,
            seed=3,
        ).verdict
        is Verdict.WRONG
    )
    assert check(zero, normal(3), order=2, seed=3).verdict is Verdict.WRONG


def test_a_double_backward_through_what_can_be_differentiated_once_is_refused():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, cotangent):
            return 3 * ctx.saved_tensors[0] ** 2 * cotangent

    assert check(Once.apply, normal(4), seed=3).verdict is Verdict.CORRECT
    with pytest.raises(UsageError, match="once_differentiable"):
        check(Once.apply, normal(4), order=2)


# --- randomness -------------------------------------------------------------------------------------------------------


def test_a_random_function_is_recognised_at_two_evaluations_and_the_remedy_named():
    report = check(torch.nn.functional.dropout, normal(4, 3), seed=3)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason is Reason.RANDOM
    assert report.evaluations == 2
    assert "replay_rng=True" in str(report)


@pytest.mark.parametrize("factor", [1.0, 1.01])
def test_replayed_random_numbers_make_dropout_checkable(factor):
    function = scaled(factor)
    report = check(lambda x: torch.nn.functional.dropout(function(x)), normal(4, 3), replay_rng=True, seed=3)
    assert report.verdict is (Verdict.CORRECT if factor == 1 else Verdict.WRONG)


@pytest.mark.parametrize("draw", [lambda: np.random.standard_normal(), random.random], ids=["NumPy", "Python"])
def test_other_generators_are_seen_and_replayed_too(draw):
    function = lambda x: x * draw()
    assert check(function, normal(3), seed=3).reason is Reason.RANDOM
    assert check(function, normal(3), replay_rng=True, seed=3).verdict is Verdict.CORRECT


def test_numbers_that_are_drawn_and_not_used_do_no_harm():
    assert check(lambda x: torch.nn.functional.dropout(x.sin(), p=0.0), normal(3), seed=3).verdict is Verdict.CORRECT
    assert check(lambda x: x.sin() + 0 * torch.randn(3), normal(3), seed=3).verdict is Verdict.CORRECT


@pytest.mark.parametrize("replay_rng", [False, True])
def test_the_generators_are_left_as_they_were(replay_rng):
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    check(torch.nn.functional.dropout, normal(4, 3), replay_rng=replay_rng, seed=3)
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])
    assert states[2] == random.getstate()


def jittery(size):
    class Jittery(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, cotangent):
            (x,) = ctx.saved_tensors
            return x.cos() * cotangent * (1 + size * torch.randn(x.shape, dtype=x.dtype))

    return Jittery.apply


def test_a_backward_pass_that_differs_from_call_to_call_is_measured_and_not_called_a_mistake():
    torch.manual_seed(5)
    report = check(jittery(1e-5), normal(4, 3), seed=3)
    assert report.verdict is Verdict.INCONCLUSIVE
    (diagnosis,) = report.diagnoses
    assert diagnosis.cause is Cause.NON_DETERMINISTIC_CLAIM
    assert 1e-6 < diagnosis.coefficient < 1e-4


def test_a_function_whose_value_differs_with_gradients_enabled_is_told_so():
    function = lambda x: x.sin() * (1.0 if torch.is_grad_enabled() else 2.0)
    report = check(function, normal(4), seed=3)
    assert report.verdict is Verdict.CORRECT
    assert any("with and without gradients" in note for note in report.notes)


# --- what is the user's stays as it is --------------------------------------------------------------------------------


def test_inputs_their_gradients_and_their_history_stay_as_they_are():
    x = normal(4, 3)
    x.grad = torch.ones_like(x)
    kept, version = x.detach().clone(), x._version
    constant = torch.ones(4, 3, dtype=DOUBLE)
    check(lambda x, c: c.mul_(2) * x.add_(1).sin(), (x, constant), seed=3)
    assert torch.equal(x.detach(), kept)
    assert x._version == version
    assert torch.equal(x.grad, torch.ones_like(x))
    assert torch.equal(constant, torch.ones_like(constant))


def test_parameters_in_the_closure_get_no_gradient():
    layer = torch.nn.Linear(3, 2, dtype=DOUBLE)
    assert check(layer, normal(4, 3), seed=3).verdict is Verdict.CORRECT
    assert layer.weight.grad is None


def test_a_module_names_its_input_as_its_forward_does():
    report = check(torch.nn.Linear(3, 2, dtype=DOUBLE), normal(4, 3), seed=3)
    assert report.blocks[0].name == "output × input"


# --- bad input --------------------------------------------------------------------------------------------------------


BAD = {
    "no gradient required": (
        torch.sin,
        normal(3, grad=False),
        UsageError,
        r"no input requires a gradient.*requires_grad_\(\)",
    ),
    "whole numbers": (
        lambda i: 2.0 * i,
        torch.arange(3),
        NotDifferentiable,
        r"i: a torch.Tensor of torch.int64.*indices",
    ),
    "no tensor at all": (lambda x: x, 1.5, UsageError, "x is a float"),
    "NumPy beside tensors": (lambda x, a: x, (normal(3), np.ones(3)), MixedFrameworks, r"a: .*torch.as_tensor\(a\)"),
    "returns None": (lambda x: None, normal(3), NotDifferentiable, "returns None.*return statement"),
    "returns a float": (lambda x: x.sum().item(), normal(3), NotDifferentiable, r"a float.*without .item\(\)"),
    "detached": (lambda x: x.detach().sin(), normal(3), NotDifferentiable, r"no path from output to 'x'.*detach"),
    "returns whole numbers": (lambda x: x.argmax(), normal(3), NotDifferentiable, "no path from output to 'x'"),
    "raises": (lambda x: x @ torch.ones(7, dtype=DOUBLE), normal(3), CostRaised, r"function\(x\): RuntimeError"),
    "too many inputs": (lambda x: x, (normal(3), normal(3)), CostRaised, "TypeError"),
    "sparse": (
        lambda x: x.to_dense(),
        normal(3, 3).detach().to_sparse().requires_grad_(),
        NotDifferentiable,
        "to_dense",
    ),
    "not finite": (
        torch.sin,
        torch.tensor([1.0, float("nan")], requires_grad=True),
        gradproof.NonFinitePoint,
        r"nan at \[1\]",
    ),
    "not finite there": (
        torch.log,
        torch.tensor([1.0, 0.0], dtype=DOUBLE, requires_grad=True),
        gradproof.NonFiniteCost,
        r"output\[1\] is -inf",
    ),
    "no function": (3, normal(3), UsageError, "function is int"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_checked_is_refused_with_what_where_why_and_what_to_do(name):
    function, inputs, error, match = BAD[name]
    with pytest.raises(error, match=f"(?s){match}"):
        check(function, inputs)


def test_a_wrong_shape_of_the_backward_pass_is_quoted():
    class Short(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.sin()

        @staticmethod
        def backward(ctx, cotangent):
            return cotangent[:2]

    with pytest.raises(UsageError, match=r"the backward pass: RuntimeError: .*invalid gradient.*\[2, 3\]"):
        check(Short.apply, normal(4, 3))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"modes": "rev"}, "modes is"),
        ({"modes": ()}, "modes is"),
        ({"modes": ("up",)}, "modes is"),
        ({"order": 3}, "order is 3"),
        ({"tolerance": 2.0}, "tolerance is"),
        ({"budget": 3}, "budget is 3"),
    ],
)
def test_options_are_validated(options, match):
    with pytest.raises(UsageError, match=match):
        check(torch.sin, normal(3), **options)


def test_the_surfaces_are_reached_from_the_package():
    assert gradproof.torch.check is check
    assert "replay_rng" in inspect.signature(gradproof.torch.check_module).parameters
    with pytest.raises(AttributeError, match="no attribute 'tensorflow'"):
        gradproof.tensorflow  # noqa: B018
