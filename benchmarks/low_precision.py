"""Low-precision gradients judged by a reference in double precision, and by the cost's own values.

    python benchmarks/low_precision.py [right] [wrong] [--seeds N]

right   gradients of small float32, float16 and bfloat16 modules as PyTorch makes them: verdicts with the reference and
        without it, calls of the cost in the median, the largest relative difference that a block shows.
wrong   one block of the same gradients times a factor: verdicts, and how often the block is named.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch

from gradproof.torch import check_module

nn, F = torch.nn, torch.nn.functional
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


class Recurrent(nn.Module):
    """The last state of an LSTM, and a linear map of it."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(8, 24, batch_first=True), nn.Linear(24, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return three logits."""
        return self.head(self.cell(x.reshape(len(x), -1, 8))[0][:, -1])


def encoder(activation: str, *, first: bool) -> nn.Module:
    layer = nn.TransformerEncoderLayer(
        16, 4, 64, dropout=0.0, batch_first=True, activation=activation, norm_first=first
    )
    stack = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return nn.Sequential(nn.Unflatten(1, (4, 16)), stack, nn.Flatten(), nn.Linear(64, 3))


def mlp(*between: Callable[[], nn.Module], width: int = 64) -> nn.Module:
    middle = [make() for make in between]
    return nn.Sequential(nn.Linear(64, width), *middle, nn.Linear(width, width), *middle[-1:], nn.Linear(width, 3))


MODULES: dict[str, Callable[[], nn.Module]] = {
    "ReLU": lambda: mlp(nn.ReLU),
    "ReLU, 512 wide": lambda: mlp(nn.ReLU, width=512),
    "tanh": lambda: mlp(nn.Tanh),
    "batch norm, ReLU": lambda: mlp(lambda: nn.BatchNorm1d(64), nn.ReLU),
    "layer norm, GELU": lambda: mlp(lambda: nn.LayerNorm(64), nn.GELU),
    "LSTM": Recurrent,
    "transformer, GELU": lambda: encoder("gelu", first=True),
    "transformer, ReLU": lambda: encoder("relu", first=False),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 3)
    ),
}


def case(name: str, seed: int, dtype: torch.dtype) -> tuple[nn.Module, Callable[[nn.Module], torch.Tensor]]:
    """Return a module and its cost."""
    torch.manual_seed(seed)
    module = MODULES[name]().to(dtype)
    x, y = torch.randn(16, 64).to(dtype), torch.randint(0, 3, (16,))
    return module, lambda module: F.cross_entropy(module(x), y)


def right(seeds: int) -> None:
    print("| precision | judged by | checks | CORRECT | open | WRONG | calls, median | D of a block, largest |")
    print("|---|---|---|---|---|---|---|---|")
    for dtype in DTYPES:
        for reference in ("auto", None):
            reports = []
            for name in MODULES:
                for seed in range(seeds):
                    module, cost = case(name, seed, dtype)
                    options: dict[str, Any] = {"seed": seed, "strategy": "certificate", "reference": reference}
                    reports.append(check_module(module, cost, **options))
            found = Counter(report.verdict.name for report in reports)
            calls = statistics.median(report.evaluations for report in reports)
            largest = max(b.difference.estimate for r in reports for b in r.blocks if b.verdict.name == "CORRECT")
            print(
                f"| {str(dtype).removeprefix('torch.')} | {'the reference' if reference else 'its own values'} | "
                f"{len(reports)} | {found['CORRECT']} | {found['INCONCLUSIVE']} | {found['WRONG']} | {calls:.0f} | {largest:.0e} |"
            )


def wrong(seeds: int) -> None:
    print("| precision | factor | checks | WRONG, and the block named | WRONG | open | CORRECT |")
    print("|---|---|---|---|---|---|---|")
    for dtype, factors in zip(DTYPES, ((1.01, 1.1), (1.1, 2.0), (2.0, 3.0)), strict=True):
        for factor in factors:
            found: Counter[str] = Counter()
            for name in MODULES:
                for seed in range(seeds):
                    module, cost = case(name, seed, dtype)
                    names = list(dict(module.named_parameters()))
                    gradients = torch.autograd.grad(cost(module), list(module.parameters()))
                    claimed = dict(zip(names, gradients, strict=True))
                    chosen = [n for n in names if n.endswith("weight")]
                    block = chosen[seed % len(chosen)]
                    claimed[block] = factor * claimed[block]
                    report = check_module(module, cost, claimed=claimed, seed=seed, strategy="certificate")
                    found[report.verdict.name] += 1
                    found["named"] += report.faulty == (block,)
            print(
                f"| {str(dtype).removeprefix('torch.')} | {factor} | {len(MODULES) * seeds} | {found['named']} | "
                f"{found['WRONG']} | {found['INCONCLUSIVE']} | {found['CORRECT']} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", help="right, wrong")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    for table in given.tables or ["right", "wrong"]:
        {"right": right, "wrong": wrong}[table](given.seeds)
        print()


if __name__ == "__main__":
    main()
