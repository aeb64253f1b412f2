"""The classic gradient check of the deep-learning course, faithful to its names, its formulas and its numbers.

Two exercises. One real parameter: J(θ) = θx, whose derivative is x. Then a network LINEAR → RELU → LINEAR → RELU →
LINEAR → SIGMOID with m examples as columns and the cross-entropy J = −1/m Σ(y log a + (1 − y) log(1 − a)). In both,
each parameter is displaced by ±ε in turn and the claimed gradient is compared with the central difference,

    gradapprox = (J(θ + ε) − J(θ − ε)) / 2ε,      difference = ‖grad − gradapprox‖ / (‖grad‖ + ‖gradapprox‖).

These functions stay the literal algorithm; `check` puts the modern verdict beside it. All of them take layers of any
size, and complex parameters go through the forward passes as they are (`sigmoid`, `relu` and the cost are analytic
away from the kinks), so that a complex step can be made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradproof._numerics.statistics import within
from gradproof._verbs.gradient import check_gradient
from gradproof._words.errors import ShapeMismatch, UsageError
from gradproof._words.results import Report

Array: TypeAlias = NDArray[Any]
Cache: TypeAlias = tuple[Array, Array, Array, Array, Array, Array, Array, Array, Array, Array, Array, Array]
"""(Z1, A1, W1, b1, Z2, A2, W2, b2, Z3, A3, W3, b3)"""

FIXTURE_SHAPES: dict[str, tuple[int, ...]] = {
    "W1": (5, 4),
    "b1": (5, 1),
    "W2": (3, 5),
    "b2": (3, 1),
    "W3": (1, 3),
    "b3": (1, 1),
}
"""The shapes of the course's own network: 47 parameters, in the order in which they are laid out as one vector."""

_NAME = re.compile(r"(d?)([Wb])([1-9]\d*)")


# --- one real parameter ----------------------------------------------------------------------------------------------


def forward_propagation(x: float, theta: float) -> float:
    """Compute the cost of the one-parameter exercise, J(θ) = θx.

    Parameters
    ----------
    x
        The input, a real number.
    theta
        The parameter θ, a real (or complex) number.

    Returns
    -------
    float
        J(θ).
    """
    return np.dot(theta, x)  # type: ignore[no-any-return]


def backward_propagation(x: float, theta: float) -> float:  # noqa: ARG001  (the course's signature)
    """Compute the derivative of J(θ) = θx, which is x whatever θ is.

    Parameters
    ----------
    x
        The input, a real number.
    theta
        The parameter θ; the derivative does not depend on it.

    Returns
    -------
    float
        dJ/dθ.
    """
    return x


def gradient_check(
    x: float, theta: float, epsilon: float = 1e-7, print_msg: bool = False, threshold: float = 1e-7
) -> float:
    """Check `backward_propagation` by a central difference of `forward_propagation`.

    Parameters
    ----------
    x
        The input.
    theta
        The parameter θ at which to check.
    epsilon
        The displacement ε, in the units of θ.
    print_msg
        Whether to print the course's sentence about the result.
    threshold
        The largest difference that this sentence calls fine.

    Returns
    -------
    float
        The relative difference |grad − gradapprox| / (|grad| + |gradapprox|), between 0 and 1.
    """
    gradapprox = (forward_propagation(x, theta + epsilon) - forward_propagation(x, theta - epsilon)) / (2 * epsilon)
    grad = backward_propagation(x, theta)
    difference = relative_difference(np.asarray(grad), np.asarray(gradapprox))
    if print_msg:
        print(_sentence(difference, threshold))
    return difference


# --- the three-layer network -----------------------------------------------------------------------------------------


def sigmoid(x: Array) -> Array:
    """Compute 1 / (1 + exp(−x)), elementwise.

    Parameters
    ----------
    x
        Real or complex values of any shape.

    Returns
    -------
    numpy.ndarray
        Values of the same shape and type.
    """
    return 1 / (1 + np.exp(-x))


def relu(x: Array) -> Array:
    """Compute max(0, x), elementwise; for complex values the real part decides.

    Parameters
    ----------
    x
        Real or complex values of any shape; NaN stays NaN.

    Returns
    -------
    numpy.ndarray
        Values of the same shape and type.
    """
    return np.where(np.real(x) <= 0, 0, x)


def dictionary_to_vector(parameters: Mapping[str, Array]) -> tuple[Array, list[str]]:
    """Lay out a dictionary of parameters as one column, W1, b1, W2, b2, … each in C order.

    Parameters
    ----------
    parameters
        Arrays of any shape named W1, b1, W2, b2, …, for any number of layers.

    Returns
    -------
    theta : numpy.ndarray
        A column vector, shape (N, 1).
    keys : list of str
        For each of its N elements the name of the array that it came from.

    Raises
    ------
    UsageError
        Where there is no such name, or a name is of another kind.
    """
    names = _in_order(parameters, prefix="")
    keys = [name for name in names for _ in range(np.size(parameters[name]))]
    return _column(parameters, names), keys


def vector_to_dictionary(theta: Array, shapes: Mapping[str, tuple[int, ...]] | None = None) -> dict[str, Array]:
    """Cut a vector into the parameters that `dictionary_to_vector` laid out.

    Parameters
    ----------
    theta
        N elements, of shape (N,) or (N, 1).
    shapes
        The shape of each array by its name, for any depth and any sizes; the course's own network where not given.

    Returns
    -------
    dict
        Arrays by their names; parts of `theta`, not copies, where it is contiguous.

    Raises
    ------
    ShapeMismatch
        Where the shapes do not need exactly N elements.
    """
    shapes = FIXTURE_SHAPES if shapes is None else shapes
    flat = np.reshape(theta, -1)
    names = _in_order(shapes, prefix="")
    sizes = [int(np.prod(shapes[name])) for name in names]
    if sum(sizes) != flat.size:
        wanted = ", ".join(f"{name} {shapes[name]}" for name in names)
        raise ShapeMismatch(
            f"{flat.size} elements, where {wanted} take {sum(sizes)}",
            where="theta",
            remedy="Give shapes=, the shape of each array by its name",
        )
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return {name: part.reshape(shapes[name]) for name, part in zip(names, parts, strict=True)}


def gradients_to_vector(gradients: Mapping[str, Array]) -> Array:
    """Lay out dW1, db1, dW2, db2, … as one column, in the order of `dictionary_to_vector`.

    Parameters
    ----------
    gradients
        What a backward pass returns. The gradients dZ and dA of what is no parameter are passed over.

    Returns
    -------
    numpy.ndarray
        A column vector, shape (N, 1).

    Raises
    ------
    UsageError
        Where there is no gradient of a parameter.
    """
    return _column(gradients, _in_order(gradients, prefix="d"))


def forward_propagation_n(X: Array, Y: Array, parameters: Mapping[str, Array]) -> tuple[float, Cache]:
    """Compute the cost of the three-layer network.

    Parameters
    ----------
    X
        The inputs, shape (n₀, m), one example a column.
    Y
        The labels, 0 or 1, shape (m,) or (1, m).
    parameters
        W1 (n₁, n₀), b1 (n₁, 1), W2 (n₂, n₁), b2 (n₂, 1), W3 (1, n₂), b3 (1, 1).

    Returns
    -------
    cost : float
        J = −1/m Σ(y log a + (1 − y) log(1 − a)), in nats per example.
    cache : tuple of numpy.ndarray
        (Z1, A1, W1, b1, Z2, A2, W2, b2, Z3, A3, W3, b3), for the backward pass.

    Raises
    ------
    UsageError
        Where the parameters are not those of three layers.
    """
    if parameters.keys() != FIXTURE_SHAPES.keys():
        raise UsageError(
            f"the names {', '.join(map(str, parameters))}",
            where="parameters",
            meaning="The course's network has three layers",
            remedy="Give W1, b1, W2, b2, W3 and b3",
        )
    m = X.shape[1]
    W1, b1 = parameters["W1"], parameters["b1"]
    W2, b2 = parameters["W2"], parameters["b2"]
    W3, b3 = parameters["W3"], parameters["b3"]

    Z1 = np.dot(W1, X) + b1
    A1 = relu(Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = relu(Z2)
    Z3 = np.dot(W3, A2) + b3
    A3 = sigmoid(Z3)

    cost = -1 / m * np.sum(Y * np.log(A3) + (1 - Y) * np.log(1 - A3))
    return cost, (Z1, A1, W1, b1, Z2, A2, W2, b2, Z3, A3, W3, b3)


def backward_propagation_n(X: Array, Y: Array, cache: Cache) -> dict[str, Array]:
    """Compute the gradient of `forward_propagation_n`, correctly.

    Parameters
    ----------
    X, Y
        As given to the forward pass.
    cache
        What the forward pass returned beside the cost.

    Returns
    -------
    dict
        dZ3, dW3, db3, dA2, dZ2, dW2, db2, dA1, dZ1, dW1, db1, each of the shape of what it is the gradient of.
    """
    m = X.shape[1]
    _, A1, _, _, _, A2, W2, _, _, A3, W3, _ = cache

    dZ3 = A3 - Y  # the derivative of the cross-entropy through the sigmoid, times m
    dW3 = 1 / m * np.dot(dZ3, A2.T)
    db3 = 1 / m * np.sum(dZ3, axis=1, keepdims=True)

    dA2 = np.dot(W3.T, dZ3)
    dZ2 = dA2 * (np.real(A2) > 0)
    dW2 = 1 / m * np.dot(dZ2, A1.T)
    db2 = 1 / m * np.sum(dZ2, axis=1, keepdims=True)

    dA1 = np.dot(W2.T, dZ2)
    dZ1 = dA1 * (np.real(A1) > 0)
    dW1 = 1 / m * np.dot(dZ1, X.T)
    db1 = 1 / m * np.sum(dZ1, axis=1, keepdims=True)

    return {
        "dZ3": dZ3,
        "dW3": dW3,
        "db3": db3,
        "dA2": dA2,
        "dZ2": dZ2,
        "dW2": dW2,
        "db2": db2,
        "dA1": dA1,
        "dZ1": dZ1,
        "dW1": dW1,
        "db1": db1,
    }


def backward_propagation_n_with_mistakes(X: Array, Y: Array, cache: Cache) -> dict[str, Array]:
    """Compute the gradient with the two mistakes that the course plants: dW2 is doubled, db1 has 4/m for 1/m.

    Parameters
    ----------
    X, Y
        As given to the forward pass.
    cache
        What the forward pass returned beside the cost.

    Returns
    -------
    dict
        The keys of `backward_propagation_n`; dW2 and db1 are wrong, on purpose.
    """
    m = X.shape[1]
    gradients = backward_propagation_n(X, Y, cache)
    gradients["dW2"] = gradients["dW2"] * 2
    gradients["db1"] = 4 / m * np.sum(gradients["dZ1"], axis=1, keepdims=True)
    return gradients


def gradient_check_n(
    parameters: Mapping[str, Array],
    gradients: Mapping[str, Array],
    X: Array,
    Y: Array,
    epsilon: float = 1e-7,
    print_msg: bool = False,
    threshold: float = 2e-7,
) -> float:
    """Check a backward pass coordinate by coordinate: the classic loop, 2N forward passes.

    Parameters
    ----------
    parameters
        W1, b1, …, as given to the forward pass.
    gradients
        dW1, db1, …, as a backward pass returned them.
    X, Y
        The examples and their labels.
    epsilon
        The displacement ε of each coordinate, in its own units.
    print_msg
        Whether to print the course's sentence about the result.
    threshold
        The largest difference that this sentence calls fine. The first editions of the course had 1e-7, which rejects
        their own correct gradient: its difference is 1.19e-7, all of it rounding noise of the cost.

    Returns
    -------
    float
        The relative difference ‖grad − gradapprox‖ / (‖grad‖ + ‖gradapprox‖), between 0 and 1.

    Raises
    ------
    ShapeMismatch
        Where a gradient is missing, or has another shape than its parameter.
    """
    parameters_values, _ = dictionary_to_vector(parameters)
    grad = gradients_to_vector(_claimed(parameters, gradients, prefix="d"))
    shapes = {name: np.shape(value) for name, value in parameters.items()}

    num_parameters = parameters_values.shape[0]
    J_plus = np.zeros((num_parameters, 1))
    J_minus = np.zeros((num_parameters, 1))
    for i in range(num_parameters):
        theta_plus = np.copy(parameters_values)
        theta_plus[i] += epsilon
        J_plus[i], _ = forward_propagation_n(X, Y, vector_to_dictionary(theta_plus, shapes))
        theta_minus = np.copy(parameters_values)
        theta_minus[i] -= epsilon
        J_minus[i], _ = forward_propagation_n(X, Y, vector_to_dictionary(theta_minus, shapes))
    gradapprox = (J_plus - J_minus) / (2 * epsilon)

    difference = relative_difference(grad, gradapprox)
    if print_msg:
        print(_sentence(difference, threshold))
    return difference


def gradient_check_n_test_case() -> tuple[Array, Array, dict[str, Array]]:
    """Make the course's fixture: three examples of four numbers, labels 1, 1, 0, and 47 parameters.

    Returns
    -------
    X : numpy.ndarray
        Shape (4, 3).
    Y : numpy.ndarray
        Shape (3,).
    parameters : dict
        W1 (5, 4), b1 (5, 1), W2 (3, 5), b2 (3, 1), W3 (1, 3), b3 (1, 1).
    """
    randn = np.random.RandomState(1).randn  # the legacy stream is what the known numbers belong to
    X = randn(4, 3)
    Y = np.array([1, 1, 0])
    parameters = {name: randn(*shape) for name, shape in FIXTURE_SHAPES.items()}
    return X, Y, parameters


# --- the modern verdict ----------------------------------------------------------------------------------------------


def check(
    parameters: Mapping[str, Array], gradients: Mapping[str, Array], X: Array, Y: Array, **options: Any
) -> Report:
    """Check a backward pass with nothing to adapt: `gradproof.check_gradient` on the classic arguments.

    Parameters
    ----------
    parameters, gradients, X, Y
        As for `gradient_check_n`.
    **options
        Anything that `gradproof.check_gradient` takes: tolerance, confidence, strategy, budget, seed, …

    Returns
    -------
    Report
        The verdict, of the whole gradient and of each of W1, b1, W2, b2, W3, b3.

    Raises
    ------
    ShapeMismatch
        Where a gradient is missing, or has another shape than its parameter.
    """
    return check_gradient(
        lambda point: forward_propagation_n(X, Y, point)[0],
        dict(parameters),
        _claimed(parameters, gradients, prefix=""),
        **options,
    )


def relative_difference(grad: Array, gradapprox: Array) -> float:
    """Compute the difference of the classic check, ‖grad − gradapprox‖ / (‖grad‖ + ‖gradapprox‖).

    Parameters
    ----------
    grad, gradapprox
        Arrays of the same shape; the norms are Euclidean over all their elements.

    Returns
    -------
    float
        A number between 0 and 1; 0 where both are exactly zero.
    """
    numerator = np.linalg.norm(grad - gradapprox)
    denominator = np.linalg.norm(grad) + np.linalg.norm(gradapprox)
    return float(numerator / denominator) if denominator != 0 else 0.0


def _sentence(difference: float, threshold: float) -> str:
    if within(difference, threshold):
        return f"Your backward propagation works perfectly fine! difference = {difference}"
    return f"There is a mistake in the backward propagation! difference = {difference}"


def _claimed(parameters: Mapping[str, Array], gradients: Mapping[str, Array], *, prefix: str) -> dict[str, Array]:
    """Take dW1, db1, … from what a backward pass returned, named as asked for."""
    claimed = {}
    for name, value in parameters.items():
        if f"d{name}" not in gradients:
            raise ShapeMismatch(
                f"no gradient 'd{name}' among {', '.join(gradients) or 'no names at all'}",
                where=name,
                meaning="Each parameter needs the gradient that the backward pass computed for it",
                remedy=f"Add 'd{name}', of shape {np.shape(value)}",
            )
        gradient = gradients[f"d{name}"]
        if np.shape(gradient) != np.shape(value):
            raise ShapeMismatch(
                f"'d{name}' has shape {np.shape(gradient)}, the parameter {np.shape(value)}",
                where=name,
                remedy="The gradient of a parameter has the parameter's shape; look for a transpose or a forgotten sum",
            )
        claimed[prefix + name] = gradient
    return claimed


def _in_order(names: Mapping[str, Any], *, prefix: str) -> list[str]:
    """Sort W1, b1, W2, b2, … by layer, W before b; among gradients, leave out those of no parameter."""
    matches = [match for name in names if (match := _NAME.fullmatch(name)) and match[1] == prefix]
    foreign = [] if prefix else sorted(set(names) - {match[0] for match in matches})
    if foreign or not matches:
        raise UsageError(
            f"the names {', '.join(map(str, names)) or '(none)'}",
            where="gradients" if prefix else "parameters",
            meaning=f"The course's functions lay out {prefix}W1, {prefix}b1, {prefix}W2, {prefix}b2, … as one vector",
            remedy="Rename them, or use gradproof.check_gradient, which takes any names and any structure",
        )
    return [match[0] for match in sorted(matches, key=lambda match: (int(match[3]), match[2]))]


def _column(arrays: Mapping[str, Array], names: list[str]) -> Array:
    return np.concatenate([np.reshape(arrays[name], (-1, 1)) for name in names], axis=0)
