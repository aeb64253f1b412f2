"""A whole run: the file of reports, JUnit properties, the summary, several workers, hostile names."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest

import _gradproof_pytest as plugin
from gradproof import Report, Verdict
from gradproof.reports._comparison import read

pytest_plugins = ["pytester"]

THREE = """
    def test_right(gradproof):
        gradproof.assert_gradient(cost, point, RIGHT)

    def test_wrong(gradproof):
        gradproof.assert_gradient(cost, point, RIGHT)
        gradproof.assert_gradient(cost, point, WRONG)

    @pytest.mark.parametrize("name", ["a", "b"])
    def test_many(gradproof, name):
        gradproof.assert_gradient(cost, point, RIGHT)

    def test_without():
        pass
"""
SUMMARY = "gradproof: 4 certified, 1 wrong, 0 undecided"


def options(workers):
    return ("-n", "2") if workers == "two workers" else ()


@pytest.mark.parametrize("workers", ["serial", "two workers"])
def test_a_run_leaves_one_file_with_every_report_and_junit_s_properties(suite, workers):
    suite.write(THREE)
    result = suite.run("--junitxml", "junit.xml", *options(workers))
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*- gradproof -*", "WRONG: *", SUMMARY, f"gradproof: reports in *{'reports.json'}'"])
    found = sorted(
        (check["test"].partition("::")[2], check["number"], check["report"]["verdict"]) for check in suite.checks()
    )
    assert found == [
        ("test_many[a]", 1, "CORRECT"),
        ("test_many[b]", 1, "CORRECT"),
        ("test_right", 1, "CORRECT"),
        ("test_wrong", 1, "CORRECT"),
        ("test_wrong", 2, "WRONG"),
    ]
    (wrong,) = [check for check in suite.checks() if check["report"]["verdict"] == "WRONG"]
    assert wrong["assertion"] == "assert_gradient"
    assert wrong["line"].startswith("test_network.py:")
    assert [path.name for path in suite.pytester.path.glob(".gradproof*")] == []
    reports = read(suite.reports_path.read_text(encoding="utf-8"))
    assert reports["test_network.py::test_wrong (assertion 2)"].faulty == ("w",)
    assert suite.seeds() == {test: plugin._seed(test) for test in suite.seeds()}  # in whatever process it ran
    junit(suite)


def junit(suite):
    """The properties are those of the test's worst check, each once."""
    cases = {case.get("name"): case for case in ET.parse(suite.pytester.path / "junit.xml").iter("testcase")}
    properties = [(node.get("name"), node.get("value")) for node in cases["test_wrong"].iter("property")]
    found = dict(properties)
    assert len(found) == len(properties)
    assert found["gradproof_verdict"] == "WRONG"
    assert found["gradproof_faulty"] == "w"
    assert found["gradproof_checks"] == "2"
    assert 0 < float(found["gradproof_difference"]) < 1
    assert int(found["gradproof_seed"]) == suite.seeds()["test_network.py::test_wrong"]
    assert not list(cases["test_without"].iter("property"))
    assert "replay: gradproof.check_gradient" in cases["test_wrong"].find("failure").text


def test_a_group_of_xdist_changes_neither_the_seed_nor_the_name(suite):
    suite.write("""
        @pytest.mark.xdist_group("together")
        def test_it(gradproof):
            gradproof.assert_gradient(cost, point, RIGHT)
    """)
    suite.run()
    alone = suite.seeds()
    suite.run("-n", "1", "--dist", "loadgroup").assert_outcomes(passed=1)
    assert list(alone) == ["test_network.py::test_it"]
    assert suite.seeds() == alone


@pytest.mark.parametrize(
    ("given", "groups", "test"),
    [
        ("test_it@b_a", [], "test_it@b_a"),
        ("test_it@a_b", [pytest.mark.xdist_group("b"), pytest.mark.xdist_group(name="a")], "test_it"),
        ("test_it[x@a]", [pytest.mark.xdist_group("a")], "test_it[x@a]"),
        ("test_it@default", [pytest.mark.xdist_group], "test_it"),
    ],
)
def test_only_the_groups_of_a_test_are_taken_off_its_id(given, groups, test):
    item = SimpleNamespace(nodeid=given, iter_markers=lambda name: [group.mark for group in groups])
    assert plugin._test_id(item) == test


def test_a_worker_that_is_lost_takes_no_report_with_it(suite):
    suite.write("""
        def test_first(gradproof):
            gradproof.assert_gradient(cost, point, RIGHT)

        def test_last():
            import os
            os._exit(1)
    """)
    suite.run("-n", "1").assert_outcomes(passed=1, failed=1)
    assert list(suite.seeds()) == ["test_network.py::test_first"]


def test_directories_with_conftests_of_their_own_are_no_trouble(suite):
    for name in ("first", "second"):
        directory = suite.pytester.mkdir(name)
        (directory / "conftest.py").write_text("def pytest_runtest_setup(item): pass\n")
        (directory / f"test_{name}.py").write_text(
            "def test_it(gradproof):\n    gradproof.assert_gradient(abs, 1.0, 1.0)\n"
        )
    suite.run().assert_outcomes(passed=2)
    assert list(suite.seeds()) == ["first/test_first.py::test_it", "second/test_second.py::test_it"]


def test_without_a_check_there_is_no_summary_and_the_file_is_empty(suite):
    suite.write("def test_it(gradproof): pass")
    result = suite.run()
    result.stdout.no_fnmatch_line("gradproof: * certified*")
    assert suite.checks() == []


def test_collecting_alone_leaves_the_file_of_the_last_run(suite):
    suite.write(THREE)
    suite.reports_path.write_text("of yesterday")
    suite.run("--collect-only")
    assert suite.reports_path.read_text() == "of yesterday"


def test_a_test_that_was_misspelt_leaves_the_file_of_the_last_run(suite):
    suite.write(THREE)
    suite.reports_path.write_text("of yesterday")
    assert suite.run("test_network.py::test_nothing").ret == pytest.ExitCode.USAGE_ERROR
    assert suite.reports_path.read_text() == "of yesterday"


def test_examples_of_hypothesis_count_once_and_the_last_of_the_worst_is_kept(suite):
    suite.write("""
        from hypothesis import given, settings, strategies as st

        @settings(derandomize=True, database=None, max_examples=20, deadline=None)
        @given(st.floats(-5, 5))
        def test_it(gradproof, x):
            gradproof.assert_gradient(np.sin, x, np.cos(x) if x < 2 else 0.5)
    """)
    result = suite.run("-W", "default")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E *WRONG: *", "*x=2.0*", "*- gradproof -*", "gradproof: 0 certified, 1 wrong, 0 undecided"]
    )
    (check,) = suite.checks()
    assert check["calls"] > 5
    report = Report.from_json(json.dumps(check["report"]))
    assert report.cost == pytest.approx(0.9092974268256817)  # sin 2, at the smallest failing example
    result.stdout.fnmatch_lines([f"*seed={report.seed}*"])


@pytest.mark.parametrize(
    ("listed", "kept"),
    [
        ([plugin.__file__ + ":7", "/x/site-packages/scipy/a.py:1", "(and 73 more)"], []),
        (["/home/me/network.py:12", plugin.__file__ + ":7"], ["/home/me/network.py:12"]),
    ],
)
def test_of_the_lines_that_hypothesis_explains_by_only_the_user_s_are_kept(listed, kept):
    error = AssertionError()
    head = ["Explanation:", "    These lines were always and only run by failing test cases:"]
    error.__notes__ = ["Failing test case: f()", *head, *(f"        {line}" for line in listed), "You can reproduce"]
    plugin._drop_explanations(error)
    assert error.__notes__ == [
        "Failing test case: f()",
        *(head if kept else []),
        *(f"        {line}" for line in kept),
        "You can reproduce",
    ]


def test_an_undecided_example_of_hypothesis_is_passed_over_where_a_skip_is_wanted(suite):
    suite.write("""
        from hypothesis import given, settings, strategies as st

        seen = []

        @settings(derandomize=True, database=None, max_examples=10, deadline=None)
        @given(st.integers(0, 5))
        def test_it(gradproof, n):
            generator = np.random.default_rng(n)
            noise = 0.0 if n else 1e-3
            gradproof.assert_gradient(
                lambda p: cost(p) + noise * generator.standard_normal(), point, RIGHT, tolerance=1e-6, inconclusive="skip"
            )
            seen.append(n)

        def test_others_were_seen():
            assert set(seen) == {1, 2, 3, 4, 5}
    """)
    result = suite.run("-W", "default")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["gradproof: 1 certified, 0 wrong, 0 undecided"])


def test_a_test_that_is_run_again_is_reported_by_its_last_run(suite):
    suite.pytester.makeconftest("""
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            for _ in range(2):
                reports = runtestprotocol(item, nextitem=nextitem, log=False)
                item._initrequest()
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
            return True
    """)
    suite.write("""
        runs = []

        def test_it(gradproof):
            runs.append(1)
            gradproof.assert_gradient(cost, point, WRONG if len(runs) == 1 else RIGHT)
    """)
    result = suite.run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["gradproof: 1 certified, 0 wrong, 0 undecided"])


# --- hostile names ----------------------------------------------------------------------------------------------------

HOSTILE = """
    IDS = ['quo"te\\'s', "new\\nline", "x" * 10_000, "\\u05d0\\u05d1\\u202eabc", "\\x1b[31mred", "]]>&<", "\\U0001f600"]
    NAMES = ['quo"te\\'s', "new\\nline", "x" * 10_000, "\\u05d0\\u05d1\\u202eabc", "\\x1b[31mred", "]]>&<", "\\udc80"]

    @pytest.mark.parametrize("name", NAMES, ids=IDS)
    def test_it(gradproof, name):
        gradproof.assert_gradient(lambda p: float(p[name] @ p[name]), {name: np.ones(2)}, {name: np.ones(2)})
"""


@pytest.mark.parametrize(("workers", "ids"), [("serial", "escaped"), ("serial", "raw"), ("two workers", "raw")])
def test_hostile_names_in_ids_and_blocks_are_no_trouble(suite, workers, ids):
    suite.write(HOSTILE)
    if ids == "raw":
        suite.pytester.makeini(
            "[pytest]\ndisable_test_id_escaping_and_forfeit_all_rights_to_community_support = true\n"
        )
    result = suite.run("--junitxml", "junit.xml", *options(workers))
    result.assert_outcomes(failed=7)
    sections = result.stdout.str().split(" gradproof -")[1:]
    assert len(sections) == 7
    for section in sections:
        page = section.partition("\n")[2].partition("The seed comes")[0]
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert "\u05d0" not in page
        assert max(map(len, page.splitlines())) <= 80
    assert len(suite.checks()) == 7
    assert len(set(suite.seeds().values())) == 7
    names = [check["report"]["blocks"][0]["name"] for check in suite.checks()]
    assert max(map(len, names)) == 10_000
    assert (
        sorted(len(read(suite.reports_path.read_text(encoding="utf-8"))[name].blocks) for name in suite.seeds())
        == [1] * 7
    )
    root = ET.parse(suite.pytester.path / "junit.xml").getroot()
    assert len([node for node in root.iter("property") if node.get("name") == "gradproof_faulty"]) == 7


# --- the path of the file ---------------------------------------------------------------------------------------------


def refused(suite, path):
    suite.write(THREE)
    result = suite.pytester.runpytest_inprocess("-p", "no:cacheprovider", "--gradproof-report", str(path))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "collected" not in result.stdout.str()
    return result.stderr.str()


def test_a_path_that_cannot_be_written_is_refused_before_the_run(suite):
    (suite.pytester.path / "file").write_text("")
    assert "cannot be written: " in refused(suite, suite.pytester.path / "file" / "reports.json")
    assert "is a directory or a device. Name a file." in refused(suite, suite.pytester.path)
    assert "cannot be written: " in refused(suite, suite.pytester.path / ("x" * 300))
    assert "ends in .json" in refused(suite, suite.pytester.path / "page.html")


@pytest.mark.skipif(not Path(os.devnull).is_char_device(), reason="there is no device file here")
def test_a_device_is_never_replaced_by_a_file(suite):
    assert "is a directory or a device. Name a file." in refused(suite, os.devnull)
    assert Path(os.devnull).is_char_device()


def test_a_file_that_is_read_only_is_refused(suite, monkeypatch):
    suite.reports_path.write_text("of yesterday")
    monkeypatch.setattr(plugin.os, "access", lambda path, mode: False)  # also where the tests run as root
    assert "cannot be written: the file is read-only" in refused(suite, suite.reports_path)
    assert suite.reports_path.read_text() == "of yesterday"


def test_directories_of_the_path_are_made_and_a_change_of_directory_does_not_matter(suite, tmp_path):
    suite.write("""
        def test_it(gradproof, monkeypatch, tmp_path):
            import os
            os.chdir(tmp_path)
            gradproof.assert_gradient(cost, point, RIGHT)
    """)
    here = Path.cwd()
    try:
        suite.pytester.runpytest_inprocess("-p", "no:cacheprovider", "--gradproof-report", "new/deep/reports.json")
    finally:
        os.chdir(here)
    assert len(read((suite.pytester.path / "new/deep/reports.json").read_text())) == 1


def test_a_disk_that_fails_at_the_end_is_told_and_is_no_success(suite, monkeypatch):
    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plugin, "_replace", full)
    suite.write(THREE)
    result = suite.run("-k", "right")
    result.assert_outcomes(passed=1, deselected=4)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["gradproof: '*reports.json' could not be written: No space left on device"])
    assert suite.run("-k", "wrong").ret == pytest.ExitCode.TESTS_FAILED


def test_two_writers_of_one_path_leave_one_whole_file(tmp_path):
    path = tmp_path / "reports.json"
    texts = ["a" * 300_000, "b" * 200_000]
    plugin._replace(path, texts[0])
    done = threading.Event()

    def write(text):
        while not done.is_set():
            plugin._replace(path, text)

    writers = [threading.Thread(target=write, args=(text,)) for text in texts]
    for writer in writers:
        writer.start()
    seen = {path.read_text() for _ in range(200)}
    done.set()
    for writer in writers:
        writer.join()
    assert seen <= set(texts)
    assert [found.name for found in tmp_path.iterdir()] == ["reports.json"]


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "reports.json"
    plugin._replace(path, "old")
    with pytest.raises(UnicodeEncodeError):
        plugin._replace(path, "\udc80")
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["reports.json"]


def test_the_words_of_the_summary_are_those_of_the_verdicts():
    assert set(plugin.WORDS) == {verdict.name for verdict in Verdict}
