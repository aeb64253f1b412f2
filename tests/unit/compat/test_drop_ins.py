"""Drop-ins: the peers' signatures and errors, gradproof's answers."""

from __future__ import annotations

import inspect
import math
import warnings

import numpy as np
import pytest

import gradproof

# -- torch -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def sine(torch, factor=1.0, second=1.0):
    """Return a custom function whose backward pass, and the derivative of that, are off by factors."""

    class Backward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, g):
            ctx.save_for_backward(x, g)
            return factor * g * x.cos()

        @staticmethod
        def backward(ctx, u):
            x, g = ctx.saved_tensors
            return -second * u * g * x.sin(), u * x.cos()

    class Sine(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, g):
            return Backward.apply(*ctx.saved_tensors, g)

    return Sine.apply


def point(torch, dtype="float64"):
    return torch.tensor([0.3, 0.9, -2.0], dtype=getattr(torch, dtype), requires_grad=True)


def test_torchs_signatures_are_taken_whole(torch):
    from torch.autograd.gradcheck import gradcheck, gradgradcheck

    from gradproof.compat import torch as compat

    for theirs, ours in ((gradcheck, compat.gradcheck), (gradgradcheck, compat.gradgradcheck)):
        wanted = {name: (p.kind, p.default) for name, p in inspect.signature(theirs).parameters.items()}
        assert {name: (p.kind, p.default) for name, p in inspect.signature(ours).parameters.items()} == wanted


def test_gradcheck_accepts_what_is_right_in_any_precision(torch):
    from gradproof.compat.torch import gradcheck

    assert gradcheck(torch.sin, (point(torch),), eps=1e-3, atol=1e-9, rtol=0, fast_mode=True, nondet_tol=1.0) is True
    assert gradcheck(torch.sin, point(torch, "float32"), check_forward_ad=True) is True
    assert gradcheck(lambda x, k: x**k, [point(torch), 3]) is True


def test_gradcheck_rejects_what_torch_lets_pass_by_its_tolerance(torch):
    from gradproof.compat.torch import WrongDerivative, gradcheck

    wrong = sine(torch, factor=1 + 5e-4)
    assert torch.autograd.gradcheck(wrong, (point(torch),))
    with pytest.raises(
        torch.autograd.gradcheck.__globals__["GradcheckError"], match=r"1\.0005 times the true one"
    ) as caught:
        gradcheck(wrong, (point(torch),))
    assert isinstance(caught.value, WrongDerivative)
    assert caught.value.report.verdict is gradproof.Verdict.WRONG
    assert gradcheck(wrong, (point(torch),), raise_exception=False) is False


def test_gradcheck_can_ask_for_forward_mode_alone(torch):
    from gradproof.compat.torch import gradcheck

    assert gradcheck(torch.sin, (point(torch),), check_forward_ad=True, check_backward_ad=False)
    with pytest.raises(gradproof.UsageError, match="forward mode"):
        gradcheck(sine(torch), (point(torch),), check_forward_ad=True, check_backward_ad=False)
    with pytest.raises(gradproof.UsageError, match="neither mode"):
        gradcheck(torch.sin, (point(torch),), check_backward_ad=False)


def test_what_is_not_checked_is_said(torch):
    from gradproof.compat.torch import gradcheck

    with pytest.warns(gradproof.GradproofWarning, match="check_batched_grad asks for") as told:
        assert gradcheck(torch.sin, (point(torch),), check_batched_grad=True)
    assert told[0].filename == __file__


def test_an_input_that_requires_no_gradient_is_a_value_error_as_torchs(torch):
    from gradproof.compat.torch import gradcheck

    for checker in (gradcheck, torch.autograd.gradcheck):
        with pytest.raises(ValueError, match="require"):
            checker(torch.sin, (torch.ones(2, dtype=torch.float64),))


def test_gradgradcheck_asks_for_the_second_order_alone(torch):
    from gradproof.compat.torch import WrongDerivative, gradgradcheck

    assert gradgradcheck(torch.sin, (point(torch),))
    assert gradgradcheck(sine(torch), (point(torch),))
    with pytest.raises(WrongDerivative):
        gradgradcheck(sine(torch, second=1.01), (point(torch),))
    u = torch.ones(3, dtype=torch.float64, requires_grad=True)
    assert gradgradcheck(sine(torch), (point(torch),), u)
    assert gradgradcheck(sine(torch), (point(torch),), (u.detach(),))
    assert not gradgradcheck(sine(torch, second=1.01), (point(torch),), (u.detach(),), raise_exception=False)


def test_gradgradcheck_leaves_inputs_that_need_no_gradient_alone(torch):
    from gradproof.compat.torch import gradgradcheck

    fixed = torch.tensor([2.0, 3.0, 4.0], dtype=torch.float64)
    assert gradgradcheck(lambda x, y, k: (x**k * y, x * y.sum()), (point(torch), fixed, 3))


# -- JAX ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def jax():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        yield jax


def parameters(function):
    return {name: (p.kind, p.default) for name, p in inspect.signature(function).parameters.items()}


def test_jaxs_check_grads_has_its_signature_and_its_error(jax):
    from jax.test_util import check_grads as theirs

    from gradproof.compat.jax import check_grads

    assert parameters(check_grads) == parameters(theirs)
    x = jax.numpy.array([0.3, 0.9])
    assert check_grads(jax.numpy.sin, (x,), 2, ("fwd", "rev"), 1e-9, 1e-9, 1e-3) is None

    @jax.custom_jvp
    def wrong(x):
        return jax.numpy.sin(x)

    wrong.defjvp(lambda primals, tangents: (wrong(*primals), 1.01 * jax.numpy.cos(primals[0]) * tangents[0]))
    with pytest.raises(AssertionError, match="WRONG") as caught:
        check_grads(wrong, (x,), order=1)
    assert caught.value.report.verdict is gradproof.Verdict.WRONG


def test_a_third_order_is_refused(jax):
    from gradproof.compat.jax import check_grads

    with pytest.raises(gradproof.UsageError, match="order is 3"):
        check_grads(jax.numpy.sin, (1.0,), order=3)


# -- autograd ----------------------------------------------------------------------------------------------------------


def test_autograds_check_grads_takes_arguments_by_number():
    anp = pytest.importorskip("autograd.numpy")
    from gradproof.compat.autograd import check_grads

    A, x = np.array([[0.3, -1.0], [0.7, 0.2]]), np.array([0.4, -0.9])
    assert check_grads(anp.sin)(x) is None
    check_grads(anp.dot, argnum=(0, 1), modes=["rev"])(A, x)
    check_grads(anp.dot, 1, order=1)(A, x)
    check_grads(lambda x, k: anp.sum(x**k))(x, k=3)
    check_grads(lambda z: anp.real(anp.sum(z * z * anp.conj(z))), modes=["rev"])(np.array([0.3 + 0.4j, -1.0 + 0.2j]))


def test_autograds_check_grads_rejects_a_wrong_rule_of_either_order():
    pytest.importorskip("autograd")
    from autograd.extend import defvjp, primitive

    from gradproof.compat.autograd import check_grads

    @primitive
    def sine(x):
        return np.sin(x)

    @primitive
    def cosine(x):
        return np.cos(x)

    x = np.array([0.4, -0.9])
    defvjp(sine, lambda ans, x: lambda g: g * cosine(x))
    defvjp(cosine, lambda ans, x: lambda g: -1.01 * g * np.sin(x))
    check_grads(sine, modes=["rev"], order=1)(x)
    with pytest.raises(AssertionError, match="WRONG") as caught:
        check_grads(sine, modes=["rev"], order=2)(x)
    assert "reverse mode of reverse mode: WRONG" in "\n".join(caught.value.report.notes)
    with pytest.raises(gradproof.UsageError, match="modes is"):
        check_grads(sine, modes=["backward"])(x)


# -- SciPy -------------------------------------------------------------------------------------------------------------


def test_scipys_check_grad_returns_a_number_of_the_same_meaning():
    from scipy.optimize import check_grad as theirs
    from scipy.optimize import rosen, rosen_der

    from gradproof.compat.scipy import check_grad

    x = np.array([1.3, 0.7, 0.8, 1.9])
    right = check_grad(rosen, rosen_der, x, epsilon=1e-4, direction="random", rng=1)
    assert 0 < right < 1e-6 < theirs(rosen, rosen_der, x)
    shifted = lambda x: rosen_der(x) + np.array([0.0, 3e-3, 0.0, 4e-3])
    assert check_grad(rosen, shifted, x) == pytest.approx(5e-3, rel=1e-6)
    assert check_grad(rosen, lambda x: 0 * x, x) == pytest.approx(np.linalg.norm(rosen_der(x)), rel=1e-6)
    assert check_grad(lambda x, a: a * rosen(x), lambda x, a: a * rosen_der(x), x, 3.0) < 1e-6


def test_scipys_check_grad_takes_jacobians():
    from gradproof.compat.scipy import check_grad

    A = np.arange(6.0).reshape(2, 3) + 1
    function, x = (lambda x: np.sin(A @ x)), np.array([0.1, -0.2, 0.3])
    jacobian = lambda x: np.cos(A @ x)[:, None] * A
    assert check_grad(function, jacobian, x) < 1e-6
    assert check_grad(function, lambda x: jacobian(x) + 1e-3 * np.eye(2, 3), x) == pytest.approx(
        math.sqrt(2) * 1e-3, rel=1e-5
    )


def test_what_scipys_check_grad_cannot_prove_is_not_a_number():
    from gradproof.compat.scipy import check_grad

    generator = np.random.default_rng(0)
    noisy = lambda x: float(x @ x + 0.5 * generator.standard_normal())
    with pytest.warns(gradproof.GradproofWarning, match="INCONCLUSIVE"):
        assert math.isnan(check_grad(noisy, lambda x: 2 * x, np.ones(3)))
    with pytest.raises(ValueError, match="direction is"):
        check_grad(noisy, lambda x: 2 * x, np.ones(3), direction="some")


def test_nothing_warns_of_steps_and_tolerances():
    from scipy.optimize import rosen, rosen_der

    from gradproof.compat.scipy import check_grad

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_grad(rosen, rosen_der, [1.3, 0.7], epsilon=1e-8)
