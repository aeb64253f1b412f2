"""gradproof beside the checkers that a suite calls, for as long as a run of pytest lasts: `pytest --gradproof-shadow`.

The checkers' functions are replaced in their own modules as these are loaded, so that whoever imports them afterwards gets
the shadowed ones; at the end everything is put back. What a call returns or raises stays the peer's.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import random as standard_library
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from gradproof._words.errors import GradproofError
from gradproof._words.results import Report, Verdict


@dataclass(frozen=True, slots=True)
class Peer:
    """One function of another checker.

    Parameters
    ----------
    module, name
        Where it is defined.
    shown
        How people call it.
    ask
        Module and function of ours that return a report on the same arguments.
    rejects
        Name of what it raises for a wrong derivative; "" for one that returns a number.
    curried
        It returns a function of the arguments.
    """

    module: str
    name: str
    shown: str
    ask: tuple[str, str]
    rejects: str = "AssertionError"
    curried: bool = False


PEERS: Final = (
    Peer(
        "torch.autograd.gradcheck",
        "gradcheck",
        "torch.autograd.gradcheck",
        ("gradproof.compat.torch", "ask_gradcheck"),
        "GradcheckError",
    ),
    Peer(
        "torch.autograd.gradcheck",
        "gradgradcheck",
        "torch.autograd.gradgradcheck",
        ("gradproof.compat.torch", "ask_gradgradcheck"),
        "GradcheckError",
    ),
    Peer(
        "jax._src.public_test_util",
        "check_grads",
        "jax.test_util.check_grads",
        ("gradproof.compat.jax", "ask_check_grads"),
    ),
    Peer(
        "autograd.test_util",
        "check_grads",
        "autograd.test_util.check_grads",
        ("gradproof.compat.autograd", "ask_check_grads"),
        curried=True,
    ),
    Peer(
        "scipy.optimize._optimize",
        "check_grad",
        "scipy.optimize.check_grad",
        ("gradproof.compat.scipy", "ask_check_grad"),
        "",
    ),
)
"""Whatever calls these is shadowed with them: `chex.assert_numerical_grads`, `torch.testing`'s wrappers, `combo_check`."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a peer, and what gradproof says to the same question.

    Parameters
    ----------
    test, line
        Which test called, and from where.
    checker
        The peer.
    peer
        "accepts", "rejects", "raises ValueError", or the number that it returned.
    gradproof
        The verdict's name; "cannot take" where the question cannot be asked of gradproof.
    why
        The cause, the reason, or the error in one sentence.
    evaluations
        Of gradproof.
    peer_seconds, seconds
        What each of them took.
    """

    test: str
    line: str
    checker: str
    peer: str
    gradproof: str
    why: str
    evaluations: int
    peer_seconds: float
    seconds: float

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


class Shadow:
    """Replaces the peers, and notes every call.

    Parameters
    ----------
    test
        Returns the name of the test that is running.
    """

    def __init__(self, test: Callable[[], str]) -> None:
        self.test = test
        self.calls: list[Call] = []
        self._replaced: list[tuple[ModuleType, str, Any]] = []
        self._inside = False
        self._finder = _Finder({peer.module for peer in PEERS}, self._replace_in)

    def install(self) -> None:
        """Replace what is loaded, and what will be."""
        for peer in PEERS:
            module = sys.modules.get(peer.module)
            if module is None:
                continue
            original = getattr(module, peer.name)
            shadowed = self._shadowed(peer, original)
            for other in list(sys.modules.values()):
                if isinstance(other, ModuleType) and other.__dict__.get(peer.name) is original:
                    self._set(other, peer.name, shadowed)
        sys.meta_path.insert(0, self._finder)

    def remove(self) -> None:
        """Put everything back."""
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        for module, name, original in reversed(self._replaced):
            setattr(module, name, original)
        self._replaced.clear()

    def _replace_in(self, module: ModuleType) -> None:
        for peer in PEERS:
            if peer.module == module.__name__:
                self._set(module, peer.name, self._shadowed(peer, getattr(module, peer.name)))

    def _set(self, module: ModuleType, name: str, value: Any) -> None:
        self._replaced.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    def _shadowed(self, peer: Peer, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if not peer.curried:
                return self._both(peer, original, (args, kwargs))
            inner = original(*args, **kwargs)

            @functools.wraps(inner)
            def curried(*given: Any, **named: Any) -> Any:
                __tracebackhide__ = True
                return self._both(peer, inner, (args, kwargs), (given, named))

            return curried

        return call

    def _both(self, peer: Peer, original: Callable[..., Any], *given: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
        """Call the peer; ask gradproof; return or raise what the peer did. Peers that call peers are asked about once."""
        __tracebackhide__ = True
        args, kwargs = given[-1]
        if self._inside:
            return original(*args, **kwargs)
        self._inside = True
        raised: Exception | None = None
        result: Any = None
        try:
            started = time.perf_counter()
            try:
                result = original(*args, **kwargs)
            except Exception as error:
                raised = error
            peer_seconds = time.perf_counter() - started
            answer = _asked(peer, given)
            self.calls.append(
                Call(
                    self.test(),
                    _caller(),
                    peer.shown,
                    _outcome(peer, result, raised),
                    *answer,
                    peer_seconds,
                    time.perf_counter() - started - peer_seconds,
                )
            )
        finally:
            self._inside = False
        if raised is not None:
            raise raised
        return result


def _asked(peer: Peer, given: Sequence[tuple[tuple[Any, ...], dict[str, Any]]]) -> tuple[str, str, int]:
    """Return verdict, reason and evaluations of gradproof; the suite's random numbers and warnings are left alone."""
    try:
        with _untouched():
            module, name = peer.ask
            answer = getattr(importlib.import_module(module), name)
            for args, kwargs in given:
                answer = answer(*args, **kwargs)
            report: Report = answer
    except GradproofError as error:
        return "cannot take", str(error), 0
    except Exception as error:
        return "cannot take", f"{type(error).__name__}: {error}", 0
    return report.verdict.name, _why(report), report.evaluations


@contextmanager
def _untouched() -> Iterator[None]:
    """Keep the global generators as the suite has them, and its filters of warnings out of our calls."""
    from numpy import random as legacy

    state, legacy_state = standard_library.getstate(), legacy.get_state()  # noqa: NPY002  # the suite's, not ours
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        standard_library.setstate(state)
        legacy.set_state(legacy_state)  # noqa: NPY002


def _why(report: Report) -> str:
    if report.verdict is Verdict.CORRECT:
        return ""
    if report.diagnoses:
        return report.diagnoses[0].sentence
    if report.reason is not None:
        return report.reason.value
    return f"{', '.join(report.faulty[:3])} wrong by {report.difference.estimate:.1e}"


def _outcome(peer: Peer, result: Any, raised: Exception | None) -> str:
    if raised is not None:
        rejects = peer.rejects in {kind.__name__ for kind in type(raised).__mro__}
        return "rejects" if rejects else f"raises {type(raised).__name__}"
    if peer.rejects:
        return "rejects" if result is False else "accepts"
    return f"{float(result):.1e}"


def _caller() -> str:
    """Return the line of the suite that called: the last one that is neither ours nor in an installed package."""
    for frame in reversed(traceback.extract_stack()):
        if __file__ != frame.filename and "site-packages" not in frame.filename:
            return f"{frame.filename.replace(chr(92), '/').rpartition('/')[2]}:{frame.lineno}"
    return ""


class _Finder(importlib.abc.MetaPathFinder):
    """Has a function called with each of some modules as soon as it is loaded."""

    def __init__(self, names: set[str], loaded: Callable[[ModuleType], None]) -> None:
        self.names, self.loaded = names, loaded
        self._looking = False

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Return the spec that the others find, with a loader that tells."""
        del path, target
        if fullname not in self.names or self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking = False
        if spec is None or spec.loader is None or spec.origin is None:
            return None
        return importlib.util.spec_from_file_location(fullname, spec.origin, loader=_Telling(spec.loader, self.loaded))


class _Telling(importlib.abc.Loader):
    """A loader that tells when it has loaded."""

    def __init__(self, loader: Any, loaded: Callable[[ModuleType], None]) -> None:
        self.loader, self.loaded = loader, loaded

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return what the loader makes."""
        module: ModuleType | None = self.loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Load, and tell."""
        self.loader.exec_module(module)
        self.loaded(module)


# -- the summary -------------------------------------------------------------------------------------------------------

SHOWN: Final = 20
"""Calls of a kind that the terminal lists; the JSON has all of them."""


def summary(calls: Sequence[dict[str, Any]]) -> list[str]:
    """Return what a run's calls come to, in lines for a terminal."""
    if not calls:
        return ["gradproof shadow: no call of another checker"]
    kinds: dict[str, list[dict[str, Any]]] = {}
    for call in calls:
        kinds.setdefault(kind_of(call), []).append(call)
    counts = ", ".join(
        f"{len(found)} {kind}" for kind, found in sorted(kinds.items(), key=lambda item: ORDER.index(item[0]))
    )
    peers, own = (sum(call[name] for call in calls) for name in ("peer_seconds", "seconds"))
    lines = [
        f"gradproof shadow: {len(calls)} calls of other checkers: {counts}",
        f"gradproof shadow: {peers:.1f} s of theirs, {own:.1f} s of gradproof",
    ]
    for kind in LISTED:
        found = kinds.get(kind, [])
        lines += [f"{kind}:"] if found else []
        for call in found[:SHOWN]:
            said = "" if kind != NUMBER else f", which returns {call['peer']}"
            lines.append(f"  {call['test']} ({call['checker']} at {call['line']}{said})")
            lines += [f"    {call['gradproof']}: {call['why']}"] if call["why"] else []
        lines += [f"  … and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return lines


BOTH: Final = "accepted by both"
NEITHER: Final = "rejected by both"
REJECTED: Final = "accepted, and WRONG for gradproof"
CERTIFIED: Final = "rejected, and CORRECT for gradproof"
NUMBER: Final = "given a number, and WRONG for gradproof"
RIGHT: Final = "given a number, and CORRECT for gradproof"
OPEN: Final = "undecided for gradproof"
NOT_TAKEN: Final = "that gradproof cannot take"
REFUSED: Final = "that neither can take"
ORDER: Final = [BOTH, RIGHT, NEITHER, REJECTED, NUMBER, CERTIFIED, OPEN, NOT_TAKEN, REFUSED]
LISTED: Final = [REJECTED, NUMBER, CERTIFIED, OPEN, NOT_TAKEN]


def kind_of(call: dict[str, Any]) -> str:
    """Say how the peer's outcome and gradproof's go together."""
    peer, own = call["peer"], call["gradproof"]
    if own == "cannot take":
        return REFUSED if peer.startswith("raises") else NOT_TAKEN
    if own == Verdict.INCONCLUSIVE.name:
        return OPEN
    correct = own == Verdict.CORRECT.name
    if peer == "accepts":
        return BOTH if correct else REJECTED
    if peer == "rejects" or peer.startswith("raises"):
        return CERTIFIED if correct else NEITHER
    return RIGHT if correct else NUMBER
