"""The command line: what it answers, what it says about bad input, and its exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import gradproof
from golden.sample_reports import CERTIFIED, NOISY, WRONG_TWICE
from gradproof import Report, Verdict, __main__
from gradproof._command_line import problem_file, story
from gradproof._words.errors import CostRaised, ShapeMismatch

RIGHT = """
import numpy as np
point = {"W": np.array([[0.3, -0.7], [1.1, 0.2]]), "b": np.array([0.5, -0.1])}
def cost(point):
    return float(np.sum(np.sin(point["W"])) + np.sum(point["b"] ** 2))
claimed = {"W": np.cos(point["W"]), "b": 2 * point["b"]}
"""
WRONG = RIGHT + "claimed['W'] = 2 * claimed['W']\n"
NOISE = RIGHT.replace("    return ", "    return 0.1 * generator.standard_normal() + ").replace(
    "point =", "generator = np.random.default_rng(5)\npoint ="
)


@pytest.fixture(autouse=True)
def _left_as_it_was(monkeypatch):
    """A file under check joins the import path and the modules of the process."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(problem_file.MODULE_PREFIX) or name == "neighbour":
            del sys.modules[name]


@pytest.fixture
def write(tmp_path):
    def write(text, name="network.py"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command line in this process: (exit code, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gradproof", *arguments])
        with pytest.raises(SystemExit) as ended:
            __main__.main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture
def answer(monkeypatch):
    """Let every check answer with a report made by hand; returns the calls made."""

    def answer(report):
        calls = []

        def check_gradient(*arguments, **options):
            calls.append((arguments, options))
            if isinstance(report, Exception):
                raise report
            return report

        monkeypatch.setattr(gradproof, "check_gradient", check_gradient)
        return calls

    return answer


def process(*arguments, **environment):
    """Run the command line as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "gradproof", *arguments],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | environment,
        encoding="utf-8",
        timeout=100,
    )


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_a_right_gradient_ends_with_zero(run, write):
    code, out, err = run("check", write(RIGHT))
    assert (code, err) == (0, "")
    assert out.startswith("CORRECT: ")


def test_a_wrong_gradient_ends_with_one_and_its_block_is_named(run, write):
    code, out, _ = run("check", write(WRONG))
    assert code == 1
    assert out.startswith("WRONG: the gradient is wrong in W.")


def test_an_undecided_gradient_ends_with_three(run, write):
    code, out, _ = run("check", write(NOISE), "--tolerance", "1e-7", "--budget", "60")
    assert code == 3
    assert out.startswith("INCONCLUSIVE: ")


def test_a_cost_that_raises_ends_with_four_and_without_a_traceback(run, write):
    code, out, err = run("check", write(RIGHT.replace("return ", "return 1 / 0 + ")))
    assert (code, out) == (4, "")
    assert err.startswith("gradproof: ")
    assert "ZeroDivisionError" in err
    assert "Traceback" not in err


def test_a_cost_that_is_not_finite_ends_with_four(run, write):
    code, _, err = run("check", write(RIGHT.replace("return ", "return float('nan') + ")))
    assert code == 4
    assert "nan" in err


def test_shapes_that_do_not_fit_are_a_usage_error(run, write):
    code, _, err = run("check", write(RIGHT + "claimed['W'] = claimed['W'][0]\n"))
    assert code == 2
    assert "W" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("report", "code"), [(CERTIFIED, 0), (WRONG_TWICE, 1), (NOISY, 3), (CostRaised("x"), 4), (ShapeMismatch("x"), 2)]
)
def test_each_answer_has_its_exit_code(run, write, answer, report, code):
    answer(report)
    assert run("check", write(RIGHT))[0] == code


def test_an_unforeseen_error_shows_its_traceback_and_is_not_mistaken_for_a_verdict(run, write, answer):
    answer(RuntimeError("unforeseen"))
    code, _, err = run("check", write(RIGHT))
    assert code == 70
    assert "RuntimeError: unforeseen" in err


def test_an_interruption_is_not_mistaken_for_a_verdict(run, write, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(gradproof, "check_gradient", interrupted)
    assert run("check", write(RIGHT)) == (130, "", "gradproof: interrupted.\n")


# --- options ----------------------------------------------------------------------------------------------------------


def test_options_that_are_not_given_are_left_to_the_library(run, write, answer):
    calls = answer(CERTIFIED)
    run("check", write(RIGHT))
    ((_, options),) = calls
    assert set(options) <= {"strategy", "self_test", "observer"}
    assert options["strategy"] == "auto"


def test_every_option_reaches_the_check(run, write, answer):
    calls = answer(CERTIFIED)
    given = "--tolerance 1e-5 --confidence 0.99 --strategy coordinates --budget 500 --seed 3 --self-test"
    run("check", write(RIGHT), *given.split(), "--only", "W*", "--only", "b", "--exclude", "c")
    ((arguments, options),) = calls
    del options["observer"]
    assert len(arguments) == 3
    assert options == {
        "tolerance": 1e-5,
        "confidence": 0.99,
        "strategy": "coordinates",
        "budget": 500,
        "seed": 3,
        "only": ["W*", "b"],
        "exclude": ["c"],
        "self_test": True,
    }


@pytest.mark.parametrize(
    "options",
    [
        ["--tolerance", "2"],
        ["--confidence", "1"],
        ["--strategy", "guess"],
        ["--budget", "3"],
        ["--seed", "-1"],
        ["--only", "nothing_of_this_name"],
        ["--tolerance", "small"],
        ["--unknown"],
    ],
)
def test_an_option_that_cannot_be_used_is_a_usage_error(run, write, options):
    code, out, err = run("check", write(RIGHT), *options)
    assert (code, out) == (2, "")
    assert err
    assert "Traceback" not in err


def test_only_some_blocks_are_checked(run, write):
    assert run("check", write(WRONG), "--only", "b")[0] == 0
    assert run("check", write(WRONG), "--exclude", "b")[0] == 1


def test_quiet_says_it_by_the_exit_code_alone(run, write):
    assert run("check", write(WRONG), "--quiet") == (1, "", "")


def test_the_self_test_is_part_of_the_report(run, write):
    code, out, _ = run("check", write(RIGHT), "--self-test")
    assert code == 0
    assert "Self-test" in out


def test_the_seed_repeats_the_report(run, write, tmp_path):
    files = [tmp_path / "one.json", tmp_path / "other.json"]
    for file in files:
        run("check", write(WRONG), "--seed", "5", "--json", str(file))
    one, other = (replace(Report.from_json(file.read_text("utf-8")), seconds=0.0) for file in files)
    assert one == other


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_the_report_is_written_as_json_too(run, write, tmp_path):
    path = tmp_path / "report.json"
    code, out, _ = run("check", write(WRONG), "--json", str(path))
    report = Report.from_json(path.read_text("utf-8"))
    assert code == 1
    assert report.verdict is Verdict.WRONG
    assert out == f"{report}\n"


def test_a_name_that_is_no_unicode_text_does_not_spoil_the_json(run, write, answer, tmp_path):
    report = replace(CERTIFIED, skipped=("\udc80",))
    answer(report)
    path = tmp_path / "report.json"
    assert run("check", write(RIGHT), "--json", str(path))[0] == 0
    assert Report.from_json(path.read_text("utf-8")) == report


def test_json_that_cannot_be_written_is_said_before_the_file_is_run(run, write, tmp_path):
    file = write(f"open({str(tmp_path / 'was_run')!r}, 'w').close()\n" + RIGHT)
    for path in (tmp_path, tmp_path / "nowhere" / "report.json"):
        code, out, err = run("check", file, "--json", str(path))
        assert (code, out) == (2, "")
        assert err.startswith(f"gradproof: --json {path} cannot be written: ")
        assert err.count("\n") == 1
    assert not (tmp_path / "was_run").exists()


def test_a_run_that_fails_leaves_no_empty_json_and_keeps_an_old_one(run, write, tmp_path):
    new, old = tmp_path / "new.json", tmp_path / "old.json"
    old.write_text("old")
    for path in (new, old):
        assert run("check", write("1 / 0"), "--json", str(path))[0] == 2
    assert not new.exists()
    assert old.read_text() == "old"


# --- FILE[:NAME] ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cost = (", "network.py is not valid Python: SyntaxError in line 1: "),
        ("import math\n\nmath.sqrt(-1)", "network.py raised ValueError in line 3 when it was run: "),
        (
            "def f():\n    return 1 / 0\n\nf()",
            "network.py raised ZeroDivisionError in line 2 when it was run: division by zero.",
        ),
        ("import no_such_module_at_all", "raised ModuleNotFoundError in line 1 when it was run: No module named"),
        ("import sys\nsys.exit(3)", "network.py ends the program when it is run (sys.exit) in line 2."),
        ("raise ValueError", "raised ValueError in line 1 when it was run: no message."),
        ("raise ValueError('two\\nlines')", "when it was run: two lines."),
        ("import gradproof\ngradproof.Problem(3, 1.0, 1.0)", "network.py raised UsageError in line 2"),
        ("cost = point = 1", "network.py defines cost and point, but not claimed."),
        ("claimed = 1", "network.py defines claimed, but not cost and point."),
        ("x = 1", "network.py does not define cost and point and claimed."),
        ("# -*- coding: no-such-code -*-", "network.py is not a text that Python can read: "),
        ("x = 1\0", "network.py "),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence_without_a_traceback(run, write, text, said):
    code, out, err = run("check", write(text))
    assert (code, out) == (2, "")
    assert err.startswith("gradproof: ")
    assert said in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_bytes_that_are_no_text_are_one_sentence_too(run, tmp_path):
    path = tmp_path / "network.py"
    path.write_bytes(b"x = '\xff\xfe'")
    code, _, err = run("check", str(path))
    assert code == 2
    assert "network.py is not a text that Python can read" in err


def test_a_missing_file_and_a_directory_are_named(run, tmp_path):
    code, _, err = run("check", str(tmp_path / "missing.py"))
    assert code == 2
    assert f"there is no file {tmp_path / 'missing.py'}." in err
    code, _, err = run("check", str(tmp_path))
    assert code == 2
    assert f"{tmp_path} is a directory." in err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read_is_one_sentence(run, write):
    path = write(RIGHT)
    Path(path).chmod(0)
    code, _, err = run("check", path)
    assert code == 2
    assert "cannot be read" in err


def test_an_error_in_a_neighbour_is_placed_in_both_files(run, write):
    write("\n\nraise ValueError('from next door')", "neighbour.py")
    _, _, err = run("check", write("x = 1\nimport neighbour"))
    assert "raised ValueError in line 2 (from neighbour.py, line 3) when it was run: from next door." in err


def test_a_neighbour_that_is_not_python_is_the_one_named(run, write):
    write("x = (", "neighbour.py")
    _, _, err = run("check", write("import neighbour"))
    assert "neighbour.py is not valid Python: SyntaxError in line 1" in err


def test_the_file_imports_its_neighbours_and_is_not_main(run, write, answer, monkeypatch, tmp_path):
    answer(CERTIFIED)
    write("point = 1.0", "neighbour.py")
    text = "from neighbour import point\ncost = abs\nclaimed = 1.0\nassert __name__ != '__main__'\n"
    assert run("check", write(text))[0] == 0
    monkeypatch.chdir(tmp_path)
    assert run("check", "network.py")[0] == 0


def test_a_file_may_define_dataclasses(run, write, answer):
    answer(CERTIFIED)
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass P:\n    W: float = 1.0\n"
    assert run("check", write(text + "cost, point, claimed = abs, P(), P()"))[0] == 0


def test_a_named_problem_is_checked(run, write, answer):
    calls = answer(CERTIFIED)
    file = write("import gradproof\nnet = gradproof.Problem(abs, 2.0, 1.0)\nother = 3")
    assert run("check", f"{file}:net")[0] == 0
    ((problem,), _), *_ = calls
    assert isinstance(problem, gradproof.Problem)
    code, _, err = run("check", file)
    assert code == 2
    assert "It has a gradproof.Problem: say network.py:net." in err
    _, _, err = run("check", f"{file}:missing")
    assert "network.py does not define missing. It has a gradproof.Problem: say network.py:net." in err
    _, _, err = run("check", f"{file}:other")
    assert "other in network.py is of type int, not a gradproof.Problem." in err


def test_a_named_problem_is_really_checked(run, write):
    file = write(WRONG + "import gradproof\nnet = gradproof.Problem(cost, point, claimed, exclude='W')\n")
    assert run("check", f"{file}:net")[0] == 0
    assert run("check", file)[0] == 1


def test_a_colon_belongs_to_the_path_where_the_path_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:b").write_text("")
    (tmp_path / "d:e").mkdir()
    assert problem_file.split("a:b") == (Path("a:b"), None)
    assert problem_file.split("d:e/net.py") == (Path("d:e/net.py"), None)
    assert problem_file.split("d:e/net.py:name") == (Path("d:e/net.py"), "name")
    assert problem_file.split("net.py:name") == (Path("net.py"), "name")
    assert problem_file.split("net.py") == (Path("net.py"), None)
    assert problem_file.split("C:\\work\\net.py") == (Path("C:\\work\\net.py"), None)
    assert problem_file.split(":name") == (Path(":name"), None)
    with pytest.raises(gradproof.UsageError, match="no name follows the colon"):
        problem_file.split("net.py:")


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_the_version_is_that_of_the_package(run):
    from importlib.metadata import version

    assert run("--version") == (0, f"gradproof {version('gradproof')}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["check", "--help"], ["demo", "-h"]])
def test_help_is_help(run, arguments):
    code, out, _ = run(*arguments)
    assert code == 0
    assert "Usage" in out


def test_help_loads_no_more_than_the_package_and_its_command_line():
    code = "import sys\nsys.argv = ['gradproof', '--help']\nimport atexit\nfrom gradproof.__main__ import main\natexit.register(lambda: print(*sys.modules, sep='\\n', file=sys.stderr))\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, encoding="utf-8")
    loaded = set(done.stderr.split())
    assert "gradproof.__main__" in loaded
    assert not {"gradproof._command_line.story", "gradproof._command_line.problem_file"} & loaded
    assert not {name for name in loaded if name.startswith("scipy.")}


def test_piped_output_has_no_control_codes_and_names_the_fault(write):
    done = process("check", write(WRONG), "--seed", "1")
    assert (done.returncode, done.stderr) == (1, "")
    assert "\x1b" not in done.stdout
    assert done.stdout.startswith("WRONG: the gradient is wrong in W.")


def test_output_in_ascii_is_no_trouble(write):
    done = process("check", write(WRONG), "--seed", "1", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (1, "")
    assert "+/-" in done.stdout


def test_a_reader_that_has_seen_enough_does_not_change_the_exit_code(write):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "gradproof", "check", write(RIGHT)], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_demo_tells_the_course_s_story(run):
    code, out, err = run("demo")
    assert (code, err) == (0, "")
    out = " ".join(out.split())
    assert "difference = 2.919e-10" in out
    assert "b1 is 4 × the true one" in out
    assert "W2 is 2 × the true one" in out
    assert "classic difference is 1.189e-7" in out
    assert "0.285093" in out
    assert "WRONG: the gradient is wrong in" in out
    assert "CORRECT: the gradient is correct" in out
    assert "step 100: CORRECT" in out
    assert "did not come out" not in out


def test_the_demo_fails_where_its_story_does_not_come_out(run, monkeypatch):
    from gradproof import course

    monkeypatch.setattr(course, "backward_propagation_n_with_mistakes", course.backward_propagation_n)
    code, out, _ = run("demo")
    assert code == 70
    assert "This did not come out as told: the gradient with mistakes is WRONG." in " ".join(out.split())


def test_the_demo_s_lines_fit_a_terminal():
    lines = []
    assert story.tell(lines.append)
    assert max(len(line) for paragraph in lines for line in paragraph.split("\n")) <= 80


# --- journals ---------------------------------------------------------------------------------------------------------


def test_a_check_with_a_journal_is_listed_and_shown(run, write, tmp_path):
    file, journal = write(RIGHT), str(tmp_path / "run.sqlite")
    assert run("check", file, "--seed", "1", "--journal", journal)[0] == 0
    code, listed, _ = run("runs", journal)
    assert code == 0
    assert "1  check_gradient, begun" in listed
    assert "CORRECT" in listed
    code, shown, _ = run("runs", journal, "1")
    assert code == 0
    assert "seed        1" in shown
    assert "CORRECT: the gradient is correct" in shown


def test_a_journal_that_cannot_be_read_or_has_no_such_run_is_a_wrong_use(run, write, tmp_path):
    file, journal = write(RIGHT), str(tmp_path / "run.sqlite")
    assert run("runs", journal)[0] == 2
    run("check", file, "--seed", "1", "--journal", journal)
    code, _, said = run("runs", journal, "2")
    assert code == 2
    assert "there is no run 2" in said
    code, _, said = run("check", file, "--seed", "2", "--journal", journal)
    assert code == 2
    assert "it belongs to another check: seed 2, there 1" in said


def test_a_run_that_is_not_over_says_so(run, tmp_path):
    from gradproof._evaluation.journal import Journal

    journal = Journal(str(tmp_path / "run.sqlite"))
    assert run("runs", str(tmp_path / "run.sqlite"))[1].endswith("holds no run yet.\n")
    journal.identified("check_gradient", 1, {"point": "", "seed": 0})
    assert "point 2" in run("runs", str(tmp_path / "run.sqlite"))[1]
    assert "It is not over" in run("runs", str(tmp_path / "run.sqlite"), "1")[1]
    journal.close()


def test_workers_take_what_the_file_defines(run, write):
    code, _, said = run("check", write(RIGHT), "--seed", "1", "--workers", "1", "--timeout", "60")
    assert (code, said) == (0, "")
    code, _, said = run("check", write(RIGHT), "--seed", "1", "--workers", "0")
    assert code == 2
    assert "workers is 0" in said
