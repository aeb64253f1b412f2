"""Lines through programs: fixed and adaptive ODE solvers, and iterations that stop at 1e-8.

A program that stops early has two derivatives: that of the map it computes (steps, step control and iterations as they
are taken at the point) and that of the ideal function. They differ by about the tolerance; a value between them is
right, and the distance to that interval is the error. A fixed-step solver is an ordinary smooth function, whose one
truth is the derivative of the discretised map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from linecases.exact import Dual, exact_derivative
from linecases.line import Cost, Line, generator, plain

Field = Callable[[Any, Any], Any]


def _vector(*entries: Any) -> Any:
    return np.array(entries, dtype=object if any(isinstance(entry, Dual) for entry in entries) else np.float64)


# ------------------------------------------------------------------------------------------ fixed steps
def runge_kutta(field: Field, state: Any, end: float, steps: int) -> Any:
    """Integrate y' = field(y) by the classical fourth-order rule."""
    h = end / steps
    for _ in range(steps):
        k1 = field(0, state)
        k2 = field(0, state + 0.5 * h * k1)
        k3 = field(0, state + 0.5 * h * k2)
        k4 = field(0, state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return state


def _fixed_step_cases(steps: int, end: float) -> list[tuple[str, Cost, int]]:
    def lotka(p: Any) -> Any:
        final = runge_kutta(
            lambda _, y: _vector(y[0] * (p[0] - p[1] * y[1]), y[1] * (p[2] * y[0] - 1)), _vector(p[3], 1.0), end, steps
        )
        return final[0] + 0.5 * final[1] ** 2

    def pendulum(p: Any) -> Any:
        final = runge_kutta(
            lambda _, y: _vector(y[1], -p[0] * np.sin(y[0]) - p[1] * y[1]), _vector(p[2], p[3]), end, steps
        )
        return final[0] ** 2

    def van_der_pol(p: Any) -> Any:
        final = runge_kutta(
            lambda _, y: _vector(y[1], p[0] * (1 - y[0] * y[0]) * y[1] - p[1] * y[0]), _vector(p[2], p[3]), end, steps
        )
        return final[0] * final[1]

    def infection(p: Any) -> Any:
        final = runge_kutta(
            lambda _, y: _vector(-p[0] * y[0] * y[1], p[0] * y[0] * y[1] - p[1] * y[1]),
            _vector(p[2], 0.01 * p[3]),
            end,
            steps,
        )
        return np.log(final[0])

    return [
        ("Lotka-Volterra", lotka, 4),
        ("pendulum", pendulum, 4),
        ("Van der Pol", van_der_pol, 4),
        ("SIR", infection, 4),
    ]


# ------------------------------------------------------------------------------------------ adaptive steps
# Dormand & Prince 1980: nodes, stages, fifth-order weights, and the difference to the embedded fourth-order weights.
_NODES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0)
_STAGES: tuple[tuple[float, ...], ...] = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
)
_WEIGHTS = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
_DEFECTS = (-71 / 57600, 0.0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40)
FIRST_STEP = 0.01


def dormand_prince(field: Field, state: Any, end: float, rtol: float) -> Any:
    """Take the steps that ``solve_ivp(method="RK45")`` takes, in any arithmetic.

    The controller is the published one of that method: accept where the root mean square of error/(atol + rtol·|y|) is
    below 1, and multiply the step by 0.9·norm^(−1/5), within 0.2 … 10 (at most 1 after a rejection).
    """
    time, step, atol = 0.0, FIRST_STEP, 1e-2 * rtol
    slope = field(time, state)
    while time < end:
        rejected = False
        while True:
            h = min(step, end - time)
            stages = [slope]
            for node, row in zip(_NODES[1:], _STAGES[1:], strict=True):
                increment = sum((c * k for c, k in zip(row[1:], stages[1:], strict=True)), row[0] * stages[0])
                stages.append(field(time + node * h, state + h * increment))
            rise = sum(w * k for w, k in zip(_WEIGHTS, stages, strict=True))
            new = state + h * rise
            stages.append(field(time + h, new))
            defect = h * sum(d * k for d, k in zip(_DEFECTS, stages, strict=True))
            ratio = defect / (atol + rtol * np.maximum(abs(state), abs(new)))
            norm = np.sqrt(np.sum(ratio * ratio) / len(ratio))
            factor = 0.9 * norm ** (-0.2)
            if norm < 1:
                step = h * np.minimum(factor, 1.0 if rejected else 10.0)
                break
            step = h * np.maximum(factor, 0.2)
            rejected = True
        time, state, slope = time + h, new, stages[-1]
    return state


def _solved(field: Field, state: Any, end: float, rtol: float) -> Any:
    found = solve_ivp(field, (0.0, end), state, method="RK45", rtol=rtol, atol=1e-2 * rtol, first_step=FIRST_STEP)
    return found.y[:, -1]


def _adaptive_cases(end: float, rtol: float) -> list[tuple[str, Callable[[Any], Cost], Cost]]:
    """Return name, cost by solver, and closed form."""

    def logistic(solver: Any) -> Cost:
        return lambda p: solver(lambda _, y: p[0] * y * (1 - y), _vector(0.2 * p[1]), end, rtol)[0]

    def logistic_closed(p: Any) -> Any:
        start, growth = 0.2 * p[1], np.exp(p[0] * end)
        return start * growth / (1 - start + start * growth)

    def oscillator(solver: Any) -> Cost:
        return lambda p: solver(lambda _, y: _vector(y[1], -p[0] * p[0] * y[0]), _vector(p[1], 0.0), end, rtol)[0]

    def oscillator_closed(p: Any) -> Any:
        return p[1] * np.cos(p[0] * end)

    def riccati(solver: Any) -> Cost:
        return lambda p: solver(lambda _, y: p[0] - p[1] * y * y, _vector(0.0), end, rtol)[0]

    def riccati_closed(p: Any) -> Any:
        return np.sqrt(p[0] / p[1]) * np.tanh(np.sqrt(p[0] * p[1]) * end)

    def driven(solver: Any) -> Cost:
        return lambda p: solver(lambda t, y: -p[0] * (y - np.sin(t)), _vector(p[1]), end, rtol)[0]

    def driven_closed(p: Any) -> Any:
        a = p[0]
        return (a * a * np.sin(end) - a * np.cos(end)) / (1 + a * a) + (p[1] + a / (1 + a * a)) * np.exp(-a * end)

    return [
        ("logistic growth", logistic, logistic_closed),
        ("oscillator", oscillator, oscillator_closed),
        ("Riccati", riccati, riccati_closed),
        ("driven decay", driven, driven_closed),
    ]


def solvers(part: str, count: int = 40) -> list[Line]:
    """ODE solvers: half with fixed steps, half adaptive with rtol 1e-8 … 1e-10."""
    rng = generator(part, "ODE solvers")
    lines = []
    for index in range(count):
        end = float(rng.uniform(0.5, 2.5))
        if index % 2:
            cases = _fixed_step_cases(int(rng.integers(20, 50)), end)
            name, cost, size = cases[index // 2 % len(cases)]
            point = rng.uniform(0.5, 1.5, size=size)
            lines.append(plain("ODE solvers", f"{name}, fixed steps", cost, point, 0.5 * rng.standard_normal(size)))
            continue
        rtol = float(10 ** rng.uniform(-10, -8))
        adaptive = _adaptive_cases(end, rtol)
        name, by_solver, closed = adaptive[index // 2 % len(adaptive)]
        point, direction = rng.uniform(0.7, 1.5, size=2), 0.5 * rng.standard_normal(2)

        def truths(
            b: Callable[[Any], Cost] = by_solver, c: Cost = closed, p: Any = point, v: Any = direction
        ) -> Sequence[float]:
            return [exact_derivative(b(dormand_prince), p, v), exact_derivative(c, p, v)]

        lines.append(
            Line("ODE solvers", f"{name}, rtol {rtol:.0e}", lambda b=by_solver: b(_solved), point, direction, truths)
        )
    return lines


# ------------------------------------------------------------------------------------------ iterations
MOST_ITERATIONS = 1000
"""Tools displace far, where an iteration may not converge; it returns then what it has."""


def _fixed_point(p: Any, tolerance: float) -> Any:
    x, last = 0.5 + 0 * p[0], 0.0
    for _ in range(MOST_ITERATIONS):
        if abs(x - last) <= tolerance:
            break
        x, last = np.cos(p[0] * x) / (1 + p[1] * p[1]), x
    return x


def _kepler(p: Any, tolerance: float) -> Any:
    anomaly, change = p[0], 1.0 + 0 * p[0]
    eccentricity = 0.5 * np.tanh(p[1])
    for _ in range(MOST_ITERATIONS):
        if abs(change) <= tolerance:
            break
        change = (anomaly - eccentricity * np.sin(anomaly) - p[0]) / (1 - eccentricity * np.cos(anomaly))
        anomaly = anomaly - change
    return anomaly


def _jacobi(p: Any, tolerance: float) -> Any:
    matrix = np.array([[4.0, 1.0, 0.5], [1.0, 5.0, 1.0], [0.5, 1.0, 6.0]])
    right = _vector(p[0], p[1], 1.0)
    diagonal = _vector(4 + p[1] * p[1], 5.0 + 0 * p[0], 6.0 + p[0] * p[0])
    rest = matrix - np.diag(np.diag(matrix))
    x = right / diagonal
    for _ in range(MOST_ITERATIONS):
        x, last = (right - rest @ x) / diagonal, x
        if max(abs(x - last)) <= tolerance:
            break
    return np.sum(x * x)


def _power_iteration(p: Any, tolerance: float) -> Any:
    matrix = np.array([[3.0, 0.4, 0.1], [0.4, 1.5, 0.3], [0.1, 0.3, 0.8]])
    shift = np.array([[0.3, 0.1, 0.0], [0.1, 0.0, 0.2], [0.0, 0.2, 0.1]])
    matrix = matrix + shift * p[0] + np.eye(3) * (0.1 * p[1])
    x, value = np.ones(3) + 0 * p[0], 0.0
    for _ in range(MOST_ITERATIONS):
        x, last = matrix @ x, value
        value = np.sqrt(np.sum(x * x))
        if abs(value - last) <= tolerance:
            break
        x = x / value
    return value


def _series(p: Any, tolerance: float) -> Any:
    term, total, k = 1.0 + 0 * p[0], 0.0 * p[0], 0
    while abs(term) > tolerance and k < MOST_ITERATIONS:
        total, k = total + term, k + 1
        term = term * p[0] / (k + 0.3 * p[1])
    return total


def _descent(p: Any, tolerance: float) -> Any:
    x, y = 0.0 * p[0], 0.0 * p[0]
    for _ in range(MOST_ITERATIONS):
        down_x = 2 * (x - p[0]) + 0.3 * y + x**3
        down_y = 3 * (y - p[1]) + 0.3 * x
        if np.sqrt(down_x * down_x + down_y * down_y) <= tolerance:
            break
        x, y = x - 0.15 * down_x, y - 0.15 * down_y
    return x * x + x * y


def _bisection(p: Any, tolerance: float) -> Any:
    low, high = -4.0, 4.0
    while high - low > tolerance:
        middle = 0.5 * (low + high)
        if middle * middle * middle + p[1] * p[1] * middle - p[0] < 0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def _bisection_ideal(p: Any) -> Any:
    x = 0.5 + 0 * p[0]
    for _ in range(60):
        x = x - (x * x * x + p[1] * p[1] * x - p[0]) / (3 * x * x + p[1] * p[1])
    return x


def iterations(part: str, count: int = 42) -> list[Line]:
    """Iterations that stop at 1e-8."""
    rng = generator(part, "iterations stopped at 1e-8")
    cases: list[tuple[str, Callable[[Any, float], Any]]] = [
        ("fixed point", _fixed_point),
        ("Kepler's equation", _kepler),
        ("Jacobi sweeps", _jacobi),
        ("power iteration", _power_iteration),
        ("series", _series),
        ("gradient descent", _descent),
        ("bisection", _bisection),
    ]
    lines = []
    for index in range(count):
        name, program = cases[index % len(cases)]
        point, direction = rng.uniform(0.6, 1.4, size=2), rng.standard_normal(2) / 2
        cost: Cost = lambda p, f=program: float(f(p, 1e-8))  # noqa: E731

        def truths(f: Callable[[Any, float], Any] = program, p: Any = point, v: Any = direction) -> Sequence[float]:
            if f is _bisection:  # its values lie on a grid of 1e-8, so the program's own derivative is zero or nothing
                return [exact_derivative(_bisection_ideal, p, v)]
            ideal = 1e-30 if f is not _descent else 1e-24
            return [exact_derivative(lambda p: f(p, 1e-8), p, v), exact_derivative(lambda p: f(p, ideal), p, v)]

        lines.append(Line("iterations stopped at 1e-8", f"{name} {index}", lambda c=cost: c, point, direction, truths))
    return lines
