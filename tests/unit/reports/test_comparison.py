"""What changed between two reports, or two runs: what is worse, what is only different, and how it is said."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from golden.sample_reports import CERTIFIED, HOSTILE, NOISY, WRONG_TWICE, block
from gradproof import Difference, UsageError, Verdict, __main__
from gradproof.reports._changes import changes_to_text
from gradproof.reports._comparison import GROWTH, RUN_SCHEMA, Kind, changes, read

UNDECIDED = replace(CERTIFIED, verdict=Verdict.INCONCLUSIVE)


def difference(estimate, upper):
    return Difference(estimate=estimate, lower=0.0, upper=upper)


def with_block(report, name, **fields):
    return replace(report, blocks=tuple(replace(b, **fields) if b.name == name else b for b in report.blocks))


def kinds(old, new):
    return [(change.kind, change.block) for change in changes({"t": old}, {"t": new})]


def run_file(**reports):
    checks = [
        {"test": f"test_a.py::{test}", "number": 1, "report": json.loads(report.to_json())}
        for test, report in reports.items()
    ]
    return json.dumps({"schema": RUN_SCHEMA, "checks": checks})


# --- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("report", [CERTIFIED, WRONG_TWICE, NOISY])
def test_nothing_changed_between_a_report_and_itself(report):
    assert changes({"t": report}, {"t": report}) == ()


@pytest.mark.parametrize(
    ("old", "new", "kind", "worse"),
    [
        (CERTIFIED, WRONG_TWICE, Kind.WRONG_NOW, True),
        (UNDECIDED, WRONG_TWICE, Kind.WRONG_NOW, True),
        (CERTIFIED, UNDECIDED, Kind.UNDECIDED_NOW, True),
        (WRONG_TWICE, CERTIFIED, Kind.MENDED, False),
        (UNDECIDED, CERTIFIED, Kind.MENDED, False),
        (WRONG_TWICE, UNDECIDED, Kind.NO_LONGER_WRONG, False),
    ],
)
def test_each_change_of_the_verdict_has_its_kind(old, new, kind, worse):
    change = changes({"t": old}, {"t": new})[0]
    assert (change.kind, change.block, change.worse) == (kind, "", worse)
    assert (change.before, change.after) == (old.verdict, new.verdict)


def test_blocks_that_say_what_the_whole_says_are_not_told_twice():
    (change,) = changes({"t": CERTIFIED}, {"t": WRONG_TWICE})
    assert change.faulty == ("b1", "W2")


def test_a_block_that_joins_the_wrong_ones_is_told():
    new = with_block(WRONG_TWICE, "W3", verdict=Verdict.WRONG)
    assert kinds(WRONG_TWICE, new) == [(Kind.WRONG_NOW, "W3")]


def test_a_block_that_is_mended_while_another_stays_wrong_is_told_and_not_worse():
    new = with_block(WRONG_TWICE, "b1", verdict=Verdict.CORRECT, difference=CERTIFIED.blocks[1].difference)
    assert kinds(WRONG_TWICE, new) == [(Kind.MENDED, "b1")]
    assert not any(change.worse for change in changes({"t": WRONG_TWICE}, {"t": new}))


def test_a_block_that_is_no_longer_checked_is_told():
    new = replace(CERTIFIED, blocks=CERTIFIED.blocks[:-1])
    assert kinds(CERTIFIED, new) == [(Kind.GONE, "b3")]


def test_a_new_block_is_told_where_it_is_wrong_and_the_whole_does_not_say_so():
    right = replace(CERTIFIED, blocks=(*CERTIFIED.blocks, block("W4", (2,))))
    wrong = replace(WRONG_TWICE, blocks=(*WRONG_TWICE.blocks, block("W4", (2,), Verdict.WRONG)))
    assert kinds(CERTIFIED, right) == []
    assert kinds(WRONG_TWICE, wrong) == [(Kind.NEW_WRONG, "W4")]


# --- differences and tolerances ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimate", "upper", "told"),
    [
        (GROWTH * 1e-10, 5e-10, True),
        (0.99 * GROWTH * 1e-10, 5e-10, False),  # less than tenfold
        (GROWTH * 1e-10, 2e-9, False),  # within what was proved then
    ],
)
def test_a_difference_is_told_that_grew_tenfold_and_beyond_what_was_proved(estimate, upper, told):
    old = replace(CERTIFIED, difference=difference(1e-10, upper))
    new = replace(CERTIFIED, difference=difference(estimate, 1e-8))
    assert kinds(old, new) == ([(Kind.GREW, "")] if told else [])
    assert any(change.worse for change in changes({"t": old}, {"t": new})) is told


def test_the_growth_of_one_block_is_told_where_the_whole_hides_it():
    old = with_block(CERTIFIED, "b3", difference=difference(0.0, 1e-12))
    new = with_block(CERTIFIED, "b3", difference=difference(1e-8, 2e-8))
    assert kinds(old, new) == [(Kind.GREW, "b3")]


def test_a_difference_that_cannot_be_formed_is_no_growth():
    nan = replace(WRONG_TWICE, difference=difference(float("nan"), float("nan")))
    assert kinds(WRONG_TWICE, nan) == []
    assert kinds(nan, WRONG_TWICE) == []


def test_a_looser_tolerance_is_told_and_not_worse_and_a_tighter_one_is_not_told():
    loose = replace(CERTIFIED, tolerance=1e-2)
    assert kinds(CERTIFIED, loose) == [(Kind.LOOSER, "")]
    assert not changes({"t": CERTIFIED}, {"t": loose})[0].worse
    assert kinds(loose, CERTIFIED) == []


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "kind", "worse"),
    [
        (CERTIFIED, Kind.NEW, False),
        (WRONG_TWICE, Kind.NEW_WRONG, True),
        (UNDECIDED, Kind.NEW_UNDECIDED, True),
    ],
)
def test_a_new_check_is_worse_where_it_is_not_certified(report, kind, worse):
    found = changes({"a": CERTIFIED}, {"a": CERTIFIED, "b": report})
    assert [(change.kind, change.check, change.worse) for change in found] == [(kind, "b", worse)]


def test_a_check_that_is_gone_is_told_last_and_not_worse():
    found = changes({"gone": WRONG_TWICE, "a": CERTIFIED}, {"a": WRONG_TWICE})
    assert [(change.kind, change.check) for change in found] == [(Kind.WRONG_NOW, "a"), (Kind.GONE, "gone")]
    assert not found[-1].worse


def test_an_empty_run_is_compared_with_any_other():
    assert [change.kind for change in changes({}, {"a": CERTIFIED})] == [Kind.NEW]
    assert [change.kind for change in changes({"a": CERTIFIED}, {})] == [Kind.GONE]


def test_a_report_and_a_run_are_not_compared():
    with pytest.raises(UsageError, match="one file holds a single report"):
        changes({"": CERTIFIED}, {"test_a": CERTIFIED})


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_single_report_and_a_run_are_read():
    assert read(CERTIFIED.to_json()) == {"": CERTIFIED}
    assert read(run_file(one=CERTIFIED, two=NOISY)) == {"test_a.py::one": CERTIFIED, "test_a.py::two": NOISY}


def test_several_assertions_of_one_test_are_told_apart():
    data = json.loads(run_file(one=CERTIFIED))
    data["checks"].append(data["checks"][0] | {"number": 2})
    assert list(read(json.dumps(data))) == ["test_a.py::one", "test_a.py::one (assertion 2)"]


def test_the_schema_of_the_plugin_is_the_one_that_is_read():
    import _gradproof_pytest

    assert _gradproof_pytest.SCHEMA == RUN_SCHEMA


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "7",
        "null",
        "{}",
        '{"schema": 99}',
        '{"schema": 1, "checks": 7}',
        '{"schema": 1, "checks": [7]}',
        '{"schema": 1, "checks": [{"test": "t"}]}',
        '{"schema": 1, "checks": [{"test": "t", "number": 1, "report": {"schema": 1}}]}',
        '{"schema": 1, "verdict": "PERHAPS"}',
        "[" * 100_000,
    ],
)
def test_what_is_no_report_is_refused(text):
    with pytest.raises(UsageError, match="no report of gradproof"):
        read(text)


def test_a_run_of_another_schema_is_refused():
    with pytest.raises(UsageError, match=f"its schema is 99, and this version of gradproof reads {RUN_SCHEMA}"):
        read('{"schema": 99, "checks": []}')


# --- words ------------------------------------------------------------------------------------------------------------


def test_the_page_says_what_is_worse_first_and_names_each_check_once():
    old = {
        "a": CERTIFIED,
        "b": WRONG_TWICE,
        "c": CERTIFIED,
        "d": replace(CERTIFIED, difference=difference(1e-10, 5e-10)),
    }
    new = {"d": replace(CERTIFIED, difference=difference(2e-8, 3e-8)), "b": CERTIFIED, "a": WRONG_TWICE}
    new["e"] = UNDECIDED
    new["b"] = replace(new["b"], tolerance=1e-3)
    assert changes_to_text(changes(old, new), len(new)).split("\n") == [
        "WORSE: 3 checks of 4; 1 certified now; 1 new; 1 gone.",
        "",
        "Worse",
        "  - d",
        "    the relative difference was 1e-10, and is 2e-8 now.",
        "  - a",
        "    certified before, wrong now in b1 and W2.",
        "  - e",
        "    new, and undecided.",
        "",
        "Other changes",
        "  - b",
        "    wrong before, certified now.",
        "    the tolerance was 1e-7, and is 0.001 now.",
        "  - c",
        "    no longer checked; certified before.",
    ]


def test_a_single_report_is_called_the_gradient_and_blocks_are_named():
    new = replace(CERTIFIED, blocks=CERTIFIED.blocks[:-1])
    page = changes_to_text(changes({"": CERTIFIED}, {"": new}), 1)
    assert page.startswith("Nothing is worse in 1 check.\n")
    assert "  - the gradient\n    b3: no longer checked; certified before." in page


def test_names_are_shown_and_never_obeyed():
    wrong = replace(WRONG_TWICE, blocks=(block(HOSTILE, (2,), Verdict.WRONG),))
    right = replace(CERTIFIED, blocks=(block(HOSTILE, (2,)),))
    name = f"test_a.py::test[{HOSTILE}{'x' * 10_000}]"
    page = changes_to_text(changes({name: right}, {name: wrong}), 1)
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "\u05d0" not in page
    assert max(map(len, page.split("\n"))) <= 80
    assert len(page) < 1000


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def compare(tmp_path, monkeypatch, capsys):
    def compare(old, new):
        paths = []
        for name, text in (("old.json", old), ("new.json", new)):
            path = tmp_path / name
            if text is not None:
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
            paths.append(str(path))
        monkeypatch.setattr(sys, "argv", ["gradproof", "compare", *paths])
        with pytest.raises(SystemExit) as ended:
            __main__.main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return compare


def test_nothing_worse_ends_with_zero(compare):
    assert compare(CERTIFIED.to_json(), CERTIFIED.to_json()) == (0, "Nothing changed in 1 check.\n", "")
    code, out, _ = compare(WRONG_TWICE.to_json(), CERTIFIED.to_json())
    assert (code, out.split("\n")[0]) == (0, "Nothing is worse in 1 check; 1 certified now.")


def test_something_worse_ends_with_one(compare):
    code, out, err = compare(run_file(a=CERTIFIED), run_file(a=WRONG_TWICE))
    assert (code, err) == (1, "")
    assert "  - test_a.py::a\n    certified before, wrong now in b1 and W2.\n" in out


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (None, "x", "old.json: it cannot be read: No such file or directory."),
        (CERTIFIED.to_json(), "x", "new.json: this is no report of gradproof (JSONDecodeError"),
        (CERTIFIED.to_json(), b"\xff\xfe", "new.json: this is no text in UTF-8"),
        (CERTIFIED.to_json(), run_file(a=CERTIFIED), "one file holds a single report, the other the reports of"),
    ],
)
def test_what_cannot_be_compared_ends_with_two_and_one_sentence(compare, old, new, words):
    code, out, err = compare(old, new)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_a_missing_argument_ends_with_two(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gradproof", "compare", "old.json"])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 2
