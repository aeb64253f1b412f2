"""The phase of random lines: certify all pairs, group by group, and name the wrong ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from gradproof._evaluation.engine import BudgetSpent
from gradproof._evaluation.lines import Line
from gradproof._evidence.certificate import Certifier, Member, group_blocks
from gradproof._evidence.evidence import FEW, LINES_ALONE, MOST_LINES, Evidence, Pair
from gradproof._evidence.zero import ROUNDED, jumps_between_flats, look_nearby, rounding_note
from gradproof._examination.study import Study
from gradproof._numerics.noise import AS_NOISY, STANDS_OUT
from gradproof._numerics.readings import BlockReading
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.results import Reason, Verdict
from gradproof._words.vectors import norm

JOINTLY: Final = 0.5
ALONE: Final = 0.2
AGAIN: Final = 0.1
"""Shares of α: of the groups' joint lines; of lines that name a block, or certify what is left without it; of each later
look, at claims that turn out to count as zero and with more cotangents."""
STILL_LINES: Final = 12
STILL_STEPS: Final = (0.5, 0.05, 0.005)
"""Directions, and steps in units of the parameters' scale, in which a function that stands still shows it: by twelve
lines, 30 roundings bound what a scatter of four would (√(12/q₁₂) is 7.3 at α = 1e-6)."""
REPEATS: Final = 3
"""Further calls at the point that tell a random function: all of them differ by a twentieth of the noise once in 3e4."""
WITHOUT_PROOF: Final = 1e-4
"""Noise of a deterministic function above this share of its value is taken for a high frequency."""


def certify(study: Study) -> None:
    """Certify all pairs, as far as the budget goes."""
    try:
        certify_groups(study, [p.block for p in study.every_pair if not p.zero], JOINTLY, ALONE)
        if not study.given_up:
            certify_zeros(study, [p for p in study.every_pair if p.zero], JOINTLY, ALONE)
            reconsider(study)
    except BudgetSpent:
        study.run_out()


def certify_only(study: Study, pairs: Sequence[Pair]) -> None:
    """Certify some pairs by joint lines, and ask no further where these do not."""
    norms = relative_norms(study)
    groups = group_blocks(study.scales, norms, sorted({p.block for p in pairs if not p.zero and norms[p.block] > 0}))
    for members in groups:
        outputs = sorted({p.output for p in pairs if p.block in {m.block for m in members}})
        for own, together in split_by_zeros(study, members, outputs):
            certifier = study.certifier(own, together, *shares(study, together, own, 1.0))
            gather(study, certifier, MOST_LINES)
            certifier_conclude_open(study, certifier)
    certify_zeros(study, [p for p in pairs if p.zero], JOINTLY, ALONE)


def certify_groups(study: Study, blocks: Sequence[int], jointly: float, alone: float) -> None:
    """Certify blocks that change the function, group by group, for all outputs whose claims are not zero."""
    norms = relative_norms(study)
    groups = group_blocks(study.scales, norms, sorted({b for b in blocks if norms[b] > 0}))
    for members in groups:
        if study.given_up:
            return
        outputs = [o for o, row in enumerate(study.pairs) if any(not row[m.block].zero for m in members)]
        for own, together in split_by_zeros(study, members, outputs):
            certify_group(study, own, together, jointly / len(groups), alone / len(groups))


def split_by_zeros(study: Study, members: list[Member], outputs: list[int]) -> list[tuple[list[Member], list[int]]]:
    """Return the group as it is, for the outputs that depend on all of it; a block of zeros is not judged beside others."""
    by_blocks: dict[tuple[int, ...], list[int]] = {}
    for o in outputs:
        by_blocks.setdefault(tuple(m.block for m in members if not study.pairs[o][m.block].zero), []).append(o)
    return [([m for m in members if m.block in blocks], own) for blocks, own in by_blocks.items()]


def relative_norms(study: Study) -> list[float]:
    """Return ‖A_p‖ of each block, outputs of different units weighing alike; nothing of claims that count as zero."""
    weights = np.where([[p.zero for p in row] for row in study.pairs], 0.0, study.apart)
    largest = np.max(weights * np.array(study.scales), axis=1, initial=0.0)
    relative = weights / np.where(largest > 0, largest, 1.0)[:, None]
    found: list[float] = np.sqrt(np.sum(relative**2, axis=0)).tolist()
    return found


def certify_group(study: Study, members: list[Member], outputs: Sequence[int], jointly: float, alone: float) -> None:
    """Certify one group; then, block by block, what is wrong or left open."""
    single = len(members) == 1
    halving = study.problem.claimed_precision != "float64"
    share = jointly + alone if single else jointly / (1 + halving)
    certifier = study.certifier(members, outputs, *shares(study, outputs, members, share))
    gather(study, certifier, MOST_LINES)
    if study.given_up:
        return
    if single:
        conclude(study, certifier)
        return
    certifier_conclude_open(study, certifier)
    open_ = [o for o, e in certifier.evidence.items() if needs_isolation(e)]
    if not halving:
        isolate(study, members, open_, alone)
    elif open_:  # without noise halves are soon certified; and what half precision is off by adds up over the blocks
        certify_group(study, members[: len(members) // 2], open_, jointly / 2, alone)
        certify_group(study, members[len(members) // 2 :], open_, jointly / 2, alone)


def look_short(study: Study, certifier: Certifier) -> None:
    """Leave open what a certificate hides below its steps: stairs and ripples of the size of the claim."""
    for o, evidence in certifier.evidence.items():
        if evidence.certified() and not any(pair.zero for pair in evidence.pairs) and not certifier.looks_short(o):
            for pair in evidence.pairs:
                still = stands_still(study, certifier, o)
                if still and not certifier.coarse(o):
                    continue  # the rounding of a result
                pair.hold(Reason.STAIRCASE if still else Reason.STRUCTURE)


def shares(study: Study, outputs: Sequence[int], members: Sequence[Member], share: float) -> tuple[float, float]:
    """Return what a certificate may spend on a false CORRECT of each pair, and on a false WRONG.

    False CORRECT is an event of one pair, so that each pair has an account of its own; false WRONG one of any of them,
    which only lines of one block alone can say.
    """
    pairs = [(o, m.block) for o in outputs for m in members]
    correct = min((study.ledger.spend(f"CORRECT {o} {p}", share) for o, p in pairs), default=0.0)
    each = share / len(study.every_pair)
    if len(members) > 1:
        return correct, each * study.settings.alpha
    return correct, min((study.ledger.spend(f"WRONG {o} {p}", each) for o, p in pairs), default=0.0)


def needs_isolation(evidence: Evidence) -> bool:
    """Say whether blocks are to be asked one by one: something is wrong, or more is to be known of some than of all."""
    return evidence.lost is Reason.KINK or not evidence.certified()


def certifier_conclude_open(study: Study, certifier: Certifier) -> None:
    """Tell the pairs what joint lines say: nobody is named by them."""
    if not study.spent:
        look_short(study, certifier)
    for evidence in certifier.evidence.values():
        evidence.conclude()


def gather(study: Study, certifier: Certifier, most: int) -> None:
    """Measure lines until every output is settled, or cannot be by more of them."""
    most = study.law.useful_lines(most)
    try:
        while certifier.open and certifier.count < most and not certifier.outgrown(most):
            if certifier.count >= 2:
                study.refine()
            if certifier.count >= FEW:
                if all(certifier.evidence[o].hopeless(most) for o in certifier.open):
                    # A tolerance is raised only as far as it must be, once no number of lines reaches it.
                    if study.raise_tolerances(certifier):
                        continue
                    return
                if certifier.reread():
                    continue
            certifier.measure()
            study.follow_precision()
            know_rounding(study, certifier)
            confirm(study, certifier)
            if certifier.count == 1 and study.unexercised():
                return
    except BudgetSpent:
        study.run_out()
        certifier_conclude_open(study, certifier)
        raise


def confirm(study: Study, certifier: Certifier) -> None:
    """Leave open what is wrong by one witness only: a step of another length must show it, too."""
    if len(certifier.members) > 1:
        return  # nobody is named by lines of several blocks
    for o, evidence in certifier.evidence.items():
        if not evidence.is_wrong() or o in certifier.witnessed:
            continue
        if evidence.pairs[0].zero and study.hidden(o) and not evidence.is_wrong():
            continue
        if not unmoved(study, certifier, o) and not aliased(study, o) and certifier.confirmed(o):
            certifier.witnessed.add(o)
            continue
        certifier.know_grain()  # as the witnesses may have brought to light
        if evidence.is_wrong():
            evidence.doubt(Reason.STRUCTURE)


def unmoved(study: Study, certifier: Certifier, o: int) -> bool:
    """Say whether an output moves nowhere on these lines, and what is claimed of them would not be seen."""
    lines = [line for line, _ in certifier.lines]
    if any(line.change(t)[line.own_rows[o]].any() for line in lines for t in line.known):
        return False
    return max(e.size for e in certifier.evidence[o].lines) < study.hidden(o)


def conclude(study: Study, certifier: Certifier) -> None:
    """Tell the pair of each output what the lines of its block alone say."""
    look_short(study, certifier)
    for o, evidence in certifier.evidence.items():
        pair = evidence.pairs[0]  # of a cost that stands still nothing is learnt; signs, whole numbers have that slope
        exact = pair.zero and study.claim.kind != "gradient"
        if pair.zero and certifier.lines and not evidence.certified():
            look_nearby(certifier.lines[0][0], o, unit_of(study, o))
        still = stands_still(study, certifier, o) and (pair.zero or certifier.coarse(o))
        if still and (not exact or evidence.is_wrong()):
            pair.hold(Reason.STAIRCASE)
        evidence.conclude()


def aliased(study: Study, o: int) -> bool:
    """Say whether a function seems far noisier than its calls at one point, its solvers and rounding make it.

    Such a function varies faster than every step that was tried: its lines prove nothing.
    """
    pool = study.reader.pools[o]
    unit = UNIT_ROUNDOFF[study.output_precision(o)]
    noise = pool.level(0.5 * unit * study.sizes[o])[0]
    seen = [norm(line.change(t)[line.own_rows[o]]) for c in study.certifiers for line, _ in c.lines for t in line.known]
    if not noise > max(WITHOUT_PROOF, ROUNDED * unit) * max(study.sizes[o], *seen, 0.0):
        return False
    own = study.claim.views[o].own
    for _ in range(REPEATS):
        if pool.repetition == 0 or (pool.repetition or 0.0) * AS_NOISY >= noise:
            break
        again = study.engine.repeat()
        pool.repetition = max(pool.repetition or 0.0, 0.0 if again is None else norm(study.claim.own(again)[own]))
    return (pool.repetition or 0.0) * AS_NOISY < noise


def stands_still(study: Study, certifier: Certifier, o: int) -> bool:
    """Say whether an output is the very same near the point, and jumps further out."""
    return any(jumps_between_flats(line, o, unit_of(study, o)) for line, _ in certifier.lines)


def unit_of(study: Study, o: int) -> float:
    """Return u times the size of an output's values."""
    return UNIT_ROUNDOFF[study.output_precision(o)] * (study.sizes[o] or 1.0)


def isolate(study: Study, members: list[Member], outputs: Sequence[int], alone: float) -> None:
    """Name the wrong blocks of a group: each by lines of its own; the others are certified without them.

    In each round every block gets one more line. As soon as some are found wrong, the rest is certified together, with
    half of what was left to spend.
    """
    if not outputs:
        return
    remaining = list(members)
    left = alone / 2
    while remaining:
        found = wrong_among(study, remaining, outputs, left)
        kept = [m for m in remaining if m.block not in found and open_pairs(study, [m], outputs)]
        if not found or not kept:
            return
        if len(kept) == len(remaining):
            return
        remaining, left = kept, left / 2
        own = [o for o in outputs if open_pairs(study, remaining, [o])]
        certifier = study.certifier(remaining, own, *shares(study, outputs, remaining, left))
        gather(study, certifier, MOST_LINES)
        certifier_conclude_open(study, certifier) if len(remaining) > 1 else conclude(study, certifier)
        outputs = [o for o in own if needs_isolation(certifier.evidence[o])]
        if not outputs or len(remaining) == 1:
            return


def open_pairs(study: Study, members: Sequence[Member], outputs: Sequence[int]) -> list[Pair]:
    """Return the undecided pairs."""
    every = [study.pairs[o][m.block] for o in outputs for m in members]
    return [pair for pair in every if pair.verdict is Verdict.INCONCLUSIVE]


def wrong_among(study: Study, members: list[Member], outputs: Sequence[int], share: float) -> set[int]:
    """Return the blocks that are wrong by themselves, or all that can be said of each by lines of its own."""
    certifiers = {}
    for m in members:
        correct, wrong = shares(study, outputs, [m], share)
        own = [o for o in outputs if study.pairs[o][m.block].verdict is Verdict.INCONCLUSIVE]
        if own:
            certifiers[m.block] = study.certifier([m], own, correct, wrong)
    found: set[int] = set()
    try:
        for _ in range(LINES_ALONE):
            for block, certifier in certifiers.items():
                if certifier.open and block not in found:
                    certifier.measure()
                    study.follow_precision()
                    know_rounding(study, certifier)
                    confirm(study, certifier)
                    if any(e.is_wrong() for e in certifier.evidence.values()):
                        conclude(study, certifier)
                        found.add(block)
                    elif certifier.count >= 2:
                        study.refine()
                        if certifier.open and all(certifier.evidence[o].hopeless(MOST_LINES) for o in certifier.open):
                            study.raise_tolerances(certifier)
            if found or not any(c.open for c in certifiers.values()):
                break
    except BudgetSpent:
        study.run_out()
        raise
    finally:
        for block, certifier in certifiers.items():
            if block not in found and (not found or not certifier.open):
                conclude_quietly(study, certifier)
    return found


def conclude_quietly(study: Study, certifier: Certifier) -> None:
    """Conclude without a further evaluation where the budget is spent."""
    try:
        conclude(study, certifier)
    except BudgetSpent:
        study.run_out()
        certifier_conclude_open(study, certifier)


# -- claims of zero ------------------------------------------------------------------------------------------------------


def certify_zeros(study: Study, pairs: Sequence[Pair], jointly: float, alone: float) -> None:
    """Judge claims of zero by lines of their own blocks: CORRECT where the output changes by its rounding only."""
    by_outputs: dict[tuple[int, ...], list[int]] = {}
    for p in sorted({pair.block for pair in pairs}):
        by_outputs.setdefault(tuple(pair.output for pair in pairs if pair.block == p), []).append(p)
    for outputs, blocks in by_outputs.items():
        share = 1 / len(by_outputs)
        members = [Member(p, study.scales[p]) for p in blocks]
        judge_zeros(study, members, outputs, share * jointly, share * alone)


def judge_zeros(study: Study, members: list[Member], outputs: tuple[int, ...], jointly: float, alone: float) -> None:
    """Look whether the function stands still; where it does not, measure slopes, of halves of the blocks at last."""
    moving = [o for o in outputs if o not in standing_still(study, members, outputs, jointly / 2)]
    if moving:
        certify_group(study, members, moving, jointly / 2, alone)


def standing_still(study: Study, members: list[Member], outputs: Sequence[int], share: float) -> set[int]:
    """Return the outputs that change by their rounding only, a good way off in random directions.

    Sums of probabilities and of normalised numbers are such functions: their derivatives are rounding, too, and obey
    no law by which they could be compared.
    """
    correct, wrong = shares(study, outputs, members, share)
    scales = [m.scale for m in members]
    evidence = {
        o: Evidence([study.pairs[o][m.block] for m in members], scales, study.law, correct, wrong) for o in outputs
    }
    still, done = set(outputs), set[int]()
    for _ in range(STILL_LINES):
        line = study.line(study.random_direction({m.block: m.scale for m in members}))
        for o in list(still - done):
            flat = flat_along(study, line, o, min(pair.rounding for pair in evidence[o].pairs))
            if flat is None:
                still.discard(o)
                continue
            evidence[o].take(flat)
            if evidence[o].certified():
                evidence[o].conclude()
                done.add(o)
        if not still - done:
            break
    return done


def flat_along(study: Study, line: Line, o: int, rounding: float) -> BlockReading | None:
    """Read a line at a step at which an output changes by its rounding only; None where it moves.

    A cost that jumps is not learnt by, so that it has to stand still a good way off; of signs and of whole numbers zero is
    the derivative, however near their jumps are.
    """
    rows = study.claim.views[o].rows
    for t in STILL_STEPS[:1] if study.claim.kind == "gradient" else STILL_STEPS:
        up, down = line.at(t), line.at(-t)
        if up is None or down is None:
            return None
        if max(norm(line.change(side)[line.own_rows[o]]) for side in (t, -t)) <= rounding:
            spread = UNIT_ROUNDOFF[study.output_precision(o)] * study.sizes[o] / t
            return BlockReading(norm(up[0][rows] - down[0][rows]) / (2 * t), 0.0, spread, math.inf, spread * t, t)
    return None


def reconsider(study: Study) -> None:
    """Count claims as zero that are nothing beside what their output does over the parameters' own scale.

    At a minimum a gradient is the rounding of its own terms, and the function itself too small to judge it by: there it
    is known to the rounding of the values around, which the curvature tells.
    """
    found = []
    for pair in study.every_pair:
        open_ = pair.verdict is not Verdict.CORRECT and pair.held is None and not pair.zero
        if open_ and study.counts_as_zero(pair) and nothing_beside_what_is_around(study, pair):
            pair.zero = True
            found.append(pair)
    if found:
        study.notes.append(rounding_note([pair_name(study, pair) for pair in found], study.engine.answers.noun))
        certify_zeros(study, found, AGAIN, AGAIN)


def nothing_beside_what_is_around(study: Study, pair: Pair) -> bool:
    """Say whether the output does as much over the block's scale as its curvature at the point promised."""
    line, own = study.line(study.random_direction({pair.block: pair.scale})), study.claim.views[pair.output].own
    if line.at(1.0) is None or line.at(-1.0) is None:
        return False
    around = max(norm(line.change(side)[own]) for side in (1.0, -1.0))
    return float(study.apart[pair.output, pair.block]) * pair.scale <= study.rounding(pair.output, around)


def know_rounding(study: Study, certifier: Certifier) -> None:
    """Judge claims of zero by the rounding of the values around, where these are larger than at the point.

    At a minimum the value itself may be none. The even part of the change on a line is what the curvature does, and
    grows like t²; the odd part at least like t; as far as they stand out of the noise.
    """
    line, reading = certifier.lines[-1]
    for o, evidence in certifier.evidence.items():
        h = reading.blocks[o].step
        if evidence.lost is None and h > 0 and line.at(h) is not None and line.at(-h) is not None:
            own = line.own_rows[o]
            up, down = line.change(h)[own], line.change(-h)[own]
            even, odd = norm(up + down) / 2, norm(up - down) / 2
            # Noise at a short step would pass for a large change further out.
            clear = STANDS_OUT * reading.blocks[o].noise
            even, odd = even / h**2 if even > clear else 0.0, odd / h if odd > clear else 0.0
            for pair, scale in zip(evidence.pairs, evidence.scales, strict=True):
                longer = pair.scale / scale
                pair.rounding = max(pair.rounding, study.rounding(o, max(even * longer**2, odd * longer)))


def pair_name(study: Study, pair: Pair) -> str:
    """Name a pair as the report does."""
    block = study.problem.blocks[pair.block].name
    return block if study.claim.kind == "gradient" else f"{study.outputs[pair.output].name} × {block}"
