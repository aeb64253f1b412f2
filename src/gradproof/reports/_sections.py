"""The running text of a report: the verdict, the causes, the notes, and how to replay it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gradproof._words.results import Reason, Verdict
from gradproof._words.settings import DEFAULT_BUDGET, DEFAULT_CONFIDENCE
from gradproof.reports._layout import Line, Span, Style, cells, plain, safe, shorten, wrap
from gradproof.reports._numbers import bound, count, duration, lower_bound, short, with_bar

if TYPE_CHECKING:
    from gradproof._words.results import BlockResult, Diagnosis, Report

VERDICT_STYLES: Final[dict[Verdict, Style]] = {
    Verdict.CORRECT: "good",
    Verdict.WRONG: "bad",
    Verdict.INCONCLUSIVE: "unsure",
}
MOST_NAMES: Final = 3
LONGEST_NAME: Final = 40
ADVICE: Final = {
    Reason.NOISE: "lessen the noise (double precision, a fixed random seed, tighter solver tolerances)",
    Reason.KINK: "check at a nearby point: add a small random number to every parameter",
    Reason.BORDER: "give another tolerance (tolerance=), larger or smaller than the difference that is shown",
    Reason.BUDGET: "allow more evaluations (budget={double}), or check fewer blocks at a time (only=)",
    Reason.DOMAIN: "check at a point farther from the edge of the cost's domain",
    Reason.NOT_EXERCISED: "let the cost depend on the parameters that it is given, and not on globals or on another model",
    Reason.STRUCTURE: "check at another point, or write the cost without cancellation; what is finer than a step has no slope that a step could show",
    Reason.STAIRCASE: "check the function before it is rounded: between the jumps its derivative is zero, across them there is none",
    Reason.RANDOM: "repeat the same random numbers at each call (replay_rng=True), or switch the randomness off",
    Reason.CLAIM: "make the claim repeatable (fix its random seed, use deterministic algorithms), or give a tolerance above what two calls of it differ by",
}


SUBJECTS: Final = {
    "check_vjp": "the VJP",
    "check_jvp": "the JVP",
    "check_jacobian": "the Jacobian",
    "check_hvp": "the Hessian-vector product",
    "check_hessian": "the Hessian",
    "check_adjoint": "the adjoint",
    "torch.check": "the derivative",
    "jax.check": "the derivative",
    "statsmodels.check_model": "the derivative",
}
"""What a report is about, by the function that made it; else the gradient."""
CALLS: Final = {
    "check_vjp": ["function", "vjp", "point"],
    "check_jvp": ["function", "jvp", "point"],
    "check_jacobian": ["function", "jacobian", "point"],
    "check_hvp": ["gradient", "hvp", "point"],
    "check_hessian": ["gradient", "hessian", "point"],
    "check_adjoint": ["operator", "point"],
    "torch.check": ["function", "inputs"],
    "torch.check_module": ["module", "cost"],
    "jax.check": ["f", "args"],
    "statsmodels.check_model": ["model", "params"],
    "ase.check_forces": ["atoms"],
    "ase.check_stress": ["atoms"],
}


def headline(report: Report, width: int) -> list[Line]:
    """Say the verdict, how sure it is, and at which tolerance."""
    word = report.verdict.name + (f" ({report.where})" if report.where else "")
    first = wrap(f"{word}: {_what(report)}.", width)
    style = VERDICT_STYLES[report.verdict]
    size = cells(report.verdict.name)
    lines: list[Line] = [(Span(first[0][:size], style), Span(first[0][size:], "heading"))]
    lines += [plain(line, "heading") for line in first[1:]]
    lines += _paragraph(_how_sure(report), width)
    if report.verdict is Verdict.INCONCLUSIVE:
        lines += _what_stood_in_the_way(report, width)
    return lines


def step(report: Report, width: int) -> list[Line]:
    """Say which step of the backward pass is wrong."""
    if report.step is None:
        return []
    return [
        plain("Step", "heading"),
        *(plain(line) for line in wrap(report.step.sentence, width, first="  ", rest="  ")),
    ]


def causes(report: Report, width: int) -> list[Line]:
    """Name each cause, with its remedy and what that was certified to."""
    if not report.diagnoses:
        return []
    lines = [plain("Cause" if len(report.diagnoses) == 1 else "Causes", "heading")]
    shared: Counter[str | None] = Counter(
        diagnosis.certified_remedy for diagnosis in report.diagnoses if diagnosis.certified_remedy
    )
    for diagnosis in report.diagnoses:
        lines += _cause(diagnosis, width, with_remedy=shared[diagnosis.certified_remedy] < 2)
    for remedy, times in shared.items():
        if remedy and times > 1:
            to = next(d.certified_to for d in report.diagnoses if d.certified_remedy == remedy)
            lines += _certified(remedy, to, width, "  ")
    return lines


def notes(report: Report, width: int) -> list[Line]:
    """List what was not as usual."""
    sentences = list(report.notes)
    if report.skipped:
        sentences.append(f"Left out (empty or excluded): {names(report.skipped, most=10)}.")
    if not sentences:
        return []
    lines = [plain("Notes", "heading")]
    for sentence in sentences:
        lines += [plain(line) for line in wrap(sentence, width, first="  - ", rest="    ")]
    return lines


def footer(report: Report, width: int) -> list[Line]:
    """Say what the check took and how to repeat it."""
    size = sum(math.prod(block.shape) for block in report.blocks)
    time = f" in {duration(report.seconds)}" if report.seconds else ""
    noise = f" with noise {short(report.noise, 1)}" if report.noise > 0 else ""
    facts = [
        f"{count(size, 'coordinate')} in {count(len(report.blocks), 'block')}",
        f"{count(report.evaluations, 'evaluation')} of the {'cost' if report.verb not in SUBJECTS else 'function'}{time}",
        f"{'J' if report.verb not in SUBJECTS else '‖f‖'} = {short(report.cost, 4)}{noise}",
    ]
    certificate = report.certificate
    if certificate:
        again = f", {certificate.remeasured} measured again at a shorter step" if certificate.remeasured else ""
        facts.insert(1, count(certificate.lines, "random direction") + again)
    facts.append(f"confidence {report.confidence!r}")
    facts.append(f"seed {report.seed}")
    lines = [plain(line, "faint") for line in wrap("; ".join(facts) + ".", width)]
    return lines + [plain(line, "faint") for line in wrap(_replay(report), width, first="replay: ", rest="    ")]


def names(given: Sequence[str], most: int = MOST_NAMES) -> str:
    """Join names for a sentence: ``W2 and b1``; ``a, b, c and 7 more``."""
    shown = [shorten(safe(name), LONGEST_NAME) for name in given[:most]]
    if len(given) > most:
        return f"{', '.join(shown)} and {len(given) - most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def _what(report: Report) -> str:
    what = report.verdict.value.replace("the gradient", SUBJECTS.get(report.verb, "the gradient"))
    if report.verdict is Verdict.WRONG and report.faulty:
        return f"{what} in {names(report.faulty)}"
    return what


def _how_sure(report: Report) -> str:
    """Put the relative difference beside the tolerance; each verdict stands on another of its bounds."""
    difference, sure = report.difference, f"with confidence {report.confidence!r}"
    reason = f" ({report.tolerance_reason.rstrip('.')})" if report.tolerance_reason else ""
    tolerance = f"The tolerance is {short(report.tolerance)}{reason}."
    subject = "Its relative difference from the numerical gradient"
    if report.verb == "check_adjoint":
        subject = "The relative difference of the two products"
    elif report.verb in SUBJECTS:
        subject = "Its relative difference from the numerical derivative"
    is_estimate = f"{subject} is {short(difference.estimate, 4)}"
    if report.verdict is Verdict.INCONCLUSIVE and not math.isfinite(difference.estimate):
        return f"{subject} was not measured. {tolerance}"
    if not math.isfinite(difference.estimate):
        return f"{subject} cannot be formed, because not every claimed number is finite. {tolerance}"
    if report.verdict is Verdict.CORRECT:
        return f"{is_estimate}, at most {bound(difference.upper)} {sure}. {tolerance}"
    if report.verdict is Verdict.INCONCLUSIVE:
        low, high = lower_bound(difference.lower), bound(difference.upper)
        return f"{is_estimate}, between {low} and {high} {sure}. {tolerance}"
    if difference.lower > report.tolerance:
        return f"{is_estimate}, at least {lower_bound(difference.lower, 4)} {sure}. {tolerance}"
    if not report.faulty:
        return f"{is_estimate}, at most {bound(difference.upper)} {sure}: what is wrong is something else. {tolerance}"
    return f"{is_estimate} in all: the rest of {SUBJECTS.get(report.verb, 'the gradient')} hides the fault. {tolerance}"


def _what_stood_in_the_way(report: Report, width: int) -> list[Line]:
    undecided = [block for block in report.blocks if block.verdict is Verdict.INCONCLUSIVE] or list(report.blocks)
    lines: list[Line] = []
    if report.reason:
        lines += _labelled("why", f"{report.reason.value}.", width)
    worst = max(undecided, key=_resolution, default=None)
    if worst is not None:
        lines += _labelled("seen", _visible(worst), width)
    if report.reason:
        lines += _labelled("next", _advice(report.reason, report.budget, worst), width)
    return lines


def _resolution(block: BlockResult) -> float:
    return block.resolution if not math.isnan(block.resolution) else math.inf


def _visible(block: BlockResult) -> str:
    name = names([block.name])
    if _resolution(block) >= 1:
        return f"no error of {name}, however large, would have been called WRONG for certain."
    smallest = bound(block.resolution)
    return f"the smallest error that would have been called WRONG is a relative difference of {smallest} ({name})."


def _advice(reason: Reason, budget: int, worst: BlockResult | None) -> str:
    advice = ADVICE[reason].format(double=2 * max(budget, DEFAULT_BUDGET))
    if reason is Reason.NOISE and worst is not None and worst.noise_floor < 0.5:
        advice += f", or accept what can be certified: tolerance={bound(worst.noise_floor, 1)}"
    return f"{advice}."


def _cause(diagnosis: Diagnosis, width: int, *, with_remedy: bool) -> list[Line]:
    sentence = diagnosis.sentence or f"{diagnosis.cause.value}."
    if diagnosis.block and diagnosis.block not in sentence:
        sentence = f"{safe(diagnosis.block)}: {sentence}"
    lines = [plain(line) for line in wrap(sentence, width, first="  - ", rest="    ")]
    if diagnosis.where and diagnosis.where not in sentence:
        lines += _labelled("where", diagnosis.where, width, indent=4)
    if math.isfinite(diagnosis.coefficient) and math.isfinite(diagnosis.coefficient_bar):
        measured = with_bar(diagnosis.coefficient, diagnosis.coefficient_bar)
        lines += _labelled("measured", measured, width, indent=4)
    if not with_remedy:
        return lines
    if diagnosis.certified_remedy:
        return lines + _certified(diagnosis.certified_remedy, diagnosis.certified_to, width, "    ")
    if diagnosis.remedy:
        lines += _labelled("try", diagnosis.remedy, width, indent=4)
    return lines


def _certified(remedy: str, to: float, width: int, indent: str) -> list[Line]:
    known = f" to a relative difference of {bound(to)}" if math.isfinite(to) else ""
    proof = f"With it the gradient is certified{known}."
    lines = [plain(line, "good") for line in wrap(remedy, width, first=f"{indent}remedy: ", rest=f"{indent}        ")]
    return lines + [plain(line) for line in wrap(proof, width, first=indent, rest=indent)]


def _paragraph(text: str, width: int) -> list[Line]:
    return [plain(line) for line in wrap(text, width)]


def _labelled(label: str, text: str, width: int, indent: int = 2) -> list[Line]:
    head = f"{' ' * indent}{label}: "
    return [plain(line) for line in wrap(text, width, first=head, rest=" " * (indent + 4))]


def _replay(report: Report) -> str:
    arguments = [*CALLS.get(report.verb, ["cost", "point", "claimed"]), f"seed={report.seed}"]
    if report.verb != "check_adjoint":
        arguments.append(f'strategy="{safe(report.strategy)}"')
    arguments.append(f"tolerance={report.tolerance!r}")
    if report.confidence != DEFAULT_CONFIDENCE:
        arguments.append(f"confidence={report.confidence!r}")
    if report.budget != DEFAULT_BUDGET and report.strategy != "coordinates":
        arguments.append(f"budget={report.budget}")
    if report.where:
        arguments.append("points=points")
    return f"gradproof.{report.verb}({', '.join(arguments)})"
