"""What the certificate promises, tested at a stated level; and beside each promise a broken method that fails its test.

A promise is rejected only where what is seen has a probability below LEVEL if the promise holds. Residuals are planted
3 % outside the tolerance, or 3 % inside, where a method that cuts corners is caught soonest.
"""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from certificate import logistic, network
from scipy import stats

from gradproof import Verdict, check_gradient, check_vjp
from gradproof._evidence.certificate import Certifier, Member
from gradproof._evidence.evidence import Evidence, Law, Pair
from gradproof._numerics.lines import LineReader
from gradproof._numerics.statistics import (
    chi_square_lower_quantile,
    chi_square_upper_quantile,
    norm_lower_bound,
    norm_upper_bound,
    residual_possible,
    small_ball_quantile,
)
from gradproof._words.directions import RandomDirection
from known_lines import KnownBlocks

pytestmark = pytest.mark.calibration

LEVEL = 1e-3
ALPHA = 0.1
TOLERANCE = 1e-4
TRIALS = 20_000
FEWER = 1_000
"""Trials that a broken method is given to fail in."""
LOOKS = 6
"""Lines in most trials: α/(m(m − 1)) leaves 1/LOOKS of α for all of the later looks, which FEWER trials are given."""


def too_many(failures, trials, promised):
    """Say whether so many failures refute a failure rate of at most `promised`, at LEVEL (exact binomial test)."""
    return stats.binomtest(failures, trials, promised, alternative="greater").pvalue < LEVEL


# ------------------------------------------------------------------------------------------ trials without a cost
def exact_line(slope, jump=0.0):
    """The line t ↦ r·v t + t³/1000 of a residual r that is known; with a kink beside the point, if wanted.

    Of many components the slopes are given; the rest is the same in all of them.
    """
    return KnownBlocks(
        lambda t: slope * t + (1e-3 * t**3 + jump * max(t - 4e-4, 0.0)) * np.ones(np.size(slope)),
        sizes=(np.size(slope),),
    )


def normal(direction, block, size):
    return direction.component(block, (size,))


def signs(direction, block, size):
    return np.sign(direction.component(block, (size,)))


def always_the_same(direction, block, size):
    return np.random.default_rng([direction.seed, block]).standard_normal(size)


def two_equal_entries(trial):
    return [np.array([1.0, 1.0, 0.0, 0.0, 0.0])]


def shapes_of_residuals(trial):
    """Draw the residuals of the blocks, of norm 1 where there is one: dense, sparse, or in one block of three."""
    rng = np.random.default_rng([trial, 5])
    kind = trial % 4
    if kind == 0:
        return [rng.standard_normal(5)]
    if kind == 1:
        return [np.eye(5)[rng.integers(5)]]
    if kind == 2:
        return two_equal_entries(trial)
    return [np.zeros(3), rng.standard_normal(2), np.zeros(1)]


def of_rank(rank, rows=6):
    """Make residuals of one block with as many rows, of that rank: equal singular values, in random directions."""

    def shapes(trial):
        rng = np.random.default_rng([trial, 11])
        left, right = (
            np.linalg.qr(rng.standard_normal((rows, rank)))[0],
            np.linalg.qr(rng.standard_normal((5, rank)))[0],
        )
        return [left @ right.T]

    return shapes


def seen_of(trial, cotangents):
    """Return what shows a residual: its row itself, all of its rows, or the products with k normal cotangents."""
    if not cotangents:
        return lambda shown: shown
    drawn = np.random.default_rng([trial, 12]).standard_normal((cotangents, 6))
    return lambda shown: drawn @ shown


def certifier_of(
    trial, residuals, kind=Certifier, *, draw=normal, alpha=ALPHA, calibration=None, cotangents=0, line=None
):
    """Return the certificate of blocks of norm 1, whose residuals are known, and a reader that is calibrated or not."""
    blocks = len(residuals)
    seen = seen_of(trial, cotangents)
    rows = cotangents or (1 if residuals[0].ndim == 1 else len(residuals[0]))

    def line_of(direction):
        return exact_line(seen(sum(r @ draw(direction, b, r.shape[-1]) for b, r in enumerate(residuals) if r.any())))

    certifier = kind(
        [Member(b, 1.0) for b in range(blocks)],
        {0: [Pair(0, b, 1.0, 1.0, 1.0, 1.0, TOLERANCE, 1e-15) for b in range(blocks)]},
        line or line_of,
        LineReader([slice(0, rows)], trial),
        blocks=blocks,
        size=5,
        seed=trial,
        stream=0,
        law=Law(cotangents),
        correct=alpha,
        wrong=alpha,
    )
    certifier.calibration = calibration
    return certifier


def run(certifier, looks):
    """Look after each line, as a check does; say what is proved of the whole."""
    evidence = certifier.evidence[0]
    while certifier.open and certifier.count < looks:
        certifier.measure()
    if evidence.is_wrong():
        return Verdict.WRONG
    return Verdict.CORRECT if evidence.certified() else Verdict.INCONCLUSIVE


def verdict_of(trial, residuals, *, looks=LOOKS, **options):
    """Run the sequential certificate of blocks of norm 1, whose residuals are known.

    With a calibration the first line is measured as the later ones are, which takes a quarter of the time.
    """
    return run(certifier_of(trial, residuals, **options), looks)


def calibrated():
    first = certifier_of(0, [np.zeros(5)], line=lambda _: exact_line(0.0))
    first.measure()
    return first.calibration


def outside(trial, shapes=shapes_of_residuals):
    """Residuals of which one block has 3 % more than the tolerance allows."""
    return [1.03 * residual_possible(TOLERANCE, 1.0) * r / (np.linalg.norm(r) or 1.0) for r in shapes(trial)]


def false_correct(trials, shapes=shapes_of_residuals, **options):
    return sum(verdict_of(trial, outside(trial, shapes), **options) is Verdict.CORRECT for trial in range(trials))


def test_errors_just_outside_the_tolerance_are_correct_with_probability_alpha_at_most():
    assert not too_many(false_correct(TRIALS, calibration=calibrated()), TRIALS, ALPHA)


def test_a_first_line_that_is_searched_for_changes_nothing():
    assert not too_many(false_correct(FEWER), FEWER, ALPHA)


def test_later_looks_do_not_add_up_to_more():
    assert not too_many(false_correct(FEWER // 2, looks=48), FEWER // 2, ALPHA)


def test_two_equal_errors_are_no_harder_to_see_than_others():
    assert not too_many(false_correct(FEWER, two_equal_entries), FEWER, ALPHA)


@pytest.mark.parametrize("rank", [1, 2, 5])
@pytest.mark.parametrize("cotangents", [0, 4, 12])
def test_errors_of_many_outputs_are_correct_with_probability_alpha_at_most(cotangents, rank):
    assert not too_many(false_correct(FEWER, of_rank(rank), cotangents=cotangents), FEWER, ALPHA)


def test_the_law_of_whole_vectors_would_miss_errors_seen_by_few_cotangents_more_often(monkeypatch):
    monkeypatch.setattr(Law, "lower", lambda self, m, alpha: self.cotangents * chi_square_lower_quantile(m, alpha))
    assert too_many(false_correct(FEWER, of_rank(1), cotangents=2), FEWER, ALPHA)


@pytest.mark.parametrize("draw", [signs, always_the_same], ids=["signs", "one direction"])
def test_other_directions_would_miss_them_more_often(draw):
    # Signs ±1 cancel on every second line; one direction is seen to be the same however often it is asked.
    assert too_many(false_correct(FEWER, two_equal_entries, draw=draw), FEWER, ALPHA)


def test_the_quantile_of_the_other_tail_would_miss_errors_more_often(monkeypatch):
    monkeypatch.setattr("gradproof._evidence.evidence.chi_square_lower_quantile", chi_square_upper_quantile)
    assert too_many(false_correct(FEWER), FEWER, ALPHA)


def test_the_mean_in_place_of_a_quantile_would_miss_errors_more_often(monkeypatch):
    monkeypatch.setattr("gradproof._evidence.evidence.chi_square_lower_quantile", lambda degrees, alpha: float(degrees))
    assert too_many(false_correct(FEWER), FEWER, ALPHA)


def test_alpha_spent_at_every_look_would_miss_errors_more_often(monkeypatch):
    monkeypatch.setattr("gradproof._evidence.evidence.alpha_for_correct", lambda alpha, lines: alpha)
    assert too_many(false_correct(FEWER, looks=16), FEWER, ALPHA)


# ------------------------------------------------------------------------------------------ lines that cross kinks
class Replacing(Certifier):
    """A certificate that throws a line away where it had to be measured again, and draws another."""

    def take(self, line, reading):
        if reading.crossed:
            self.count += 1
        else:
            super().take(line, reading)


def false_correct_with_kinks(kind, trials):
    """Count CORRECT where the faulty unit's kink is crossed by the lines that would show its fault."""
    calibration = calibrated()
    size = 1.03 * residual_possible(TOLERANCE, 1.0)
    wrong = 0
    for trial in range(trials):

        def line_of(direction):
            slope = size * float(direction.component(0, (1,))[0])
            return exact_line(slope, 0.5 if abs(slope) > 0.4 * size else 0.0)

        certifier = certifier_of(trial, [np.ones(1)], kind, calibration=calibration, line=line_of)
        wrong += run(certifier, LOOKS) is Verdict.CORRECT
    return wrong


def test_lines_measured_again_keep_the_promise():
    assert not too_many(false_correct_with_kinks(Certifier, FEWER), FEWER, ALPHA)


def test_lines_replaced_by_fresh_ones_would_not():
    assert too_many(false_correct_with_kinks(Replacing, FEWER), FEWER, ALPHA)


# ------------------------------------------------------------------------------------------ never WRONG inside
def false_wrong(trials, blocks=3):
    """Count WRONG where every block has 0.97 of what the tolerance makes possible."""
    found = 0
    for trial in range(trials):
        rng = np.random.default_rng([trial, 6])
        residuals = [rng.standard_normal(2) for _ in range(blocks)]
        residuals = [0.97 * residual_possible(TOLERANCE, 1.0) * r / np.linalg.norm(r) for r in residuals]
        found += verdict_of(trial, residuals, looks=12) is Verdict.WRONG
    return found


def test_errors_just_inside_the_tolerance_in_every_block_are_wrong_with_probability_alpha_at_most():
    assert not too_many(false_wrong(FEWER), FEWER, ALPHA)


@pytest.mark.parametrize("rank", [1, 2, 5])
@pytest.mark.parametrize("cotangents", [0, 4, 12])
def test_errors_of_many_outputs_just_inside_are_wrong_with_probability_alpha_at_most(cotangents, rank):
    found = 0
    for trial in range(FEWER):
        residual = of_rank(rank)(trial)[0]
        residual *= 0.97 * residual_possible(TOLERANCE, 1.0) / np.linalg.norm(residual)
        found += verdict_of(trial, [residual], cotangents=cotangents) is Verdict.WRONG
    assert not too_many(found, FEWER, ALPHA)


def test_the_law_of_whole_vectors_would_call_them_wrong_more_often(monkeypatch):
    monkeypatch.setattr(Law, "upper", lambda self, m, alpha: self.cotangents * chi_square_upper_quantile(m, alpha))
    trials, found = FEWER // 4, 0
    for trial in range(trials):
        residual = 0.97 * residual_possible(TOLERANCE, 1.0) * of_rank(1)(trial)[0]
        # The more lines, the more the cotangent alone decides.
        found += verdict_of(trial, [residual], cotangents=1, looks=24) is Verdict.WRONG
    assert too_many(found, trials, ALPHA)


def test_the_limit_of_one_block_for_all_of_them_would_be_wrong_more_often(monkeypatch):
    possible = Evidence.possible
    monkeypatch.setattr(Evidence, "possible", lambda self: possible(self) / math.sqrt(12))
    assert too_many(false_wrong(FEWER // 4, blocks=12), FEWER // 4, ALPHA)


def test_the_quantile_of_the_other_tail_would_be_wrong_more_often(monkeypatch):
    monkeypatch.setattr("gradproof._evidence.evidence.chi_square_upper_quantile", chi_square_lower_quantile)
    assert too_many(false_wrong(FEWER // 4), FEWER // 4, ALPHA)


# ------------------------------------------------------------------------------------------ the bounds themselves
LINES = (1, 2, 5, 20)


def missed_bounds(lines, alpha, trials, *, noise=0.0):
    """Count norms above their upper bound, and below their lower one; the norm is 1."""
    rng = np.random.default_rng([lines, 7])
    high = low = 0
    for values in rng.standard_normal((trials, lines)) + noise * rng.standard_normal((trials, lines)):
        high += norm_upper_bound(list(values), [0.0] * lines, alpha) < 1
        low += norm_lower_bound(list(np.abs(values)), alpha) > 1
    return high, low


@pytest.mark.parametrize("lines", LINES)
def test_both_bounds_miss_with_probability_alpha_and_are_no_wider_than_that(lines):
    for missed in missed_bounds(lines, 0.05, 4000):
        assert not too_many(missed, 4000, 0.05)
        assert not too_many(4000 - missed, 4000, 0.95)  # sharp: an honest bound need not be wide


@pytest.mark.parametrize("lines", LINES)
def test_noise_that_is_independent_never_makes_the_upper_bound_miss_more_often(lines):
    high, _ = missed_bounds(lines, 0.05, 2000, noise=1.0)
    assert not too_many(high, 2000, 0.05)


def test_noise_makes_a_lower_bound_miss_that_does_not_allow_for_it():
    _, low = missed_bounds(5, 0.05, 2000, noise=1.0)
    assert too_many(low, 2000, 0.05)


# ------------------------------------------------------------------------------------------ through check_gradient
def planted(trial, share, tolerance, size=12):
    """A cost, a point and a claim whose relative difference is a share of the tolerance; and that difference."""
    rng = np.random.default_rng([trial, 8])
    point = rng.standard_normal(size)
    true, error = np.cos(point), rng.standard_normal(size)
    error *= 2 * share * tolerance * np.linalg.norm(true) / np.linalg.norm(error)
    claimed = true + error
    difference = float(np.linalg.norm(claimed - true) / (np.linalg.norm(claimed) + np.linalg.norm(true)))
    return (lambda x: float(np.sum(np.sin(x))), point, claimed), difference


def checked(trial, share, tolerance, **options):
    problem, difference = planted(trial, share, tolerance)
    report = check_gradient(*problem, tolerance=tolerance, strategy="certificate", seed=trial, **options)
    return report, difference


def test_a_check_of_errors_just_outside_is_correct_with_probability_alpha_at_most():
    trials = 200
    correct = 0
    for trial in range(trials):
        report, difference = checked(trial, 1.03, TOLERANCE, confidence=1 - ALPHA)
        assert difference > 1.02 * TOLERANCE
        correct += report.verdict is Verdict.CORRECT
    assert not too_many(correct, trials, ALPHA)


def test_a_check_of_errors_just_inside_is_wrong_with_probability_alpha_at_most():
    trials = 200
    verdicts = [checked(trial, 0.97, TOLERANCE, confidence=1 - ALPHA)[0].verdict for trial in range(trials)]
    assert not too_many(sum(verdict is Verdict.WRONG for verdict in verdicts), trials, ALPHA)


def outside_the_interval(trials, shares, tolerance, **options):
    """Count the printed intervals, of the whole and of its block, that do not hold the true difference."""
    missed = 0
    for trial in range(trials):
        report, difference = checked(trial, shares[trial % len(shares)], tolerance, **options)
        for stated in (report.difference, report.blocks[0].difference):
            if not stated.lower <= difference * (1 + 1e-9) or not difference * (1 - 1e-9) <= stated.upper:
                missed += 1
                break
    return missed


def test_at_the_default_confidence_the_printed_interval_holds_in_all_of_two_thousand_runs():
    assert outside_the_interval(2000, (1e-4, 1e-3, 0.01, 0.02, 0.05), 1e-2) == 0


def test_it_holds_for_wrong_gradients_too():
    assert outside_the_interval(150, (30, 100, 1e3, 1e4), 1e-6) == 0


def test_at_a_low_confidence_it_misses_as_often_as_is_allowed():
    assert not too_many(outside_the_interval(600, (0.01, 0.1), 1e-2, confidence=1 - ALPHA), 600, ALPHA)


def test_an_interval_without_a_quantile_would_miss(monkeypatch):
    monkeypatch.setattr(Law, "factor", lambda self, m, alpha: 1 / math.sqrt(chi_square_lower_quantile(m, 0.5)))
    assert outside_the_interval(50, (1e-3, 0.01), 1e-2) > 0


# ------------------------------------------------------------------------------------------ through check_vjp
OUTPUTS = np.random.default_rng(13).standard_normal((100, 12))


def checked_vjp(trial, share, tolerance):
    """Check a product of more rows than are written out, whose relative difference is a share of the tolerance."""
    rng = np.random.default_rng([trial, 14])
    point = rng.standard_normal(12)
    true = OUTPUTS * np.cos(point)
    error = rng.standard_normal((len(OUTPUTS), 1)) * rng.standard_normal(12)
    error *= 2 * share * tolerance * np.linalg.norm(true) / np.linalg.norm(error)
    claimed = true + error
    difference = np.linalg.norm(error) / (np.linalg.norm(claimed) + np.linalg.norm(true))
    report = check_vjp(
        lambda x: OUTPUTS @ np.sin(x),
        lambda _, u: u @ claimed,
        point,
        tolerance=tolerance,
        confidence=1 - ALPHA,
        strategy="certificate",
        seed=trial,
    )
    return report.verdict, difference


def test_products_just_outside_the_tolerance_are_correct_with_probability_alpha_at_most():
    trials, correct = 200, 0
    for trial in range(trials):
        verdict, difference = checked_vjp(trial, 1.03, 1e-3)
        assert difference > 1.02e-3
        correct += verdict is Verdict.CORRECT
    assert not too_many(correct, trials, ALPHA)


def test_products_just_inside_the_tolerance_are_wrong_with_probability_alpha_at_most():
    verdicts = [checked_vjp(trial, 0.97, 1e-3)[0] for trial in range(200)]
    assert not too_many(verdicts.count(Verdict.WRONG), 200, ALPHA)


# ------------------------------------------------------------------------------------------ what it costs
SEEDS = 20


def evaluations(build, size, name):
    counts = []
    for seed in range(SEEDS):
        cost, point, gradient = build(size, seed, name)
        report = check_gradient(cost, point, gradient, strategy="certificate", tolerance=1e-7, seed=seed)
        assert report.verdict is Verdict.CORRECT
        counts.append(report.evaluations)
    return np.median(counts)


@pytest.mark.parametrize("size", [10**2, 10**3, 10**4, 10**5])
@pytest.mark.parametrize(
    ("name", "build", "most"), [("tanh", network, 13), ("logistic", logistic, 13), ("ReLU", network, 26)]
)
def test_a_right_gradient_is_certified_in_a_dozen_evaluations_whatever_its_size(name, build, most, size):
    assert evaluations(build, size, name) <= most


def peak_in_vectors(blocks, wrong):
    """Return the peak memory of a check beyond the claim and the point, in vectors of all parameters."""
    size = 10**6
    rng = np.random.default_rng(0)
    point = {f"w{b}": rng.standard_normal(size // blocks) for b in range(blocks)}
    claimed = {name: 2 * values for name, values in point.items()}
    if wrong:
        claimed["w0"] *= 1.5

    def cost(p):
        return sum(float(values @ values) for values in p.values())

    check_gradient(cost, {"w0": np.ones(3)}, {"w0": np.full(3, 3.0 if wrong else 2.0)}, seed=0)  # what is imported late
    tracemalloc.start()
    try:
        report = check_gradient(cost, point, claimed, strategy="certificate", seed=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.verdict is (Verdict.WRONG if wrong else Verdict.CORRECT)
    return peak / (8 * size)


@pytest.mark.parametrize("wrong", [False, True], ids=["right", "wrong"])
@pytest.mark.parametrize("blocks", [1, 10])
def test_a_check_takes_no_more_than_four_vectors_beside_claim_and_point(blocks, wrong):
    # The diagnosis of one large block holds a transformed claim and a direction beside the rest.
    assert peak_in_vectors(blocks, wrong) <= (5.1 if wrong and blocks == 1 else 4.0)


def test_memory_does_not_grow_with_the_lines():
    # A hundred evaluations and more: none of their points is kept.
    assert peak_in_vectors(1, wrong=True) <= 7.0


# ------------------------------------------------------------------------------------------ the table of the docs
def main():
    """Print the shares of false verdicts: `PYTHONPATH=tests:benchmarks python tests/calibration/test_certificate.py`."""
    two = {"shapes": two_equal_entries}
    broken = {
        "as it is": (TRIALS, {}, {"calibration": calibrated()}),
        "as it is, 48 looks": (FEWER, {}, {"looks": 48}),
        "as it is, two equal errors": (FEWER, {}, two),
        "directions of signs, two equal errors": (FEWER, {}, two | {"draw": signs}),
        "one fixed direction, two equal errors": (FEWER, {}, two | {"draw": always_the_same}),
        "alpha at every look, 16 looks": (
            FEWER,
            {"_evidence.evidence.alpha_for_correct": lambda a, _: a},
            {"looks": 16},
        ),
        "the mean for the quantile": (
            FEWER,
            {"_evidence.evidence.chi_square_lower_quantile": lambda m, _: float(m)},
            {},
        ),
        "the other tail's quantile": (
            FEWER,
            {"_evidence.evidence.chi_square_lower_quantile": chi_square_upper_quantile},
            {},
        ),
    }
    print("D = 1.03 × tolerance, confidence 0.9: share of false CORRECT")
    for name, (trials, patches, options) in broken.items():
        with pytest.MonkeyPatch.context() as patch:
            for target, replacement in patches.items():
                patch.setattr(f"gradproof.{target}", replacement)
            print(f"  {name:40s} {false_correct(trials, **options) / trials:.4f} of {trials}")
    for name, kind in (("lines measured again", Certifier), ("lines replaced by fresh ones", Replacing)):
        print(f"  {name + ', at a kink':40s} {false_correct_with_kinks(kind, FEWER) / FEWER:.4f} of {FEWER}")
    print("D = 0.97 × tolerance in each of three blocks: share of false WRONG")
    print(f"  {'as it is':40s} {false_wrong(FEWER) / FEWER:.4f} of {FEWER}")


if __name__ == "__main__":
    main()


# --- directions that are products of a rank ---------------------------------------------------------------------------

RANK_TRIALS = 200_000
SMALL_ALPHA = 1e-2


def squares_along_products(singular, count, rank, generator):
    """Return Σ(r·v)²/‖r‖² of `count` directions v = ABᵀ/√ρ, for a residual with these singular values.

    With r = Σ σ_k u_k w_kᵀ, r·v = Σ σ_k (Aᵀu_k)·(Bᵀw_k)/√ρ, and all of these vectors are standard normal.
    """
    shape = (RANK_TRIALS, count, len(singular), rank)
    products = np.sum(generator.standard_normal(shape) * generator.standard_normal(shape), axis=-1) / math.sqrt(rank)
    return np.sum((products @ np.array(singular)) ** 2, axis=1) / np.sum(np.square(singular))


@pytest.mark.parametrize("singular", [(1.0,), (1.0, 1.0), (1.0, 0.3, 0.1)])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_bound_of_products_fails_no_more_often_than_it_says_whatever_the_residual(singular, count):
    seen = squares_along_products(singular, count, 8, np.random.default_rng([count, len(singular)]))
    failed = int(np.count_nonzero(seen <= small_ball_quantile(count, 8, SMALL_ALPHA)))
    assert stats.binom.sf(failed - 1, RANK_TRIALS, SMALL_ALPHA) > LEVEL
    assert failed > 0.4 * SMALL_ALPHA * RANK_TRIALS  # and is not wide for nothing


def test_without_their_constant_the_same_bound_fails_too_often():
    seen = squares_along_products((1.0,), 4, 2, np.random.default_rng(1))
    failed = int(np.count_nonzero(seen <= chi_square_lower_quantile(4, SMALL_ALPHA)))
    assert stats.binom.sf(failed - 1, RANK_TRIALS, SMALL_ALPHA) < LEVEL


def test_signs_in_place_of_products_miss_two_equal_residuals_in_every_other_direction():
    signs = np.random.default_rng(2).choice([-1.0, 1.0], size=(RANK_TRIALS, 2, 2))
    seen = np.sum(np.sum(signs, axis=2) ** 2, axis=1) / 2
    failed = int(np.count_nonzero(seen <= small_ball_quantile(2, 8, SMALL_ALPHA)))
    assert failed > 10 * SMALL_ALPHA * RANK_TRIALS


def test_the_recipe_follows_the_law_that_its_bound_is_of():
    """Of a rank-one residual, the worst, a recipe's own matrices: y/√V is normal given B, V = ‖r‖²χ²_ρ/ρ."""
    u, w = np.ones(64) / 8, np.ones(64) / 8
    lines = [RandomDirection(5, k, (1.0,), 8).component(0, (64, 64)).reshape(64, 64) for k in range(4000)]
    seen = np.array([u @ line @ w for line in lines])
    generator = np.random.default_rng(6)
    law = np.sum(generator.standard_normal((40_000, 8)) * generator.standard_normal((40_000, 8)), axis=1) / math.sqrt(8)
    assert stats.ks_2samp(seen, law).pvalue > LEVEL
    assert stats.ks_2samp(seen, 1.2 * law).pvalue < LEVEL


def test_a_large_model_is_certified_along_products_and_its_report_says_so():
    rng = np.random.default_rng(8)
    x, point = (
        rng.standard_normal(700),
        {"a": rng.standard_normal((700, 400)) / 20, "b": rng.standard_normal((400, 700)) / 20},
    )

    def cost(p):
        return float(np.sum(np.tanh(np.tanh(x @ p["a"]) @ p["b"]) ** 2))

    hidden = np.tanh(x @ point["a"])
    out = np.tanh(hidden @ point["b"])
    back = 2 * out * (1 - out**2)
    claimed = {"a": np.outer(x, (point["b"] @ back) * (1 - hidden**2)), "b": np.outer(hidden, back)}
    report = check_gradient(cost, point, claimed, seed=1)
    assert report.verdict is Verdict.CORRECT
    assert any("products A Bᵀ" in note for note in report.notes)
    claimed["b"] = claimed["b"] * 1.001
    wrong = check_gradient(cost, point, claimed, seed=1)
    assert wrong.verdict is Verdict.WRONG
    assert wrong.faulty == ("b",)
