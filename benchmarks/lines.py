"""How honest and how sharp is a derivative's error bar? Lines with exact truths, gradproof beside its peers.

::

    python benchmarks/lines.py                            development part: the one to tune on
    python benchmarks/lines.py --part held-out --assert   the examination: exit 1 where a reach is missed
    python benchmarks/lines.py --family scales --verbose  every line that a bar does not cover (development only)

A line is *covered* where |value − truth| ≤ bar + 4u|truth|. Sharpness is bar over actual error, the error floored at
the truth's own rounding. The truths are exact: see `linecases.exact`, `linecases.programs`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from linecases import disturbed, kinks, networks, programs, scales, smooth
from linecases.line import ROUNDOFF, SEEDS, Line
from linecases.peers import PEERS, Outcome, run_gradproof, run_peer

FAMILIES: Final[dict[str, Callable[[str], list[Line]]]] = {
    "smooth": smooth.smooth,
    "compositions": smooth.compositions,
    "network float64": lambda part: networks.networks(part, np.float64),
    "network float32": lambda part: networks.networks(part, np.float32),
    "stochastic noise": disturbed.noisy,
    "ODE solvers": programs.solvers,
    "iterations stopped at 1e-8": programs.iterations,
    "rounded output": disturbed.rounded,
    "scales": scales.scales,
    "zero parameters": scales.zeros,
    "edge of the domain": scales.edges,
}
SMOOTH: Final = ("smooth", "compositions", "network float64")
"""The families of smooth costs in float64 whose error is that of ordinary arithmetic."""
NOT_KINKED: Final = (*SMOOTH, "scales", "zero parameters", "edge of the domain")
"""Families whose lines count, with the lookalikes, as smooth lines of the kink test."""
FEW_DIGITS: Final = 1e-8
"""A kink nearer than this, relative to the parameters, may be called one: steps below it leave few digits."""

REACH_COVERAGE: Final = 0.99
REACH_FAMILY_COVERAGE: Final = 0.97
REACH_SHARPNESS: Final = 30.0
REACH_EVALUATIONS: Final = 20
REACH_ERROR: Final = 1e-11
REACH_FALSE_KINKS: Final = 1 / 500
REACH_KINKS_FOUND: Final = 0.98


@dataclass
class Row:
    """One tool on one family, or on all."""

    family: str
    tool: str
    lines: int
    coverage: float
    sharpness: float
    sharpness_95: float
    evaluations: float
    evaluations_95: float
    relative_error: float


@dataclass
class KinkRow:
    """The kink test, on development or held-out lines."""

    smooth_lines: int = 0
    false_kinks: int = 0
    noisy_lines: int = 0
    false_kinks_in_noise: int = 0
    kinked_lines: int = 0
    kinks_found: int = 0
    sides_covered: int = 0
    near_lines: int = 0
    near_covered: int = 0
    near_called_kinks: int = 0
    lookalikes: int = 0
    lookalikes_covered: int = 0
    remarks: list[str] = field(default_factory=list)


def covered(line: Line, outcome: Outcome) -> bool:
    """Say whether the bar holds the truth, whose own rounding is allowed."""
    allowance = 4 * ROUNDOFF * max(map(abs, line.interval))
    return bool(line.error(outcome.value) <= outcome.bar + allowance) if math.isfinite(outcome.value) else False


def sharpness(line: Line, outcome: Outcome) -> float:
    """Return bar over actual error, both floored at the truth's rounding; inf where the bar is no number."""
    if not (math.isfinite(outcome.value) and math.isfinite(outcome.bar)):
        return math.inf
    floor = line.floor
    return max(outcome.bar, floor) / max(line.error(outcome.value), floor)


def relative_error(line: Line, outcome: Outcome) -> float:
    """Return the actual relative error; NaN where the truth is zero, inf where nothing was said."""
    largest = max(map(abs, line.interval))
    if largest == 0:
        return math.nan
    return line.error(outcome.value) / largest if math.isfinite(outcome.value) else math.inf


Measured = list[tuple[Line, Outcome]]


def row(family: str, tool: str, measured: Measured) -> Row:
    """Summarise one tool on some lines."""
    ratios = np.array([sharpness(line, outcome) for line, outcome in measured])
    errors = np.array([relative_error(line, outcome) for line, outcome in measured])
    errors = errors[~np.isnan(errors)]
    counts = np.array([outcome.evaluations for _, outcome in measured])
    return Row(
        family,
        tool,
        len(measured),
        float(np.mean([covered(line, outcome) for line, outcome in measured])),
        float(np.quantile(ratios, 0.5, method="lower")),
        float(np.quantile(ratios, 0.95, method="lower")),
        float(np.median(counts)),
        float(np.quantile(counts, 0.95)),
        float(np.quantile(errors, 0.5, method="lower")) if errors.size else math.nan,
    )


def describe(line: Line, outcome: Outcome) -> str:
    """Return one sentence of machine facts about a line."""
    low, high = line.interval
    truth = f"{low:.17g}" if low == high else f"[{low:.17g}, {high:.17g}]"
    return (
        f"{line.family} | {line.name} | value {outcome.value:.17g} | truth {truth} | error {line.error(outcome.value):.2e} "
        f"| bar {outcome.bar:.2e} | evaluations {outcome.evaluations} | {outcome.note}"
    )


def measure(tool: str, lines: Iterable[Line]) -> Measured:
    """Run one tool on some lines."""
    runner = run_gradproof if tool == "gradproof" else lambda line: run_peer(tool, line)
    return [(line, runner(line)) for line in lines]


def kink_row(part: str, unkinked: Measured, noisy: Measured) -> KinkRow:
    """Run the kink test: on kinks, beside kinks, and on everything smooth."""
    result = KinkRow()
    for line, outcome in [*unkinked, *measure("gradproof", kinks.smooth_lookalikes(part))]:
        result.smooth_lines += 1
        result.false_kinks += outcome.kinked
        if outcome.kinked:
            result.remarks.append(f"false kink | {describe(line, outcome)}")
        if line.family == "smooth lookalikes":
            result.lookalikes += 1
            result.lookalikes_covered += covered(line, outcome)
            if not covered(line, outcome):
                result.remarks.append(f"lookalike not covered | {describe(line, outcome)}")
    for _, outcome in noisy:
        result.noisy_lines += 1
        result.false_kinks_in_noise += outcome.kinked
    for line, outcome in measure("gradproof", kinks.kinks_at_the_point(part)):
        left, right = kinks.one_sided(line)
        result.kinked_lines += 1
        result.kinks_found += outcome.kinked
        allowance = outcome.kink_bar + 4 * ROUNDOFF * max(abs(left), abs(right))
        holds = outcome.kinked and max(abs(outcome.left - left), abs(outcome.right - right)) <= allowance
        result.sides_covered += bool(holds)
        if not holds:
            what = "one side not covered" if outcome.kinked else "kink missed"
            sides = f"says {outcome.left:.12g} … {outcome.right:.12g} ± {outcome.kink_bar:.1e}"
            result.remarks.append(f"{what} | sides {left:.12g} … {right:.12g} | {sides} | {describe(line, outcome)}")
    for line, outcome in measure("gradproof", kinks.kinks_nearby(part)):
        result.near_lines += 1
        result.near_called_kinks += outcome.kinked
        truth, close = line.interval[0], kinks.gap(line) <= FEW_DIGITS
        low, high = sorted((outcome.left, outcome.right))
        between = outcome.kinked and close and low - outcome.kink_bar <= truth <= high + outcome.kink_bar
        right = between or (covered(line, outcome) and (close or not outcome.kinked))
        result.near_covered += right
        if not right:
            called = (
                f"called a kink, {low:.6g} … {high:.6g} ± {outcome.kink_bar:.1e}" if outcome.kinked else "not covered"
            )
            result.remarks.append(f"nearby, {called} | {describe(line, outcome)}")
    return result


def missed(rows: Sequence[Row], kink: KinkRow | None) -> list[str]:
    """Return a sentence for each reach that gradproof misses."""
    sentences = []
    for r in rows:
        if r.tool != "gradproof":
            continue
        least = REACH_COVERAGE if r.family == "all" else REACH_FAMILY_COVERAGE
        if r.coverage < least:
            sentences.append(f"coverage of {r.family}: {r.coverage:.4f} < {least}")
        if r.family == "all" and r.evaluations > REACH_EVALUATIONS:
            sentences.append(f"median evaluations of {r.family}: {r.evaluations:g} > {REACH_EVALUATIONS}")
        if r.family == "smooth families":
            if r.sharpness > REACH_SHARPNESS:
                sentences.append(f"median bar/error of the smooth families: {r.sharpness:.3g} > {REACH_SHARPNESS:g}")
            if r.relative_error > REACH_ERROR:
                sentences.append(
                    f"median relative error of the smooth families: {r.relative_error:.2g} > {REACH_ERROR:g}"
                )
    if kink is not None:
        if kink.false_kinks > REACH_FALSE_KINKS * max(kink.smooth_lines, 500):
            sentences.append(f"false kinks: {kink.false_kinks} of {kink.smooth_lines}")
        if kink.kinks_found < REACH_KINKS_FOUND * kink.kinked_lines:
            sentences.append(f"kinks found: {kink.kinks_found} of {kink.kinked_lines}")
        if kink.near_covered < REACH_FAMILY_COVERAGE * kink.near_lines:
            sentences.append(f"lines beside a kink covered: {kink.near_covered} of {kink.near_lines}")
        if kink.lookalikes_covered < REACH_FAMILY_COVERAGE * kink.lookalikes:
            sentences.append(f"smooth lookalikes covered: {kink.lookalikes_covered} of {kink.lookalikes}")
    return sentences


def as_markdown(rows: Sequence[Row], kink: KinkRow | None) -> str:
    """Return the tables as Markdown."""
    lines = [
        "| family | tool | lines | coverage | bar/error, median | 95 % | evaluations, median | 95 % | relative error, median |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines.extend(
        f"| {r.family} | {r.tool} | {r.lines} | {r.coverage:.3f} | {r.sharpness:.3g} | {r.sharpness_95:.3g} "
        f"| {r.evaluations:g} | {r.evaluations_95:.3g} | {r.relative_error:.1e} |"
        for r in rows
    )
    if kink is not None:
        lines += [
            "",
            "| kink test | count | of |",
            "|---|---:|---:|",
            f"| kinks at the point found | {kink.kinks_found} | {kink.kinked_lines} |",
            f"| … with both one-sided derivatives within the bar | {kink.sides_covered} | {kink.kinked_lines} |",
            f"| smooth lines called kinks | {kink.false_kinks} | {kink.smooth_lines} |",
            f"| noisy lines called kinks | {kink.false_kinks_in_noise} | {kink.noisy_lines} |",
            f"| smooth lookalikes covered | {kink.lookalikes_covered} | {kink.lookalikes} |",
            f"| lines 1e-12 … 1e-2 beside a kink judged rightly | {kink.near_covered} | {kink.near_lines} |",
            f"| … of them called kinks (may be, below {FEW_DIGITS:g}) | {kink.near_called_kinks} | {kink.near_lines} |",
        ]
    return "\n".join(lines)


def available(tools: Sequence[str]) -> list[str]:
    """Return the tools that can be imported, gradproof first."""
    found = []
    for tool in tools:
        if tool == "gradproof":
            import gradproof

            if not hasattr(gradproof, "directional_derivative"):
                print("gradproof.directional_derivative does not exist yet: peers only", file=sys.stderr)
                continue
        found.append(tool)
    return found


def run(part: str, names: Sequence[str], tools: Sequence[str]) -> tuple[list[Row], dict[str, dict[str, Measured]]]:
    """Measure the tools on the families; return the table's rows and everything measured."""
    measured: dict[str, dict[str, Measured]] = {}
    for name in names:
        started = time.perf_counter()
        lines = FAMILIES[name](part)
        measured[name] = {tool: measure(tool, lines) for tool in tools}
        print(f"{name}: {len(lines)} lines, {time.perf_counter() - started:.1f} s", file=sys.stderr)
    rows = [row(name, tool, measured[name][tool]) for name in names for tool in tools]
    groups = {"smooth families": [n for n in names if n in SMOOTH], "all": list(names)}
    for label, members in groups.items():
        if members:
            rows += [row(label, tool, [m for n in members for m in measured[n][tool]]) for tool in tools]
    return rows, measured


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(description="coverage and sharpness of derivatives along a line")
    parser.add_argument("--part", choices=["development", "held-out"], default="development")
    parser.add_argument(
        "--family", choices=[*FAMILIES, "kinks"], action="append", help="only these; repeat for several"
    )
    parser.add_argument("--tool", choices=["gradproof", *PEERS], action="append", help="only these; repeat for several")
    parser.add_argument("--verbose", action="store_true", help="list every line that is not covered (development only)")
    parser.add_argument("--assert", dest="asserted", action="store_true", help="exit 1 where a reach is missed")
    parser.add_argument("--json", metavar="PATH", help="write the table here, too")
    options = parser.parse_args(arguments)
    if options.verbose and options.part != "development":
        parser.error("the held-out part is looked at as one table; --verbose is for the development part")

    tools = available(options.tool or ["gradproof", *PEERS])
    if not tools:
        return 2
    names = [name for name in FAMILIES if not options.family or name in options.family]
    rows, measured = run(options.part, names, tools)
    kink = None
    if "gradproof" in tools and (not options.family or "kinks" in options.family):
        unkinked = [m for name in NOT_KINKED if name in measured for m in measured[name]["gradproof"]]
        kink = kink_row(options.part, unkinked, measured.get("stochastic noise", {}).get("gradproof", []))

    versions = ", ".join(f"{package} {version(package)}" for package in ("numpy", "scipy", "numdifftools"))
    print(f"part: {options.part}, seed {SEEDS[options.part]}; {versions}\n\n{as_markdown(rows, kink)}")
    if options.verbose and "gradproof" in tools:
        print()
        for name in names:
            for line, outcome in measured[name]["gradproof"]:
                if not covered(line, outcome):
                    print(f"not covered | {describe(line, outcome)}")
                elif outcome.kinked and name in NOT_KINKED:
                    print(f"false kink | {describe(line, outcome)}")
        print("\n".join(kink.remarks if kink else []))
    if options.json:
        content: dict[str, Any] = {"part": options.part, "rows": [asdict(r) for r in rows]}
        if kink is not None:
            content["kinks"] = {key: value for key, value in asdict(kink).items() if key != "remarks"}
        Path(options.json).write_text(json.dumps(content, indent=1), encoding="utf-8")
    sentences = missed(rows, kink) if "gradproof" in tools else []
    for sentence in sentences:
        print(f"reach missed: {sentence}")
    return 1 if options.asserted and sentences else 0


if __name__ == "__main__":
    sys.exit(main())
