"""The fixture: what it offers, its seeds, what it does with an open question, and how a failure is shown."""

from __future__ import annotations

import sys

import pytest

from plugin.conftest import NETWORK

pytest_plugins = ["pytester"]

FIRST_LINE = NETWORK.count("\n") + 1
"""Of what a test adds to the network (pytester strips the line feed before it)."""


# --- what it offers ---------------------------------------------------------------------------------------------------


def test_it_offers_every_assertion_of_the_package_and_nothing_else(gradproof):
    package = sys.modules["gradproof"]
    assert dir(gradproof) == sorted(name for name in dir(package) if name.startswith("assert_"))
    assert all(callable(getattr(gradproof, name)) for name in dir(gradproof))
    with pytest.raises(AttributeError, match=r"has no check_gradient, only .*assert_gradient.*import gradproof as gp"):
        _ = gradproof.check_gradient
    with pytest.raises(AttributeError, match="has no assert_nothing"):
        _ = gradproof.assert_nothing


def test_an_assertion_that_the_package_gains_is_offered_at_once(gradproof, monkeypatch):
    def assert_novelty(cost, *, seed):
        return sys.modules["golden.sample_reports"].CERTIFIED

    import golden.sample_reports

    assert golden.sample_reports.CERTIFIED.verdict.name == "CORRECT"
    monkeypatch.setattr(sys.modules["gradproof"], "assert_novelty", assert_novelty, raising=False)
    assert "assert_novelty" in dir(gradproof)
    assert gradproof.assert_novelty(None) is golden.sample_reports.CERTIFIED


def test_it_returns_the_report(suite):
    suite.write("""
        def test_it(gradproof):
            assert gradproof.assert_gradient(cost, point, RIGHT).verdict.name == "CORRECT"
    """)
    suite.run().assert_outcomes(passed=1)


def test_fixtures_of_any_scope_may_use_it(suite):
    suite.write("""
        @pytest.fixture(scope="module")
        def certified(gradproof):
            return gradproof.assert_gradient(cost, point, RIGHT)

        def test_it(certified):
            assert certified.seed > 0
    """)
    suite.run().assert_outcomes(passed=1)
    assert list(suite.seeds()) == ["test_network.py::test_it"]


# --- seeds and budgets ------------------------------------------------------------------------------------------------

SEEDED = """
    @pytest.mark.parametrize("size", [1, 2])
    def test_it(gradproof, size):
        gradproof.assert_gradient(cost, point, RIGHT)

    def test_named(gradproof):
        gradproof.assert_gradient(cost, point, RIGHT, seed=5)
"""


def test_the_seed_is_that_of_the_test_s_id_on_every_machine(suite):
    suite.write(SEEDED)
    suite.run().assert_outcomes(passed=3)
    # sha256 of the id, its first four bytes: the same in every process, on every machine, for ever
    assert suite.seeds() == {
        "test_network.py::test_it[1]": 0xA52A1C3E,
        "test_network.py::test_it[2]": 0x04CD1BB6,
        "test_network.py::test_named": 5,
    }


def test_a_seed_on_the_command_line_is_taken_where_the_call_names_none(suite):
    suite.write(SEEDED)
    suite.run("--gradproof-seed", "7").assert_outcomes(passed=3)
    assert list(suite.seeds().values()) == [7, 7, 5]


def test_a_budget_on_the_command_line_is_taken_where_the_call_names_none(suite):
    suite.write("""
        def test_it(gradproof):
            gradproof.assert_gradient(cost, point, RIGHT)
            gradproof.assert_gradient(cost, point, RIGHT, budget=500)
    """)
    suite.run("--gradproof-budget", "200").assert_outcomes(passed=1)
    assert [check["report"]["budget"] for check in suite.checks()] == [200, 500]
    assert [check["number"] for check in suite.checks()] == [1, 2]


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("budget", "3", "*--gradproof-budget: budget is 3.*Give at least*"),
        ("seed", "-1", "*--gradproof-seed: seed is -1.*"),
        ("seed", "x", "*--gradproof-seed: invalid int value: 'x'*"),
    ],
)
def test_an_option_out_of_range_is_a_usage_error(suite, option, value, words):
    suite.write(SEEDED)
    result = suite.run(f"--gradproof-{option}={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([words])


# --- open questions ---------------------------------------------------------------------------------------------------

OPEN_LINE = NETWORK.count("\n") + 5


def undecided(suite, options=""):
    suite.write(
        """
        def hidden_by_noise(point, generator=np.random.default_rng(3)):
            return cost(point) + 0.01 * generator.standard_normal()

        def test_it(gradproof):
            report = gradproof.assert_gradient(hidden_by_noise, point, RIGHT, tolerance=1e-6OPTIONS)
            assert report.verdict.name == "INCONCLUSIVE"
    """.replace("OPTIONS", options)
    )


def test_an_open_question_fails_by_default(suite):
    undecided(suite)
    result = suite.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *InconclusiveGradient: INCONCLUSIVE: *",
            "*- gradproof -*",
            "  why: the noise *",
            "gradproof: 0 certified, 0 wrong, 1 undecided",
        ]
    )


def test_an_open_question_is_a_warning_at_the_user_s_line_where_the_call_says_so(suite):
    undecided(suite, ', inconclusive="warn"')
    result = suite.run("-W", "always")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(
        [f"*test_network.py:{OPEN_LINE}: GradproofWarning: gradproof: *noise of the cost*(seed *)"]
    )


@pytest.mark.parametrize("by", ["call", "ini"])
def test_an_open_question_is_a_skip_at_the_user_s_line_where_that_is_wanted(suite, by):
    undecided(suite, ', inconclusive="skip"' if by == "call" else "")
    if by == "ini":
        suite.pytester.makeini("[pytest]\ngradproof_inconclusive = skip\n")
    result = suite.run("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"SKIPPED * test_network.py:{OPEN_LINE}: gradproof: *neither right nor wrong*"])


def test_what_the_call_says_counts_more_than_the_configuration(suite):
    undecided(suite, ', inconclusive="raise"')
    suite.pytester.makeini("[pytest]\ngradproof_inconclusive = skip\n")
    suite.run().assert_outcomes(failed=1)


def test_a_wrong_gradient_fails_whatever_is_done_with_open_questions(suite):
    suite.write("""
        def test_it(gradproof):
            gradproof.assert_gradient(cost, point, WRONG, inconclusive="skip")
    """)
    suite.run().assert_outcomes(failed=1)


def test_an_unknown_policy_is_refused_by_the_call_and_by_the_configuration(suite, gradproof):
    with pytest.raises(sys.modules["gradproof"].UsageError, match="inconclusive is 'ignore'"):
        gradproof.assert_gradient(abs, 1.0, 1.0, inconclusive="ignore")
    suite.write(SEEDED)
    suite.pytester.makeini("[pytest]\ngradproof_inconclusive = ignore\n")
    result = suite.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*gradproof_inconclusive is 'ignore'. Choose one of raise, warn, skip."])


# --- loading ----------------------------------------------------------------------------------------------------------


def loaded(suite, tests):
    """Run a suite in a process of its own; return the modules loaded at its end."""
    suite.pytester.makeconftest("""
        import sys

        def pytest_unconfigure():
            print("loaded:", *sorted(sys.modules))
    """)
    suite.pytester.makepyfile(tests)
    others = ["-p", "no:jaxtyping"]  # the plugin of a package that Equinox brings: it imports NumPy
    result = suite.pytester.runpytest_subprocess("-p", "no:cacheprovider", "-s", *others)
    result.assert_outcomes(passed=1)
    (line,) = [line for line in result.outlines if line.startswith("loaded:")]
    return set(line.split()[1:])


def test_a_suite_that_does_not_use_the_fixture_loads_neither_gradproof_nor_numpy(suite):
    modules = loaded(suite, "def test_it():\n    pass\n")
    assert "_gradproof_pytest" in modules
    assert not {"gradproof", "numpy", "scipy"} & modules


def test_that_proof_can_fail(suite):
    assert {"gradproof", "numpy"} <= loaded(suite, "def test_it(gradproof):\n    dir(gradproof)\n")


def test_the_wheel_would_hold_the_plugin_and_its_entry_point():
    from importlib.metadata import entry_points

    (found,) = [point for point in entry_points(group="pytest11") if point.name == "gradproof"]
    assert found.value == "_gradproof_pytest"
    assert found.load().__file__.endswith("_gradproof_pytest.py")


# --- how a failure is shown -------------------------------------------------------------------------------------------


def test_a_failure_shows_the_user_s_line_the_sentence_and_the_report(suite):
    suite.write("""
        def test_it(gradproof):
            gradproof.assert_gradient(cost, point, WRONG)
    """)
    result = suite.run()
    result.stdout.fnmatch_lines(
        [
            ">       gradproof.assert_gradient(cost, point, WRONG)",
            "E       *WrongGradient: WRONG: the gradient is wrong in w.",
            f"test_network.py:{FIRST_LINE + 1}: WrongGradient",
            "*- gradproof -*",
            "WRONG: the gradient is wrong in w.",
            "*remedy: 2 [*] w*",
            "replay: gradproof.check_gradient(*seed=*",
            "The seed comes from the test's id: *",
            "gradproof: 0 certified, 1 wrong, 0 undecided",
        ]
    )
    assert not [line for line in result.outlines if "gradient.py" in line or "_gradproof_pytest.py" in line]


def test_the_package_s_own_assertion_is_shown_the_same_way(suite):
    suite.write("""
        import gradproof as gp

        def test_it():
            gp.assert_gradient(cost, point, WRONG, seed=1)
    """)
    result = suite.run()
    result.stdout.fnmatch_lines([">       gp.assert_gradient*", "E *: WRONG: *in w.", "*- gradproof -*", "replay: *"])
    assert not [line for line in result.outlines if "gradient.py" in line or "The seed comes" in line]


def test_internal_frames_are_there_for_who_asks(suite):
    suite.write("""
        def test_it(gradproof):
            gradproof.assert_gradient(cost, point, WRONG)
    """)
    assert any("gradient.py" in line for line in suite.run("--full-trace").outlines)


def test_a_mistake_in_the_call_is_shown_at_the_user_s_line(suite):
    suite.write("""
        def test_it(gradproof):
            gradproof.assert_gradient(cost, point, {"w": 1})
    """)
    result = suite.run()
    result.stdout.fnmatch_lines(
        [">       gradproof.assert_gradient*", "E *ShapeMismatch: *", f"test_network.py:{FIRST_LINE + 1}: *"]
    )
    assert not [line for line in result.outlines if "_problem.py" in line]


def test_a_cost_that_raises_is_shown_where_it_raised_and_where_it_was_checked(suite):
    suite.write("""
        def broken(point):
            return point["W"]

        def test_it(gradproof):
            gradproof.assert_gradient(broken, point, RIGHT)
    """)
    result = suite.run()
    result.stdout.fnmatch_lines(
        [
            f"test_network.py:{FIRST_LINE + 1}: KeyError",
            "*direct cause*",
            f"test_network.py:{FIRST_LINE + 4}: CostRaised",
        ]
    )
    assert not [line for line in result.outlines if "_engine.py" in line]


def test_failures_of_a_group_are_shown_too(suite):
    suite.write("""
        def test_it(gradproof):
            caught = []
            for claim in (WRONG, dict(RIGHT, b=7.0)):
                try:
                    gradproof.assert_gradient(cost, point, claim)
                except AssertionError as error:
                    caught.append(error)
            raise ExceptionGroup("two", caught)
    """)
    result = suite.run()
    result.stdout.fnmatch_lines(["*- gradproof -*", "WRONG: *in w.", "*- gradproof -*", "WRONG: *in b."])


def test_another_failure_is_left_as_it_is(suite):
    suite.write("""
        def test_it(gradproof):
            gradproof.assert_gradient(cost, point, RIGHT)
            assert point is None
    """)
    result = suite.run()
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*- gradproof -*")


def test_the_section_can_be_read_where_the_terminal_knows_only_ascii(suite):
    suite.write("""
        def test_it(gradproof):
            gradproof.assert_gradient(cost, point, WRONG)
    """)
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    suite.pytester._monkeypatch.setenv("PYTHONIOENCODING", environment["PYTHONIOENCODING"])
    suite.pytester._monkeypatch.setenv("PYTHONUTF8", environment["PYTHONUTF8"])
    result = suite.run(process=True)
    result.stdout.fnmatch_lines(["*- gradproof -*", "*measured: 0.5*+/-*"])
