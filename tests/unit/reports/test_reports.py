"""Reports for people: numbers, safe names, widths, folding, colour only where it belongs, progress only where it is long."""

from __future__ import annotations

import ast
import io
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from golden.sample_reports import (
    CERTIFIED,
    HOSTILE,
    HOSTILE_NAMES,
    LONG,
    MANY_BLOCKS,
    MASKED,
    NOISY,
    SAMPLES,
    WRONG_TWICE,
    block,
)
from gradproof._words.events import Evaluated, Planned, Settled
from gradproof._words.results import CoordinateResult, Kink, Reason, SelfTestResult, Verdict
from gradproof.reports import Progress, print_report, to_stream, to_text
from gradproof.reports._layout import Column, cells, safe, shorten, table, wrap
from gradproof.reports._numbers import bound, count, duration, figures, lower_bound, ratio, short, with_bar

ESCAPE = "\x1b"


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.919335883291695e-10, "2.92e-10"),
        (0.2850931, "0.285"),
        (1e-7, "1e-7"),
        (0.0, "0"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (12345.0, "12300"),
        (1234567.0, "1.23e6"),
    ],
)
def test_a_magnitude_has_three_digits(value, text):
    assert short(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1e-7, "1.00e-7"), (0.6, "0.600"), (0.0, "0"), (1.0, "1.00"), (0.001, "0.00100")]
)
def test_a_column_keeps_trailing_zeros(value, text):
    assert figures(value) == text


@given(st.floats(1e-300, 1e300), st.integers(1, 6))
def test_a_printed_bound_is_a_bound(value, digits):
    assert float(lower_bound(value, digits)) <= value <= float(bound(value, digits))
    assert float(bound(value, digits)) <= value * (1 + 1.01 * 10 ** (1 - digits))


@pytest.mark.parametrize(
    ("value", "bar", "text"),
    [
        (0.061728394512345, 2.4e-12, "0.061728394512 ± 3e-12"),
        (2.0, 0.5, "2.0 ± 0.5"),
        (-2.4, 2.4e-10, "-2.4000000000 ± 3e-10"),
        (1234.5678, 30, "1230 ± 30"),
        (1.2345678e20, 3e16, "1.2346e20 ± 3e16"),
        (1.0, 0.0, "1 ± 0"),
        (0.0, 1e-9, "0 ± 1e-9"),
        (1e-9, 1e-3, "1e-9 ± 0.001"),
        (1 / 3, 1e-30, "0.333333333333 ± 1e-30"),
        (0.5, float("inf"), "0.5 ± inf"),
        (float("nan"), 1.0, "nan ± 1"),
    ],
)
def test_a_value_has_the_digits_that_its_bar_leaves(value, bar, text):
    assert with_bar(value, bar) == text


@given(st.floats(1e-200, 1e200), st.floats(1e-14, 1e-1))
def test_rounding_to_the_bar_stays_within_the_bar(value, relative_bar):
    bar = relative_bar * value
    printed, printed_bar = map(float, with_bar(value, bar).split(" ± "))
    assert abs(printed - value) <= max(printed_bar, 1e-11 * value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0, "2.000"),
        (-1.0, "-1.000"),
        (0.5, "0.5000"),
        (1e6, "1.000e6"),
        (123.456, "123.5"),
        (1234.0, "1234"),
        (1.0, "1.000"),
        (1.0000012, "1 + 1.2e-6"),
        (0.99995, "1 − 5e-5"),
        (float("inf"), "inf"),
    ],
)
def test_a_ratio_has_four_digits_and_never_hides_that_it_is_not_one(value, text):
    assert ratio(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0004, "0.4 ms"),
        (0.0213, "21 ms"),
        (0.9996, "1.0 s"),
        (3.21, "3.2 s"),
        (59.97, "1 min 0 s"),
        (254, "4 min 14 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_a_time_is_said_as_people_say_it(seconds, text):
    assert duration(seconds) == text


def test_a_count_has_its_noun():
    assert [count(1, "block"), count(2, "block"), count(12_345, "block")] == ["1 block", "2 blocks", "12,345 blocks"]


# --- text that is safe, and fits --------------------------------------------------------------------------------------


@given(st.text(st.characters()))
def test_safe_text_is_printable_and_reads_from_left_to_right(text):
    assert safe(text).isprintable()
    assert not re.search("[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069]", safe(text))


def test_safe_text_keeps_what_is_harmless():
    assert safe("W1 層 θ é ['a.b'] [red]") == "W1 層 θ é ['a.b'] [red]"
    assert safe("a\x1b[2J\u202eb\n\udc80") == r"a\x1b[2J\u202eb\n\udc80"


@given(st.text(st.characters()), st.integers(20, 100))
def test_wrapped_text_is_never_wider_than_the_page(text, width):
    assert all(cells(line) <= width for line in wrap(text, width, first="  - ", rest="    "))


@given(st.text("abc層 ", max_size=60), st.integers(1, 30))
def test_shortened_text_fits_and_keeps_both_ends(text, width):
    cut = shorten(text, width)
    assert cells(cut) <= width
    assert cut == text or "…" in cut


def test_a_long_name_is_cut_in_its_middle():
    assert shorten("encoder.layers[11].weight", 16) == "encoder.….weight"


def test_a_table_that_is_too_wide_loses_its_optional_columns_and_then_sets_names_apart():
    columns = (Column("block", flexible=True), Column("difference"), Column("extra", optional=True))
    row = [[("encoder.weight", ""), ("1.00e-7", ""), ("x" * 10, "")]]
    texts = ["".join(span.text for span in line) for line in table(columns, row, width=30)]
    assert texts == ["  block           difference", "  encoder.weight  1.00e-7"]
    texts = ["".join(span.text for span in line) for line in table(columns, row, width=25)]
    assert texts == ["  block  difference", "  encoder.weight", "         1.00e-7"]


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("width", [50, 80, 100, 200])
def test_no_line_is_wider_than_the_page(name, width):
    lines = to_text(SAMPLES[name], width=width).split("\n")
    wide = [line for line in lines if cells(line) > width]
    assert wide == [] or (width == 50 and name in {"noisy", "at_a_kink", "masked", "hostile_names", "self_tested"})
    assert all(line == line.rstrip() and line.isprintable() for line in lines)


def test_a_page_narrower_than_fifty_cells_is_set_as_if_it_had_fifty():
    assert to_text(CERTIFIED, width=1) == to_text(CERTIFIED, width=50)


# --- what a report says -----------------------------------------------------------------------------------------------


def test_print_shows_the_text():
    assert str(WRONG_TWICE) == to_text(WRONG_TWICE)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_verdict_stands_first_and_the_replay_line_last(name):
    report = SAMPLES[name]
    text = to_text(report)
    assert text.startswith(report.verdict.name)
    replay = text[text.index("replay: ") + len("replay: ") :]
    call = ast.parse(replay, mode="eval").body
    arguments = {keyword.arg: keyword.value for keyword in call.keywords}
    assert ast.unparse(call.func) == "gradproof.check_gradient"
    assert ast.literal_eval(arguments["seed"]) == report.seed
    assert ast.literal_eval(arguments["tolerance"]) == report.tolerance
    assert ast.literal_eval(arguments["strategy"]) == report.strategy


def test_the_replay_line_tells_what_was_not_the_default():
    assert "confidence=0.99, budget=30000)" in to_text(MASKED)
    assert "points=points)" in to_text(NOISY)
    assert "confidence=" not in to_text(CERTIFIED)


def test_a_correct_report_is_short():
    assert len(to_text(replace(MANY_BLOCKS, verdict=Verdict.CORRECT)).split("\n")) < 24
    assert "resolution" not in to_text(CERTIFIED)


def test_a_wrong_report_names_blocks_causes_and_the_certified_remedy_once():
    text = to_text(WRONG_TWICE)
    assert text.startswith("WRONG: the gradient is wrong in b1 and W2.\n")
    assert "4.000000000 ± 3e-9" in text
    assert text.count("remedy: gradients['b1'] / 4, gradients['W2'] / 2") == 1
    assert "certified to a relative difference of 3.13e-9" in text


def test_a_remedy_that_was_not_certified_is_not_called_a_remedy():
    diagnoses = tuple(replace(d, certified_remedy=None, certified_to=float("nan")) for d in WRONG_TWICE.diagnoses)
    text = to_text(replace(WRONG_TWICE, diagnoses=diagnoses))
    assert "try: gradients['W2'] / 2" in text
    assert "remedy" not in text
    assert "certified" not in text


def test_each_block_with_a_certified_remedy_of_its_own_shows_it():
    diagnoses = tuple(replace(d, certified_remedy=d.remedy) for d in WRONG_TWICE.diagnoses)
    text = to_text(replace(WRONG_TWICE, diagnoses=diagnoses))
    assert "    remedy: gradients['b1'] / 4\n" in text
    assert "    remedy: gradients['W2'] / 2\n" in text


def test_a_fault_that_the_norms_hide_is_said_to_be_hidden():
    assert "the rest of the gradient hides the fault" in " ".join(to_text(MASKED).split())
    assert "hides the fault" not in to_text(WRONG_TWICE)


@pytest.mark.parametrize("reason", Reason)
def test_an_inconclusive_report_says_why_what_would_have_been_seen_and_what_next(reason):
    text = " ".join(to_text(replace(NOISY, reason=reason)).split())
    assert f"why: {reason.value}" in text
    assert (
        "seen: the smallest error that would have been called WRONG is a relative difference of 0.0234 (embedding)"
        in text
    )
    assert "next: " in text
    assert "{" not in text


def test_the_advice_on_noise_offers_what_can_be_certified_and_on_budget_twice_as_much():
    assert "tolerance=0.03." in to_text(NOISY)
    assert "budget=2000" in to_text(replace(NOISY, reason=Reason.BUDGET))


@pytest.mark.parametrize("resolution", [1.0, float("inf"), float("nan")])
def test_an_inconclusive_report_owns_up_where_nothing_would_have_been_seen(resolution):
    blocks = (replace(NOISY.blocks[0], resolution=resolution, noise_floor=1.0),)
    text = " ".join(to_text(replace(NOISY, blocks=blocks)).split())
    assert "no error of embedding, however large, would have been called WRONG for certain" in text
    assert "accept what can be certified" not in text


def test_an_inconclusive_report_without_a_reason_or_blocks_still_prints():
    assert to_text(replace(NOISY, reason=None, blocks=())).startswith("INCONCLUSIVE")


def test_what_is_not_exercised_is_explained_in_one_sentence():
    text = " ".join(to_text(CERTIFIED).split())
    assert "20 of 47 coordinates are zero on both sides: this point does not exercise them." in text
    one = replace(CERTIFIED, blocks=(block("W", (2,), not_exercised=1),))
    assert "1 of 2 coordinates is zero on both sides: this point does not exercise it." in " ".join(
        to_text(one).split()
    )
    all_of_it = replace(CERTIFIED, blocks=(block("x", (), not_exercised=1),))
    assert "The only coordinate is zero on both sides: nothing was exercised." in to_text(all_of_it)


def test_many_blocks_fold_to_those_in_question_and_the_largest_differences():
    text = to_text(MANY_BLOCKS, width=140)
    shown = re.findall(r"layers\[(\d+)\].*(?:CORRECT|WRONG)", text)
    assert shown == ["117", "299", "298", "297"]
    assert "and 296 more blocks, all CORRECT with differences up to 2.96e-10." in text


def test_many_wrong_blocks_fold_too_and_are_counted():
    blocks = tuple(block(LONG.format(i), (2,), Verdict.WRONG, 0.5, 0.6) for i in range(150))
    text = to_text(replace(MANY_BLOCKS, blocks=blocks), width=140)
    assert len(re.findall(r"^  encoder", text, re.MULTILINE)) == 100
    assert "and 50 more that are not CORRECT (report.blocks lists all)." in text
    assert "and 147 more." in " ".join(text.split("Blocks")[0].split())


def test_few_blocks_keep_the_order_of_the_point():
    text = to_text(WRONG_TWICE)
    assert re.findall(r"^  ([Wb]\d) +\d×", text, re.MULTILINE) == ["W1", "b1", "W2", "b2", "W3", "b3"]


def test_more_coordinates_than_are_shown_are_counted():
    assert "and 7 more (report.coordinates lists 12)." in to_text(WRONG_TWICE)
    without_cause = to_text(replace(WRONG_TWICE, diagnoses=()))
    assert "and 2 more (report.coordinates lists 12)." in without_cause
    blocks = (replace(WRONG_TWICE.blocks[1], wrong_coordinates=500),)
    assert "and 495 more (report.coordinates lists 12)." in to_text(replace(WRONG_TWICE, blocks=blocks))


@pytest.mark.parametrize(
    ("claimed", "is_a_choice"),
    [(0.0, True), (1.0, True), (0.5, True), (-0.5e-9, True), (1.5, False), (-2e-9, False), (float("nan"), False)],
)
def test_a_claim_between_the_sides_of_a_kink_is_a_choice_and_any_other_is_faulty(claimed, is_a_choice):
    result = CoordinateResult(
        block="x",
        index=(0,),
        claimed=claimed,
        numerical=0.5,
        error_bar=1e-9,
        kink=Kink(left=1.0, right=0.0, error_bar=1e-9),
    )
    text = to_text(replace(CERTIFIED, coordinates=(result,)))
    assert ("Choices at a kink" in text) is is_a_choice
    assert ("Faulty coordinates" in text) is not is_a_choice


def test_the_self_test_counts_what_was_caught_and_excuses_what_is_below_the_tolerance():
    caught = SelfTestResult(mutation="sign", block="W", relative_difference=1.0, caught=True)
    missed = SelfTestResult(mutation="roll", block="W", relative_difference=0.5, caught=False)
    tiny = SelfTestResult(mutation="flip", block="W", relative_difference=1e-9, caught=False)
    assert "would have caught every one of these mistakes." in to_text(replace(CERTIFIED, self_test=(caught,) * 2))
    assert "caught the only one of these mistakes" in to_text(replace(CERTIFIED, self_test=(caught,)))
    text = " ".join(to_text(replace(CERTIFIED, self_test=(caught, missed))).split())
    assert "caught 1 of 2 mistakes. Another point" in text
    text = " ".join(to_text(replace(CERTIFIED, self_test=(caught, tiny, tiny))).split())
    assert "caught 1 of 3 mistakes. Those missed change the gradient by less than the tolerance." in text


def test_a_long_self_test_folds_with_the_missed_ones_first():
    caught = SelfTestResult(mutation="sign", block="W", relative_difference=1.0, caught=True)
    missed = SelfTestResult(mutation="roll", block="W", relative_difference=0.5, caught=False)
    text = to_text(replace(CERTIFIED, self_test=(*(caught,) * 40, missed)))
    assert "and 11 more (report.self_test lists all)." in text
    assert text.index("roll") < text.index("sign")


# --- where it is shown ------------------------------------------------------------------------------------------------


class Stream(io.StringIO):
    def __init__(self, *, terminal, encoding="utf-8"):
        super().__init__()
        self.terminal, self._encoding = terminal, encoding

    @property
    def encoding(self):
        return self._encoding

    def isatty(self):
        return self.terminal

    def write(self, text):
        text.encode(self._encoding)
        return super().write(text)


def console(stream, *, width=80, **environment):
    return Console(file=stream, width=width, _environ={"TERM": "xterm-256color", **environment})


def plain(report):
    return to_text(report) + "\n"


@pytest.mark.parametrize("name", SAMPLES)
def test_a_pipe_gets_the_plain_text(name):
    stream = Stream(terminal=False)
    print_report(SAMPLES[name], console(stream, width=200))
    assert stream.getvalue() == plain(SAMPLES[name])


@pytest.mark.parametrize("name", SAMPLES)
def test_a_terminal_gets_the_same_words_in_colour(name):
    stream = Stream(terminal=True)
    print_report(SAMPLES[name], console(stream))
    assert f"{ESCAPE}[1;3" in stream.getvalue()
    without = re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue())
    assert [line.rstrip() for line in without.split("\n")] == plain(SAMPLES[name]).split("\n")


def test_a_terminal_that_asks_for_no_colour_gets_none():
    stream = Stream(terminal=True)
    print_report(WRONG_TWICE, console(stream, NO_COLOR="1"))
    assert stream.getvalue() == plain(WRONG_TWICE)


def test_a_wide_terminal_is_used_to_a_hundred_cells():
    stream = Stream(terminal=True)
    print_report(MANY_BLOCKS, console(stream, width=300, NO_COLOR="1"))
    assert stream.getvalue() == to_text(MANY_BLOCKS, width=100) + "\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_a_stream_of_few_characters_gets_signs_spelled_out(encoding):
    stream = Stream(terminal=False, encoding=encoding)
    print_report(HOSTILE_NAMES, console(stream))
    assert r"\u5c64" in stream.getvalue()
    stream = Stream(terminal=False, encoding="ascii")
    print_report(WRONG_TWICE, console(stream))
    assert "4.000000000 +/- 3e-9" in stream.getvalue()
    assert "5x4" in stream.getvalue()


def test_standard_output_is_the_default(capsys):
    print_report(CERTIFIED)
    assert capsys.readouterr().out == plain(CERTIFIED)


def test_colour_in_text_is_only_weight_and_colour_around_the_same_words():
    assert re.sub(r"\x1b\[[\d;]*m", "", to_text(HOSTILE_NAMES, color=True)) == to_text(HOSTILE_NAMES)
    assert ESCAPE not in to_text(HOSTILE_NAMES)


def test_markup_and_control_characters_in_names_are_shown_not_obeyed():
    text = to_text(HOSTILE_NAMES)
    assert r"\x1b[31m\u202eabc[red]x[/red]:smile:" in text
    assert safe(HOSTILE) in text


def test_a_message_goes_to_a_stream_line_by_line_and_safe():
    stream = Stream(terminal=True, encoding="ascii")
    to_stream("a ± b\n\x1b[2J", stream)
    assert stream.getvalue() == "a +/- b\n\\x1b[2J\n"


# --- progress ---------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def observe(events, *, terminal=True, seconds_each=0.0, width=100):
    """Feed events to a progress bar, time passing before each, and return what it drew."""
    stream, clock = Stream(terminal=terminal), Clock()
    with Progress(console(stream, width=width), clock=clock) as progress:
        for event in events:
            clock.now += seconds_each
            progress(event)
    return stream.getvalue()


EVENTS = [
    Planned(94, None, "coordinates"),
    *(Evaluated(i, 120, "coordinates") for i in range(1, 95)),
    Settled(Verdict.CORRECT),
]
SLOW = [Planned(94, 9.4, "coordinates"), *EVENTS[1:]]


def test_a_short_check_shows_nothing():
    assert observe(EVENTS, seconds_each=0.001) == ""


def test_nothing_is_shown_where_there_is_no_terminal():
    assert observe(SLOW, seconds_each=0.1, terminal=False) == ""


def test_the_plan_is_shown_before_a_long_run_and_the_bar_is_wiped_away_after_it():
    drawn = observe(SLOW, seconds_each=0.1)
    assert drawn.startswith("Planned: 94 evaluations of the cost, some 9.4 s (coordinates).\n")
    assert "every coordinate" in drawn
    assert "47/94" in drawn
    assert "4.7 s left" in drawn
    assert drawn.endswith("\r\x1b[2K")


def test_a_check_of_unknown_length_is_shown_once_it_is_clear_that_it_lasts():
    drawn = observe(EVENTS, seconds_each=0.1)
    first = re.search(r"(\d+)/94", drawn)
    assert 3 <= int(first[1]) <= 4
    assert drawn.startswith("Planned: 94 evaluations of the cost (coordinates).\n")


def test_a_check_that_gets_slow_late_is_shown_after_a_second():
    events = [Planned(3, 0.1, "auto"), Evaluated(1, 1000, "noise"), Evaluated(2, 1000, "lines")]
    assert observe(events, seconds_each=0.2) == ""
    assert "random directions" in observe(events, seconds_each=0.6)


def test_past_the_plan_the_budget_is_what_is_left_at_most():
    events = [Planned(11, 5.0, "auto"), Evaluated(500, 1000, "search")]
    assert "500/1000 at most 2.0 s left" in observe(events, seconds_each=2.0)


def test_more_evaluations_than_expected_are_no_trouble():
    assert "1200/1200" in observe([Planned(11, 5.0, "auto"), Evaluated(1200, 1000, "remedy")], seconds_each=2.0)


def test_the_bar_is_not_drawn_more_than_ten_times_a_second():
    many = [Planned(10_000, 10.0, "coordinates"), *(Evaluated(i, 10_000, "coordinates") for i in range(1, 10_001))]
    assert observe(many, seconds_each=0.001).count("/10000") <= 101


def test_the_bar_stays_on_one_line_of_a_narrow_terminal():
    drawn = observe(SLOW, seconds_each=0.1, width=40)
    assert drawn.count("\n") == 1


def test_an_exception_wipes_the_bar_away():
    stream, clock = Stream(terminal=True), Clock()
    progress = Progress(console(stream), clock=clock)

    def fail():
        with progress:
            progress(SLOW[0])
            clock.now += 2
            progress(SLOW[1])
            assert "every coordinate" in stream.getvalue()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert stream.getvalue().endswith("\r\x1b[2K")


def test_an_observer_is_made_without_arguments_and_is_silent_under_test(capsys):
    progress = Progress()
    for event in SLOW:
        progress(event)
    assert capsys.readouterr() == ("", "")


def test_a_second_point_starts_afresh():
    events = [Planned(5, 0.01, "auto"), Evaluated(5, 1000, "lines"), Settled(Verdict.CORRECT)]
    assert observe([*events, *events], seconds_each=0.15) == ""
