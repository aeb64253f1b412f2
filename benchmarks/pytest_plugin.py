"""The pytest plugin: what a suite pays that does not use it, and what an assertion costs one that does.

    python benchmarks/pytest_plugin.py

Start-up: `pytest` on one empty test, in processes of their own, in turn with and without gradproof installed (a wheel is
built for it, so that pytest scans what it would scan at the user's), medians of the paired differences of processor time,
which other work on the machine disturbs least; wall-clock time stands beside it. Per assertion: the same function and
gradient through the fixture's `assert_gradient` and, where torch is installed, through `torch.autograd.gradcheck`.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
PAIRS = 40
AIM_SECONDS = 0.005
SIZES = (10, 100, 1000)
# Both sides start without site-packages and are given one directory of links to what is installed.
START = """
import sys, time
sys.path += sys.argv[2:]
clocks = time.process_time(), time.perf_counter()
import pytest
code = pytest.main(["-q", "-p", "no:cacheprovider", sys.argv[1]])
print()
print(time.process_time() - clocks[0], time.perf_counter() - clocks[1], "_gradproof_pytest" in sys.modules)
sys.exit(code)
"""
SUITE = """
import statistics, time
import numpy as np, pytest

def cost(x):
    return np.sum(np.sin(x) * np.tanh(x))

def gradient(x):
    return np.cos(x) * np.tanh(x) + np.sin(x) / np.cosh(x) ** 2

@pytest.mark.parametrize("size", SIZES)
def test_it(gradproof, size):
    point = np.random.default_rng(0).standard_normal(size)
    times = []
    for _ in range(15):
        start = time.perf_counter()
        gradproof.assert_gradient(cost, point, gradient)
        times.append(time.perf_counter() - start)
    print("seconds", statistics.median(times))
"""


def build(directory):
    """Unpack this project's wheel: the package, the plugin and its entry point, as pip would install them."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", "--target", directory, str(ROOT)], check=True)


def links(directory, *sources):
    """Make a directory of links to what is installed here, gradproof apart, and to what is in other directories."""
    directory.mkdir()
    installed = Path(pytest.__file__).parents[1]
    for source in [path for folder in (installed, *sources) for path in folder.iterdir()]:
        is_ours = source.parent == installed and "gradproof" in source.name
        if not is_ours and source.suffix != ".pth" and source.name not in {"bin", "__pycache__"}:
            (directory / source.name).symlink_to(source)
    return directory


def start_up(test, directory):
    """Run the suite; return the seconds from the import of pytest to its end: of the processor, and of the clock."""
    command = [sys.executable, "-I", "-S", "-c", START, str(test), str(directory)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=test.parent)
    processor, clock, with_plugin = done.stdout.split()[-3:]
    assert with_plugin == str(directory.name == "with")
    return float(processor), float(clock)


def start_ups(folder):
    """Return an array of shape (pairs, without and with gradproof, processor and clock)."""
    installed, test = folder / "installed", folder / "suite" / "test_nothing.py"
    build(installed)
    sides = [links(folder / "without"), links(folder / "with", installed)]
    test.parent.mkdir()
    test.write_text("def test_nothing():\n    pass\n")
    for side in sides:  # pytest writes its caches of rewritten modules
        start_up(test, side)
    pairs = []
    for k in range(PAIRS):
        order = (0, 1) if k % 2 else (1, 0)
        pair = {side: start_up(test, sides[side]) for side in order}
        pairs.append([pair[0], pair[1]])
    return np.array(pairs)


def through_the_fixture(folder):
    """Run a suite whose tests time their assertions; return the medians by size."""
    test = folder / "test_assertions.py"
    test.write_text(SUITE.replace("SIZES", str(SIZES)))
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", str(test)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    return [float(line.split()[-1]) for line in done.stdout.splitlines() if "seconds " in line]


def through_torch(size, *, fast_mode):
    """Time torch's own check of the same function; None where torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    point = torch.tensor(np.random.default_rng(0).standard_normal(size), requires_grad=True)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        torch.autograd.gradcheck(lambda x: torch.sum(torch.sin(x) * torch.tanh(x)), (point,), fast_mode=fast_mode)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def spread(differences):
    low, middle, high = np.quantile(differences, [0.1, 0.5, 0.9]) * 1e3
    return f"{middle:.2f} ms ({low:.2f} … {high:.2f})"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        times = start_ups(Path(folder))
        ours = through_the_fixture(Path(folder))
    extra = times[:, 1] - times[:, 0]
    met = float(np.median(extra[:, 0])) <= AIM_SECONDS
    console = Console(width=110)
    table = Table("what", "processor", "clock", "aim", "met", title="a suite that does not use the plugin")
    table.add_row("without gradproof", *(f"{value * 1e3:.0f} ms" for value in np.median(times[:, 0], axis=0)), "", "")
    aim = f"≤ {AIM_SECONDS * 1e3:.0f} ms"
    table.add_row("with it, more by", spread(extra[:, 0]), spread(extra[:, 1]), aim, "yes" if met else "NO")
    console.print(table)
    table = Table("N", "assert_gradient", "gradcheck", "gradcheck, fast_mode", title="one assertion, right gradient")
    for size, seconds in zip(SIZES, ours, strict=True):
        row = (seconds, through_torch(size, fast_mode=False), through_torch(size, fast_mode=True))
        table.add_row(str(size), *("–" if value is None else f"{value * 1e3:.2f} ms" for value in row))
    console.print(table)
    if importlib.util.find_spec("torch") is None:
        console.print("torch is not installed here, so that torch.autograd.gradcheck was not measured.")
    console.print(
        f"medians (10 % … 90 %) of {PAIRS} pairs; Python {platform.python_version()}, pytest {pytest.__version__}, "
        f"{os.cpu_count()} cores, {platform.machine()}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
