"""Reports made by hand, with every verdict and every field: what the golden files show."""

from __future__ import annotations

from dataclasses import replace

from gradproof._words.results import (
    BlockResult,
    Cause,
    Certificate,
    CoordinateResult,
    Diagnosis,
    Difference,
    Kink,
    Reason,
    Report,
    SelfTestResult,
    Verdict,
)

CORRECT, WRONG, INCONCLUSIVE = Verdict.CORRECT, Verdict.WRONG, Verdict.INCONCLUSIVE
HOSTILE = "['a\"b\n\x1b[31m\u202eabc[red]x[/red]:smile:\u05d0']"
LONG = "encoder.layers[{}].self_attention.projections['query'].low_rank_adapters[0].weight"


def block(name, shape, verdict=CORRECT, estimate=1.3e-10, upper=3.3e-9, resolution=None, **more):
    options = {"dtype": "float64", "tolerance": 1e-7} | more
    return BlockResult(
        name=name,
        shape=shape,
        verdict=verdict,
        difference=Difference(estimate=estimate, lower=0.9 * estimate if verdict is WRONG else 0.0, upper=upper),
        resolution=2.4 * options["tolerance"] if resolution is None else resolution,
        noise_floor=upper,
        **options,
    )


CERTIFIED = Report(
    verdict=CORRECT,
    difference=Difference(estimate=1.234e-10, lower=0.0, upper=3.4e-9),
    blocks=(
        block("W1", (5, 4), not_exercised=12),
        block("b1", (5, 1), not_exercised=3),
        block("W2", (3, 5), not_exercised=5),
        block("b2", (3, 1), estimate=2e-10),
        block("W3", (1, 3), estimate=2.5e-11),
        block("b3", (1, 1), estimate=0.0),
    ),
    tolerance=1e-7,
    tolerance_reason="the default in float64",
    confidence=0.999999,
    strategy="certificate",
    seed=20240611,
    budget=1000,
    evaluations=11,
    cost=2.407833389834357,
    noise=3.1e-15,
    certificate=Certificate(
        lines=2, remeasured=0, confidence=0.999999, upper=3.4e-9, lower=0.0, noise=3.1e-15, evaluations=11
    ),
    seconds=0.0021,
)

_REMEDY = "gradients['b1'] / 4, gradients['W2'] / 2"
WRONG_TWICE = replace(
    CERTIFIED,
    verdict=WRONG,
    difference=Difference(estimate=0.2850931567761623, lower=0.28509, upper=0.28511),
    blocks=(
        CERTIFIED.blocks[0],
        block("b1", (5, 1), WRONG, 0.6, 0.6001, 2.1e-9, not_exercised=3, wrong_coordinates=2),
        block("W2", (3, 5), WRONG, 1 / 3, 0.33335, 1.9e-9, not_exercised=5, wrong_coordinates=10),
        *CERTIFIED.blocks[3:],
    ),
    strategy="auto",
    evaluations=148,
    coordinates=(
        CoordinateResult(block="b1", index=(2, 0), claimed=4.9380246913, numerical=1.2345061728, error_bar=2.4e-10),
        CoordinateResult(block="b1", index=(4, 0), claimed=-2.4, numerical=-0.6, error_bar=2.4e-10),
        *(
            CoordinateResult(block="W2", index=(i % 3, i), claimed=0.2469 / i, numerical=0.12345 / i, error_bar=3e-11)
            for i in range(1, 11)
        ),
    ),
    diagnoses=(
        Diagnosis(
            cause=Cause.FACTOR,
            block="b1",
            sentence="The claimed gradient of b1 is 4 times the true one.",
            coefficient=4.0000000001,
            coefficient_bar=2.2e-9,
            remedy="gradients['b1'] / 4",
            certified_remedy=_REMEDY,
            certified_to=3.1234e-9,
        ),
        Diagnosis(
            cause=Cause.FACTOR,
            block="W2",
            sentence="The claimed gradient of W2 is twice the true one.",
            coefficient=1.9999999998,
            coefficient_bar=3e-9,
            remedy="gradients['W2'] / 2",
            certified_remedy=_REMEDY,
            certified_to=3.1234e-9,
        ),
    ),
    seconds=0.0213,
)

MASKED = replace(
    CERTIFIED,
    verdict=WRONG,
    blocks=(block("W", (1000, 10), WRONG, 2e-9, 4e-9, wrong_coordinates=1), block("b", (10,))),
    strategy="auto",
    confidence=0.99,
    budget=30_000,
    coordinates=(CoordinateResult(block="W", index=(17, 3), claimed=1.0000012e-9, numerical=1e-9, error_bar=1e-18),),
    diagnoses=(
        Diagnosis(
            cause=Cause.COORDINATES,
            block="W",
            sentence="One coordinate is wrong.",
            where="W[17, 3]",
            remedy="look at how row 17 is made",
        ),
    ),
)

NOISY = replace(
    CERTIFIED,
    verdict=INCONCLUSIVE,
    reason=Reason.NOISE,
    difference=Difference(estimate=1.2e-3, lower=0.0, upper=0.034),
    blocks=(
        block("embedding", (10, 3), INCONCLUSIVE, 1e-3, 0.03, 0.0234, tolerance=1e-2, reason=Reason.NOISE),
        block("bias", (), estimate=1e-6, upper=1e-5, tolerance=1e-2),
        block("head", (3,), estimate=1e-6, upper=1e-5, tolerance=2e-1, dtype="float16"),
    ),
    tolerance=1e-2,
    tolerance_reason="raised from 1e-7 as far as noise may raise it",
    strategy="auto",
    evaluations=1000,
    noise=3.1e-5,
    notes=("The cost changed by 2e-5 between two calls at the same point.",),
    skipped=("empty", "frozen"),
    where="point 2 of 3",
    diagnoses=(
        Diagnosis(
            cause=Cause.NON_DETERMINISTIC_COST,
            block="",
            sentence="The cost gives a different value at each call.",
            remedy="fix the random seed inside the cost",
        ),
    ),
    seconds=254.0,
)

AT_A_KINK = replace(
    CERTIFIED,
    verdict=INCONCLUSIVE,
    reason=Reason.KINK,
    difference=Difference(estimate=0.2, lower=0.0, upper=1.0),
    blocks=(block("x", (4,), INCONCLUSIVE, 0.2, 1.0, 1.0, reason=Reason.KINK), block("y", (2,))),
    coordinates=(
        CoordinateResult(
            block="x",
            index=(1,),
            claimed=0.0,
            numerical=0.5,
            error_bar=0.5,
            kink=Kink(left=0.0, right=1.0, error_bar=1e-9),
        ),
        CoordinateResult(
            block="x",
            index=(3,),
            claimed=1.5,
            numerical=0.5,
            error_bar=1e-9,
            kink=Kink(left=0.0, right=1.0, error_bar=1e-9),
        ),
    ),
    certificate=replace(CERTIFIED.certificate, lines=4, remeasured=2),
)

NOT_FINITE = replace(
    CERTIFIED,
    verdict=WRONG,
    difference=Difference(estimate=float("nan"), lower=float("nan"), upper=float("nan")),
    blocks=(
        block("W", (2, 2), WRONG, float("nan"), float("nan"), float("nan"), wrong_coordinates=1),
        block("b", (2,), estimate=float("nan"), upper=float("nan"), resolution=float("nan")),
    ),
    evaluations=1,
    coordinates=(
        CoordinateResult(block="W", index=(0, 1), claimed=float("nan"), numerical=float("nan"), error_bar=float("nan")),
    ),
    diagnoses=(
        Diagnosis(
            cause=Cause.NON_FINITE,
            block="W",
            sentence="The claimed gradient holds NaN at W[0, 1].",
            remedy="look for 0/0, log(0) or an overflow in the backward pass",
        ),
    ),
    noise=0.0,
    seconds=0.0,
    certificate=None,
)

MANY_BLOCKS = replace(
    CERTIFIED,
    verdict=WRONG,
    difference=Difference(estimate=0.1, lower=0.09, upper=0.11),
    blocks=tuple(
        block(
            LONG.format(i),
            (512, 8),
            WRONG if i == 117 else CORRECT,
            0.7 if i == 117 else i * 1e-12,
            0.71 if i == 117 else 3.3e-9,
        )
        for i in range(300)
    ),
)

HOSTILE_NAMES = replace(
    CERTIFIED,
    verdict=WRONG,
    difference=Difference(estimate=0.1, lower=0.09, upper=0.11),
    blocks=(
        block(HOSTILE, (2,), WRONG, 0.5, 0.6),
        block("層の重み", (2,)),
        block("\udc80", (2,)),
        block("x" * 200, (1,)),
    ),
    coordinates=(CoordinateResult(block=HOSTILE, index=(1,), claimed=2.0, numerical=0.0, error_bar=1e-9),),
    diagnoses=(Diagnosis(cause=Cause.UNKNOWN, block=HOSTILE, sentence="No known pattern fits.", where="a\x07bell"),),
    notes=(f"Something about {HOSTILE}.",),
    skipped=(HOSTILE,),
)

SELF_TESTED = replace(
    CERTIFIED,
    self_test=(
        SelfTestResult(mutation="twice the gradient", block="W2", relative_difference=1 / 3, caught=True),
        SelfTestResult(
            mutation="transposed", block="W1", relative_difference=0.0, caught=False, note="the block is symmetric"
        ),
        SelfTestResult(mutation="opposite sign", block="b3", relative_difference=1.0, caught=True),
    ),
)

NOTHING_EXERCISED = replace(
    CERTIFIED,
    difference=Difference(estimate=0.0, lower=0.0, upper=0.0),
    blocks=(
        block("W", (2, 2), estimate=0.0, upper=0.0, not_exercised=4),
        block("b", (2,), estimate=0.0, upper=0.0, not_exercised=2),
    ),
    cost=0.0,
    noise=0.0,
)

SAMPLES = {
    "certified": CERTIFIED,
    "wrong_twice": WRONG_TWICE,
    "masked": MASKED,
    "noisy": NOISY,
    "at_a_kink": AT_A_KINK,
    "not_finite": NOT_FINITE,
    "many_blocks": MANY_BLOCKS,
    "hostile_names": HOSTILE_NAMES,
    "self_tested": SELF_TESTED,
    "nothing_exercised": NOTHING_EXERCISED,
}
