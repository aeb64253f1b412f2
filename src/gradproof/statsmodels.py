"""`check_model`: the score, the Hessian and the scores of single observations of a likelihood model of statsmodels."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any, Final

import numpy as np

from gradproof._verbs.assertions import Inconclusive, asserted
from gradproof._verbs.gradient import check_gradient
from gradproof._verbs.maps import check_hessian, check_jacobian
from gradproof._verbs.modes import worst_of
from gradproof._words.errors import UsageError
from gradproof._words.results import Report
from gradproof._words.vectors import FloatArray

DIFFERENCES: Final = "statsmodels.tools.numdiff"
"""Where statsmodels has its finite differences."""
OF_DIFFERENCES: Final = 1e-3
"""Tolerance for what is a finite difference in statsmodels itself: second differences are known to u^¼ = 1e-4."""
INFLATION: Final = "inflate_"
"""How statsmodels begins the names of an inflation model's parameters."""


def check_model(model: Any, params: Any, **options: Any) -> Report:
    """Check what a likelihood model of statsmodels says of its derivatives, each against what it is the derivative of.

    ``score`` against ``loglike``, ``score_obs`` against ``loglikeobs``, ``hessian`` against ``score``, as far as the model
    has them. The parameters are in blocks: those of the regressors ("exog"), of the inflation
    ("inflate"), and each further one by its name ("alpha"); so are the Hessian's rows and columns.

    Parameters
    ----------
    model
        A model with ``loglike``: discrete, count, GLM, ordinal, one of your own; fitted or not.
    params
        Where to check: one number a parameter. Anywhere but at the maximum, where the score is zero.
    **options
        As for `check_gradient`: tolerance, confidence, strategy, budget, seed, diagnose. A budget is for each check.

    Returns
    -------
    Report
        The first worst one, with what the others found in its notes; what statsmodels itself computes by finite
        differences is said there, and held to a tolerance of 1e-3 where none is given.

    Raises
    ------
    UsageError
        For what cannot be checked as it stands.

    Examples
    --------
    >>> import numpy as np, statsmodels.api as sm
    >>> x = np.linspace(-1, 1, 50)
    >>> model = sm.Logit((x + np.sin(20 * x) > 0).astype(float), sm.add_constant(x))
    >>> check_model(model, [0.2, 0.5], seed=0).verdict.name
    'CORRECT'
    """
    if not callable(getattr(model, "loglike", None)):
        raise UsageError(
            f"model is a {type(model).__name__}, which has no loglike",
            meaning="There is nothing to compare a score with",
            remedy="Give a model, not its results: results.model, and results.params",
        )
    point = np.array(params, dtype=np.float64)
    if point.ndim != 1:
        raise UsageError(f"params has shape {point.shape}", remedy="Give a vector, as the model's loglike takes it")
    unknown = sorted(set(options) - {"tolerance", "confidence", "strategy", "budget", "seed", "diagnose"})
    if unknown:
        raise UsageError(f"check_model has no option {unknown[0]}", remedy="See check_gradient for the options")
    seed = options.pop("seed", None)
    options["seed"] = secrets.randbits(32) if seed is None else seed
    names = _parameter_names(model, point.size)
    parts = list(_parts(model, point, _Split(names, _columns(model)), options))
    if not parts:
        raise UsageError(
            f"{type(model).__name__} has no score, no Hessian",
            meaning="Nothing is claimed of its derivatives",
            remedy="Check a model that has them",
        )
    report = worst_of([(label, each) for label, each, _ in parts], "statsmodels.check_model")
    shown = ", ".join(names)
    said = [note for _, _, note in parts if note] + ([f"The parameters are {shown}."] if names else [])
    return replace(report, notes=tuple(dict.fromkeys([*said, *report.notes])))


def assert_model(model: Any, params: Any, *, inconclusive: Inconclusive = "raise", **options: Any) -> Report:
    """Assert what `check_model` checks, with an exception where it is not so.

    Parameters
    ----------
    model, params
        As for `check_model`.
    inconclusive
        What to do where it could be proved neither right nor wrong: "raise", "warn" or "skip" (return).
    **options
        As for `check_model`.

    Returns
    -------
    Report
        Of what is correct (or undecided).

    Raises
    ------
    WrongGradient, InconclusiveGradient
        AssertionErrors that print, and carry, the report.
    """
    return asserted(inconclusive, check_model, model, params, **options)


class _Split:
    """Parameters in blocks: the regressors', the inflation's, and each further one.

    Parameters
    ----------
    names
        Of the parameters; none where they are not known: then there is one block.
    columns
        Number of regressors.
    """

    def __init__(self, names: list[str], columns: int) -> None:
        kinds = ["inflate" if name.startswith(INFLATION) else "" for name in names]
        regressors = [k for k, kind in enumerate(kinds) if not kind][:columns]
        blocks = [kind or ("exog" if k in regressors else names[k]) for k, kind in enumerate(kinds)]
        self.blocks: dict[str, list[int]] = {}
        for k, block in enumerate(blocks):
            self.blocks.setdefault(block, []).append(k)

    def vector(self, values: FloatArray) -> Any:
        """Return a vector by blocks; itself where there is but one."""
        return {name: values[own] for name, own in self.blocks.items()} if len(self.blocks) > 1 else values

    def matrix(self, values: FloatArray) -> Any:
        """Return a square matrix by blocks."""
        if len(self.blocks) <= 1:
            return values
        return {
            row: {column: values[np.ix_(mine, own)] for column, own in self.blocks.items()}
            for row, mine in self.blocks.items()
        }

    def joined(self, point: Any) -> FloatArray:
        """Return what `vector` took apart."""
        if not isinstance(point, dict):
            return np.asarray(point)
        result = np.zeros(sum(map(len, self.blocks.values())))
        for name, own in self.blocks.items():
            result[own] = point[name]
        return result


def _parameter_names(model: Any, count: int) -> list[str]:
    """Return the names of a model's parameters; none where it does not tell as many."""
    for names in (getattr(getattr(model, "data", None), "param_names", None), getattr(model, "exog_names", None)):
        if isinstance(names, (list, tuple)) and len(names) == count and len(set(names)) == count:
            return [str(name) for name in names]
    return []


def _columns(model: Any) -> int:
    exog = getattr(model, "exog", None)
    return exog.shape[1] if exog is not None and np.ndim(exog) == 2 else 0


def _parts(model: Any, point: FloatArray, split: _Split, options: dict[str, Any]) -> Iterator[tuple[str, Report, str]]:
    """Yield what each check is about, its report, and what is to be said of the claim."""
    start = split.vector(point)
    for name in ("score", "score_obs", "hessian"):
        value, differenced = _claimed(model, name, point)
        against = {"score": "loglike", "score_obs": "loglikeobs"}.get(name, "score")
        if value is None or _claimed(model, against, point)[0] is None:
            continue
        given = dict(options)
        note = ""
        if differenced:
            note = f"{name} is a finite difference in statsmodels itself."
            if given.get("tolerance") is None:
                given["tolerance"] = OF_DIFFERENCES
        label = f"{name} against {against}"
        if name == "score":
            report = check_gradient(partial(_loglike, model, split), start, split.vector(value), **given)
        elif name == "score_obs":
            report = check_jacobian(partial(_loglikeobs, model), value, point, **given)
        else:
            report = check_hessian(partial(_score, model, split), split.matrix(value), start, **given)
        yield label, report, note


def _loglike(model: Any, split: _Split, point: Any) -> float:
    return float(model.loglike(split.joined(point)))


def _loglikeobs(model: Any, point: Any) -> FloatArray:
    """Return one number an observation: a multinomial model has one for each of its alternatives."""
    value = np.asarray(model.loglikeobs(point), dtype=np.float64)
    summed: FloatArray = value.reshape(len(value), -1).sum(axis=1)
    return summed


def _score(model: Any, split: _Split, point: Any) -> Any:
    return split.vector(np.asarray(model.score(split.joined(point)), dtype=np.float64))


def _claimed(model: Any, name: str, point: FloatArray) -> tuple[FloatArray | None, bool]:
    """Return what a method says at the point, None where there is none; and whether finite differences made it."""
    method = getattr(model, name, None)
    if not callable(method):
        return None, False
    seen = [False]

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        del event, argument
        seen[0] = seen[0] or frame.f_globals.get("__name__") == DIFFERENCES

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        value = method(point.copy())
    except (NotImplementedError, AttributeError):
        return None, False
    finally:
        sys.setprofile(before)
    return np.array(value, dtype=np.float64), seen[0]
