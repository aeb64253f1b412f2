"""Workers: the report is the serial one, whoever evaluates, in whatever order, and whatever happens to them."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest

from gradproof import UsageError, Verdict, WorkersLost, check_gradient
from gradproof._evaluation.journal import read_runs
from gradproof._evaluation.workers import RETRIES, Workers
from gradproof._words.events import Failed

THETA = np.random.default_rng([6, 18]).standard_normal(30)


def make_cost(*, fails_above=None):
    """Return a cost that every worker can be sent: it refers to nothing of this module."""

    def cost(w):
        import numpy as np

        if fails_above is not None and w[0] > fails_above:
            raise ValueError("w[0] is too large")
        return float(np.sum(np.sin(w) ** 2))

    return cost


def claimed(factor=1.0):
    return factor * np.sin(2 * THETA)


def check(cost, gradient=None, **options):
    options = {"seed": 3, "strategy": "certificate", **options}
    return replace(check_gradient(cost, THETA, claimed() if gradient is None else gradient, **options), seconds=0.0)


CASES = [
    pytest.param({"strategy": "certificate"}, 1.0, id="right"),
    pytest.param({"strategy": "auto"}, 1.0, id="every coordinate"),
    pytest.param({"strategy": "auto"}, 1.5, id="wrong"),
    pytest.param({"strategy": "coordinates", "budget": 40}, 1.0, id="the budget ends"),
]


# --- the same report --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "factor"), CASES)
def test_threads_that_answer_in_any_order_give_the_serial_report(options, factor):
    rng, lock = np.random.default_rng([7, 18]), threading.Lock()
    cost = make_cost()

    def dawdling(w):
        with lock:
            pause = rng.random() * 0.004
        time.sleep(pause)
        return cost(w)

    with ThreadPoolExecutor(8) as engine:
        assert check(dawdling, claimed(factor), engine=engine, **options) == check(cost, claimed(factor), **options)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_give_the_serial_report(method):
    if method not in __import__("multiprocessing").get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    if method == "fork" and {"jax", "torch"} & sys.modules.keys():
        pytest.skip("a framework's threads are running: a fork of them may hang, and JAX warns of it")
    with ProcessPoolExecutor(2, mp_context=get_context(method)) as engine:
        for case in CASES[1:3]:
            options, factor = case.values
            expected = check(make_cost(), claimed(factor), **options)
            assert check(make_cost(), claimed(factor), engine=engine, **options) == expected


def test_processes_of_our_own_give_the_serial_report():
    assert check(make_cost(), claimed(1.5), workers=2) == check(make_cost(), claimed(1.5))


def test_a_map_gives_the_serial_report():
    with ThreadPoolExecutor(4) as threads:
        assert check(make_cost(), workers=threads.map) == check(make_cost())
    assert check(make_cost(), workers=map) == check(make_cost())


def test_what_the_cost_raises_gives_the_serial_report():
    cost = make_cost(fails_above=THETA[0])
    with ThreadPoolExecutor(4) as engine:
        report = check(cost, engine=engine, strategy="auto")
    assert report == check(cost, strategy="auto")


def test_several_points_are_sent_one_after_the_other():
    points = [THETA, THETA + 0.1]

    def gradient(w):
        return np.sin(2 * w)

    options = {"points": points, "seed": 1}
    expected = replace(check_gradient(make_cost(), None, gradient, **options), seconds=0.0)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as engine:
        report = replace(check_gradient(make_cost(), None, gradient, engine=engine, **options), seconds=0.0)
    assert report == expected


# --- how it travels ---------------------------------------------------------------------------------------------------


class Watched(Executor):
    """Threads that pretend to be elsewhere: what they get is pickled, and weighed."""

    def __init__(self):
        self.threads, self.bytes, self.shipments = ThreadPoolExecutor(2), [], 0
        self._max_workers = 2

    def submit(self, function, *arguments):
        if len(arguments) == 4:
            self.bytes.append(len(pickle.dumps(arguments)))
            self.shipments += arguments[1] is not None
        return self.threads.submit(function, *arguments)


def test_recipes_travel_and_no_vectors():
    engine = Watched()
    report = check(make_cost(), engine=engine)
    engine.threads.shutdown()
    assert len(engine.bytes) >= report.evaluations - 1
    assert max(engine.bytes) < 400
    assert engine.shipments == 0  # threads know the problem already


def test_the_problem_is_sent_once_to_each_worker():
    pool = ProcessPoolExecutor(2, mp_context=get_context("spawn"))
    sent = []

    class Counting(Executor):
        _max_workers = 2

        def submit(self, function, *arguments):
            sent.append(any(isinstance(argument, bytes) for argument in arguments))
            return pool.submit(function, *arguments)

    check(make_cost(), engine=Counting(), strategy="coordinates")
    pool.shutdown()
    assert 1 <= sum(sent) <= 3  # to see that it can be taken, and to a worker that has not seen it yet
    assert len(sent) > 60


def test_all_points_of_a_line_are_evaluated_at_once():
    together, turn, lock = threading.Barrier(6), [], threading.Lock()

    def cost(w):
        with lock:
            turn.append(1)
            first = 1 < len(turn) <= 7  # after the point itself
        if first:
            together.wait(timeout=20)
        return float(np.sum(w**2))

    with ThreadPoolExecutor(8) as engine:
        check(cost, 2 * THETA, engine=engine)
    assert not together.broken


def test_where_a_budget_is_given_nothing_is_evaluated_that_is_not_asked_for():
    calls = []

    def cost(w):
        calls.append(1)
        return float(np.sum(np.sin(w) ** 2))

    with ThreadPoolExecutor(8) as engine:
        report = check(cost, engine=engine, budget=100)
        assert len(calls) == report.evaluations
        calls.clear()
        report = check(cost, engine=engine)
    assert report.evaluations <= len(calls) <= report.evaluations + 8


# --- faults -----------------------------------------------------------------------------------------------------------


def once(path, what):
    """Return a cost that does something terrible the first time that it is asked away from the point."""

    theta = THETA.copy()

    def cost(w):
        import os
        import time

        import numpy as np

        if not np.array_equal(w, theta):
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                if what == "dies":
                    os._exit(1)
                if what == "hangs":
                    time.sleep(600)
                if what == "raises":
                    raise OSError("the licence server is away")
                return float("nan")
        return float(np.sum(np.sin(w) ** 2))

    return cost


@pytest.mark.parametrize("what", ["dies", "hangs", "raises", "returns nan"])
def test_a_worker_that_fails_once_changes_nothing(tmp_path, what):
    report = check(once(str(tmp_path / "flag"), what), workers=2, timeout=2.0)
    assert (tmp_path / "flag").exists()
    assert report == check(make_cost())


def test_of_the_calls_that_wait_none_is_blamed_for_pools_that_break(tmp_path, monkeypatch):
    alone, send_alone = [], Workers._send_alone
    monkeypatch.setattr(Workers, "_send_alone", lambda self, key: alone.append(key) or send_alone(self, key))
    first, second = (once(str(tmp_path / name), "dies") for name in ("one", "two"))
    cost = lambda w: first(w) * 0 + second(w)
    assert check(cost, workers=2, strategy="coordinates") == check(make_cost(), strategy="coordinates")
    assert (tmp_path / "two").exists()
    assert len(alone) <= 2 * 2  # of some sixty that were on their way


def test_an_engine_that_is_shut_down_is_named():
    engine = ThreadPoolExecutor(1)
    engine.shutdown()
    with pytest.raises(WorkersLost, match=r"after shutdown.*not shut down"):
        check(make_cost(), engine=engine)


def test_a_pool_of_the_users_that_breaks_is_made_anew(tmp_path):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as engine:
        assert check(once(str(tmp_path / "flag"), "dies"), engine=engine) == check(make_cost())
        assert (tmp_path / "flag").exists()


def always(path, what):
    """Return a cost that does something terrible at one displaced point, each time, and leaves a line."""

    theta = THETA.copy()

    def cost(w):
        import os
        import time
        from pathlib import Path

        import numpy as np

        if not np.array_equal(w, theta):
            with Path(path).open("a+") as file:
                file.seek(0)
                if file.readline().strip() in {"", w.tobytes().hex()}:
                    file.write(w.tobytes().hex() + "\n")
                    file.close()
                    if what == "dies":
                        os._exit(1)
                    time.sleep(600)
        return float(np.sum(np.sin(w) ** 2))

    return cost


@pytest.mark.parametrize("what", ["dies", "hangs"])
def test_a_call_that_ends_its_worker_each_time_is_a_failed_evaluation_that_is_named(tmp_path, what):
    log, seen = tmp_path / "log", []
    cost = always(str(log), what)
    report = check(cost, workers=2, timeout=60 if what == "dies" else 1.5, budget=40, observer=seen.append)
    points = log.read_text().split()
    assert len(points) == RETRIES + 1
    assert len(set(points)) == 1
    assert report.verdict is Verdict.CORRECT
    (failed,) = [event for event in seen if isinstance(event, Failed)]
    assert f"lost {RETRIES + 1} times" in failed.error
    assert failed.trace == ""
    assert failed.step != 0
    assert (
        "1 call of the cost came to nothing, as workers died or hung: the verdict rests on the others." in report.notes
    )


def test_the_workers_traceback_is_told_as_text():
    seen = []
    check(make_cost(fails_above=THETA[0]), workers=1, strategy="coordinates", observer=seen.append)
    failed = [event for event in seen if isinstance(event, Failed)]
    assert failed
    assert all("Traceback" in event.trace and "in cost" in event.trace for event in failed)
    assert failed[0].error == "ValueError: w[0] is too large"


class Dying(Executor):
    """A pool of an unknown kind that breaks."""

    def __init__(self, calls):
        self.left = calls

    def submit(self, function, *arguments):
        future = Future()
        self.left -= 1
        if self.left < 0:
            future.set_exception(BrokenExecutor("a node is gone"))
        else:
            future.set_result(function(*arguments))
        return future


def test_a_pool_that_only_its_owner_can_renew_says_so_and_the_journal_keeps_what_arrived(tmp_path):
    path = tmp_path / "run.sqlite"
    with pytest.raises(WorkersLost, match=r"a node is gone.*only its owner"):
        check(make_cost(), engine=Dying(5), journal=path)
    assert read_runs(path)[0].evaluations == 1 + 4
    assert check(make_cost(), engine=Dying(10**6), journal=path) == check(make_cost())


def test_a_pool_that_is_broken_from_the_start_says_so_before_any_call():
    calls = []
    with pytest.raises(WorkersLost, match="die before the first call"):
        check(lambda w: calls.append(1) or 0.0, engine=Dying(0))
    assert calls == []


def test_a_submission_that_is_refused_is_a_pool_that_breaks():
    class Refusing(Dying):
        def submit(self, function, *arguments):
            if self.left <= 0:
                raise BrokenExecutor("it is shut")
            return super().submit(function, *arguments)

    with pytest.raises(WorkersLost, match="it is shut"):
        check(make_cost(), engine=Refusing(5))


def test_an_error_of_the_map_itself_is_a_lost_worker():
    calls = []

    def mapping(function, items):
        calls.append(1)
        if len(calls) == 3:
            raise OSError("a node is gone")
        return map(function, items)

    assert check(make_cost(), workers=mapping) == check(make_cost())
    assert len(calls) > 3


def test_one_call_that_a_map_cannot_make_fails_alone():
    bad = []

    def mapping(function, items):
        for item in items:
            step = item[1][-1]
            if not bad and isinstance(step, float) and step != 0:
                bad.append(step)
            if bad and step == bad[0]:
                raise OSError("this one breaks the node")
        return [function(item) for item in items]

    seen = []
    report = check(make_cost(), workers=mapping, strategy="coordinates", observer=seen.append)
    assert report.verdict is Verdict.CORRECT
    (failed,) = [event for event in seen if isinstance(event, Failed)]
    assert failed.step == bad[0]
    assert "this one breaks the node" in failed.error


# --- what cannot be sent ----------------------------------------------------------------------------------------------


def holding(thing):
    def cost(w):
        return float(np.sum(w**2)) if thing else 0.0

    return cost


def test_a_cost_that_cannot_be_pickled_is_named_before_any_call():
    calls = []
    lock = threading.Lock()

    def cost(w):
        calls.append(lock)
        return 0.0

    with pytest.raises(UsageError, match=r"^cost: it cannot be pickled: .*lock.*ThreadPoolExecutor"):
        check(cost, workers=1)
    assert calls == []


def test_without_cloudpickle_a_function_within_a_function_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as engine,
        pytest.raises(UsageError, match=r"cost: it cannot be pickled: .*local object.*pip install cloudpickle"),
    ):
        check(make_cost(), engine=engine)


def test_a_cost_that_a_worker_cannot_import_is_refused_with_what_it_says(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def cost(w):\n    return float(w @ w)\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    (tmp_path / "only_here.py").unlink()
    with pytest.raises(UsageError, match=r"a worker cannot take the problem: ModuleNotFoundError: .*only_here"):
        check(only_here.cost, 2 * THETA, workers=1)
    del sys.modules["only_here"]


def test_a_claim_stays_at_home():
    lock = threading.Lock()

    def gradient(w):
        with lock:
            return np.sin(2 * w)

    assert check(make_cost(), gradient, workers=1).verdict is Verdict.CORRECT


def test_a_cost_that_returns_its_gradient_is_sent_as_such():
    def both(w):
        import numpy as np

        return float(np.sum(np.sin(w) ** 2)), np.sin(2 * w)

    assert check(both, True, workers=1) == check(both, True)


# --- what is asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "threads"}, "engine is str.*ThreadPoolExecutor"),
        ({"workers": 0}, "workers is 0"),
        ({"workers": True}, "workers is True"),
        ({"workers": 2.5}, "workers is 2.5"),
        ({"workers": 2, "engine": Dying(1)}, "engine and workers"),
        ({"workers": 2, "timeout": 0}, "timeout is 0"),
        ({"workers": 2, "timeout": "1 h"}, "timeout is '1 h'"),
        ({"timeout": 5.0}, "no workers have one"),
        ({"workers": map, "timeout": 5.0}, "no workers have one"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_call(options, said):
    calls = []
    with pytest.raises(UsageError, match=said):
        check(lambda w: calls.append(1) or 0.0, **options)
    assert calls == []


def test_a_script_without_a_main_part_is_told_what_to_do(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nsys.modules['loky'] = None\nimport numpy as np\nimport gradproof\n"
        "print(gradproof.check_gradient(lambda w: float(w @ w), np.ones(3), 2 * np.ones(3), workers=1, seed=0))\n"
    )
    done = subprocess.run([sys.executable, str(script)], check=False, capture_output=True, text=True)
    assert 'if __name__ == "__main__":' in done.stderr
