"""`check_grads` as `jax.test_util` has it, asked of gradproof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gradproof._words.errors import UsageError
from gradproof._words.results import Report
from gradproof.compat._outcome import SEED, raised_for
from gradproof.jax import check


def check_grads(
    f: Callable[..., Any],
    args: Any,
    order: int,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Ask gradproof what `jax.test_util.check_grads` is asked.

    Parameters
    ----------
    f, args
        The function, and the tuple of its arguments.
    order
        1, or 2 for the derivative of the derivative, too.
    modes
        "fwd", "rev", or both.
    atol, rtol, eps
        Taken, and not needed: steps are found by measurement, and the tolerance is relative to the derivative.

    Raises
    ------
    WrongGradient, InconclusiveGradient
        AssertionErrors that print, and carry, the report.
    UsageError
        For what cannot be checked as it stands: a third order, or "lin" among the modes.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> check_grads(jnp.sin, (jnp.array([0.1, 0.7]),), order=1)
    """
    raised_for(ask_check_grads(f, args, order, modes, atol, rtol, eps))


def ask_check_grads(
    f: Any,
    args: Any,
    order: int,
    modes: Any = ("fwd", "rev"),
    atol: Any = None,
    rtol: Any = None,
    eps: Any = None,
) -> Report:
    """Return gradproof's report on what check_grads is asked."""
    del atol, rtol, eps
    if order not in {1, 2}:
        raise UsageError(f"order is {order!r}", remedy="Give 1, or 2 for the derivative of the derivative, too")
    chosen = (modes,) if isinstance(modes, str) else tuple(modes)
    return check(f, tuple(args), chosen, order, seed=SEED)  # type: ignore[arg-type]  # both are validated there
