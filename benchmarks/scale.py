"""Measures evaluation at once and the journal: efficiency, calls' time of a certificate, what travels, what is kept.

    python benchmarks/scale.py            all of it, some 60 s
    python benchmarks/scale.py --kills 20 besides, twenty kills of a checking process (tests/unit/evaluation/test_journal.py)

Costs sleep: what is measured is this project's own part, not that of the processors. It exits with 1 where an aim is missed.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import gradproof
from gradproof._evaluation.journal import Journal
from gradproof._evaluation.site import Outcome
from gradproof._words.events import Failed

THETA = np.random.default_rng([1, 18]).standard_normal(96)
AIMS: list[tuple[str, float, str, float]] = []


def aim(what: str, found: float, sign: str, wanted: float, unit: str = "") -> None:
    """Print one figure beside what it aims at, and keep it."""
    met = found >= wanted if sign == "≥" else found <= wanted
    AIMS.append((what, found, sign, wanted))
    print(f"  {what:<66} {found:8.3g} {unit:<10} {sign} {wanted:g} {'' if met else 'MISSED'}")


def sleeping(seconds: float):
    """Return a cost that sleeps; any worker can be sent it."""

    def cost(w):
        import time

        import numpy as np

        time.sleep(seconds)
        return float(np.sum(np.sin(w) ** 2))

    return cost


def check(cost, point=THETA, **options):
    """Check a right gradient."""
    return gradproof.check_gradient(cost, point, np.sin(2 * point), **{"seed": 3, **options})


def timed(call):
    """Return what a call gives, and how long it took."""
    started = time.perf_counter()
    return call(), time.perf_counter() - started


def same(one, other) -> bool:
    """Say whether two reports are one, but for the seconds that they took."""
    return replace(one, seconds=0.0) == replace(other, seconds=0.0)


def efficiency() -> None:
    """Two local processes, a cost of 50 ms, some 200 evaluations: with their start, and where they run already."""
    print("two local workers, a cost of 50 ms")
    serial = check(sleeping(0.0), strategy="coordinates")
    report, whole = timed(lambda: check(sleeping(0.05), strategy="coordinates", workers=2))
    assert same(report, serial)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as engine:
        check(sleeping(0.0), engine=engine)
        report, running = timed(lambda: check(sleeping(0.05), strategy="coordinates", engine=engine))
    assert same(report, serial)
    ideal = report.evaluations * 0.05 / 2
    print(
        f"    {report.evaluations} evaluations, ideally in {ideal:.2f} s: {running:.2f} s, with the start {whole:.2f} s"
    )
    aim("efficiency of workers that run", ideal / running, "≥", 0.9)


def certificate() -> None:
    """The wall time of a certificate in calls of a cost of 1 s, with eight threads."""
    print("a certificate with eight workers, a cost of 1 s")
    longest = 0.0
    for size in (50, 300, 3000, 30_000):
        point = np.random.default_rng([size, 18]).standard_normal(size)
        serial = check(sleeping(0.0), point, strategy="certificate")
        with ThreadPoolExecutor(8) as engine:
            report, seconds = timed(lambda: check(sleeping(1.0), point, strategy="certificate", engine=engine))  # noqa: B023
        assert same(report, serial)
        print(f"    {size:>7} parameters: {report.evaluations} evaluations in {seconds:.2f} s")
        longest = max(longest, seconds)
    aim("calls' time, the longest of them", longest, "≤", 3.2)


class Weighing(Executor):
    """Threads that weigh what they are given, as if it had to travel."""

    def __init__(self) -> None:
        self.threads, self.bytes = ThreadPoolExecutor(1), []

    def submit(self, function, *arguments):
        self.bytes.append(len(pickle.dumps((function, arguments))))
        return self.threads.submit(function, *arguments)


def traffic() -> None:
    """Bytes that go to a worker for an evaluation, whatever the size of the problem."""
    print("what travels")
    engine = Weighing()
    check(sleeping(0.0), np.random.default_rng([2, 18]).standard_normal(1_000_000), engine=engine)
    aim("bytes a call, 10⁶ parameters", max(engine.bytes), "≤", 2048, "bytes")


def journal() -> None:
    """Milliseconds that a journal adds to an evaluation, and to one that is taken from it."""
    print("the journal")
    with tempfile.TemporaryDirectory() as folder:
        run = Journal(f"{folder}/run.sqlite").identified("check_gradient", 0, {"point": "", "seed": 0})
        run.base(np.ones(1), 0.0)
        outcome = Outcome(np.ones(1), mark=b"12345678")
        keys = [k.to_bytes(16, "big") for k in range(2000)]
        _, seconds = timed(lambda: [run.record(key, "recipe", 0.5, outcome) for key in keys])
        aim("to keep one value", seconds / len(keys) * 1e3, "≤", 1.0, "ms")
        run.base(np.ones(1), 2.0)
        _, seconds = timed(lambda: [run.record(key, "recipe", 0.5, outcome) for key in keys[:100]])
        aim("to keep one value that survives a loss of power", seconds / 100 * 1e3, "≤", 20.0, "ms")
        without, before = timed(lambda: check(sleeping(0.0), strategy="coordinates"))
        kept = f"{folder}/check.sqlite"
        report, seconds = timed(lambda: check(sleeping(0.0), strategy="coordinates", journal=kept))
        assert same(report, without)
        aim("added to an evaluation of a whole check", (seconds - before) / report.evaluations * 1e3, "≤", 1.0, "ms")


class Cluster(Executor):
    """Sixty-four threads in the place of machines: some dawdle, and one call in twenty is lost."""

    def __init__(self, seconds: float) -> None:
        self.threads, self.seconds = ThreadPoolExecutor(64), seconds
        self.rng, self.lost, self.busy = np.random.default_rng([3, 18]), 0, 0.0
        self._max_workers = 64

    def submit(self, function, *arguments):
        pause = self.seconds * (1 + self.rng.exponential(0.2))
        fails = len(arguments) == 4 and self.rng.random() < 0.05
        self.lost += fails

        def work():
            time.sleep(pause)
            if fails:
                raise OSError("the node is gone")
            return function(*arguments)

        self.busy += pause
        future: Future = self.threads.submit(work)
        return future


def cluster() -> None:
    """What is left of the ideal throughput with stragglers and failures."""
    print("a simulated cluster: 64 workers, stragglers, 5 % of the calls lost")
    point = np.random.default_rng([4, 18]).standard_normal(1000)
    serial = check(sleeping(0.0), point, strategy="coordinates")
    engine, gone = Cluster(0.2), []

    def observer(event) -> None:
        gone.extend([event] if isinstance(event, Failed) else [])

    options = {"strategy": "coordinates", "engine": engine, "observer": observer}
    report, seconds = timed(lambda: check(sleeping(0.0), point, **options))
    # A call is lost three times in a row, and for good, once in 8000 calls.
    assert gone or same(report, serial)
    assert report.verdict is serial.verdict
    print(
        f"    {report.evaluations} evaluations, {engine.lost} lost and made again, {len(gone)} for good, {seconds:.1f} s"
    )
    aim("share of the time in which the workers are busy", engine.busy / 64 / seconds, "≥", 0.8)


def kills(count: int) -> None:
    """Kill a checking process at random moments, and compare the report at the end."""
    test = Path(__file__).parents[1] / "tests/unit/evaluation/test_journal.py"
    command = [sys.executable, "-m", "pytest", "-q", str(test), "-k", "killed"]
    done = subprocess.run(command, check=False, env={**os.environ, "GRADPROOF_KILLS": str(count)})
    aim(f"resumed to the identical report after {count} kills", float(done.returncode == 0), "≥", 1.0)


def main() -> int:
    """Measure, and say whether the aims are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=0, metavar="N")
    asked = parser.parse_args()
    check(sleeping(0.0))  # what is imported once
    efficiency()
    certificate()
    traffic()
    journal()
    cluster()
    if asked.kills:
        kills(asked.kills)
    missed = [what for what, found, sign, wanted in AIMS if not (found >= wanted if sign == "≥" else found <= wanted)]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
