"""Does it still say the same? A table of verdicts of claims whose truth is known, frozen, and compared with another build's.

::

    python benchmarks/behaviour.py                       the frozen table beside this build
    python benchmarks/behaviour.py write TABLE.json.gz   write this build's table (.json: not compressed), and say how it did
    python benchmarks/behaviour.py compare OLD [NEW]     compare two tables; without NEW, OLD's cases are run now
    python benchmarks/behaviour.py show TABLE            how the build of a table did: false alarms, misses, evaluations

Options of what runs: ``--quick`` (a few hundred cases), ``--only PATTERN`` (keys such as ``"check_vjp | * | maps | *"``),
``--processes N``. `compare` ends with exit code 1 where a right claim has become WRONG or a wrong one CORRECT, where a case is
gone or raises, or where more calls were made than the budget allows or the report states.

A case is a verb, a strategy, a claim and a seed:

gallery   right gradients and every mutant of `gradproof.testing`, through `check_gradient`, and as a function with one output
          through `check_vjp` and `check_jacobian`
lines     the lines of `lines.py` (development part) as costs of one number: the slope, × 1.001, × 2 (`behaviourcases.along`)
maps      functions with 1 to 50 outputs, right and altered, through all five verbs (`behaviourcases.maps`)

A claim is *right*, *wrong*, *masked* (wrong, but by less than noise may raise the tolerance: CORRECT is a miss only beyond the
tolerance that the report states) or *open* (no verdict is an error). Evaluations, bounds and causes are compared in summary.
``behaviour/improved.json`` names verdicts that were changed on purpose, each with the reason.
"""

from __future__ import annotations

import argparse
import fnmatch
import gzip
import json
import multiprocessing
import os
import statistics
import sys
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

HERE: Final = Path(__file__).parent / "behaviour"
FROZEN: Final = HERE / "frozen.json.gz"
"""The table of the build before the method for costs and the one for maps became one (commit 5ca3f11)."""
IMPROVED: Final = HERE / "improved.json"
SLOW: Final = ("lines: ODE solvers", "lines: iterations stopped at 1e-8")
QUICK: Final = {"costs": 2, "along": 6, "maps": 1}
"""Wrong claims that the short form takes of each part of the table with "certificate"; half as many right ones."""
DEAR: Final = (
    "check_vjp | coordinates | gallery",
    "check_vjp | coordinates | maps",
    *(f"check_{verb} | {strategy}" for verb in ("jvp", "jacobian", "hvp") for strategy in ("auto", "coordinates")),
)
"""How the keys begin that the short form leaves out, as they take long."""
SHOWN: Final = 200
"""Most lines of one kind that are printed."""


class Unit(NamedTuple):
    """A part of the table that one process runs: a module of cases and what its `cases` takes."""

    module: str
    arguments: tuple[Any, ...]


# ---------------------------------------------------------------------------------------------------- running


def _module(name: str) -> ModuleType:
    from behaviourcases import along, costs, maps

    return {"costs": costs, "along": along, "maps": maps}[name]


def units(*, quick: bool) -> list[Unit]:
    """Return the parts of the table."""
    found = [Unit(name, arguments) for name in QUICK for arguments in _module(name).units()]
    if not quick:
        return found
    return [unit for unit in found if unit.arguments[2] == 0 and _is_fast(unit)]


def _is_fast(unit: Unit) -> bool:
    verb, part, _ = unit.arguments
    if unit.module == "costs":
        return bool(_module("costs").small(part)) and verb != "check_jacobian"
    return f"lines: {part}" not in SLOW


def cases(unit: Unit, *, quick: bool) -> list[Any]:
    """Return the cases of a part; quick: right claims and a few wrong ones, the same ones every time."""
    found = list(_module(unit.module).cases(*unit.arguments))
    if not quick:
        return found
    drawn = [case for case in found if not case.key.startswith(DEAR)]
    drawn.sort(key=lambda case: zlib.crc32(case.key.encode()))
    taken: list[Any] = []
    for strategy in ("certificate", "auto", "coordinates"):
        mine = [case for case in drawn if case.strategy == strategy]
        limit = QUICK[unit.module] if strategy == "certificate" else 1
        taken += [case for case in mine if case.claim == "right"][: (limit + 1) // 2]
        taken += [case for case in mine if case.claim != "right"][:limit]
    return taken


def run_unit(task: tuple[Unit, bool, str]) -> tuple[Unit, list[Any], float]:
    """Run a part of the table; return its rows and the seconds of the processor."""
    unit, quick, pattern = task
    from behaviourcases.case import run

    started = time.process_time()
    rows = [run(case) for case in cases(unit, quick=quick) if fnmatch.fnmatchcase(case.key, pattern)]
    return unit, rows, time.process_time() - started


def run_all(*, quick: bool = False, pattern: str = "*", processes: int = 1) -> list[Any]:
    """Run the cases and say on stderr how far it is."""
    tasks = [(unit, quick, pattern) for unit in units(quick=quick)]
    spent: Counter[str] = Counter()
    rows: list[Any] = []
    started = shown = time.monotonic()
    for number, (unit, found, seconds) in enumerate(_results(tasks, processes), start=1):
        rows += found
        spent[f"{unit.arguments[0]}, {unit.module}"] += seconds
        if time.monotonic() - shown > 15 or number == len(tasks):
            shown = time.monotonic()
            print(f"{number} of {len(tasks)} parts, {len(rows)} cases, {shown - started:.0f} s", file=sys.stderr)
    for name, seconds in spent.most_common():
        print(f"  {seconds:6.0f} s of processor time: {name}", file=sys.stderr)
    keys = Counter(row.key for row in rows)
    twice = [key for key, count in keys.items() if count > 1]
    if twice:
        raise RuntimeError(f"cases of the same name: {twice[:5]}")
    return sorted(rows, key=lambda row: row.key)


def _results(tasks: Sequence[Any], processes: int) -> Iterator[Any]:
    if processes == 1:
        yield from map(run_unit, tasks)
        return
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # the arrays are small, and the processes share the cores
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(run_unit, tasks)


# ---------------------------------------------------------------------------------------------------- tables


def write(path: Path, rows: Sequence[Any]) -> None:
    """Write a table: a line that names the columns, then one line a case."""
    from behaviourcases.case import Row

    lines = [json.dumps(list(row), ensure_ascii=False) for row in (Row._fields, *rows)]
    content = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(content, 9, mtime=0) if path.suffix == ".gz" else content)


def read(path: Path) -> dict[str, Any]:
    """Return a table's rows by key.

    Raises
    ------
    ValueError
        Where it is not a table of these columns.
    """
    from behaviourcases.case import Row

    content = path.read_bytes()
    first, *lines = (gzip.decompress(content) if path.suffix == ".gz" else content).decode().splitlines()
    if json.loads(first) != list(Row._fields):
        raise ValueError(f"{path} has columns {first}; this script writes and reads {list(Row._fields)}")
    rows = (Row(*json.loads(line)) for line in lines)
    return {row.key: row for row in rows}


def improved() -> list[dict[str, str]]:
    """Return the changes of verdicts that are meant: patterns of keys, the new verdict, and why."""
    found: list[dict[str, str]] = json.loads(IMPROVED.read_text())
    return found


# ---------------------------------------------------------------------------------------------------- comparing


@dataclass
class Comparison:
    """What has changed between two tables; the first five say that the new build is worse."""

    alarms: list[str] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    over_budget: list[str] = field(default_factory=list)
    better: list[str] = field(default_factory=list)
    meant: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.alarms or self.misses or self.raised or self.gone or self.over_budget)


def compare(old: dict[str, Any], new: dict[str, Any], meant: Sequence[dict[str, str]], *, part: bool) -> Comparison:
    """Compare two tables; where a part of the new one was asked for, what it lacks is not gone."""
    result = Comparison()
    for key, before in old.items():
        after = new.get(key)
        if after is None:
            if not part:
                result.gone.append(key)
            continue
        sentence = f"{key} ({after.truth}): {_said(before)} → {_said(after)}"
        if after.over_budget and not before.over_budget:
            result.over_budget.append(f"{sentence}; {after.evaluations} evaluations stated, {after.counted} counted")
        if after.false_alarm and not before.false_alarm:
            result.alarms.append(sentence)
        elif after.miss and not before.miss:
            result.misses.append(sentence)
        elif after.verdict == "RAISED" != before.verdict:
            result.raised.append(sentence)
        elif after.verdict != before.verdict:
            if after.decided_rightly:
                result.better.append(sentence)
            elif any(fnmatch.fnmatchcase(key, one["cases"]) and one["verdict"] == after.verdict for one in meant):
                result.meant.append(sentence)
            else:
                result.other.append(sentence)
    return result


def _said(row: Any) -> str:
    return f"{row.verdict} {row.reason}".strip() + f", D {row.lower:g} … {row.upper:g}"


def families(rows: Iterable[Any]) -> dict[str, list[Any]]:
    """Return rows by verb, source and strategy."""
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.family].append(row)
    return dict(sorted(found.items()))


def _median_most(rows: Sequence[Any]) -> str:
    counts = [row.evaluations for row in rows]
    return f"{statistics.median(counts):g} ({max(counts)})" if counts else "–"


def print_changes(title: str, sentences: Sequence[str], *, always: bool = True) -> None:
    """Print sentences one a line, or that there are none."""
    if not sentences and not always:
        return
    print(f"\n{title}: {len(sentences)}")
    for sentence in sentences[:SHOWN]:
        print(f"  {sentence}")
    if len(sentences) > SHOWN:
        print(f"  … and {len(sentences) - SHOWN} more")


def print_comparison(old: dict[str, Any], new: dict[str, Any], result: Comparison) -> None:
    """Print every change of a verdict, then a line for each family in which something differs."""
    both = [(old[key], new[key]) for key in old if key in new]
    print(f"{len(both)} cases in both tables, {len(new.keys() - old.keys())} only in the new one")
    print_changes("new false alarms (right, now WRONG)", result.alarms)
    print_changes("new misses (wrong, now CORRECT)", result.misses)
    print_changes("newly raised", result.raised, always=False)
    print_changes("gone", result.gone, always=False)
    print_changes("newly over the budget, or counted otherwise than stated", result.over_budget, always=False)
    print_changes("other changes of verdict", result.other)
    print_changes("changes that are meant", result.meant, always=False)
    print_changes("now decided rightly", result.better, always=False)
    print(
        "\n| family | cases | evaluations of right claims, median (most) | of wrong claims | named | placed | bounds beside the truth "
        "| upper bound of right claims, new/old | causes changed |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    grouped: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    for pair in both:
        grouped[pair[0].family].append(pair)
    same = 0
    for family, pairs in [*sorted(grouped.items()), ("all", both)]:
        if family != "all" and all(repr(before) == repr(after) for before, after in pairs):
            same += 1
            continue
        befores, afters = zip(*pairs, strict=True)
        cells = [
            _both(befores, afters, summary)
            for summary in (
                lambda rows: _median_most([row for row in rows if row.truth == "right"]),
                lambda rows: _median_most([row for row in rows if row.truth == "wrong"]),
                lambda rows: str(sum(row.named is True for row in rows)),
                lambda rows: str(sum(row.placed is True for row in rows)),
                lambda rows: str(sum(row.outside for row in rows)),
            )
        ]
        causes = sum(before.causes != after.causes for before, after in pairs)
        print(f"| {family} | {len(pairs)} | {' | '.join(cells)} | {_widened(pairs)} | {causes} |")
    print(f"\n{same} of {len(grouped)} families are the same to the last digit kept")


def _both(befores: Sequence[Any], afters: Sequence[Any], summary: Callable[[Sequence[Any]], str]) -> str:
    before, after = summary(befores), summary(afters)
    return before if before == after else f"{before} → {after}"


def _widened(pairs: Sequence[tuple[Any, Any]]) -> str:
    """Return the median and largest ratio of the upper bounds of right claims that are CORRECT in both tables."""
    ratios = [
        after.upper / before.upper
        for before, after in pairs
        if before.truth == "right" and before.verdict == after.verdict == "CORRECT" and before.upper > 0
    ]
    return f"{statistics.median(ratios):.3g} ({max(ratios):.3g})" if ratios else "–"


def print_truth(rows: Sequence[Any]) -> None:
    """Print how a build did: its false alarms and misses, and a line a family."""
    print_changes("false alarms (right, but WRONG)", [f"{row.key}: {_said(row)}" for row in rows if row.false_alarm])
    print_changes("misses (wrong, but CORRECT)", [f"{row.key}: {_said(row)}" for row in rows if row.miss])
    print_changes("raised", [f"{row.key}: {row.reason}" for row in rows if row.verdict == "RAISED"])
    print_changes(
        "over the budget, or counted otherwise than stated",
        [f"{row.key}: {row.evaluations} stated, {row.counted} counted" for row in rows if row.over_budget],
    )
    print(
        "\n| family | right: CORRECT | undecided | WRONG | wrong: WRONG | undecided | CORRECT | masked, open | named | placed "
        "| bounds beside the truth | evaluations of right claims, median (most) | of wrong claims |"
    )
    print("|---|" + "---:|" * 12)
    for family, members in [*families(rows).items(), ("all", rows)]:
        right, wrong = ([row for row in members if row.truth == truth] for truth in ("right", "wrong"))
        verdicts = Counter((row.truth, row.verdict) for row in members)
        counts = [verdicts["right", verdict] for verdict in ("CORRECT", "INCONCLUSIVE", "WRONG")]
        counts += [verdicts["wrong", verdict] for verdict in ("WRONG", "INCONCLUSIVE", "CORRECT")]
        cells = [
            *map(str, [*counts, len(members) - len(right) - len(wrong)]),
            *(_share([getattr(row, name) for row in members]) for name in ("named", "placed")),
            str(sum(row.outside for row in members)),
            _median_most(right),
            _median_most(wrong),
        ]
        print(f"| {family} | {' | '.join(cells)} |")


def _share(flags: Sequence[bool | None]) -> str:
    known = [flag for flag in flags if flag is not None]
    return f"{sum(known)} of {len(known)}" if known else "–"


# ---------------------------------------------------------------------------------------------------- command line


def main(arguments: Sequence[str] | None = None) -> int:
    """Write, compare or show tables; return the exit code."""
    parser = argparse.ArgumentParser(description="verdicts of claims whose truth is known, frozen and compared")
    commands = parser.add_subparsers(dest="command")
    running = argparse.ArgumentParser(add_help=False)
    running.add_argument("--quick", action="store_true", help="a few hundred cases")
    running.add_argument("--only", default="*", metavar="PATTERN", help="cases whose key matches, with * and ?")
    running.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1), metavar="N")
    writing = commands.add_parser("write", parents=[running], help="write this build's table")
    writing.add_argument("table", type=Path)
    comparing = commands.add_parser(
        "compare", parents=[running], help="compare a table with another, or with this build"
    )
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path, nargs="?")
    showing = commands.add_parser("show", help="say how a table's build did")
    showing.add_argument("table", type=Path)
    options = parser.parse_args(arguments or ["compare", str(FROZEN)])

    if options.command == "show":
        print_truth(list(read(options.table).values()))
        return 0
    if options.command == "write":
        rows = run_all(quick=options.quick, pattern=options.only, processes=options.processes)
        write(options.table, rows)
        print_truth(rows)
        return 0
    old = {key: row for key, row in read(options.old).items() if fnmatch.fnmatchcase(key, options.only)}
    if options.new is not None:
        new = {key: row for key, row in read(options.new).items() if fnmatch.fnmatchcase(key, options.only)}
    else:
        rows = run_all(quick=options.quick, pattern=options.only, processes=options.processes)
        new = {row.key: row for row in rows}
    if not old.keys() & new.keys():
        print("the tables have no case in common", file=sys.stderr)
        return 1
    result = compare(old, new, improved(), part=options.quick)
    print_comparison(old, new, result)
    return int(result.failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
