"""The journal: what is kept, what goes on, what is refused; and a process that is killed while it checks."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from gradproof import JournalError, Report, UsageError, check_gradient
from gradproof._evaluation.journal import Journal, digest_of, name_of, read_runs
from gradproof._evaluation.site import Outcome

KILLS = int(os.environ.get("GRADPROOF_KILLS", "3"))
"""Times that the checking process is killed; twenty in a longer run."""
THETA = np.random.default_rng([5, 18]).standard_normal(40)
GRADIENT = np.sin(2 * THETA)


class Counted:
    """A cost that counts its calls."""

    def __init__(self, function=lambda w: float(np.sum(np.sin(w) ** 2))):
        self.function, self.calls = function, 0

    def __call__(self, w):
        self.calls += 1
        return self.function(w)


def check(cost, path, claimed=GRADIENT, point=THETA, **options):
    return timeless(check_gradient(cost, point, claimed, **{"seed": 3, "journal": path, **options}))


def timeless(report):
    return replace(report, seconds=0.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.sqlite"


def interrupted(path, calls, **options):
    """Check with a cost that gives up after so many calls, as a process that is killed does."""

    def dies(w):
        if cost.calls > calls:
            raise KeyboardInterrupt
        return float(np.sum(np.sin(w) ** 2))

    cost = Counted(dies)
    with pytest.raises(KeyboardInterrupt):
        check(cost, path, **options)


# --- going on ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["certificate", "coordinates", "auto"])
@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_a_check_that_was_interrupted_goes_on_to_the_same_report_and_repeats_the_point_only(path, strategy, factor):
    options = {"strategy": strategy, "claimed": factor * GRADIENT}
    whole = Counted()
    expected = timeless(check_gradient(whole, THETA, factor * GRADIENT, seed=3, strategy=strategy))
    interrupted(path, 9, **options)
    rest = Counted()
    assert check(rest, path, **options) == expected
    assert rest.calls == whole.calls - 9 + 1


def test_a_check_that_is_over_is_read_again_with_one_call(path):
    first, again = check(Counted(), path), Counted()
    assert check(again, path) == first
    assert again.calls == 1


def test_a_fresh_seed_is_the_journals_own_when_it_goes_on(path):
    first = check(Counted(), path, seed=None)
    assert check(Counted(), path, seed=None) == first


def test_several_points_are_several_runs(path):
    points = [THETA, THETA + 0.1, THETA - 0.2]
    gradient = lambda w: np.sin(2 * w)
    whole = Counted()
    expected = check(whole, path, gradient, None, points=points)
    assert [run.place for run in read_runs(path)] == [0, 1, 2]
    again = Counted()
    assert check(again, path, gradient, None, points=points) == expected
    assert again.calls == 3


def test_failures_are_values_too(path):
    def cost(w):
        if w[0] > THETA[0]:
            raise ValueError("outside")
        return float(np.sum(np.sin(w) ** 2)) if w[1] <= THETA[1] else np.nan

    first, again = check(Counted(cost), path), Counted(cost)
    assert check(again, path) == first
    assert again.calls == 1
    assert read_runs(path)[0].failed > 0


def test_a_random_cost_goes_on_by_what_was_recorded(path):
    rng = np.random.default_rng([1, 18])

    def cost(w):
        return float(np.sum(np.sin(w) ** 2)) + 1e-3 * rng.standard_normal()

    first, again = check(Counted(cost), path), Counted(cost)
    assert check(again, path) == first
    assert again.calls == 1


def test_what_another_displacement_was_recorded_for_is_not_believed(path):
    first = check(Counted(), path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE evaluation SET mark = x'00' WHERE step > 0")
        changed = connection.execute("SELECT count(*) FROM evaluation WHERE step > 0").fetchone()[0]
    connection.close()
    again = Counted()
    assert check(again, path) == first
    assert again.calls == 1 + changed


# --- what a journal belongs to ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"point": THETA + 1e-9}, "another point"),
        ({"claimed": GRADIENT + 1e-12}, "another claim"),
        ({"seed": 4}, "seed 4, there 3"),
        ({"tolerance": 1e-5}, "tolerance 1e-05, there None"),
        ({"budget": 500}, "budget 500, there None"),
        ({"strategy": "coordinates"}, "strategy coordinates, there auto"),
    ],
)
def test_another_checks_journal_is_refused_by_what_differs(path, change, said):
    check(Counted(), path)
    with pytest.raises(JournalError, match=said):
        check(Counted(), path, **change)


def test_another_cost_is_noticed_by_its_name_or_by_its_value_at_the_point(path):
    def cost(w):
        return float(np.sum(np.sin(w) ** 2))

    def other(w):
        return float(np.sum(np.sin(w) ** 2)) + 1e-3

    check(cost, path)
    with pytest.raises(JournalError, match="other, there"):
        check(other, path)
    other.__qualname__ = cost.__qualname__
    with pytest.raises(JournalError, match="value at the point"):
        check(other, path)


def test_a_cost_that_sums_in_another_order_is_the_same(path):
    shuffled = np.random.default_rng([2, 18]).permutation(THETA.size)
    first = check(Counted(), path)
    again = Counted(lambda w: float(np.sum((np.sin(w) ** 2)[shuffled])) * (1 + 2**-52))
    assert check(again, path) == first


def test_names_never_come_from_the_source():
    from functools import partial

    assert name_of(partial(np.sum, axis=0)) == "sum"
    assert name_of(Counted()) == "Counted"
    assert digest_of([THETA]) != digest_of([THETA + 1e-15])


# --- files that cannot be used ----------------------------------------------------------------------------------------


def test_two_processes_cannot_write_to_one_journal(path):
    journal = Journal(str(path))
    with pytest.raises(JournalError, match="another process is writing to it"):
        check(Counted(), path)
    journal.close()
    assert check(Counted(), path).verdict.name == "CORRECT"
    assert [file.name for file in path.parent.iterdir()] == ["run.sqlite"]


def test_a_lock_ends_with_its_process_however_it_ends(path):
    hold = "import sys; from gradproof._evaluation.journal import Journal; Journal(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline().strip() == b"1"
        with pytest.raises(JournalError, match="another process is writing to it"):
            check(Counted(), path)
        holder.kill()
    assert check(Counted(), path).verdict.name == "CORRECT"


def test_a_file_that_is_no_database_is_left_as_it_is(path):
    path.write_text("theta = [1, 2]\n" * 100)
    with pytest.raises(JournalError, match=r"not a database.*left as it is"):
        check(Counted(), path)
    assert path.read_text() == "theta = [1, 2]\n" * 100


def test_another_database_is_left_as_it_is(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    with pytest.raises(JournalError, match="no journal of gradproof"):
        check(Counted(), path)


def test_a_journal_of_another_version_is_not_guessed_at(path):
    check(Counted(), path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="a journal of version 99"):
        check(Counted(), path)
    with pytest.raises(JournalError, match="a journal of version 99"):
        read_runs(path)


def test_a_damaged_journal_says_so(path):
    check(Counted(), path, strategy="coordinates")
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(bytes(content))
    with pytest.raises(JournalError, match=r"malformed.*damaged"):
        check(Counted(), path, strategy="coordinates")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="the system's own permissions are at work")
def test_a_file_that_can_be_read_only_is_refused_before_the_first_call(path):
    check(Counted(), path)
    path.chmod(0o400)
    cost = Counted()
    with pytest.raises(JournalError, match="readonly"):
        check(cost, path)
    assert cost.calls == 0


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(JournalError, match=r"there is no directory .*missing"):
        check(Counted(), tmp_path / "missing" / "run.sqlite")


def test_a_full_disk_ends_the_check_and_loses_no_value(path, monkeypatch):
    expected = check(Counted(), path.with_name("whole.sqlite"), strategy="coordinates")
    prepare = Journal._prepare

    def small(journal):
        prepare(journal)
        pages = journal.connection.execute("PRAGMA page_count").fetchone()[0]
        journal.connection.execute(f"PRAGMA max_page_count = {pages + 1}")

    monkeypatch.setattr(Journal, "_prepare", small)
    cost = Counted()
    with pytest.raises(JournalError, match=r"disk is full.*Make room"):
        check(cost, path, strategy="coordinates")
    monkeypatch.undo()
    again = Counted()
    assert check(again, path, strategy="coordinates") == expected
    assert again.calls == expected.evaluations - (cost.calls - 2)  # the last value of all did not find its place


def test_what_is_no_path_is_refused():
    with pytest.raises(UsageError, match="journal is 7"):
        check(Counted(), 7)


# --- looking at it ----------------------------------------------------------------------------------------------------


def test_runs_are_read_while_one_is_going_on(path):
    seen = []

    def cost(w):
        seen.append(read_runs(path))
        return float(np.sum(np.sin(w) ** 2))

    check(Counted(cost), path)
    assert [runs[0].evaluations for runs in seen] == list(range(len(seen)))
    assert {runs[0].verdict for runs in seen} == {""}


def test_a_run_that_is_over_has_its_report(path):
    report = check(Counted(), path)
    (run,) = read_runs(path)
    assert timeless(Report.from_json(run.report)) == report
    assert (run.verdict, run.evaluations, run.failed) == ("CORRECT", report.evaluations, 0)
    assert run.seconds > 0
    assert json.loads(json.dumps(run.identity))["cost"] == "Counted"


def test_what_is_not_there_cannot_be_read(tmp_path):
    with pytest.raises(JournalError, match="there is no such file"):
        read_runs(tmp_path / "none.sqlite")


def test_slow_values_are_on_the_disk_before_the_next_is_asked_for(path):
    journal = Journal(str(path))
    run = journal.identified("check_gradient", 0, {"point": "p", "seed": 1})
    assert journal.execute("PRAGMA synchronous")[0] == 1
    run.base(np.array([1.0]), seconds=2.0)
    assert journal.execute("PRAGMA synchronous")[0] == 2
    run.record(b"key", "recipe", 0.5, Outcome(np.array([1.0, np.nan]), mark=b"m"))
    again = journal.identified("check_gradient", 0, {"point": "p", "seed": 1})
    assert again.recall(b"other") is None
    np.testing.assert_array_equal(again.recall(b"key").values, [1.0, np.nan])
    journal.close()


# --- kill -9 ----------------------------------------------------------------------------------------------------------

VICTIM = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from gradproof import check_gradient

journal, log, report, threads = sys.argv[1:5]
theta = np.random.default_rng([5, 18]).standard_normal(90)

def cost(w):
    time.sleep(0.002)
    with open(log, "a") as file:
        file.write(w.tobytes().hex() + "\\n")
    return float(np.sum(np.sin(w) ** 2) + abs(w[3] - theta[3]))

def run():
    claimed = np.sin(2 * theta)
    claimed[7] *= 1.5
    engine = ThreadPoolExecutor(int(threads)) if threads != "0" else None
    return check_gradient(cost, theta, claimed, seed=4, journal=None if journal == "-" else journal, engine=engine)

text = run().to_json()
open(report, "w").write(text)
"""


@pytest.mark.parametrize("threads", [0, 3])
def test_a_process_that_is_killed_at_random_moments_ends_with_the_very_same_report(tmp_path, threads):
    rng = np.random.default_rng([KILLS, 18])

    def start(journal, name, threads=threads):
        files = [str(tmp_path / f"{name}.{kind}") for kind in ("log", "json")]
        return subprocess.Popen([sys.executable, "-c", VICTIM, journal, *files, str(threads)])

    def read(name):
        return timeless(Report.from_json((tmp_path / f"{name}.json").read_text()))

    def calls(name):
        log = tmp_path / f"{name}.log"
        return log.read_text().split() if log.exists() else []

    assert start("-", "whole", 0).wait() == 0
    whole = calls("whole")
    killed = 0
    for _ in range(KILLS):
        process, before = start(str(tmp_path / "run.sqlite"), "killed"), len(calls("killed"))
        # A point of the run's own progress, then some part of the next calls: in a call, in a commit, or between them.
        target = before + max(len(whole) // (KILLS + 2) - 3, 1)
        while len(calls("killed")) < target and process.poll() is None:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.006)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed > KILLS / 2
    assert start(str(tmp_path / "run.sqlite"), "killed").wait() == 0
    assert read("killed") == read("whole")
    assert set(calls("killed")) >= set(whole)
    if not threads:  # every start calls at the point; a kill loses the call that it interrupts, at most
        assert len(whole) + KILLS <= len(calls("killed")) <= len(whole) + KILLS + killed
        assert set(calls("killed")) == set(whole)
