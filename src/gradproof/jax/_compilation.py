"""Whether it pays to compile a function, estimated from its operations."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

EVALUATIONS: Final = 48
"""Calls that a check makes, about: in either mode two lines, and what finds their step."""
COMPILATION: Final = 0.04, 0.0015
"""Seconds to compile a function, and for each of its operations; these and the next ones as measured on one core."""
DISPATCH: Final = 15e-6
"""Seconds that an operation takes beside its arithmetic where it is not compiled."""
TRACING: Final = 200e-6
"""The same for one that is differentiated in each call."""
LOOP: Final = 0.03
"""Seconds that a loop (scan, while_loop) takes at each call: JAX compiles it anew."""
ENTRY: Final = 2e-9
"""Seconds for an entry of an operation's result that goes through memory, where compiled ones stay in registers."""


def pays(program: Any, overhead: float) -> bool:
    """Say whether a program's operations cost more in the calls of a check than their compilation does."""
    operations, entries, loops = _work(program)
    saved = EVALUATIONS * (overhead * operations + ENTRY * entries + LOOP * loops)
    return saved > COMPILATION[0] + COMPILATION[1] * operations


def _work(program: Any) -> tuple[int, int, int]:
    """Return a program's operations, the entries of their results, and its loops."""
    operations = entries = loops = 0
    for equation in program.eqns:
        inner = [getattr(parameter, "jaxpr", parameter) for parameter in equation.params.values()]
        parts = [_work(part) for part in inner if hasattr(part, "eqns")]
        operations += 1 + sum(part[0] for part in parts)
        entries += sum(part[1] for part in parts) if parts else sum(_size(v) for v in equation.outvars)
        loops += equation.primitive.name in {"scan", "while"} or any(part[2] for part in parts)
    return operations, entries, loops


def _size(variable: Any) -> int:
    return int(np.prod(getattr(variable.aval, "shape", ()), dtype=np.int64))
