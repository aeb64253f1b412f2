"""The pytest plugin: the fixture ``gradproof``, the report of a failure, one file for the run, a line of summary.

It stands outside the package, so that a suite which does not use the fixture does not load gradproof, or NumPy.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from gradproof import Report

POLICIES: Final = ("raise", "warn", "skip")
SCHEMA: Final = 1
"""Of the file that ``--gradproof-report`` names; read by `gradproof compare`."""
INTERNAL: Final = ("gradproof", "_gradproof_pytest")
WORDS: Final = {"CORRECT": "certified", "WRONG": "wrong", "INCONCLUSIVE": "undecided"}
"""The verdicts, from best to worst, in the words of the summary line."""
EXPLANATION: Final = "Explanation:"
SEED_ORIGINS: Final = {
    "id": "The seed comes from the test's id: running this test again repeats this check.",
    "option": "The seed comes from --gradproof-seed.",
}


class _Check:
    """One assertion that a test made; in a Hypothesis test, all its examples together, as the last of the worst."""

    # No dataclass: making two of them takes longer than all the rest of the plugin's start-up.
    def __init__(self, assertion: str, line: str, seed_from: str, report: Report) -> None:
        self.assertion = assertion
        self.line = line
        self.seed_from = seed_from
        self.report = report
        self.calls = 1

    def add(self, report: Report, seed_from: str) -> None:
        """Take another example: the last of the worst is the one that Hypothesis shrinks to and shows."""
        self.calls += 1
        if _rank(report) >= _rank(self.report):
            self.report, self.seed_from = report, seed_from


class _Run:
    """What one process knows of the run; a plugin of its own, so that it sees every test's report."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.item: pytest.Item | None = None
        self.by_test: dict[str, list[dict[str, Any]]] = {}
        self.failure = ""
        self.shadow: Any = None
        self.shadowed: dict[str, list[dict[str, Any]]] | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect what a test found, in this process or in a worker; of one that is run again, the last."""
        text = getattr(report, "gradproof_checks", None)
        if text is not None:
            checks = json.loads(text)
            self.by_test[checks[0]["test"]] = checks
        text = getattr(report, "gradproof_shadow", None)
        if text is not None and self.shadowed is not None:
            self.shadowed[report.nodeid] = json.loads(text)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the run's file, unless there was no run."""
        if self.path is None or exitstatus == pytest.ExitCode.USAGE_ERROR or session.config.option.collectonly:
            return
        checks = [check for test in self.by_test.values() for check in test]
        try:
            shadow = {} if self.shadowed is None else {"shadow": self.shadow_calls}
            _replace(self.path, json.dumps({"schema": SCHEMA, "checks": checks, **shadow}, indent=1) + "\n")
        except OSError as error:
            self.failure = f"gradproof: {str(self.path)!a} could not be written: {error.strerror or error}"
            if exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say in one line how many gradients were certified, and where the reports are."""
        verdicts = [check["report"]["verdict"] for test in self.by_test.values() for check in test]
        if verdicts:
            counts = ", ".join(f"{verdicts.count(verdict)} {word}" for verdict, word in WORDS.items())
            terminalreporter.write_line(f"gradproof: {counts}")
        if self.shadowed is not None:
            from gradproof.compat._shadow import summary

            for line in summary(self.shadow_calls):
                terminalreporter.write_line(line)
        if self.failure:
            terminalreporter.write_line(self.failure, red=True)
        elif self.path is not None:
            terminalreporter.write_line(f"gradproof: reports in {str(self.path)!a}")

    @property
    def shadow_calls(self) -> list[dict[str, Any]]:
        """Calls of other checkers, in all tests."""
        return [call for calls in (self.shadowed or {}).values() for call in calls]

    def begin_shadow(self) -> None:
        """Replace the other checkers before the tests are collected."""
        from gradproof.compat._shadow import Shadow

        self.shadowed = {}
        self.shadow = Shadow(lambda: "" if self.item is None else _test_id(self.item))
        self.shadow.install()

    def pytest_unconfigure(self) -> None:
        """Put the other checkers back."""
        if self.shadow is not None:
            self.shadow.remove()


_RUN: Final = pytest.StashKey[_Run]()
_CHECKS: Final = pytest.StashKey[list[_Check]]()


# --- the fixture ------------------------------------------------------------------------------------------------------


class Assertions:
    """Every ``assert_…`` of gradproof by its name, with the seed of the test that is running."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def __repr__(self) -> str:
        return "<gradient assertions>"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Offer what the package offers, so that no name has to be listed twice."""
        import gradproof

        function = getattr(gradproof, name, None) if name.startswith("assert_") else None
        if function is None:
            raise AttributeError(
                f"the fixture gradproof has no {name}, only {', '.join(dir(self))}; whatever else you need is in the "
                "package: in a test that has the fixture, import it by another name (import gradproof as gp)"
            )

        @functools.wraps(function)
        def check(*arguments: Any, inconclusive: str | None = None, **options: Any) -> Any:
            __tracebackhide__ = True
            return self._check(function, arguments, options, inconclusive, sys._getframe(1))  # noqa: SLF001

        return check

    def __dir__(self) -> list[str]:
        import gradproof

        return sorted(name for name in dir(gradproof) if name.startswith("assert_"))

    def _check(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        options: dict[str, Any],
        inconclusive: str | None,
        caller: FrameType,
    ) -> Any:
        """Assert with the test's seed and the run's budget, note the report, and react to an open question."""
        __tracebackhide__ = True
        from gradproof import InconclusiveGradient, UsageError, WrongGradient

        policy = inconclusive or self._config.getini("gradproof_inconclusive")
        if policy not in POLICIES:
            raise UsageError(f"inconclusive is {policy!r}", remedy=f"Choose one of {', '.join(map(repr, POLICIES))}")
        item = self._config.stash[_RUN].item
        seed_from = self._complete(options, item)
        note = functools.partial(_note, item, function.__name__, caller, seed_from)
        try:
            report = function(*arguments, **options)
        except WrongGradient as error:
            note(error.report)
            raise
        except InconclusiveGradient as error:
            report = error.report
            if policy == "skip" and (hypothesis := _hypothesis()) is not None:
                hypothesis.reject()  # this example only: a skip would end the test at the first one
            note(report)
            if policy == "raise":
                raise
        else:
            note(report)
            return report
        if policy == "skip":
            pytest.skip(_undecided(report))
        _warn(_undecided(report), caller)
        return report

    def _complete(self, options: dict[str, Any], item: pytest.Item | None) -> str:
        """Fill in the seed and the budget that the call does not name; say where the seed is from."""
        budget, seed = self._config.getoption("gradproof_budget"), self._config.getoption("gradproof_seed")
        if budget is not None and options.get("budget") is None:
            options["budget"] = budget
        if options.get("seed") is not None or item is None:
            return "call"
        options["seed"] = _seed(_test_id(item)) if seed is None else seed
        return "id" if seed is None else "option"


# One object serves the whole session, so that Hypothesis accepts it in its tests, and fixtures of any scope can use it.
@pytest.fixture(scope="session", name="gradproof")
def _gradproof(pytestconfig: pytest.Config) -> Assertions:
    """Gradient checks as assertions: gradproof.assert_gradient(cost, point, claimed), and every other assert_.

    They take what the package's functions of that name take. Their seed comes from the test's id, so that a run can be repeated.
    """
    from gradproof import check_gradient

    check_gradient(float, 1.0, 1.0)  # loads all that a check loads late: no test's deadline shall pay for that
    return Assertions(pytestconfig)


def _test_id(item: pytest.Item) -> str:
    """Return the test's id without the groups that pytest-xdist appends for --dist loadgroup."""
    groups = {str((*mark.args, mark.kwargs.get("name", "default"))[0]) for mark in item.iter_markers("xdist_group")}
    return item.nodeid.removesuffix(f"@{'_'.join(sorted(groups))}") if groups else item.nodeid


def _seed(test_id: str) -> int:
    """Return 32 bits that are the same on every machine, which Python's own hash is not."""
    import hashlib

    return int.from_bytes(hashlib.sha256(test_id.encode("utf-8", "surrogatepass")).digest()[:4], "big")


def _note(item: pytest.Item | None, assertion: str, caller: FrameType, seed_from: str, report: Report) -> None:
    if item is None:
        return
    checks = item.stash.setdefault(_CHECKS, [])
    path, root = Path(caller.f_code.co_filename), item.config.rootpath
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    line = f"{name}:{caller.f_lineno}"
    if _hypothesis() is not None:
        for check in checks:
            if (check.assertion, check.line) == (assertion, line):
                check.add(report, seed_from)
                return
    checks.append(_Check(assertion, line, seed_from, report))


def _hypothesis() -> Any:
    """Return the module where an example of a Hypothesis test is running, else None."""
    module = sys.modules.get("hypothesis")
    inside = getattr(module, "currently_in_test_context", None)
    return module if inside is not None and inside() else None


def _warn(message: str, caller: FrameType) -> None:
    """Warn at the user's line, wherever the call came from."""
    from gradproof import GradproofWarning

    warnings.warn_explicit(
        message,
        GradproofWarning,
        caller.f_code.co_filename,
        caller.f_lineno,
        module=caller.f_globals.get("__name__"),
        registry=caller.f_globals.setdefault("__warningregistry__", {}),
    )


def _undecided(report: Report) -> str:
    """Say in one sentence that, and why, a check was not settled."""
    why = f": {report.reason.value}" if report.reason else ""
    return f"gradproof: {report.verdict.value}{why} (seed {report.seed})"


def _rank(report: Report) -> int:
    return list(WORDS).index(report.verdict.name)


# --- options ----------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    group = parser.getgroup("gradproof", "gradient checks (gradproof)")
    group.addoption(
        "--gradproof-report", metavar="PATH", help="write the reports of the run's gradient checks there as JSON"
    )
    group.addoption(
        "--gradproof-budget", metavar="N", type=int, help="the most cost calls of each check that names no budget"
    )
    group.addoption(
        "--gradproof-seed", metavar="N", type=int, help="of each check that names no seed; by the test's id otherwise"
    )
    group.addoption(
        "--gradproof-shadow",
        action="store_true",
        help="ask gradproof, too, what torch's gradcheck, JAX's and autograd's check_grads and SciPy's check_grad are asked",
    )
    parser.addini(
        "gradproof_inconclusive",
        "what a check does that could not be settled: raise (default), warn or skip",
        default="raise",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Look at the options before the run: an hour's result must find its place."""
    policy = config.getini("gradproof_inconclusive")
    if policy not in POLICIES:
        raise pytest.UsageError(f"gradproof_inconclusive is {policy!r}. Choose one of {', '.join(POLICIES)}.")
    options = {name: config.getoption(f"gradproof_{name}") for name in ("budget", "seed")}
    given = {name: value for name, value in options.items() if value is not None}
    if given:
        _must_be_valid(given)
    path = config.getoption("gradproof_report")
    on_worker = hasattr(config, "workerinput")  # of pytest-xdist: the controller writes for all of them
    run = _Run(_writable(path) if path is not None and not on_worker else None)
    config.stash[_RUN] = run
    if config.getoption("gradproof_shadow"):
        run.begin_shadow()
    config.pluginmanager.register(run, "gradproof-run")


def _must_be_valid(options: dict[str, Any]) -> None:
    from gradproof import UsageError
    from gradproof._words.settings import Settings

    try:
        Settings(**options)
    except UsageError as error:
        raise pytest.UsageError(f"--gradproof-{next(iter(options))}: {error}") from error


def _writable(given: str) -> Path:
    """Return the path as it stands now, whatever directory a test enters later; refuse it where no file can be made."""
    option = f"--gradproof-report {given!a}"
    if given.endswith((".html", ".htm")):
        raise pytest.UsageError(f"{option}: reports are written as JSON. Name a file that ends in .json.")
    try:
        path = Path(given).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _is_new(path):
            if not path.is_file():
                raise pytest.UsageError(f"{option} is a directory or a device. Name a file.")
            if not os.access(path, os.W_OK):
                raise pytest.UsageError(f"{option} cannot be written: the file is read-only. Name another file.")
        with _beside(path) as probe:
            probe.touch()
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise pytest.UsageError(f"{option} cannot be written: {why}. Name another file.") from error
    return path


def _is_new(path: Path) -> bool:
    """Ask the system itself: `Path.exists` says no for a name that is too long, as for one that can be made."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    return False


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Offer a name in the same directory, and clean up what was left there."""
    temporary = path.with_name(f".gradproof-{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    """Put a whole file in place at once: of two processes that write one path, one wins, and nothing is mixed."""
    with _beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)


# --- what the tests found ---------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember which test is running; one that is run again begins anew."""
    item.config.stash[_RUN].item = item
    if _CHECKS in item.stash:
        del item.stash[_CHECKS]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Show a failed check for people, and send what was found along with the test's own report.

    On the test's own report it reaches pytest-xdist's controller, too, and before a worker can be lost.
    """
    checks = item.stash.get(_CHECKS, [])
    failures: list[Any] = []
    if call.excinfo is not None and "gradproof" in sys.modules:
        failures = _trim(call.excinfo.value, item.config)
        error, traceback = call.excinfo.value, call.excinfo.value.__traceback__
        if traceback is not None and traceback is not call.excinfo.tb:
            call.excinfo = pytest.ExceptionInfo.from_exc_info((type(error), error, traceback))
    if checks:
        item.user_properties[:] = [pair for pair in item.user_properties if not pair[0].startswith("gradproof_")]
        item.user_properties += _properties(checks)
    outcome = yield
    report = outcome.get_result()
    for failure in failures if report.failed else []:
        add = getattr(report.longrepr, "addsection", lambda name, text: report.sections.append((name, text)))
        add("gradproof", _section(failure.report, checks))
    if checks and call.when == "teardown":
        report.gradproof_checks = json.dumps([_plain(check, _test_id(item), n) for n, check in enumerate(checks, 1)])
    shadow = item.config.stash[_RUN].shadow
    if shadow is not None and call.when == "teardown" and shadow.calls:
        report.gradproof_shadow = json.dumps([call.plain() for call in shadow.calls])
        shadow.calls.clear()


def _trim(error: BaseException, config: pytest.Config) -> list[Any]:
    """Take our own frames out of the tracebacks of what we raised; return the failures that carry a report."""
    from gradproof import GradproofError, InconclusiveGradient, WrongGradient

    if isinstance(error, BaseExceptionGroup):
        return [failure for inner in error.exceptions for failure in _trim(inner, config)]
    failed = isinstance(error, (WrongGradient, InconclusiveGradient))
    if (failed or isinstance(error, GradproofError)) and not config.getoption("fulltrace"):
        chained: BaseException | None = error
        while chained is not None:
            chained.__traceback__ = _without_internal_frames(chained.__traceback__)
            chained = chained.__cause__
    if failed:
        _drop_explanations(error)
        error.shown = _headline(error.report, type(error))  # type: ignore[attr-defined]  # the whole of it has its own section
    return [error] if failed else []


def _without_internal_frames(traceback: TracebackType | None) -> TracebackType | None:
    kept = []
    while traceback is not None:
        if traceback.tb_frame.f_globals.get("__name__", "").partition(".")[0] not in INTERNAL:
            kept.append(traceback)
        traceback = traceback.tb_next
    for entry in reversed(kept):
        traceback = TracebackType(traceback, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return traceback


def _drop_explanations(error: BaseException) -> None:
    """Keep only the user's lines of those that, Hypothesis noticed, ran in failing examples: ours search for the fault."""
    notes: list[str] = getattr(error, "__notes__", [])
    if EXPLANATION not in notes:
        return
    home = str(Path(__file__).parent)
    start = notes.index(EXPLANATION)
    end = next((n for n in range(start + 1, len(notes)) if not notes[n].startswith("    ")), len(notes))
    lines = [note for note in notes[start + 2 : end] if home not in note and "site-packages" not in note]
    located = any(not line.lstrip().startswith("(and ") for line in lines)
    notes[start:end] = [*notes[start : start + 2], *lines] if located else []


def _headline(report: Report, kind: type) -> str:
    """Return the first sentence of a report, in lines that fit 80 columns behind pytest's margin and the error's name."""
    from gradproof.reports import to_text
    from gradproof.reports._layout import wrap

    lines = to_text(report).split("\n")
    end = next((n for n, line in enumerate(lines) if line.endswith(".")), 0)
    name = f"{kind.__module__}.{kind.__qualname__}: "
    return "\n".join(wrap(" ".join(lines[: end + 1]), 72, first=" " * len(name))).lstrip()


def _section(report: Report, checks: list[_Check]) -> str:
    from gradproof.reports import encodable, to_text

    origin = next((check.seed_from for check in checks if check.report is report), "")
    text = "\n".join([to_text(report), *([SEED_ORIGINS[origin]] if origin in SEED_ORIGINS else [])])
    return encodable(text, getattr(sys.__stdout__, "encoding", None) or "utf-8")


def _properties(checks: list[_Check]) -> list[tuple[str, object]]:
    """Return JUnit properties: those of the test's worst check, so that each name occurs once."""
    from gradproof.reports._layout import safe

    worst = max((check.report for check in checks), key=_rank)
    properties = {
        "verdict": worst.verdict.name,
        "difference": repr(float(worst.difference.estimate)),
        "tolerance": repr(float(worst.tolerance)),
        "faulty": safe(", ".join(worst.faulty)),
        "seed": str(worst.seed),
        "evaluations": str(worst.evaluations),
        "checks": str(len(checks)),
    }
    return [(f"gradproof_{name}", value) for name, value in properties.items() if value]


def _plain(check: _Check, test: str, number: int) -> dict[str, Any]:
    report = json.loads(check.report.to_json())
    return {
        "test": test,
        "number": number,
        "assertion": check.assertion,
        "line": check.line,
        "calls": check.calls,
        "report": report,
    }
