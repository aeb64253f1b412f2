"""In which range does nothing change? The numbers of the method that have no derivation, each varied by itself.

    python benchmarks/constants.py [NAME …] [--factors 0.5 2] [--processes 2] [--seconds 600]

A name is `FILE.NAME`, such as `steps.CLEAR`, or a file; without one, all numbers run of which `docs/constants.md` says that
they are not measured. Each is multiplied by each factor in a process of its own, before anything is imported (whole numbers
are rounded to whole numbers, at least 1), and the short form of the table of `behaviour.py` runs there. Printed is how many
of its verdicts differ from those of the build as it is, and how many of these are false: right claims WRONG, or wrong ones
CORRECT. After ``--seconds`` no further process is started.
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.machinery
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

HERE = Path(__file__).parent
SOURCE = HERE.parent / "src" / "gradproof"
PAGE = HERE.parent / "docs" / "constants.md"
ROOMS = ("_numerics", "_evidence")
ROW = re.compile(r"^\| `(?P<name>\w+\.\w+)` \| `(?P<value>.+?)` \| (?P<why>.+?) \|$", re.MULTILINE)
UNMEASURED = "not measured"


class Number(NamedTuple):
    """A number of the method."""

    room: str
    file: str
    name: str
    value: str

    @property
    def key(self) -> str:
        """How it is called on the page and on the command line."""
        return f"{self.file}.{self.name}"


def numbers_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield the names of a module's numbers, and their values as they are written."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.AnnAssign | ast.Assign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            value = ast.unparse(node.value)
            if isinstance(target, ast.Name) and target.id.isupper() and re.search(r"(?<![\w.])\d", value):
                yield target.id, value


def numbers() -> list[Number]:
    """Return the module-level numbers of the numerics and the evidence."""
    return [
        Number(room, path.stem, *number)
        for room in ROOMS
        for path in sorted((SOURCE / room).glob("*.py"))
        for number in numbers_of(path.read_text("utf-8"))
    ]


def lines_of(page: str) -> dict[str, tuple[str, str]]:
    """Return what a page says of each number: its value and why."""
    return {row["name"]: (row["value"], row["why"]) for row in ROW.finditer(page)}


# ---------------------------------------------------------------------------------------------------- one process


class Varied(importlib.machinery.SourceFileLoader):
    """Reads a module with one of its numbers multiplied."""

    number: Number
    factor: float

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:
        """Multiply the number where it is assigned."""
        tree = ast.parse(data)
        for node in tree.body:
            target = node.target if isinstance(node, ast.AnnAssign) else None
            if isinstance(target, ast.Name) and target.id == self.number.name and isinstance(node, ast.AnnAssign):
                old = ast.unparse(node.value)  # type: ignore[arg-type]
                new = (
                    f"(lambda x: max(1, round({self.factor} * x)) if isinstance(x, int) else {self.factor} * x)({old})"
                )
                node.value = ast.parse(new, mode="eval").body
        return compile(ast.fix_missing_locations(tree), path, "exec", optimize=_optimize)

    def get_code(self, fullname: str) -> CodeType:
        """Compile anew: what is cached has the number as it is."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the module that has the number."""

    def __init__(self, number: Number, factor: float) -> None:
        self.number, self.factor = number, factor

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Find that module only."""
        if name != f"gradproof.{self.number.room}.{self.number.file}":
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path, target)
        assert found is not None and found.origin is not None  # noqa: PT018
        loader = Varied(name, found.origin)
        loader.number, loader.factor = self.number, self.factor
        return importlib.machinery.ModuleSpec(name, loader, origin=found.origin)


def work(key: str, factor: float) -> None:
    """Run the short form of the table with one number varied, and print its verdicts as JSON."""
    number = next(one for one in numbers() if one.key == key)
    sys.meta_path.insert(0, Finder(number, factor))
    sys.path.insert(0, str(HERE))
    from behaviour import run_all

    rows = run_all(quick=True)
    print(json.dumps({row.key: [row.verdict, row.false_alarm or row.miss] for row in rows}))


# ---------------------------------------------------------------------------------------------------- all of them


def table_with(key: str, factor: float) -> dict[str, Any] | None:
    """Return the table of a process of its own; None where it does not come to an end."""
    command = [sys.executable, __file__, "--work", key, str(factor)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def changes(old: dict[str, Any], new: dict[str, Any] | None) -> str:
    """Say how many verdicts differ, and how many of these are false."""
    if new is None:
        return "raises"
    differ = [key for key in old if old[key] != new.get(key)]
    false = sum(bool(new[key][1]) and not old[key][1] for key in differ if key in new)
    return f"{len(differ)}, {false} false" if false else str(len(differ))


def main(arguments: Sequence[str]) -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description="numbers of the method, each varied by itself")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--factors", nargs="+", type=float, default=[0.5, 2.0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        work(options.work[0], float(options.work[1]))
        return 0
    said = lines_of(PAGE.read_text("utf-8")) if PAGE.exists() else {}
    chosen = [
        one
        for one in numbers()
        if (one.key in options.names or one.file in options.names)
        or (not options.names and UNMEASURED in said.get(one.key, ("", UNMEASURED))[1])
    ]
    started = time.monotonic()
    with ThreadPoolExecutor(options.processes) as pool:
        base = table_with(chosen[0].key, 1.0)
        if base is None:
            print("the table of the build as it is does not come to an end", file=sys.stderr)
            return 1
        print(f"{len(base)} verdicts, {sum(bool(false) for _, false in base.values())} of them false", flush=True)

        def one(task: tuple[Number, float]) -> str:
            if time.monotonic() - started > options.seconds:
                return UNMEASURED
            return changes(base, table_with(task[0].key, task[1]))

        tasks = [(number, factor) for number in chosen for factor in options.factors]
        results = pool.map(one, tasks)
        for number in chosen:
            cells = [f"× {factor:g}: {next(results)}" for factor in options.factors]
            print(f"{number.key} = {number.value}: verdicts that change {', '.join(cells)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
