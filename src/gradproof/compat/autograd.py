"""`check_grads` as `autograd.test_util` has it, asked of gradproof."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from autograd.core import make_jvp, make_vjp

from gradproof._verbs.maps import check_jvp, check_vjp
from gradproof._verbs.modes import LABELS, worst_of
from gradproof._words.errors import UsageError
from gradproof._words.results import Report
from gradproof.adapters._containers import flatten
from gradproof.compat._outcome import SEED, raised_for


def check_grads(
    f: Callable[..., Any], argnum: int | Sequence[int] = 0, modes: Sequence[str] = ("fwd", "rev"), order: int = 2
) -> Callable[..., None]:
    """Ask gradproof what `autograd.test_util.check_grads` is asked.

    Parameters
    ----------
    f
        The function.
    argnum
        Which of its arguments to differentiate by: a number, or several.
    modes
        "fwd", "rev", or both.
    order
        How often it is differentiated: derivatives of derivatives are checked in all modes, as autograd does.

    Returns
    -------
    Callable
        Call it with f's arguments, as autograd's.

    Raises
    ------
    WrongGradient, InconclusiveGradient
        By the callable: AssertionErrors that print, and carry, the report.
    UsageError
        For what cannot be checked as it stands.

    Examples
    --------
    >>> import autograd.numpy as anp
    >>> check_grads(anp.sin)(np.array([0.1, 0.7]))
    """

    def checked(*args: Any, **kwargs: Any) -> None:
        raised_for(ask_check_grads(f, argnum, modes, order)(*args, **kwargs))

    return checked


def ask_check_grads(f: Any, argnum: Any = 0, modes: Any = ("fwd", "rev"), order: int = 2) -> Callable[..., Report]:
    """Return what returns gradproof's report on what check_grads is asked."""
    if not modes or not set(modes) <= set(LABELS) or order < 1:
        raise UsageError(f"modes is {modes!r}, order is {order!r}", remedy='Give "fwd", "rev" or both, and 1, 2 …')

    def asked(*args: Any, **kwargs: Any) -> Report:
        one = isinstance(argnum, (int, np.integer))
        chosen = [argnum] if one else list(argnum)

        def unary(x: Any) -> Any:
            given = list(args)
            for k, value in zip(chosen, [x] if one else x, strict=True):
                given[k] = value
            return f(*given, **kwargs)

        point = args[chosen[0]] if one else tuple(args[k] for k in chosen)
        return worst_of(list(_parts(unary, point, tuple(modes), order, "")))

    return asked


def _parts(f: Any, point: Any, modes: tuple[str, ...], order: int, of: str) -> Iterator[tuple[str, Report]]:
    """Yield a report for each mode and order, as autograd nests them."""
    generator = np.random.default_rng([SEED, 0x6175746F])
    if "fwd" in modes:
        yield (
            f"forward mode{of}",
            check_jvp(f, lambda x, v: make_jvp(f, x)(v)[1], point, strategy="certificate", seed=SEED),
        )
        if order > 1:
            pushed = lambda xv: make_jvp(f, xv[0])(xv[1])[1]  # noqa: E731
            yield from _parts(pushed, (point, _drawn(point, generator)), modes, order - 1, f" of forward mode{of}")
    if "rev" in modes:
        yield (
            f"reverse mode{of}",
            check_vjp(f, lambda x, u: make_vjp(f, x)[0](u), point, strategy="certificate", seed=SEED, convention="jax"),
        )
        if order > 1:
            pulled = lambda xu: make_vjp(f, xu[0])[0](xu[1])  # noqa: E731
            yield from _parts(pulled, (point, _drawn(f(point), generator)), modes, order - 1, f" of reverse mode{of}")


def _drawn(like: Any, generator: np.random.Generator) -> Any:
    """Return normal numbers in the structure of a value."""
    _, leaves, spec = flatten(like)
    drawn = []
    for leaf in leaves:
        shape, complex_ = np.shape(leaf), np.asarray(leaf).dtype.kind == "c"
        values = generator.standard_normal(shape) + (1j * generator.standard_normal(shape) if complex_ else 0.0)
        drawn.append(values if isinstance(leaf, np.ndarray) else values[()])
    return spec.unflatten(drawn)
