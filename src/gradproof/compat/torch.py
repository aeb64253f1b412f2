"""`gradcheck` and `gradgradcheck` as `torch.autograd` has them, asked of gradproof."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.gradcheck import GradcheckError

from gradproof._verbs.modes import Mode
from gradproof._words.errors import UsageError
from gradproof._words.results import Report, Verdict
from gradproof.compat._outcome import SEED, warn_of
from gradproof.torch import check


class WrongDerivative(GradcheckError):
    """What `gradcheck` raises for a derivative that is not proved right; ``.report`` is gradproof's."""

    def __init__(self, report: Report) -> None:
        self.report = report
        super().__init__(str(report))


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Ask gradproof what `torch.autograd.gradcheck` is asked.

    Parameters
    ----------
    func, inputs
        The function, and its arguments: a tensor or a tuple; those that require a gradient are checked.
    eps, atol, rtol, nondet_tol, fast_mode, check_undefined_grad
        Taken, and not needed: steps are found by measurement, the tolerance is relative to the derivative, two calls of the
        backward pass are compared at any rate, every size is as fast, and outputs are asked for alone.
    raise_exception
        False: return False for what is not proved right.
    check_forward_ad, check_backward_ad
        Which modes are checked.
    check_grad_dtypes, check_batched_grad, check_batched_forward_grad, masked
        Not checked; a `GradproofWarning` says so where they are asked for.

    Returns
    -------
    bool
        True: every derivative is certified.

    Raises
    ------
    WrongDerivative
        A `torch.autograd.gradcheck.GradcheckError` that prints, and carries, the report: WRONG, or INCONCLUSIVE.
    UsageError
        A ValueError for what cannot be checked as it stands.

    Examples
    --------
    >>> x = torch.tensor([0.1, 0.7], dtype=torch.float64, requires_grad=True)
    >>> gradcheck(torch.sin, (x,))
    True
    """
    del eps, atol, rtol, nondet_tol, fast_mode, check_undefined_grad
    unknown = {
        "check_grad_dtypes": check_grad_dtypes,
        "check_batched_grad": check_batched_grad,
        "check_batched_forward_grad": check_batched_forward_grad,
        "masked": masked,
    }
    warn_of(unknown, "torch.gradcheck")
    report = ask_gradcheck(func, inputs, check_forward_ad=check_forward_ad, check_backward_ad=check_backward_ad)
    return _outcome(report, raise_exception=raise_exception)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Ask gradproof what `torch.autograd.gradgradcheck` is asked of the derivative of the backward pass.

    Parameters
    ----------
    func, inputs
        As for `gradcheck`.
    grad_outputs
        The cotangents at which the backward pass is differentiated: a tensor or a tuple; None to draw them.
    eps, atol, rtol, nondet_tol, fast_mode, check_undefined_grad, gen_non_contig_grad_outputs
        Taken, and not needed, as for `gradcheck`; cotangents are handed out in several memory layouts at any rate.
    raise_exception
        False: return False for what is not proved right.
    check_fwd_over_rev, check_rev_over_rev
        Which modes differentiate the backward pass.
    check_grad_dtypes, check_batched_grad, masked
        Not checked; a `GradproofWarning` says so where they are asked for.

    Returns
    -------
    bool
        True: it is certified.

    Raises
    ------
    WrongDerivative
        As for `gradcheck`.
    UsageError
        A ValueError for what cannot be checked as it stands.
    """
    del eps, atol, rtol, nondet_tol, fast_mode, check_undefined_grad, gen_non_contig_grad_outputs
    unknown = {"check_grad_dtypes": check_grad_dtypes, "check_batched_grad": check_batched_grad, "masked": masked}
    warn_of(unknown, "torch.gradgradcheck")
    report = ask_gradgradcheck(
        func, inputs, grad_outputs, check_fwd_over_rev=check_fwd_over_rev, check_rev_over_rev=check_rev_over_rev
    )
    return _outcome(report, raise_exception=raise_exception)


def ask_gradcheck(
    func: Any, inputs: Any, *, check_forward_ad: bool = False, check_backward_ad: bool = True, **others: Any
) -> Report:
    """Return gradproof's report on what gradcheck is asked; its other options do not matter."""
    del others
    return check(func, _tuple(inputs), modes=_modes(rev=check_backward_ad, fwd=check_forward_ad), seed=SEED)


def ask_gradgradcheck(
    func: Any,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    **others: Any,
) -> Report:
    """Return gradproof's report on what gradgradcheck is asked; its other options do not matter."""
    del others
    given = _tuple(inputs)
    if grad_outputs is None:
        generator = torch.Generator().manual_seed(SEED)
        outputs = _differentiable(func(*given))
        cotangents = [torch.randn(o.shape, dtype=o.dtype, generator=generator).to(o.device) for o in outputs]
        grad_outputs = tuple(cotangent.requires_grad_() for cotangent in cotangents)
    cotangents = list(_tuple(grad_outputs))
    count = len(given)

    def backward(*arguments: Any) -> Any:
        with torch.enable_grad():
            own = [_followed(new, old) for new, old in zip(arguments[:count], given, strict=True)]
            wanted = [x for x in own if isinstance(x, torch.Tensor) and x.requires_grad]
            outputs = _differentiable(func(*own))
            found = torch.autograd.grad(
                outputs, wanted, arguments[count:], create_graph=True, allow_unused=True, materialize_grads=False
            )
        return tuple(gradient for gradient in found if gradient is not None)

    return check(
        backward, (*given, *cotangents), modes=_modes(rev=check_rev_over_rev, fwd=check_fwd_over_rev), seed=SEED
    )


def _outcome(report: Report, *, raise_exception: bool) -> bool:
    if report.verdict is Verdict.CORRECT:
        return True
    if raise_exception:
        raise WrongDerivative(report)
    return False


def _modes(*, rev: bool, fwd: bool) -> tuple[Mode, ...]:
    modes: list[Mode] = [*(["rev"] if rev else []), *(["fwd"] if fwd else [])]  # type: ignore[list-item]
    if not modes:
        raise UsageError("neither mode is to be checked", remedy="Ask for the backward pass, for forward mode, or both")
    return tuple(modes)


def _tuple(given: Any) -> tuple[Any, ...]:
    return tuple(given) if isinstance(given, (tuple, list)) else (given,)


def _differentiable(outputs: Any) -> list[torch.Tensor]:
    return [o for o in _tuple(outputs) if isinstance(o, torch.Tensor) and o.requires_grad]


def _followed(new: Any, old: Any) -> Any:
    """Return an argument that requires a gradient where the peer's did: displaced values come without."""
    wanted = isinstance(old, torch.Tensor) and old.requires_grad and not new.requires_grad
    return new.detach().requires_grad_() if wanted else new
