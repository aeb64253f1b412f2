"""The command line: ``gradproof check FILE[:NAME]``, ``compare OLD NEW``, ``runs JOURNAL``, ``demo``.

Exit codes: 0 correct, 1 wrong, 2 usage, 3 inconclusive, 4 the cost could not be evaluated. Apart from these, 70 is an
error of this program or of the user's code that has no code of its own (its traceback is shown), 130 an interruption.
"""

from __future__ import annotations

import enum
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from gradproof._words.results import Report

app = typer.Typer(
    name="gradproof",
    help="Prove a gradient right, or wrong: what, where, by how much and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Exit(enum.IntEnum):
    """What the process says when it ends."""

    CORRECT = 0
    WRONG = 1
    USAGE = 2
    INCONCLUSIVE = 3
    NOT_EVALUATED = 4
    UNEXPECTED = 70
    INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    app(prog_name="gradproof")
    sys.exit(Exit.UNEXPECTED)  # not reached: a command ends in SystemExit


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"gradproof {version('gradproof')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def check(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE[:NAME]",
            help="A Python file that defines cost, point and claimed; or NAME in it, a gradproof.Problem.",
        ),
    ],
    tolerance: Annotated[
        float | None,
        typer.Option(help="Largest relative difference to accept; chosen by precision and noise otherwise."),
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="1 less the probability of a false verdict; 0.999999.")
    ] = None,
    strategy: Annotated[str, typer.Option(help="auto, certificate or coordinates.")] = "auto",
    budget: Annotated[int | None, typer.Option(help="The most calls of the cost to make.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the random directions; a fresh one otherwise, shown.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Check only the blocks of this name or pattern; repeatable."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Leave such blocks out; repeatable.")
    ] = None,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Say which mistakes would have been caught at this point.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Evaluate in N processes at once; -1 for one a core.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Give up a worker's call after so long.")
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Keep every value there; the same command goes on after a crash."),
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="PATH", help="Write the report there as JSON, too.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="PATH", help="Write it there as a page, too.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no report; the exit code says it.")] = False,
) -> None:
    """Check the gradient that a Python file claims.

    Exit codes: 0 correct, 1 wrong, 2 usage, 3 inconclusive, 4 the cost could not be evaluated.
    """
    options = {
        "tolerance": tolerance,
        "confidence": confidence,
        "strategy": strategy,
        "budget": budget,
        "seed": seed,
        "only": only or None,
        "exclude": exclude or None,
        "self_test": self_test,
        "workers": workers,
        "timeout": timeout,
        "journal": journal,
    }
    given = {name: value for name, value in options.items() if value is not None}
    _end(lambda: _check(file, given, json, html, quiet=quiet))


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="What check --json or pytest --gradproof-report wrote.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The same, of a later day.")],
) -> None:
    """Say what changed between two reports: certified yesterday, wrong today.

    Exit codes: 0 nothing is worse, 1 something is, 2 usage.
    """
    _end(lambda: _compare(old, new))


@app.command()
def runs(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="What check --journal, or journal=, wrote.")],
    number: Annotated[
        int | None, typer.Argument(metavar="[NUMBER]", help="Show this one of them, report and all.")
    ] = None,
) -> None:
    """List the runs of a journal, while one is going on, too; or show one of them.

    Exit codes: 0, or 2 where the file is no journal or has no such run.
    """
    _end(lambda: _runs(journal, number))


@app.command()
def demo() -> None:
    """Tell the course's story: a network with two mistakes, found, named, mended, trained and left alone."""

    def tell() -> Exit:
        from gradproof._command_line import story
        from gradproof.reports import encodable, has_color

        def write(text: str) -> None:
            _print(lambda: print(encodable(text, sys.stdout.encoding or "ascii")))

        return Exit.CORRECT if story.tell(write, color=has_color()) else Exit.UNEXPECTED

    _end(tell)


def _check(file: str, options: dict[str, Any], json: Path | None, html: Path | None, *, quiet: bool) -> Exit:
    from gradproof import check_gradient
    from gradproof._command_line import problem_file
    from gradproof.reports import Progress, print_report

    if json is not None:
        _must_be_writable(json)
    if html is not None:
        _must_be_writable(html, "--html")
    loaded = problem_file.load(file)
    if "workers" in options:
        problem_file.send_by_value()
    arguments = loaded if isinstance(loaded, tuple) else (loaded,)
    with Progress() as progress:
        report = check_gradient(*arguments, observer=None if quiet else progress, **options)
    if json is not None:
        _write(json, report)
    if html is not None:
        html.write_text(report.to_html(), encoding="utf-8", errors="backslashreplace")
    if not quiet:
        _print(lambda: print_report(report))
    return Exit[report.verdict.name]


def _runs(journal: Path, number: int | None) -> Exit:
    from gradproof._command_line import kept_runs
    from gradproof.reports import encodable

    text = kept_runs.listed(journal) if number is None else kept_runs.shown(journal, number)
    _print(lambda: print(encodable(text, sys.stdout.encoding or "ascii")))
    return Exit.CORRECT


def _compare(old: Path, new: Path) -> Exit:
    from gradproof.reports import _comparison, encodable
    from gradproof.reports._changes import changes_to_text

    before, after = _reports(old), _reports(new)
    changes = _comparison.changes(before, after)
    text = changes_to_text(changes, len(after))
    _print(lambda: print(encodable(text, sys.stdout.encoding or "ascii")))
    return Exit.WRONG if any(change.worse for change in changes) else Exit.CORRECT


def _reports(path: Path) -> dict[str, Report]:
    from gradproof._words.errors import UsageError
    from gradproof.reports import _comparison

    try:
        return _comparison.read(path.read_text(encoding="utf-8"))
    except UsageError as error:
        raise error.at(str(path)) from error.__cause__
    except UnicodeDecodeError as error:
        raise UsageError("this is no text in UTF-8, so no report of gradproof", where=str(path)) from error
    except OSError as error:
        raise UsageError(f"it cannot be read: {error.strerror or error}", where=str(path)) from error


def _end(command: Callable[[], Exit]) -> NoReturn:
    """Run a command and leave with its exit code; what the user got wrong is one sentence on standard error."""
    from gradproof._words.errors import EvaluationError, GradproofError

    try:
        code = command()
    except EvaluationError as error:
        code = _complain(error, Exit.NOT_EVALUATED)
    except GradproofError as error:
        code = _complain(error, Exit.USAGE)
    except KeyboardInterrupt:
        code = _complain("interrupted.", Exit.INTERRUPTED)
    except Exception:
        traceback.print_exc()
        code = Exit.UNEXPECTED
    sys.exit(code)


def _print(print_it: Callable[[], None]) -> None:
    """Print, and let it rest where the reader has seen enough: ``gradproof check … | head`` has its exit code, too."""
    try:
        print_it()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(what: object, code: Exit) -> Exit:
    from gradproof.reports import to_stream

    to_stream(f"gradproof: {what}", sys.stderr)
    return code


def _must_be_writable(path: Path, option: str = "--json") -> None:
    """Open the file for writing before the check is made: an hour's result must find its place."""
    from gradproof._words.errors import UsageError

    existed = path.exists()
    try:
        with path.open("a"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise UsageError(
            f"{option} {path} cannot be written: {error.strerror or error}", remedy="Name another file"
        ) from error


def _write(path: Path, report: Report) -> None:
    from gradproof._words.errors import UsageError

    try:
        # Lone surrogates, possible in names, become the \uXXXX escapes that JSON has for them.
        path.write_text(report.to_json() + "\n", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"--json {path} could not be written: {error.strerror or error}") from error


if __name__ == "__main__":
    main()
