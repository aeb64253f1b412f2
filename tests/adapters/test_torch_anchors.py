"""Where PyTorch's own gradcheck passes wrong gradients, or rejects right ones, and what its users ask for.

Each case is checked twice: by gradproof, and, in the tests named "the peer …", by `torch.autograd.gradcheck` itself, so that
what is said of it stays true of the version that is installed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

torch = pytest.importorskip("torch")

import gradproof.torch  # noqa: E402  # only where there is a torch
from gradproof import Cause, Reason, Verdict  # noqa: E402

GradcheckError = torch.autograd.gradcheck.__globals__["GradcheckError"]  # its module is hidden by the function

pytestmark = pytest.mark.filterwarnings("ignore:Input #0 requires gradient and is not a double:UserWarning")


class Case(NamedTuple):
    """A function, where, and the mode of gradcheck that the anchor is about."""

    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    fast: bool = False


def drawn(*shape, seed=0, scale=1.0, dtype=torch.float64):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (scale * values).to(dtype).requires_grad_()


def filled(value, *shape, dtype=torch.float64):
    return torch.full(shape, value, dtype=dtype, requires_grad=True)


def with_backward(forward, backward):
    """Make a function of one tensor with a hand-written backward: (x, grad_output) → gradient."""

    class Written(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return forward(x)

        @staticmethod
        def backward(ctx, u):
            return backward(*ctx.saved_tensors, u)

    return Written.apply


class TwoScales(torch.autograd.Function):
    """A sum of sines whose second parameter is a million times less important, and has the wrong sign."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a.sin().sum() + 1e-6 * b.sin().sum()

    @staticmethod
    def backward(ctx, u):
        a, b = ctx.saved_tensors
        return u * a.cos(), -1e-6 * u * b.cos()


class LinearWithoutWeightGradient(torch.autograd.Function):
    """A linear layer that forgot its weight's gradient."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx, u):
        _, weight = ctx.saved_tensors
        return u @ weight, torch.zeros_like(weight)


class LinearWithLargeWeightGradient(torch.autograd.Function):
    """A linear layer that has one and a half times its weight's gradient."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx, u):
        x, weight = ctx.saved_tensors
        return u @ weight, 1.5 * u.T @ x


class Layer(torch.nn.Module):
    """A module around one of them, with a bias that is right."""

    def __init__(self, function=LinearWithoutWeightGradient.apply):
        super().__init__()
        self.function = function
        self.weight = torch.nn.Parameter(drawn(3, 4, seed=3).detach())
        self.bias = torch.nn.Parameter(drawn(3, seed=4).detach())

    def forward(self, x):
        return torch.tanh(self.function(x, self.weight) + self.bias)


def every_fiftieth_zero(x, u):
    g = u * x.cos()
    g[::50] = 0
    return g


def layout_ignored(x, u):
    """Read grad_output's memory as a kernel does that trusts its pointer and no strides."""
    length = u.untyped_storage().nbytes() // u.element_size() - u.storage_offset()
    raw = torch.as_strided(u, (length,), (1,), u.storage_offset())
    return raw.repeat(math.ceil(x.numel() / length))[: x.numel()].reshape(x.shape) * x.cos()


def sine_times(factor):
    """Return factor · sin(x) with a gradient of zeros."""
    return with_backward(lambda x: factor * torch.sin(x), lambda _, u: torch.zeros_like(u))


WRONG = {
    "all zero, of sin(x) with 100,000 parameters": lambda: Case(sine_times(1.0), (drawn(100_000),), fast=True),
    "all zero, of 1e-3 sin(x) with 100 parameters": lambda: Case(sine_times(1e-3), (drawn(100),), fast=True),
    "rows rolled by one": lambda: Case(
        with_backward(torch.sin, lambda x, u: (u * x.cos()).roll(1, 0)), (drawn(1000, 10),), fast=True
    ),
    "two percent of the entries zero": lambda: Case(
        with_backward(torch.sin, every_fiftieth_zero), (drawn(10_000),), fast=True
    ),
    "all zero, of 1e-6 sum(x²)": lambda: Case(
        with_backward(lambda x: 1e-6 * (x**2).sum(), lambda x, _: torch.zeros_like(x)), (drawn(50),)
    ),
    "the sign of a parameter of small scale": lambda: Case(TwoScales.apply, (drawn(5), drawn(5, seed=1))),
    "the strides of grad_output ignored": lambda: Case(with_backward(torch.sin, layout_ignored), (drawn(4, 6),)),
}

RIGHT = {
    "log at 1e-7": lambda: Case(torch.log, (filled(1e-7, 3),)),
    "x² at 1e10": lambda: Case(torch.square, (filled(1e10, 3),)),
    "sin(1e5 x)": lambda: Case(lambda x: torch.sin(1e5 * x), (drawn(3),)),
}

KINKED = {
    "ReLU at 0": lambda: Case(torch.relu, (filled(0.0, 3),)),
    "a maximum that four share": lambda: Case(torch.amax, (filled(1.0, 4),)),
}

PRECISIONS = ("float32", "bfloat16", "float16")


def in_precision(name):
    return Case(lambda x: (x.sin() * x).sum(), (drawn(10, dtype=getattr(torch, name)),))


def check(case, **options):
    return gradproof.torch.check(case.function, case.inputs, **{"seed": 1, **options})


def gradcheck_accepts(case, **options):
    options = {"fast_mode": case.fast, **options}
    return torch.autograd.gradcheck(case.function, case.inputs, raise_exception=False, **options)


def causes(report):
    return {diagnosis.cause for diagnosis in report.diagnoses}


def sentences(report):
    return " ".join([*(f"{d.sentence} {d.remedy}" for d in report.diagnoses), *report.notes])


# --------------------------------------------------------------------------- wrong gradients that gradcheck passes


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("seed", range(3))
def test_a_wrong_gradient_that_gradcheck_passes_is_wrong(name, seed):
    report = check(WRONG[name](), seed=seed)
    assert report.verdict is Verdict.WRONG


@pytest.mark.parametrize("name", WRONG)
def test_the_peer_passes_that_wrong_gradient(name):
    assert gradcheck_accepts(WRONG[name]())


@pytest.mark.parametrize("name", WRONG)
def test_the_same_function_with_the_framework_s_own_gradient_is_correct(name):
    case = WRONG[name]()
    own = {
        "all zero, of 1e-3 sin(x) with 100 parameters": lambda x: 1e-3 * torch.sin(x),
        "all zero, of 1e-6 sum(x²)": lambda x: 1e-6 * (x**2).sum(),
        "the sign of a parameter of small scale": lambda a, b: a.sin().sum() + 1e-6 * b.sin().sum(),
    }
    assert check(case._replace(function=own.get(name, torch.sin))).verdict is Verdict.CORRECT


def test_only_the_parameter_of_small_scale_is_called_wrong():
    report = check(WRONG["the sign of a parameter of small scale"]())
    wrong = [block.verdict is Verdict.WRONG for block in report.blocks]
    assert wrong == [False, True]
    assert Cause.SIGN in causes(report)


def test_a_gradient_of_zeros_is_named():
    for name in ("all zero, of sin(x) with 100,000 parameters", "all zero, of 1e-6 sum(x²)"):
        assert Cause.ZERO in causes(check(WRONG[name]()))


def test_a_backward_that_ignores_the_strides_of_grad_output_is_named():
    report = check(WRONG["the strides of grad_output ignored"]())
    assert Cause.LAYOUT in causes(report)


def test_a_backward_that_honours_the_strides_is_correct():
    case = Case(with_backward(torch.sin, lambda x, u: u.contiguous() * x.cos()), (drawn(4, 6),))
    assert check(case).verdict is Verdict.CORRECT


def backward_arguments(run):
    """Return the grad_outputs that a hand-written backward is given."""
    seen = []

    def backward(x, u):
        seen.append(u.detach().clone())
        return u * x.cos()

    run(Case(with_backward(torch.sin, backward), (drawn(40),)))
    return seen


def places(run):
    """Return where a function is evaluated."""
    seen = []

    def function(x):
        seen.append(x.detach().clone())
        return torch.sin(x)

    run(Case(function, (drawn(40),)))
    return seen


@pytest.mark.parametrize("record", [backward_arguments, places])
def test_directions_differ_by_seed_and_repeat_with_it(record):
    first, again, other = (record(lambda case, seed=seed: check(case, seed=seed)) for seed in (1, 1, 2))
    assert len(first) == len(again)
    assert all(map(torch.equal, first, again))
    assert not (len(first) == len(other) and all(map(torch.equal, first, other)))


def test_the_peer_takes_the_same_directions_for_every_seed():
    def run(case, seed):
        torch.manual_seed(seed)
        torch.autograd.gradcheck(case.function, case.inputs, fast_mode=True)

    first, other = (places(lambda case, seed=seed: run(case, seed)) for seed in (1, 2))
    assert len(first) == len(other)
    assert all(map(torch.equal, first, other))


def test_no_generator_of_the_user_s_is_touched():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    check(Case(torch.sin, (drawn(40),)))
    assert torch.equal(before, torch.get_rng_state())


# --------------------------------------------------------------------------------------------------- modules


@pytest.fixture
def batch():
    return drawn(6, 4, seed=2).detach()


def module_report(module, batch, **options):
    return gradproof.torch.check_module(module, lambda m: m(batch).square().sum(), **{"seed": 1, **options})


def test_a_module_whose_weight_has_a_gradient_of_zeros_is_wrong(batch):
    report = module_report(Layer(), batch)
    assert report.verdict is Verdict.WRONG
    assert report.faulty == ("weight",)
    assert Cause.ZERO in causes(report)


def test_a_module_with_the_right_gradient_is_correct(batch):
    report = module_report(Layer(lambda x, weight: x @ weight.T), batch)
    assert report.verdict is Verdict.CORRECT
    assert {block.name for block in report.blocks} == {"weight", "bias"}


def test_a_module_keeps_its_parameters_and_their_gradients(batch):
    module = Layer()
    kept = {name: value.detach().clone() for name, value in module.named_parameters()}
    module_report(module, batch)
    for name, value in module.named_parameters():
        assert torch.equal(value, kept[name])
        assert value.grad is None


def test_the_peer_passes_that_module(batch):
    assert gradcheck_accepts(Case(Layer(), (batch.clone().requires_grad_(),)))


# --------------------------------------------------------------------------- right gradients that gradcheck rejects


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("seed", range(3))
def test_a_right_gradient_that_gradcheck_rejects_is_correct(name, seed):
    assert check(RIGHT[name](), seed=seed).verdict is Verdict.CORRECT


@pytest.mark.parametrize("name", RIGHT)
def test_the_peer_rejects_that_right_gradient(name):
    assert not gradcheck_accepts(RIGHT[name]())


@pytest.mark.parametrize("name", KINKED)
@pytest.mark.parametrize("seed", range(3))
def test_a_kink_at_the_point_is_named_and_never_called_wrong(name, seed):
    report = check(KINKED[name](), seed=seed)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason is Reason.KINK
    assert Cause.KINK in causes(report)


@pytest.mark.parametrize("name", KINKED)
def test_the_peer_rejects_a_kink_at_the_point(name):
    assert not gradcheck_accepts(KINKED[name]())


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("seed", range(5))
def test_a_right_gradient_of_low_precision_is_never_called_wrong(precision, seed):
    report = check(in_precision(precision), seed=seed)
    assert report.verdict is Verdict.CORRECT or (
        report.verdict is Verdict.INCONCLUSIVE and report.reason in {Reason.NOISE, Reason.BORDER}
    )


def test_a_right_gradient_in_float32_is_correct():
    assert check(in_precision("float32")).verdict is Verdict.CORRECT


@pytest.mark.parametrize(("precision", "least"), [("float32", 20), ("float16", 20), ("bfloat16", 14)])
def test_a_gradient_of_low_precision_with_the_opposite_sign_is_wrong_or_at_worst_open(precision, least):
    def backward(x, u):
        return -u * (x.cos() * x + x.sin())

    case = in_precision(precision)
    wrong = case._replace(function=with_backward(case.function, backward))
    verdicts = [check(wrong, seed=seed).verdict for seed in range(20)]
    assert Verdict.CORRECT not in verdicts
    assert verdicts.count(Verdict.WRONG) >= least


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_peer_rejects_a_right_gradient_of_low_precision(precision):
    assert not gradcheck_accepts(in_precision(precision))


def dropout():
    return Case(lambda x: torch.nn.functional.dropout(torch.sin(x), 0.5), (drawn(30),))


def test_dropout_is_called_random_and_the_remedy_named():
    torch.manual_seed(0)
    report = check(dropout())
    assert report.verdict is Verdict.INCONCLUSIVE
    assert Cause.NON_DETERMINISTIC_COST in causes(report)
    assert "replay_rng" in sentences(report)


def test_dropout_with_the_generator_replayed_is_correct():
    torch.manual_seed(0)
    assert check(dropout(), replay_rng=True).verdict is Verdict.CORRECT


def test_replaying_the_generator_does_not_hide_a_wrong_gradient():
    def forward(x):
        return torch.nn.functional.dropout(torch.sin(x), 0.5)

    def unmasked(x, u):
        return u * x.cos()

    torch.manual_seed(0)
    report = check(Case(with_backward(forward, unmasked), (drawn(30),)), replay_rng=True)
    assert report.verdict is Verdict.WRONG


def test_dropout_in_a_module_is_correct_with_the_generator_replayed(batch):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Dropout(0.5), torch.nn.Linear(5, 1)).double()
    assert Cause.NON_DETERMINISTIC_COST in causes(module_report(module, batch))
    assert module_report(module, batch, replay_rng=True).verdict is Verdict.CORRECT


def test_the_peer_rejects_dropout_and_says_nothing_of_randomness():
    torch.manual_seed(0)
    case = dropout()
    with pytest.raises(GradcheckError) as caught:
        torch.autograd.gradcheck(case.function, case.inputs)
    assert "random" not in str(caught.value)


def trembling(size):
    """Return sin(x) with a backward that differs by so much at each call, as atomic additions do."""
    generator = torch.Generator().manual_seed(9)

    def backward(x, u):
        return u * x.cos() * (1 + size * torch.randn(x.shape, generator=generator, dtype=x.dtype))

    return Case(with_backward(torch.sin, backward), (drawn(200),))


@pytest.mark.parametrize("size", [1e-3, 1e-5])
def test_the_size_of_a_backward_s_non_determinism_is_reported(size):
    report = check(trembling(size))
    assert report.verdict is not Verdict.CORRECT
    found = [d for d in report.diagnoses if d.cause is Cause.NON_DETERMINISTIC_CLAIM]
    assert found
    assert size / 3 < found[0].coefficient < 3 * size
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason is Reason.CLAIM


def test_a_backward_that_trembles_by_rounding_is_correct():
    assert check(trembling(1e-15)).verdict is Verdict.CORRECT


# ---------------------------------------------------------------------------------------- what users ask for


def test_a_kink_beside_a_faulty_unit_does_not_hide_it():
    """Kinks are judged by one-sided derivatives: one parameter at a kink, another one wrong."""

    class Faulty(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return torch.relu(a).sum() + b.sin().sum()

        @staticmethod
        def backward(ctx, u):
            a, b = ctx.saved_tensors
            return u * (a > 0), 2 * u * b.cos()

    report = check(Case(Faulty.apply, (filled(0.0, 2), drawn(5))), strategy="auto")
    assert report.verdict is Verdict.WRONG
    assert [block.verdict for block in report.blocks] == [Verdict.INCONCLUSIVE, Verdict.WRONG]


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_gradient_costs_no_more_calls_than_the_budget(name):
    calls = 0
    case = WRONG[name]()

    def counted(*inputs):
        nonlocal calls
        calls += 1
        return case.function(*inputs)

    report = check(case._replace(function=counted), budget=100)
    assert report.verdict is Verdict.WRONG
    assert report.evaluations <= 100
    assert calls <= 200  # those that the backwards take are not in the budget


def test_one_wrong_entry_is_named_with_its_place_and_its_size():
    def backward(x, u):
        g = u * x.cos()
        g[7, 3] *= 1.05
        return g

    case = Case(lambda x: with_backward(torch.sin, backward)(x).sum(), (drawn(20, 10),))
    report = check(case)
    assert report.verdict is Verdict.WRONG
    (entry,) = report.coordinates
    assert entry.index == (7, 3)
    assert abs(entry.ratio - 1.05) < 1e-6


def test_the_parameter_of_a_nested_module_is_named_by_its_path(batch):
    module = torch.nn.Sequential()
    module.add_module("encoder", Layer(LinearWithLargeWeightGradient.apply))
    module.add_module("head", torch.nn.Linear(3, 2).double())
    report = module_report(module, batch)
    assert report.verdict is Verdict.WRONG
    assert report.faulty == ("encoder.weight",)
    assert Cause.FACTOR in causes(report)


def test_attention_whose_tail_of_tokens_gets_no_gradient_is_wrong():
    """A 30-token tail of dV that is zero passes the acceptance rules of hand-written kernels."""
    q, k, v = (drawn(128, 16, seed=s, dtype=torch.float32) for s in range(3))

    class Attention(torch.autograd.Function):
        @staticmethod
        def forward(ctx, q, k, v):
            weights = torch.softmax(q @ k.T / 4, dim=-1)
            ctx.save_for_backward(q, k, v, weights)
            return weights @ v

        @staticmethod
        def backward(ctx, u):
            q, k, v, weights = ctx.saved_tensors
            dv = weights.T @ u
            dv[-30:] = 0
            inner = u @ v.T
            ds = weights * (inner - (weights * inner).sum(-1, keepdim=True)) / 4
            return ds @ k, ds.T @ q, dv

    report = check(Case(Attention.apply, (q, k, v)))
    assert report.verdict is Verdict.WRONG
    assert [block.verdict is Verdict.WRONG for block in report.blocks] == [False, False, True]


def two_outputs(given):
    """Return sine and square with a backward that is told what to return where one has no cotangent."""

    class Both(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(x)
            return x.sin(), x.square()

        @staticmethod
        def backward(ctx, u, w):
            (x,) = ctx.saved_tensors
            if u is None or w is None:
                return given(x, u, w)
            return u * x.cos() + 2 * w * x

    return Case(Both.apply, (drawn(6),))


def test_a_backward_that_is_wrong_where_an_output_has_no_cotangent_is_wrong():
    report = check(two_outputs(lambda x, u, w: torch.zeros_like(x)))
    assert report.verdict is Verdict.WRONG


def test_a_backward_that_is_right_where_an_output_has_no_cotangent_is_correct():
    report = check(two_outputs(lambda x, u, w: u * x.cos() if w is None else 2 * w * x))
    assert report.verdict is Verdict.CORRECT


def test_inputs_are_left_as_they_were():
    x = drawn(10)
    kept = x.detach().clone()
    check(Case(torch.sin, (x,)))
    assert torch.equal(x, kept)
    assert x.requires_grad
    assert x.grad is None
