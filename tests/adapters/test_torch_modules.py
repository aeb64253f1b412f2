"""`gradproof.torch.check_module`: parameters by name, and a module that is afterwards as it was before."""

from __future__ import annotations

import pytest

import gradproof
from gradproof import (
    Cause,
    CostRaised,
    EmptyProblem,
    NotDifferentiable,
    NotScalar,
    Reason,
    UnknownName,
    UsageError,
    Verdict,
)

torch = pytest.importorskip("torch")

from gradproof.torch import assert_module, check_module  # noqa: E402

DOUBLE = torch.float64
INPUTS = torch.randn(16, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(2))


def cost_that_goes_backward(module):
    value = cost(module)
    value.backward(retain_graph=True)
    return value


def network(*, dtype=DOUBLE, activation=torch.nn.Tanh):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), activation(), torch.nn.Linear(8, 1)).to(
        dtype
    )


def cost(module):
    return module(INPUTS.to(next(module.parameters()).dtype)).square().mean()


class Silent(torch.autograd.Function):
    """The product x Wᵀ, with a gradient of zero for W."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx, cotangent):
        _, weight = ctx.saved_tensors
        return cotangent @ weight, torch.zeros_like(weight)


class SilentLinear(torch.nn.Linear):
    def forward(self, x):
        return Silent.apply(x, self.weight) + self.bias


# --- right and wrong --------------------------------------------------------------------------------------------------


def modules():
    torch.manual_seed(0)
    image = torch.randn(2, 3, 8, 8, dtype=DOUBLE)
    tokens = torch.randn(2, 5, 8, dtype=DOUBLE)
    yield "a network", network(), cost
    yield "in evaluation mode", network().eval(), cost
    yield "float32", network(dtype=torch.float32, activation=torch.nn.ReLU), cost
    yield "a recurrent network", torch.nn.LSTM(4, 5, dtype=DOUBLE), lambda m: m(INPUTS[:, None])[0].square().mean()
    transformer = torch.nn.TransformerEncoderLayer(
        8, 2, 16, dropout=0.0, activation="gelu", batch_first=True, dtype=DOUBLE
    )
    yield "a transformer", transformer, lambda m: (m(tokens) * tokens).mean()
    convolution = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.GELU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 2),
    ).double()
    yield "a convolution", convolution, lambda m: torch.nn.functional.cross_entropy(m(image), torch.tensor([0, 1]))
    yield "compiled", torch.compile(network(), backend="eager"), cost
    yield (
        "a sparse gradient",
        torch.nn.Embedding(10, 3, dtype=DOUBLE, sparse=True),
        lambda m: m(torch.tensor([1, 2, 2])).square().sum(),
    )
    yield "weight norm", torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(4, 4, dtype=DOUBLE)), cost
    yield (
        "complex parameters",
        torch.nn.Linear(4, 1, dtype=torch.complex128),
        lambda m: m(INPUTS.to(torch.complex128)).abs().square().mean(),
    )
    yield "weight decay in the cost", network(), lambda m: cost(m) + sum(p.square().sum() for p in m.parameters())
    yield "a backward pass in the cost", network(), cost_that_goes_backward
    yield "a reference to a parameter", (n := network()), lambda _, n=n: n[0].weight.square().sum() + cost(n)


@pytest.mark.parametrize(("module", "of"), [pytest.param(m, c, id=name) for name, m, c in modules()])
def test_a_right_gradient_is_certified(module, of):
    report = check_module(module, of, seed=3)
    assert report.verdict is Verdict.CORRECT, str(report)
    assert report.verb == "torch.check_module"


def test_a_right_gradient_in_half_precision_is_certified_or_left_open():
    torch.manual_seed(0)
    module = torch.nn.Linear(4, 64).bfloat16()
    verdicts = [
        check_module(module, lambda m: m(INPUTS.bfloat16()).float().square().mean(), seed=seed).verdict
        for seed in range(12)
    ]
    assert Verdict.WRONG not in verdicts
    assert verdicts.count(Verdict.CORRECT) >= 4


def test_parameters_have_their_dotted_names():
    report = check_module(network(), cost, seed=3)
    assert [block.name for block in report.blocks] == [name for name, _ in network().named_parameters()]


def test_a_silent_parameter_is_named():
    module = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), SilentLinear(4, 1)).double()
    report = check_module(module, cost, seed=3)
    assert report.faulty == ("2.weight",)
    assert report.diagnoses[0].cause is Cause.ZERO
    with pytest.raises(gradproof.WrongGradient, match=r"2\.weight"):
        assert_module(module, cost, seed=3)


def test_a_detached_parameter_is_wrong_and_said_to_have_no_path():
    module = network()
    report = check_module(module, lambda m: cost(m) + m[3].weight.detach().square().sum(), seed=3)
    assert report.faulty == ("3.weight",)


def test_gradients_of_another_origin_may_be_claimed_under_either_name():
    module = network()
    cost(module).backward()
    right = {name: parameter.grad for name, parameter in module.named_parameters()}
    assert check_module(module, cost, claimed=right, seed=3).verdict is Verdict.CORRECT
    wrong = {name: 2 * gradient if name == "0.weight" else gradient for name, gradient in right.items()}
    report = check_module(module, cost, claimed=wrong, seed=3)
    assert report.faulty == ("0.weight",)
    assert report.diagnoses[0].cause is Cause.FACTOR
    del right["0.bias"]
    with pytest.raises(UsageError, match=r"no gradient is claimed for 0\.bias"):
        check_module(module, cost, claimed=right)


def test_every_coordinate_may_be_measured_those_of_a_bias_that_batch_norm_undoes_too():
    report = check_module(network(), cost, strategy="coordinates", seed=3)
    assert report.verdict is Verdict.CORRECT
    idle = report.blocks[1]
    assert idle.name == "0.bias"
    assert idle.difference.estimate <= idle.difference.upper < 1e-7


# --- tied, frozen, unused ---------------------------------------------------------------------------------------------


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = torch.nn.Linear(4, 4, bias=False)
        self.decoder = torch.nn.Linear(4, 4, bias=False)
        self.decoder.weight = self.encoder.weight
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
        self.unused = torch.nn.Parameter(torch.ones(3))

    def forward(self, x):
        return self.decoder(torch.tanh(self.encoder(x))) * self.scale


def test_tied_parameters_count_once_under_both_names_and_frozen_and_unused_ones_are_listed():
    report = check_module(Tied().double(), cost, seed=3)
    assert report.verdict is Verdict.CORRECT
    assert "encoder.weight = decoder.weight" in [block.name for block in report.blocks]
    text = " ".join(report.notes)
    assert "counted once" in text
    assert "Frozen, and so held constant: frozen" in text
    assert "Unused by this cost, as far as autograd knows: unused" in text


@pytest.mark.parametrize("only", ["encoder.*", "decoder.weight", ["dec*"]])
def test_either_name_of_a_tied_parameter_chooses_it(only):
    report = check_module(Tied().double(), cost, only=only, seed=3)
    assert [block.name for block in report.blocks] == ["encoder.weight = decoder.weight"]


def test_what_is_excluded_is_listed_as_left_out():
    report = check_module(Tied().double(), cost, exclude=["decoder.weight", "unused"], seed=3)
    assert [block.name for block in report.blocks] == ["scale"]
    assert set(report.skipped) == {"encoder.weight = decoder.weight", "unused"}


# --- everything is as it was ------------------------------------------------------------------------------------------


def state(module):
    tensors = [*module.parameters(), *module.buffers()]
    return {
        "identities": [id(tensor) for tensor in tensors],
        "memory": [tensor.data_ptr() for tensor in tensors],
        "values": [tensor.detach().clone() for tensor in tensors],
        "gradients": [(id(p.grad), None if p.grad is None else p.grad.clone()) for p in module.parameters()],
        "requires": [p.requires_grad for p in module.parameters()],
        "training": [m.training for m in module.modules()],
        "hooks": [dict(m._forward_hooks) for m in module.modules()],
        "random": torch.get_rng_state(),
    }


def same(one, two):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    return one == two


COSTS = {
    "as usual": cost,
    "one that changes modes": lambda m: cost(m.train(not m.training)),
    "one that goes backward": cost_that_goes_backward,
    "one that draws": lambda m: cost(m) + 0 * torch.randn(()),
    "one that fails": lambda m: cost(m) if m[0].weight.requires_grad and torch.is_grad_enabled() else 1 / 0,
    "one that replaces a buffer": lambda m: (
        m[1].register_buffer("running_mean", torch.zeros(8, dtype=DOUBLE)),
        cost(m),
    )[1],
}


@pytest.mark.parametrize("name", COSTS)
def test_the_module_is_left_bit_for_bit_as_it_was(name):
    module = network()
    module[2].eval()
    module[3].register_forward_hook(lambda *_: None)
    for parameter in list(module.parameters())[:3]:
        parameter.grad = torch.ones_like(parameter)
    before = state(module)
    check_module(module, COSTS[name], seed=3)
    after = state(module)
    for what in before:
        assert same(before[what], after[what]), what


def test_an_interrupted_check_leaves_the_module_as_it_was():
    module = network()
    before = state(module)
    calls = []

    def interrupted(module):
        calls.append(1)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return cost(module)

    with pytest.raises(KeyboardInterrupt):
        check_module(module, interrupted, seed=3)
    assert same(list(before.values()), list(state(module).values()))


# --- randomness -------------------------------------------------------------------------------------------------------


def test_dropout_is_recognised_and_can_be_replayed():
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(), torch.nn.Linear(8, 1)).double()
    report = check_module(module, cost, seed=3)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason is Reason.RANDOM
    assert report.evaluations == 2
    assert "replay_rng=True" in str(report)
    assert check_module(module, cost, replay_rng=True, seed=3).verdict is Verdict.CORRECT
    assert check_module(module.eval(), cost, seed=3).verdict is Verdict.CORRECT


# --- bad input --------------------------------------------------------------------------------------------------------


class NoEvaluation(torch.nn.Linear):
    def forward(self, x):
        if not self.training:
            raise RuntimeError("no evaluation here")
        return super().forward(x)


BAD = {
    "no module": (3, cost, UsageError, "module is an int"),
    "no cost": (network(), 3, UsageError, "cost is an int"),
    "no parameters": (torch.nn.ReLU(), cost, EmptyProblem, "the module has no parameter"),
    "frozen": (network().requires_grad_(requires_grad=False), cost, EmptyProblem, "All are frozen: 0.weight"),
    "lazy": (torch.nn.LazyLinear(3), cost, UsageError, "weight: it is not initialised yet"),
    "a float": (
        network(),
        lambda m: cost(m).item(),
        NotDifferentiable,
        r"no path from the cost to '0.weight'.*Python number",
    ),
    "None": (network(), lambda m: None, NotScalar, "returns None.*return statement"),
    "a vector": (network(), lambda m: m(INPUTS), NotScalar, r"of shape \(16, 1\)"),
    "detached": (network(), lambda m: cost(m).detach(), NotDifferentiable, "Autograd records nothing"),
    "fails": (network(), lambda m: m(INPUTS[:, :2]).sum(), CostRaised, "in training mode: RuntimeError: mat1"),
    "fails in evaluation mode": (
        NoEvaluation(4, 1).double().eval(),
        cost,
        CostRaised,
        r"in evaluation mode: RuntimeError: no evaluation here",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_checked_is_refused_with_what_where_why_and_what_to_do(name):
    module, of, error, match = BAD[name]
    with pytest.raises(error, match=f"(?s){match}"):
        check_module(module, of)


def test_patterns_that_match_nothing_are_refused():
    with pytest.raises(UnknownName, match=r"only='foo'.*0\.weight"):
        check_module(network(), cost, only="foo")
    with pytest.raises(EmptyProblem, match="nothing is left"):
        check_module(network(), cost, exclude="*")
