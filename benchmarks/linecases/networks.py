"""Networks in float64 and float32 against forward mode in extended precision."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from linecases.line import Line, Rng, generator

Parameters = dict[str, np.ndarray]


def _network(rng: Rng, dtype: Any) -> tuple[str, Parameters, np.ndarray, np.ndarray]:
    sizes = [int(rng.integers(2, 9)), *rng.integers(3, 17, size=int(rng.integers(1, 3))).tolist(), 1]
    activation = str(rng.choice(["tanh", "softplus"]))
    point: Parameters = {}
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        point[f"W{layer}"] = (rng.standard_normal((fan_out, fan_in)) / np.sqrt(fan_in)).astype(dtype)
        bias = rng.standard_normal((fan_out, 1)) * (0.1 if rng.random() < 0.5 else 0.0)
        point[f"b{layer}"] = bias.astype(dtype)
    inputs = rng.standard_normal((sizes[0], 8)).astype(dtype)
    return activation, point, inputs, rng.standard_normal((1, 8)).astype(dtype)


def forward(activation: str, p: Parameters, inputs: np.ndarray, targets: np.ndarray, *, wide: bool = False) -> Any:
    """Return the mean squared error; ``wide`` contracts the loss in float64."""
    signal = inputs
    depth = len(p) // 2
    for layer in range(1, depth + 1):
        signal = p[f"W{layer}"] @ signal + p[f"b{layer}"]
        if layer < depth:
            signal = np.tanh(signal) if activation == "tanh" else np.logaddexp(np.zeros_like(signal), signal)
    misfit = signal - targets
    return np.mean((misfit.astype(np.float64) if wide and misfit.dtype != object else misfit) ** 2)


def forward_mode(activation: str, p: Parameters, v: Parameters, inputs: np.ndarray, targets: np.ndarray) -> float:
    """Return the derivative of `forward` along v by tangents in extended precision."""
    wide = np.longdouble
    signal, tangent = inputs.astype(wide), np.zeros(inputs.shape, dtype=wide)
    depth = len(p) // 2
    for layer in range(1, depth + 1):
        weight, bias = p[f"W{layer}"].astype(wide), p[f"b{layer}"].astype(wide)
        tangent = v[f"W{layer}"].astype(wide) @ signal + weight @ tangent + v[f"b{layer}"].astype(wide)
        signal = weight @ signal + bias
        if layer < depth:
            if activation == "tanh":
                signal = np.tanh(signal)
                tangent = (1 - signal**2) * tangent
            else:
                tangent = tangent / (1 + np.exp(-signal))
                signal = np.maximum(signal, 0) + np.log1p(np.exp(-np.abs(signal)))
    return float(np.mean(2 * (signal - targets.astype(wide)) * tangent))


def networks(part: str, dtype: type, count: int = 40) -> list[Line]:
    """Networks of tanh and softplus units; their truth is the function's derivative at the parameters as stored."""
    family = f"network {np.dtype(dtype).name}"
    rng = generator(part, family)
    lines = []
    for index in range(count):
        activation, point, inputs, targets = _network(rng, dtype)
        direction = {
            name: (float(np.std(value) or 0.3) * rng.standard_normal(value.shape)).astype(dtype)
            for name, value in point.items()
        }
        wide = bool(rng.random() < 0.5)

        def cost(p: Any, a: str = activation, x: Any = inputs, y: Any = targets, w: bool = wide) -> Any:
            return forward(a, p, x, y, wide=w)

        def truths(
            a: str = activation, p: Any = point, v: Any = direction, x: Any = inputs, y: Any = targets
        ) -> list[float]:
            return [forward_mode(a, p, v, x, y)]

        name = f"{activation} {index}, {sum(value.size for value in point.values())} parameters"
        lines.append(Line(family, name, lambda c=cost: c, point, direction, truths))
    return lines
