"""A reference in double precision judges what PyTorch has worked out in a lower one, and nothing of the user's changes."""

from __future__ import annotations

import contextlib

import pytest

import gradproof
from gradproof import Cause, UsageError, Verdict

torch = pytest.importorskip("torch")

from gradproof.torch import check, check_module  # noqa: E402

F = torch.nn.functional
GENERATOR = torch.Generator().manual_seed(5)
INPUTS = torch.randn(16, 10, generator=GENERATOR)
CLASSES = torch.randint(0, 3, (16,), generator=GENERATOR)
TOKENS, NEXT = (torch.randint(0, 50, (2, 12), generator=GENERATOR) for _ in range(2))


def cost(module):
    return F.cross_entropy(module(INPUTS.to(next(module.parameters()).dtype)), CLASSES)


def modelling(module):
    return F.cross_entropy(module(TOKENS).reshape(-1, 50), NEXT.reshape(-1))


class Recurrent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = torch.nn.LSTM(5, 16, batch_first=True), torch.nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.cell(x.reshape(len(x), -1, 5))[0][:, -1])


def network(kind="relu"):
    torch.manual_seed(0)
    linear, relu = torch.nn.Linear, torch.nn.ReLU
    if kind == "recurrent":
        return Recurrent()
    if kind == "spectral":
        first = torch.nn.utils.parametrizations.spectral_norm(linear(10, 8))
        return torch.nn.Sequential(first, torch.nn.Tanh(), linear(8, 3))
    if kind == "dropout":
        return torch.nn.Sequential(linear(10, 32), torch.nn.Dropout(0.3), torch.nn.Tanh(), linear(32, 3))
    between = [torch.nn.BatchNorm1d(32)] if kind == "batch norm" else [torch.nn.LayerNorm(32)] if kind == "norm" else []
    return torch.nn.Sequential(linear(10, 32), *between, relu(), linear(32, 32), relu(), linear(32, 3))


def transformer():
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
    encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return torch.nn.Sequential(torch.nn.Embedding(50, 32), encoder, torch.nn.Linear(32, 50))


def judged(report):
    return any(note.startswith("Judged by a reference") for note in report.notes)


# --- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["relu", "norm", "batch norm", "recurrent", "spectral"])
@pytest.mark.parametrize("seed", range(3))
def test_a_right_float32_gradient_is_certified_at_its_own_tolerance(kind, seed):
    report = check_module(network(kind), cost, seed=seed, strategy="certificate")
    assert report.verdict is Verdict.CORRECT
    assert judged(report)
    assert report.tolerance == 1e-3
    assert report.tolerance_reason == "the default for float32"
    assert report.noise < 1e-13
    assert {block.dtype for block in report.blocks} == {"float32"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_transformer_is_certified_in_every_precision_the_bias_of_its_keys_too(dtype):
    report = check_module(transformer().to(dtype), modelling, seed=1, strategy="certificate")
    # In bfloat16 one block is off by half of the tolerance, which the lines of one check leave open.
    certified = sum(block.verdict is Verdict.CORRECT for block in report.blocks)
    assert certified >= len(report.blocks) - (dtype is torch.bfloat16)
    assert not report.faulty
    assert judged(report)
    # It is no empty claim: what is off by the precision's rounding has been measured.
    assert report.difference.estimate > 0.1 * torch.finfo(dtype).eps / 2


@pytest.mark.parametrize(("dtype", "factor"), [(torch.float32, 1.01), (torch.float16, 2.0), (torch.bfloat16, 3.0)])
def test_a_gradient_that_is_off_is_wrong_in_every_precision(dtype, factor):
    module = network("norm").to(dtype)
    claimed = dict(
        zip(dict(module.named_parameters()), torch.autograd.grad(cost(module), module.parameters()), strict=True)
    )
    claimed["0.weight"] = factor * claimed["0.weight"]
    report = check_module(module, cost, claimed=claimed, seed=1, strategy="certificate")
    assert report.verdict is Verdict.WRONG
    assert report.faulty == ("0.weight",)


def test_units_that_rounding_switches_over_make_no_gradient_in_half_precision_wrong():
    torch.manual_seed(2)
    unflatten = torch.nn.Unflatten(1, (1, 8, 8))
    layers = torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten()
    module = torch.nn.Sequential(unflatten, *layers, torch.nn.Linear(72, 3)).half()
    x, y = torch.randn(16, 64).half(), torch.randint(0, 3, (16,))
    options = {"seed": 2, "strategy": "certificate"}
    report = check_module(module, lambda m: F.cross_entropy(m(x), y), **options)
    assert not report.faulty
    # The tolerance that is given is taken at its word: 3 % is what that gradient is off by.
    report = check_module(module, lambda m: F.cross_entropy(m(x), y), tolerance=5e-3, **options)
    assert report.faulty == ("1.weight",)


def test_a_forgotten_gradient_is_no_claim_of_zero_that_rounding_excuses():
    module = transformer().bfloat16()
    names = dict(module.named_parameters())
    claimed = dict(zip(names, torch.autograd.grad(modelling(module), module.parameters()), strict=True))
    name = "1.layers.0.norm1.weight"
    claimed[name] = torch.zeros_like(claimed[name])
    report = check_module(module, modelling, claimed=claimed, seed=1, strategy="certificate")
    assert name in report.faulty


def test_without_a_reference_the_cost_is_judged_by_its_own_values():
    report = check_module(network(), cost, reference=None, seed=1, strategy="certificate")
    assert not judged(report)
    assert report.noise > 1e-9


def test_double_precision_needs_no_reference():
    report = check_module(network().double(), cost, seed=1, strategy="certificate")
    assert not judged(report)
    assert report.tolerance == 1e-7


@pytest.mark.parametrize(
    "rounded",
    [
        lambda module: F.cross_entropy(module(TOKENS).float().reshape(-1, 50), NEXT.reshape(-1)),
        lambda module: F.cross_entropy(module(TOKENS).to(torch.bfloat16).float().reshape(-1, 50), NEXT.reshape(-1)),
    ],
)
def test_casts_within_the_cost_are_left_out_of_the_reference(rounded):
    report = check_module(transformer(), rounded, seed=1, strategy="certificate")
    assert report.verdict is Verdict.CORRECT
    assert report.noise < 1e-13


def test_the_precision_of_autocast_decides_the_tolerance():
    def mixed(module):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return modelling(module)

    report = check_module(transformer(), mixed, seed=1, strategy="certificate")
    assert not report.faulty
    assert report.tolerance_reason == "the default for bfloat16"
    assert report.difference.estimate > 1e-3


def test_the_same_mask_is_drawn_in_double_precision_where_the_generators_are_put_back():
    report = check_module(network("dropout"), cost, replay_rng=True, seed=1, strategy="certificate")
    assert report.verdict is Verdict.CORRECT
    assert judged(report)


def test_a_cost_that_differentiates_something_itself_has_a_reference():
    def penalty(module):
        x = INPUTS.clone().requires_grad_()
        (slope,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
        return slope.square().sum()

    module = torch.nn.Sequential(torch.nn.Linear(10, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    report = check_module(module, penalty, seed=1, strategy="certificate")
    assert report.verdict is Verdict.CORRECT
    assert judged(report)


def test_a_parameter_that_is_held_elsewhere_is_displaced_too():
    module = network()
    weight = module[0].weight
    report = check_module(module, lambda m: cost(m) + weight.square().sum(), seed=1, strategy="certificate")
    assert report.verdict is Verdict.CORRECT
    assert judged(report)


def test_what_is_written_into_a_captured_tensor_is_read_from_it_and_the_tensor_stays_as_it_was():
    module, cache = network(), torch.zeros(16, 3)

    def through_a_cache(module):
        with torch.no_grad():
            cache[:] = module(INPUTS)
        return (module(INPUTS) * cache).sum()

    value = torch.zeros(16, 3)
    with torch.no_grad():
        value[:] = module(INPUTS)
    claimed = {}
    for name, parameter in module.named_parameters():
        # The derivative of Σ f²: the factor that the cache hides from autograd.
        claimed[name] = torch.autograd.grad(module(INPUTS).square().sum(), parameter)[0]
    report = check_module(module, through_a_cache, claimed=claimed, seed=1, strategy="certificate")
    assert judged(report)
    assert report.verdict is Verdict.CORRECT
    assert cache.dtype is torch.float32
    assert torch.equal(cache, value)


# --- what cannot run in double precision ------------------------------------------------------------------------------


class SingleOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        if x.dtype is torch.float64:
            raise RuntimeError("single_only: expected float32")
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx, cotangent):
        x, weight = ctx.saved_tensors
        return cotangent @ weight, cotangent.T @ x


class UsesSingleOnly(torch.nn.Linear):
    def forward(self, x):
        return SingleOnly.apply(x.tanh(), self.weight)


class OtherValue(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x) * (2 if x.dtype is torch.float64 or self.weight.dtype is torch.float64 else 1)


def test_an_operator_that_has_no_double_precision_is_named_and_the_check_goes_on():
    report = check_module(UsesSingleOnly(10, 3, bias=False), cost, seed=1, strategy="certificate")
    (note,) = [note for note in report.notes if "reference" in note]
    assert "single_only: expected float32" in note
    assert "SingleOnly.forward" in note
    assert report.noise > 1e-9


def test_it_is_an_error_where_the_reference_is_asked_for():
    with pytest.raises(
        UsageError, match=r"reference=\"float64\": the cost cannot be evaluated in float64: RuntimeError"
    ):
        check_module(UsesSingleOnly(10, 3, bias=False), cost, reference="float64", seed=1)
    with pytest.raises(UsageError, match="the function cannot be evaluated in float64"):
        check(SingleOnly.apply, (INPUTS.clone().requires_grad_(), torch.ones(3, 10)), reference="float64", seed=1)


def test_a_function_that_is_another_one_in_double_precision_does_not_judge():
    report = check_module(OtherValue(10, 3), cost, seed=1, strategy="certificate")
    (note,) = [note for note in report.notes if "reference" in note]
    assert "another value" in note
    assert report.verdict is not Verdict.WRONG


@pytest.mark.parametrize("given", ["float32", 64, True])
def test_what_is_no_reference_is_refused(given):
    with pytest.raises(UsageError, match="reference is"):
        check_module(network(), cost, reference=given)
    with pytest.raises(UsageError, match="reference is"):
        check(torch.sin, INPUTS.clone().requires_grad_(), reference=given)


# --- everything is as it was ------------------------------------------------------------------------------------------


class Caching(torch.nn.Module):
    """Keeps a tensor of the last call as a plain attribute, and one from the start."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(10, 3)
        self.last = None
        self.ones = torch.ones(3)

    def forward(self, x):
        self.last = self.linear(x)
        self.added = self.last + 1
        return self.last * self.ones


def interrupted(after, error):
    calls = []

    def fails(module):
        calls.append(1)
        if len(calls) > after:
            raise error
        return cost(module)

    return fails


@pytest.mark.parametrize("after", [1, 2, 6])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_check_leaves_module_and_hooks_of_accumulators_as_they_were(after, error):
    module = network("batch norm")
    fired = []
    accumulator = module[0].weight.expand_as(module[0].weight).grad_fn.next_functions[0][0]
    accumulator.register_hook(lambda *_: fired.append(1))
    tensors = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    objects = [id(tensor) for tensor in (*module.parameters(), *module.buffers())]
    memory = [tensor.data_ptr() for tensor in (*module.parameters(), *module.buffers())]
    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            check_module(module, interrupted(after, error), seed=1, strategy="certificate")
    else:
        with contextlib.suppress(gradproof.CostRaised):
            check_module(module, interrupted(after, error), seed=1, strategy="certificate")
    for name, tensor in module.state_dict().items():
        assert tensor.dtype == tensors[name].dtype
        assert torch.equal(tensor, tensors[name])
    assert [id(tensor) for tensor in (*module.parameters(), *module.buffers())] == objects
    assert [tensor.data_ptr() for tensor in (*module.parameters(), *module.buffers())] == memory
    cost(module).backward()
    assert fired == [1]  # as distributed training hangs its own on it


def test_no_tensor_in_double_precision_stays_behind_in_a_module_that_caches():
    module = Caching()
    report = check_module(module, cost, seed=1, strategy="certificate")
    assert judged(report)
    assert report.verdict is Verdict.CORRECT
    kept = {name: value for name, value in vars(module).items() if isinstance(value, torch.Tensor)}
    assert {value.dtype for value in kept.values()} == {torch.float32}
    assert set(kept) == {"last", "added", "ones"}


# --- functions --------------------------------------------------------------------------------------------------------


class Scaled(torch.autograd.Function):
    """The sine, its backward pass times a factor."""

    factor = 1.0

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, cotangent):
        (x,) = ctx.saved_tensors
        return Scaled.factor * cotangent * x.cos()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_right_functions_are_certified_by_the_reference(dtype):
    for function, shapes in [
        (torch.sin, [(7, 5)]),
        (lambda x: F.softmax(x, -1), [(7, 50)]),
        (F.scaled_dot_product_attention, [(1, 2, 16, 8)] * 3),
    ]:
        inputs = tuple(torch.randn(*shape, generator=GENERATOR).to(dtype).requires_grad_() for shape in shapes)
        report = check(function, inputs, seed=1)
        assert report.verdict is Verdict.CORRECT
        assert judged(report)


@pytest.mark.parametrize(("dtype", "factor"), [(torch.float32, 1.01), (torch.float16, 2.0)])
def test_a_wrong_backward_pass_is_found_by_the_reference(dtype, factor, monkeypatch):
    monkeypatch.setattr(Scaled, "factor", factor)
    report = check(Scaled.apply, torch.randn(40, 30, generator=GENERATOR).to(dtype).requires_grad_(), seed=1)
    assert report.verdict is Verdict.WRONG
    assert judged(report)


class ReadsMemory(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, cotangent):
        return 2 * torch.as_strided(cotangent, cotangent.shape, cotangent.contiguous().stride())


def test_cotangents_come_in_every_memory_layout_in_the_claims_own_precision():
    report = check(ReadsMemory.apply, torch.randn(6, 5, generator=GENERATOR).requires_grad_(), seed=1)
    assert report.verdict is Verdict.WRONG
    assert Cause.LAYOUT in {diagnosis.cause for diagnosis in report.diagnoses}


def test_second_order_forward_mode_and_single_coordinates_are_judged_by_the_reference():
    x = torch.randn(4, 4, generator=GENERATOR).requires_grad_()
    for options in ({"order": 2, "modes": ("rev", "fwd")}, {"strategy": "auto"}):
        report = check(torch.tanh, x, seed=1, **options)
        assert report.verdict is Verdict.CORRECT
        assert judged(report)
        assert report.tolerance == 1e-3
    report = check(lambda x: x.sin().sum(), x, seed=1, strategy="coordinates")
    assert report.verdict is Verdict.CORRECT
    assert judged(report)


def test_complex_numbers_of_single_precision_are_judged_in_complex128():
    z = torch.randn(5, dtype=torch.complex64, generator=GENERATOR).requires_grad_()
    report = check(lambda z: z * z.conj() + z, z, seed=1)
    assert report.verdict is Verdict.CORRECT
    assert judged(report)


# --- without a framework ----------------------------------------------------------------------------------------------


def test_a_float32_gradient_of_numpy_is_judged_at_the_tolerance_of_its_precision():
    import numpy as np

    rng = np.random.default_rng(3)
    x, target, weights = rng.standard_normal((20, 5)), rng.standard_normal(20), rng.standard_normal(5)
    single = [array.astype(np.float32) for array in (x, target, weights)]
    gradient = 2 * single[0].T @ (single[0] @ single[2] - single[1])
    point = single[2].astype(np.float64)  # the very values, upcast

    def squares(w):
        return float(np.sum((single[0].astype(np.float64) @ w - single[1]) ** 2))

    for factor, verdict in ((1.0, Verdict.CORRECT), (1.01, Verdict.WRONG)):
        problem = gradproof.Problem(squares, point, factor * gradient, claimed_precision="float32")
        report = gradproof.check_gradient(problem, seed=1)
        assert report.verdict is verdict
        assert report.tolerance_reason == "the default for float32"
    with pytest.raises(UsageError, match="claimed_precision is 'single'"):
        gradproof.Problem(squares, point, gradient, claimed_precision="single")
