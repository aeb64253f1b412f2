"""What a check of a large module costs, beside the module's own forward pass.

    python benchmarks/models.py [--layers N] [--width N] [--vocabulary N] [--tokens N] [--threads N] [--only NAME …]

Each row is measured in a process of its own: time of one forward pass without a graph (the median of five), of the whole
check, in forward passes, and the peak of the resident memory above that of the module and one training step. Wrong rows
are of a doubled gradient in one of the smallest blocks, all of its search and diagnosis included.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import torch

import gradproof

F = torch.nn.functional


class Model(torch.nn.Module):
    """A causal language model without dropout, of the size that is asked for."""

    def __init__(self, layers: int, width: int, vocabulary: int) -> None:
        super().__init__()
        layer = torch.nn.TransformerEncoderLayer(
            width, max(width // 64, 1), 4 * width, dropout=0.0, batch_first=True, activation="gelu", norm_first=True
        )
        self.embedding = torch.nn.Embedding(vocabulary, width)
        self.layers = torch.nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = torch.nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        return self.head(self.layers(self.embedding(tokens)))


ROWS: dict[str, dict[str, Any]] = {
    "float32, reference": {"dtype": "float32"},
    "float32, its own values": {"dtype": "float32", "reference": None},
    "float64": {"dtype": "float64"},
    "float32, a doubled bias": {"dtype": "float32", "wrong": True},
}


def memory() -> float:
    """Return the peak of the resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(row: dict[str, Any], sizes: argparse.Namespace) -> dict[str, Any]:
    """Check one model."""
    torch.manual_seed(0)
    torch.set_num_threads(sizes.threads)
    model = Model(sizes.layers, sizes.width, sizes.vocabulary).to(getattr(torch, row["dtype"]))
    tokens, following = (torch.randint(0, sizes.vocabulary, (1, sizes.tokens)) for _ in range(2))

    def cost(model: torch.nn.Module) -> torch.Tensor:
        return F.cross_entropy(model(tokens).reshape(-1, sizes.vocabulary), following.reshape(-1))

    times = []
    with torch.no_grad():
        for _ in range(6):
            started = time.perf_counter()
            cost(model)
            times.append(time.perf_counter() - started)
    forward = statistics.median(times[1:])
    gradients = torch.autograd.grad(cost(model), list(model.parameters()))
    claimed = dict(zip(dict(model.named_parameters()), gradients, strict=True))
    options = {"reference": row["reference"]} if "reference" in row else {}
    if row.get("wrong"):
        claimed["layers.layers.0.norm1.bias"] = 2 * claimed["layers.layers.0.norm1.bias"]
        options["claimed"] = claimed
    else:
        del claimed, gradients
    before = memory()
    started = time.perf_counter()
    report = gradproof.torch.check_module(model, cost, seed=1, strategy="certificate", **options)
    seconds = time.perf_counter() - started
    size = sum(p.numel() * p.element_size() for p in model.parameters()) / 2**20
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "forward": forward,
        "calls": report.evaluations,
        "seconds": seconds,
        "passes": seconds / forward,
        "extra": (memory() - before) / size,
        "verdict": report.verdict.name,
        "upper": report.difference.upper,
        "worst": max(block.difference.upper for block in report.blocks),
        "tolerance": report.tolerance,
        "faulty": list(report.faulty),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("layers", 6), ("width", 512), ("vocabulary", 2048), ("tokens", 512), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--row", help=argparse.SUPPRESS)
    sizes = parser.parse_args()
    if sizes.row:
        print(json.dumps(measure(ROWS[sizes.row], sizes)))
        return
    print(
        "| check | parameters | forward pass | calls | check, in forward passes | extra memory, in modules | verdict |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in sizes.only:
        command = [sys.executable, __file__, *sys.argv[1:], "--row", name]
        done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        verdict = (
            f"{done['verdict']}, D ≤ {done['upper']:.1e}, worst block {done['worst']:.1e} at {done['tolerance']:g}"
        )
        verdict = f"{done['verdict']}: {', '.join(done['faulty'])}" if done["faulty"] else verdict
        print(
            f"| {name} | {done['parameters'] / 1e6:.1f} M | {done['forward']:.2f} s | {done['calls']} | "
            f"{done['passes']:.0f} | {done['extra']:.1f} | {verdict} |"
        )


if __name__ == "__main__":
    main()
