"""A real Dask cluster, of processes: its report is the serial one, though its workers are killed while they evaluate."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("distributed")

SCRIPT = """
import os, signal
from dataclasses import replace

import numpy as np
from distributed import Client, LocalCluster

import gradproof
from gradproof._words.events import Evaluated


def main():
    theta = np.random.default_rng([9, 18]).standard_normal(60)

    def cost(w):
        import time

        time.sleep(0.005)
        return float(np.sum(np.sin(w) ** 2))

    def check(**options):
        report = gradproof.check_gradient(cost, theta, np.sin(2 * theta), seed=3, strategy="coordinates", **options)
        return replace(report, seconds=0.0)

    expected, killed = check(), []
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        pids = list(client.run(os.getpid).values())

        def observer(event):
            # First one of those that have the problem, and later the only one that has had it from the start.
            if isinstance(event, Evaluated) and event.evaluations in (30, 80):
                killed.append(pids.pop())
                os.kill(killed[-1], signal.SIGKILL)

        report = check(engine=client.get_executor(pure=False), timeout=60, observer=observer)
    print(len(killed), report == expected)


if __name__ == "__main__":
    main()
"""


def test_workers_that_are_killed_in_mid_run_change_nothing(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(script)], check=False, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["2", "True"], done.stderr
