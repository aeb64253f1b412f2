"""Problems with correct gradients written by hand, varied in structure and size; each in one function.

The gradients follow from the chain rule; d⟨name⟩ is the derivative of the cost with respect to ⟨name⟩ everywhere.
A test compares every one of them with differences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from gradproof._words.vectors import FloatArray

Blocks: TypeAlias = dict[str, FloatArray]
SEED: Final = 20_240


@dataclass(frozen=True, slots=True)
class GalleryProblem:
    """A cost, a point and the correct gradient there.

    Parameters
    ----------
    name
        What it is.
    cost
        The cost, of a dict such as `point`.
    point
        Named float64 arrays.
    gradient
        The correct gradient at `point`, written by hand: the same names and shapes.
    smooth
        Whether the cost has no kinks.
    """

    name: str
    cost: Callable[[Blocks], float]
    point: Blocks
    gradient: Blocks
    smooth: bool = True


Pair: TypeAlias = Callable[[Blocks], tuple[float, Blocks]]


def _problem(name: str, pair: Pair, point: Blocks, *, smooth: bool = True) -> GalleryProblem:
    return GalleryProblem(name, lambda parameters: pair(parameters)[0], point, pair(point)[1], smooth)


def _normal(generator: np.random.Generator, *shape: int, scale: float = 1.0) -> FloatArray:
    return np.asarray(scale * generator.standard_normal(shape))


def _three_layers(generator: np.random.Generator) -> GalleryProblem:
    """ReLU, ReLU, sigmoid, cross-entropy over a batch: the network of the course, wider."""
    X, Y = _normal(generator, 6, 8), (generator.random((1, 8)) < 0.5).astype(float)
    sizes = (6, 12, 7, 1)
    point: Blocks = {}
    for layer in (1, 2, 3):
        rows, columns = sizes[layer], sizes[layer - 1]
        point[f"W{layer}"] = _normal(generator, rows, columns, scale=columns**-0.5)
        point[f"b{layer}"] = _normal(generator, rows, 1, scale=0.3)

    def pair(p: Blocks) -> tuple[float, Blocks]:
        m = X.shape[1]
        Z1 = p["W1"] @ X + p["b1"]
        A1 = np.maximum(Z1, 0)
        Z2 = p["W2"] @ A1 + p["b2"]
        A2 = np.maximum(Z2, 0)
        Z3 = p["W3"] @ A2 + p["b3"]
        cost = float(np.sum(Y * np.logaddexp(0, -Z3) + (1 - Y) * np.logaddexp(0, Z3))) / m
        dZ3 = (1 / (1 + np.exp(-Z3)) - Y) / m
        dZ2 = (p["W3"].T @ dZ3) * (Z2 > 0)
        dZ1 = (p["W2"].T @ dZ2) * (Z1 > 0)
        g = {}
        for layer, dZ, A in ((1, dZ1, X), (2, dZ2, A1), (3, dZ3, A2)):
            g[f"W{layer}"] = dZ @ A.T
            g[f"b{layer}"] = dZ.sum(axis=1, keepdims=True)
        return cost, g

    return _problem("three-layer ReLU network", pair, point, smooth=False)


def _tanh_network(generator: np.random.Generator, sizes: tuple[int, ...], batch: int, name: str) -> GalleryProblem:
    X, Y = _normal(generator, batch, sizes[0]), _normal(generator, batch, sizes[-1])
    layers = len(sizes) - 1
    point: Blocks = {}
    for layer in range(layers):
        point[f"W{layer}"] = _normal(generator, sizes[layer], sizes[layer + 1], scale=sizes[layer] ** -0.5)
        point[f"b{layer}"] = _normal(generator, sizes[layer + 1], scale=0.2)

    def pair(p: Blocks) -> tuple[float, Blocks]:
        activations = [X]
        for layer in range(layers):
            Z = activations[-1] @ p[f"W{layer}"] + p[f"b{layer}"]
            activations.append(np.tanh(Z) if layer < layers - 1 else Z)
        error = activations[-1] - Y
        g = {}
        dZ = error / batch
        for layer in reversed(range(layers)):
            g[f"W{layer}"] = activations[layer].T @ dZ
            g[f"b{layer}"] = dZ.sum(axis=0)
            if layer:
                dZ = (dZ @ p[f"W{layer}"].T) * (1 - activations[layer] ** 2)
        return float(0.5 * np.sum(error**2)) / batch, {key: g[key] for key in p}

    return _problem(name, pair, point)


def _deep_tanh(generator: np.random.Generator) -> GalleryProblem:
    return _tanh_network(generator, (20, 20, 20, 5), 16, "tanh network")


def _large_tanh(generator: np.random.Generator) -> GalleryProblem:
    return _tanh_network(generator, (64, 60, 16), 32, "tanh network of 4876 parameters")


def _logistic(generator: np.random.Generator) -> GalleryProblem:
    """Logistic regression with weight decay."""
    X, y = _normal(generator, 40, 20), np.sign(_normal(generator, 40))
    point: Blocks = {"weights": _normal(generator, 20, scale=0.5), "bias": np.array(0.3)}

    def pair(p: Blocks) -> tuple[float, Blocks]:
        margin = y * (X @ p["weights"] + p["bias"])
        cost = float(np.mean(np.logaddexp(0, -margin)) + 0.05 * np.sum(p["weights"] ** 2))
        d = -y / (1 + np.exp(margin)) / y.size
        return cost, {"weights": X.T @ d + 0.1 * p["weights"], "bias": np.asarray(d.sum())}

    return _problem("logistic regression", pair, point)


def _softmax(generator: np.random.Generator) -> GalleryProblem:
    X, labels = _normal(generator, 30, 25), generator.integers(0, 7, 30)
    point: Blocks = {"W": _normal(generator, 25, 7, scale=0.3), "b": _normal(generator, 7, scale=0.3)}

    def pair(p: Blocks) -> tuple[float, Blocks]:
        Z = X @ p["W"] + p["b"]
        Z = Z - Z.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(Z).sum(axis=1))
        rows = np.arange(labels.size)
        cost = float(np.mean(log_sum - Z[rows, labels]))
        dZ = np.exp(Z - log_sum[:, None])
        dZ[rows, labels] -= 1
        dZ /= labels.size
        return cost, {"W": X.T @ dZ, "b": dZ.sum(axis=0)}

    return _problem("softmax regression", pair, point)


def _batch_norm(generator: np.random.Generator) -> GalleryProblem:
    """A bias before batch normalisation, whose true gradient is zero."""
    X, Y = _normal(generator, 9, 10), _normal(generator, 9, 3)
    point: Blocks = {
        "W": _normal(generator, 10, 8, scale=0.4),
        "b": _normal(generator, 8, scale=0.3),
        "gamma": 1 + _normal(generator, 8, scale=0.2),
        "beta": _normal(generator, 8, scale=0.2),
        "V": _normal(generator, 8, 3, scale=0.4),
    }

    def pair(p: Blocks) -> tuple[float, Blocks]:
        Z = X @ p["W"] + p["b"]
        centred = Z - Z.mean(axis=0)
        spread = np.sqrt((centred**2).mean(axis=0) + 1e-3)
        U = centred / spread
        A = np.tanh(p["gamma"] * U + p["beta"])
        error = A @ p["V"] - Y
        d_out = error / len(X)
        dS = (d_out @ p["V"].T) * (1 - A**2)
        dU = dS * p["gamma"]
        dZ = (dU - dU.mean(axis=0) - U * (dU * U).mean(axis=0)) / spread
        g = {"W": X.T @ dZ, "b": np.zeros(8), "gamma": (dS * U).sum(axis=0), "beta": dS.sum(axis=0), "V": A.T @ d_out}
        return float(0.5 * np.sum(error**2)) / len(X), g

    return _problem("batch normalisation", pair, point)


def _layer_norm(generator: np.random.Generator) -> GalleryProblem:
    X, Y = _normal(generator, 7, 16), _normal(generator, 7, 12)
    point: Blocks = {
        "W": _normal(generator, 16, 12, scale=0.3),
        "gain": 1 + _normal(generator, 12, scale=0.2),
        "shift": _normal(generator, 12, scale=0.2),
    }

    def pair(p: Blocks) -> tuple[float, Blocks]:
        Z = X @ p["W"]
        centred = Z - Z.mean(axis=1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-3)
        U = centred / spread
        error = U * p["gain"] + p["shift"] - Y
        dO = error / len(X)
        dU = dO * p["gain"]
        dZ = (dU - dU.mean(axis=1, keepdims=True) - U * (dU * U).mean(axis=1, keepdims=True)) / spread
        g = {"W": X.T @ dZ, "gain": (dO * U).sum(axis=0), "shift": dO.sum(axis=0)}
        return float(0.5 * np.sum(error**2)) / len(X), g

    return _problem("layer normalisation", pair, point)


def _recurrent(generator: np.random.Generator) -> GalleryProblem:
    steps, batch = 6, 4
    X, Y = _normal(generator, steps, batch, 6), _normal(generator, batch, 3)
    point: Blocks = {
        "input": _normal(generator, 6, 15, scale=0.4),
        "hidden": _normal(generator, 15, 15, scale=0.25),
        "bias": _normal(generator, 15, scale=0.2),
        "output": _normal(generator, 15, 3, scale=0.3),
    }

    def pair(p: Blocks) -> tuple[float, Blocks]:
        states = [np.zeros((batch, 15))]
        for x in X:
            states.append(np.tanh(x @ p["input"] + states[-1] @ p["hidden"] + p["bias"]))
        error = states[-1] @ p["output"] - Y
        g = {name: np.zeros_like(value) for name, value in p.items()}
        g["output"] = states[-1].T @ error / batch
        dH = error @ p["output"].T / batch
        for step in reversed(range(steps)):
            dZ = dH * (1 - states[step + 1] ** 2)
            g["input"] += X[step].T @ dZ
            g["hidden"] += states[step].T @ dZ
            g["bias"] += dZ.sum(axis=0)
            dH = dZ @ p["hidden"].T
        return float(0.5 * np.sum(error**2)) / batch, g

    return _problem("recurrent network", pair, point)


def _convolution(generator: np.random.Generator) -> GalleryProblem:
    batch, channels, length, filters, width = 5, 3, 14, 8, 5
    X, Y = _normal(generator, batch, channels, length), _normal(generator, batch, 4)
    point: Blocks = {
        "kernel": _normal(generator, filters, channels, width, scale=0.3),
        "bias": _normal(generator, filters, scale=0.2),
        "readout": _normal(generator, filters, 4, scale=0.5),
    }
    windows = np.lib.stride_tricks.sliding_window_view(X, width, axis=2)  # batch, channels, places, width

    def pair(p: Blocks) -> tuple[float, Blocks]:
        Z = np.einsum("bcpw,fcw->bfp", windows, p["kernel"]) + p["bias"][:, None]
        A = np.tanh(Z)
        pooled = A.mean(axis=2)
        error = pooled @ p["readout"] - Y
        dO = error / batch
        dZ = ((dO @ p["readout"].T) / A.shape[2])[:, :, None] * (1 - A**2)
        g = {
            "kernel": np.einsum("bcpw,bfp->fcw", windows, dZ),
            "bias": dZ.sum(axis=(0, 2)),
            "readout": pooled.T @ dO,
        }
        return float(0.5 * np.sum(error**2)) / batch, g

    return _problem("convolution", pair, point)


def _attention(generator: np.random.Generator) -> GalleryProblem:
    batch, steps, width = 3, 6, 10
    X, Y = _normal(generator, batch, steps, width), _normal(generator, batch, steps, width)
    names = ("query", "key", "value", "output")
    point: Blocks = {name: _normal(generator, width, width, scale=0.4) for name in names}

    def pair(p: Blocks) -> tuple[float, Blocks]:
        Q, K, V = X @ p["query"], X @ p["key"], X @ p["value"]
        scores = Q @ K.transpose(0, 2, 1) / np.sqrt(width)
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        weights /= weights.sum(axis=2, keepdims=True)
        mixed = weights @ V
        error = mixed @ p["output"] - Y
        dO = error / batch
        d_mixed = dO @ p["output"].T
        d_weights = d_mixed @ V.transpose(0, 2, 1)
        d_scores = weights * (d_weights - (d_weights * weights).sum(axis=2, keepdims=True)) / np.sqrt(width)
        dQ, dK, dV = d_scores @ K, d_scores.transpose(0, 2, 1) @ Q, weights.transpose(0, 2, 1) @ d_mixed
        pairs = (("query", X, dQ), ("key", X, dK), ("value", X, dV), ("output", mixed, dO))
        g = {name: np.einsum("bti,btj->ij", left, right) for name, left, right in pairs}
        return float(0.5 * np.sum(error**2)) / batch, g

    return _problem("attention", pair, point)


def _gaussian_process(generator: np.random.Generator) -> GalleryProblem:
    """Negative log marginal likelihood; d log|K| = tr(K⁻¹ dK), d K⁻¹ = −K⁻¹ dK K⁻¹."""
    X, y = _normal(generator, 25, 20), _normal(generator, 25)
    squares = (X[:, None, :] - X[None, :, :]) ** 2
    point: Blocks = {
        "log_lengths": 1.5 + _normal(generator, 20, scale=0.2),
        "log_signal": np.array(0.2),
        "log_noise": np.array(-1.0),
    }

    def pair(p: Blocks) -> tuple[float, Blocks]:
        signal, noise = np.exp(2 * p["log_signal"]), np.exp(2 * p["log_noise"])
        precision = np.exp(-2 * p["log_lengths"])
        kernel = signal * np.exp(-0.5 * squares @ precision)
        factor = np.linalg.cholesky(kernel + noise * np.eye(y.size))
        inverse = np.linalg.inv(factor)
        inverse = inverse.T @ inverse
        alpha = inverse @ y
        dK = 0.5 * (inverse - np.outer(alpha, alpha))
        g = {
            "log_lengths": np.einsum("ij,ijk->k", dK * kernel, squares) * precision,
            "log_signal": np.asarray(2 * np.sum(dK * kernel)),
            "log_noise": np.asarray(2 * noise * np.trace(dK)),
        }
        return float(0.5 * y @ alpha + np.sum(np.log(np.diag(factor)))), g

    return _problem("Gaussian process", pair, point)


def _factorisation(generator: np.random.Generator) -> GalleryProblem:
    """Least squares over the observed entries of a matrix, with a penalty."""
    target, seen = _normal(generator, 40, 30), generator.random((40, 30)) < 0.4
    point: Blocks = {"U": _normal(generator, 40, 6, scale=0.6), "V": _normal(generator, 30, 6, scale=0.6)}

    def pair(p: Blocks) -> tuple[float, Blocks]:
        residual = (p["U"] @ p["V"].T - target) * seen
        cost = 0.5 * np.sum(residual**2) + 0.05 * (np.sum(p["U"] ** 2) + np.sum(p["V"] ** 2))
        return float(cost), {"U": residual @ p["V"] + 0.1 * p["U"], "V": residual.T @ p["U"] + 0.1 * p["V"]}

    return _problem("matrix factorisation", pair, point)


def _adjoint(generator: np.random.Generator) -> GalleryProblem:
    """An explicit integrator x ← x + h·tanh(Ax + b), and its adjoint recursion."""
    steps, h, size = 20, 0.1, 9
    target = _normal(generator, size)
    point: Blocks = {
        "A": _normal(generator, size, size, scale=0.5),
        "b": _normal(generator, size, scale=0.3),
        "start": _normal(generator, size),
    }

    def pair(p: Blocks) -> tuple[float, Blocks]:
        states, slopes = [p["start"]], []
        for _ in range(steps):
            slopes.append(np.tanh(p["A"] @ states[-1] + p["b"]))
            states.append(states[-1] + h * slopes[-1])
        adjoint = states[-1] - target
        cost = float(0.5 * adjoint @ adjoint)
        dA, db = np.zeros((size, size)), np.zeros(size)
        for state, slope in zip(reversed(states[:-1]), reversed(slopes), strict=True):
            dz = h * adjoint * (1 - slope**2)
            dA += np.outer(dz, state)
            db += dz
            adjoint = adjoint + p["A"].T @ dz
        return cost, {"A": dA, "b": db, "start": adjoint}

    return _problem("adjoint of an integrator", pair, point)


def _exponentials(generator: np.random.Generator) -> GalleryProblem:
    """A sum of decaying exponentials fitted to data."""
    t, y = np.linspace(0, 3, 60), _normal(generator, 60)
    point: Blocks = {"amplitudes": _normal(generator, 15), "rates": 0.3 + generator.random(15), "offset": np.array(0.1)}

    def pair(p: Blocks) -> tuple[float, Blocks]:
        basis = np.exp(-np.outer(t, p["rates"]))
        error = basis @ p["amplitudes"] + p["offset"] - y
        d = error / t.size
        rates = -((d * t) @ basis) * p["amplitudes"]
        g = {"amplitudes": d @ basis, "rates": rates, "offset": np.asarray(d.sum())}
        return float(0.5 * error @ error) / t.size, g

    return _problem("exponential fitting", pair, point)


_BUILDERS: Final[tuple[Callable[[np.random.Generator], GalleryProblem], ...]] = (
    _three_layers,
    _deep_tanh,
    _large_tanh,
    _logistic,
    _softmax,
    _batch_norm,
    _layer_norm,
    _recurrent,
    _convolution,
    _attention,
    _gaussian_process,
    _factorisation,
    _adjoint,
    _exponentials,
)


def gallery(seed: int = 0) -> list[GalleryProblem]:
    """Return the problems, at points and with data drawn from a seed.

    Parameters
    ----------
    seed
        Another seed gives other data and another point.

    Returns
    -------
    list of GalleryProblem
        22 to 4876 parameters each.
    """
    return [build(np.random.default_rng([seed, SEED, number])) for number, build in enumerate(_BUILDERS)]
