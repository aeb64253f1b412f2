"""Reads ``FILE[:NAME]``: a Python file that defines cost, point and claimed, or a `gradproof.Problem` by its name.

Whatever is wrong with it becomes one sentence that names the file, the line and what to do.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gradproof._words.errors import UsageError

if TYPE_CHECKING:
    from gradproof._problem.problem import Problem

WANTED = ("cost", "point", "claimed")
MODULE_PREFIX = "_gradproof_checks_"


def load(target: str) -> Problem | tuple[Any, Any, Any]:
    """Run the file and return the problem it names, or its cost, point and claimed.

    Parameters
    ----------
    target
        ``FILE`` or ``FILE:NAME``.

    Returns
    -------
    Problem or tuple
        The object called NAME, or (cost, point, claimed) where no NAME was given.

    Raises
    ------
    UsageError
        Where the file is missing, cannot be run, or lacks the names.
    """
    path, name = split(target)
    _must_be_a_file(path)
    module = _run(path)
    return _three_names(module, path) if name is None else _named_problem(module, path, name)


def send_by_value() -> None:
    """Let workers be sent what the file defines: they cannot import it under the name that it has here."""
    try:
        import cloudpickle
    except ImportError:
        return  # what cannot be sent is named later
    for name, module in list(sys.modules.items()):
        if name.startswith(MODULE_PREFIX):
            cloudpickle.register_pickle_by_value(module)


def split(target: str) -> tuple[Path, str | None]:
    """Part ``FILE:NAME`` at its last colon, unless all of it is the path of a file, or what follows is no name.

    Raises
    ------
    UsageError
        Where a colon is the last character.
    """
    file, colon, name = target.rpartition(":")
    if not colon or not file or Path(target).exists() or not (name.isidentifier() or name == ""):
        return Path(target), None
    if not name:
        raise UsageError(
            f"no name follows the colon in {target!r}", remedy=f"Say {file}, or {file}:NAME with a gradproof.Problem"
        )
    return Path(file), name


def _must_be_a_file(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a directory", remedy="Name a Python file in it")
    if not path.exists():
        raise UsageError(f"there is no file {path}", remedy=f"The current directory is {Path.cwd()}")


def _run(path: Path) -> ModuleType:
    """Execute the file as a module of its own, not ``__main__``, its directory in front of the import path."""
    path = path.resolve()
    module = ModuleType(MODULE_PREFIX + path.stem)
    module.__file__ = str(path)
    try:
        source = importlib.util.decode_source(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read: {error.strerror or error}") from error
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} is not a text that Python can read: {error}") from error
    sys.path.insert(0, str(path.parent))
    sys.modules[module.__name__] = module  # dataclasses and pickle look their module up
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102  (running it is what the user asks for)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UsageError(
            _what_happened(error, path), remedy="Mend the file, or run it with python to see more"
        ) from error
    return module


def _what_happened(error: BaseException, path: Path) -> str:
    """Word an exception that left the file, with the line of the file and the place where it began."""
    if isinstance(error, SystemExit):
        return f"{path.name} ends the program when it is run (sys.exit){_place(error, path)}"
    kind = type(error).__name__
    message = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        file = Path(error.filename or path).name
        place = f" in line {error.lineno}" if error.lineno else ""
        return f"{file} is not valid Python: {kind}{place}: {error.msg}"
    return f"{path.name} raised {kind}{_place(error, path)} when it was run: {message or 'no message'}"


def _place(error: BaseException, path: Path) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame.lineno for frame in frames if frame.filename == str(path)]
    if not mine:
        return ""
    last = frames[-1]
    elsewhere = last.filename != str(path) and not last.filename.startswith("<")
    began = f" (from {Path(last.filename).name}, line {last.lineno})" if elsewhere else ""
    return f" in line {mine[-1]}{began}"


def _three_names(module: ModuleType, path: Path) -> tuple[Any, Any, Any]:
    found = [name for name in WANTED if hasattr(module, name)]
    lacking = [name for name in WANTED if name not in found]
    if not lacking:
        return module.cost, module.point, module.claimed
    defines = f"defines {' and '.join(found)}, but not" if found else "does not define"
    raise UsageError(f"{path.name} {defines} {' and '.join(lacking)}", remedy=_what_to_name(module, path))


def _what_to_name(module: ModuleType, path: Path) -> str:
    problems = _problems(module)
    if problems:
        return f"It has a gradproof.Problem: say {' or '.join(f'{path.name}:{name}' for name in problems)}"
    return "Define cost, point and claimed in it, or a gradproof.Problem, and name that: FILE:NAME"


def _problems(module: ModuleType) -> list[str]:
    from gradproof import Problem

    return [name for name, value in vars(module).items() if isinstance(value, Problem)]


def _named_problem(module: ModuleType, path: Path, name: str) -> Problem:
    from gradproof import Problem

    value = getattr(module, name, None)
    if isinstance(value, Problem):
        return value
    seen = f"{name} in {path.name} is of type {type(value).__name__}, not a gradproof.Problem"
    if not hasattr(module, name):
        seen = f"{path.name} does not define {name}"
    raise UsageError(seen, remedy=_what_to_name(module, path))
