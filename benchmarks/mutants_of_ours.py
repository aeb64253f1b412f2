"""Which mistakes in gradproof's own method its tests see: one at a time is planted, and the nearest tests are run.

    python benchmarks/mutants_of_ours.py [--only TEXT] [--processes 2] [--seconds 90] [--every N] [--list] [--json FILE] [--assert]

A mistake is a place in a module (``Class.method``, a function, or "" for the module), an expression or a statement that
occurs there exactly once, as Python parses it, and what stands there instead. A pattern that is not found, or twice, is
an error: `tests/mutants/test_mutants_of_ours.py` says so before the benchmark does. The mistake is written into a copy
of the package that comes first on the path; the working tree is never touched.

Dead is a mistake with which a test fails that passes without it. One that takes the tests beyond the time is counted by itself: it may be dead.
``--only`` takes a part of "module:place: name". ``--assert`` exits with 1 where less than 90 % are dead.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src"
NEAR = {
    "_numerics": ("tests/unit/numerics", "tests/unit/evidence", "tests/unit/verbs/test_gradient.py"),
    "_evidence": ("tests/unit/evidence", "tests/unit/verbs/test_gradient.py", "tests/unit/verbs/test_jacobian.py"),
    "_evaluation": ("tests/unit/evaluation", "tests/unit/examination", "tests/unit/verbs/test_gradient.py"),
    "_examination": ("tests/unit/examination", "tests/unit/verbs", "tests/behaviour/test_zero_claims.py"),
    "_problem": ("tests/unit/problem", "tests/unit/verbs", "tests/property/test_units.py"),
    "adapters": ("tests/adapters/test_conformance.py", "tests/unit/problem"),
    "jax": ("tests/adapters/test_jax.py", "tests/adapters/test_jax_anchors.py"),
    "torch": ("tests/adapters/test_torch_functions.py", "tests/adapters/test_torch_modules.py"),
    "reports": ("tests/unit/reports", "tests/golden"),
}
"""Tests of a room, the nearest first."""
QUICK = ("tests/behaviour/test_vector_lines.py", "tests/behaviour/test_zero_claims.py", "tests/unit/verbs")
"""Tests that are run where those of the room see nothing."""
WANTED = 0.9


@dataclass(frozen=True)
class Mutant:
    """A mistake: where, what it is called, what stands there, and what it is made."""

    module: str
    place: str
    name: str
    before: str
    after: str

    @property
    def label(self) -> str:
        return f"{self.module}:{self.place}: {self.name}"

    @property
    def room(self) -> str:
        return self.module.partition("/")[0]


M = Mutant
STATISTICS, FORMULAS, NOISE = "_numerics/statistics", "_numerics/formulas", "_numerics/noise"
TABLES, KINKS, WITNESSES = "_numerics/tables", "_numerics/kinks", "_numerics/witnesses"
STEPS, READINGS, LEDGER, LAW = "_numerics/steps", "_numerics/readings", "_evidence/ledger", "_evidence/evidence"
ZERO, CERTIFICATE, COLUMNS = "_evidence/zero", "_evidence/certificate", "_evidence/columns"
ENGINE, SEEN, CERTIFICATION = "_evaluation/engine", "_evaluation/seen", "_examination/certification"
ENUMERATION, DOT, MAPS = "_examination/enumeration", "_examination/dot_test", "_examination/maps"
MAP_COLUMNS, FAULTS, CONCLUSION = "_examination/map_columns", "_examination/map_faults", "_examination/conclusion"
CONTRACTIONS, SCALES = "_problem/contractions", "_problem/scales"
A_NUMPY, A_TORCH, A_JAX = "adapters/_numpy", "adapters/_torch", "adapters/_jax"

MUTANTS: tuple[Mutant, ...] = (
    # -- statistics: the laws, α's series, what a bound on ‖r‖ says of D
    M(STATISTICS, "chi_square_lower_quantile", "the other tail", "gammaincinv(degrees / 2, alpha)", "gammaincinv(degrees / 2, 1 - alpha)"),
    M(STATISTICS, "chi_square_upper_quantile", "the other tail", "gammainccinv(degrees / 2, alpha)", "gammainccinv(degrees / 2, 1 - alpha)"),
    M(STATISTICS, "student_quantile", "one-sided", "stdtrit(degrees, alpha / 2)", "stdtrit(degrees, alpha)"),
    M(STATISTICS, "student_quantile", "one-sided where the noise is known", "ndtri(alpha / 2)", "ndtri(alpha)"),
    M(STATISTICS, "norm_upper_bound", "truncation forgotten", "abs(y) + t", "abs(y)"),
    M(STATISTICS, "norm_lower_bound", "the quantile of the other bound", "chi_square_upper_quantile(len(excesses), alpha)", "chi_square_lower_quantile(len(excesses), alpha)"),
    M(STATISTICS, "alpha_for_correct", "every look spends all of α", "alpha / (lines * (lines - 1))", "alpha"),
    M(STATISTICS, "alpha_for_wrong", "every look spends all of α", "alpha / (lines * (lines + 1))", "alpha"),
    M(STATISTICS, "difference_from_above", "‖J‖ as large as it may be", "2 * claimed - residual", "2 * claimed + residual"),
    M(STATISTICS, "difference_from_below", "‖J‖ as small as it may be", "2 * claimed + residual", "2 * claimed"),
    M(STATISTICS, "residual_allowed", "the wrong side of τ", "1 + tolerance", "1 - tolerance"),
    M(STATISTICS, "residual_possible", "the wrong side of τ", "1 - tolerance", "1 + tolerance"),
    M(STATISTICS, "within", "NaN is within", "abs(discrepancy) <= bar", "not abs(discrepancy) > bar"),
    M(STATISTICS, "_product_quantile", "the first χ² has the second's degrees", "0.5 * first * s", "0.5 * second * s"),
    # -- formulas
    M(FORMULAS, "", "a weight of the formula of order 6", "np.array([-1, 9, -45, 0, 45, -9, 1]) / 60", "np.array([-1, 9, -44, 0, 44, -9, 1]) / 60"),
    M(FORMULAS, "", "a weight of the one-sided formula", "np.array([-147, 360, -450, 400, -225, 72, -10]) / 60", "np.array([-147, 360, -450, 400, -225, 72, -9]) / 60"),
    M(FORMULAS, "leading_coefficients", "factorial forgotten", "grid**k / math.factorial(k)", "grid**k / k"),
    M(FORMULAS, "interpolation_weights", "the middle in place of between", "(BETWEEN - rest) / (x - rest)", "(0.5 * BETWEEN - rest) / (x - rest)"),
    # -- noise
    M(NOISE, "read_table", "rounding ten times too small", "0.5 * unit_roundoff * magnitude", "0.05 * unit_roundoff * magnitude"),
    M(NOISE, "read_table", "a visible grain is no noise", "granularity / math.sqrt(12)", "0.0"),
    M(NOISE, "read_table", "every plateau is noise", "suspicious = max(far * roundoff * (magnitude + sensitivity), granularity)", "suspicious = math.inf"),
    M(NOISE, "_plateau", "the smallest of the tail", "return start, max(root_mean_square(tail), floor), float(max(degrees, 1)) * alike", "return start, max(min(tail), floor), float(max(degrees, 1)) * alike"),
    M(NOISE, "participation", "every component counts", "float(np.sum(shares)) ** 2 / float(shares @ shares)", "float(shares.size)"),
    M(NOISE, "none_stands_out", "nothing ever stands out", "c <= STANDS_OUT * floor", "True"),
    M(NOISE, "granularity_of", "no grain is ever seen", "return spacing", "return 0.0"),
    M(NOISE, "Pool.level", "the prior forgotten", "math.sqrt(PRIOR_DEGREES) * 2 * floor", "0.0"),
    M(NOISE, "Pool.level", "degrees of freedom a hundredfold", "return root / math.sqrt(degrees), degrees", "return root / math.sqrt(degrees), 100 * degrees"),
    M(NOISE, "Pool.level", "noise does not scale with the values", "n * floor / f", "n"),
    M(NOISE, "Pool.levels", "a sixth of the prior", "math.sqrt(PRIOR_DEGREES) * 2 * floors", "0.0 * floors"),
    M(NOISE, "Pool.forget", "forgets nothing", "self.readings.clear()", "pass"),
    M(NOISE, "Reading.shorter", "coefficients do not fall", "c / factor**k", "c / factor"),
    # -- tables, kinks, witnesses, steps, readings
    M(TABLES, "truncation_bound", "none at all", "30 * rate * fifth / step / (140 if side == 0 else 7)", "0.0"),
    M(TABLES, "truncation_bound", "a thirtieth", "30 * rate * fifth / step / (140 if side == 0 else 7)", "rate * fifth / step / (140 if side == 0 else 7)"),
    M(TABLES, "truncation_bound", "a hundredth of the correction", "10 * correction", "0.1 * correction"),
    M(TABLES, "truncation_bound", "at the end as in the middle", "140 if side == 0 else 7", "140"),
    M(TABLES, "Table.derivatives", "the sign of the side lost", "sign = self.side or 1", "sign = 1"),
    M(TABLES, "Table.amplification", "in the middle as at the end", "0 if self.side == 0 else 1", "0"),
    M(TABLES, "is_kink", "every jump is a kink", "abs(jump) > 8 * (bar + noise)", "True"),
    M(TABLES, "is_kink", "no kink is ever seen", "clear and steady and alone", "False"),
    M(KINKS, "has_jump", "no jump is ever seen", "bool(np.any(apart.all(axis=0)))", "False"),
    M(KINKS, "has_kink", "one step is enough", "is_clear(found & middle.kinked(far), near.rough)", "is_clear(found, near.rough)"),
    M(KINKS, "OneSided.of", "noise of slopes forgotten", "8 * floor / step", "0 * floor / step"),
    M(WITNESSES, "short_witness", "never contradicts", "Witness.CONTRADICTS if apart or kinked else Witness.AGREES", "Witness.AGREES"),
    M(WITNESSES, "short_witness", "always contradicts", "Witness.CONTRADICTS if apart or kinked else Witness.AGREES", "Witness.CONTRADICTS"),
    M(WITNESSES, "short_witness", "never confused", "Witness.SILENT if like_noise else Witness.CONFUSED", "Witness.SILENT"),
    M(STEPS, "StepSearch.too_far_apart", "never looks between", "return not within(value - expected, max(allowed, 0.1 * table.reading.suspicious))", "return False"),
    M(STEPS, "StepSearch.accept", "rounding of the arguments not learnt", "self.pool.extra = max(self.pool.extra, distance)", "pass"),
    M(STEPS, "StepSearch.doubt", "longer steps stay good", "self.good = [other for other in self.good if other.step <= table.step]", "pass"),
    M(STEPS, "StepSearch.represented", "steps below what is represented", "0 < step < self.floor", "False"),
    M(STEPS, "StepSearch.flattened", "curvature lost in rounding is not missed", "seen < LOST * expected", "False"),
    M(READINGS, "BlockReading.bar", "the truncation forgotten", "self.truncation + ALMOST * self.spread", "ALMOST * self.spread"),
    M(READINGS, "Calibration.shorter", "fourth differences fall too slowly", "b.truncation / factor**4", "b.truncation / factor"),
    M(READINGS, "Read.bars", "a component's own rounding forgotten", "np.maximum(single_noise(np.array(block.noise / math.sqrt(n)), floors), self.shown)", "np.zeros(n)"),
    M(READINGS, "as_reading", "a kink is not lost", "estimate.kink is not None or not estimate.trusted", "False"),
    # -- evidence
    M(LEDGER, "Ledger.spend", "more than α", "min(share, 1.0 - before)", "share"),
    M(LEDGER, "Ledger.spend", "nothing is entered", "self.spent[account] = before + share", "pass"),
    M(LAW, "Law.lower", "χ² for few cotangents", "chi_square_product_lower_quantile(k, m, alpha) if k else chi_square_lower_quantile(m, alpha)", "chi_square_lower_quantile(m, alpha)"),
    M(LAW, "Law.upper", "χ² for few cotangents", "chi_square_product_upper_quantile(k, m, alpha) if k else chi_square_upper_quantile(m, alpha)", "chi_square_upper_quantile(m, alpha)"),
    M(LAW, "Law.factor", "α not spent over looks", "alpha_for_correct(alpha, m)", "alpha"),
    M(LAW, "Evidence.upper", "truncation forgotten", "e.size + e.truncation", "e.size"),
    M(LAW, "Evidence.upper", "a lost line is left out", "self.lost is not None or len(self.lines) < 2", "len(self.lines) < 2"),
    M(LAW, "Evidence.lower", "noise forgotten", "student_quantile(e.degrees, alpha / m) * e.spread", "0.0"),
    M(LAW, "Evidence.lower", "truncation forgotten", "3 * e.truncation", "0.0"),
    M(LAW, "Evidence.lower", "α not divided among the lines", "alpha / m", "alpha"),
    M(LAW, "Evidence.lower", "α not halved", "alpha_for_wrong(self.wrong, m) / 2", "alpha_for_wrong(self.wrong, m)"),
    M(LAW, "Evidence.estimate", "cotangents not counted", "len(self.lines) * max(self.law.cotangents, 1)", "len(self.lines)"),
    M(LAW, "Evidence.possible", "the smallest block only", "math.hypot(*(p.possible * a for p, a in zip(self.pairs, self.scales, strict=True)))", "min(p.possible * a for p, a in zip(self.pairs, self.scales, strict=True))"),
    M(LAW, "Evidence.allowed", "the most patient pair", "min((p.allowed * a for p, a in zip(self.pairs, self.scales, strict=True)), default=0.0)", "max((p.allowed * a for p, a in zip(self.pairs, self.scales, strict=True)), default=0.0)"),
    M(LAW, "Evidence.conclude", "joint lines name a block", "self.lower() if alone else 0.0", "self.lower()"),
    M(LAW, "Evidence.conclude", "a bound not divided by the scale", "upper / scale", "upper"),
    M(LAW, "Evidence.called", "bars forgotten", "math.hypot(*bars) * math.sqrt(more)", "0.0"),
    M(LAW, "Pair.verdict", "what is held is judged", "self.held is not None or self.contradictory", "self.contradictory"),
    M(LAW, "Pair.verdict", "contradictions are judged", "self.held is not None or self.contradictory", "self.held is not None"),
    M(LAW, "Pair.allowed", "zero not over the block's scale", "self.rounding / self.scale if self.zero else residual_allowed(self.tolerance, self.low)", "self.rounding if self.zero else residual_allowed(self.tolerance, self.low)"),
    M(LAW, "Pair.allowed", "the estimate of the norm, not its bound", "residual_allowed(self.tolerance, self.low)", "residual_allowed(self.tolerance, self.norm)"),
    M(LAW, "Pair.possible", "the lower bound of the norm", "residual_possible(self.tolerance, self.high)", "residual_possible(self.tolerance, self.low)"),
    M(LAW, "Pair.upper", "the largest bound", "min((f.upper for f in self.findings), default=math.inf)", "max((f.upper for f in self.findings), default=math.inf)"),
    M(ZERO, "", "zero is three hundred thousand roundings", "ROUNDED: Final = 30.0", "ROUNDED: Final = 300000.0"),
    M(ZERO, "", "zero is less than a rounding", "ROUNDED: Final = 30.0", "ROUNDED: Final = 0.1"),
    M(ZERO, "jumps_between_flats", "one side is enough", "any(t > 0 for t in still) and any(t < 0 for t in still)", "any(t > 0 for t in still) or any(t < 0 for t in still)"),
    M(CERTIFICATE, "group_blocks", "blocks of any share together", "w * SPREAD_OF_A_GROUP >= largest", "True"),
    M(CERTIFICATE, "group_blocks", "blocks displaced by their own scale", "min(scales[k], share / norms[k])", "scales[k]"),
    M(CERTIFICATE, "Certifier.direction", "the same direction again", "self.stream += 1", "pass"),
    M(CERTIFICATE, "Certifier.take", "a lost block is taken", "evidence.lost = evidence.lost or lost[o]", "pass"),
    M("_evidence/looks", "looks_short", "never looks short", "return all(looks_short_along(reader, line, step, o, share * claimed, proved, known) for line, step, share in looks)", "return True"),
    M(CERTIFICATE, "Certifier.know_grain", "grain of a block not of its size", "grain * math.sqrt((own.stop - own.start) / 12)", "0.0"),
    M("_evidence/looks", "two_witnesses", "a short witness is not heard", "short is Witness.CONTRADICTS", "False"),
    M("_evidence/looks", "long_witness", "a long witness is not heard", "return agree(long, values, seen.bar)", "return True"),
    M(COLUMNS, "two_point_step", "a step a hundred times longer", "min(balanced, max(math.sqrt(tolerance) / 3, SHORTEST_TWO_POINT_STEP), 0.1)", "0.1"),
    M(COLUMNS, "Exhaustive.take_two", "the spread forgotten", "TWO_POINTS * values.noise / step / scale", "0.0 * values.noise / step / scale"),
    M(COLUMNS, "Exhaustive.take_two", "not over the coordinate's scale", "(up - down) / (2 * step) / scale", "(up - down) / (2 * step)"),
    M(COLUMNS, "Exhaustive.take_two", "every claim stands still", "unmoved & (claimed == 0)", "unmoved"),
    M(COLUMNS, "Exhaustive.noise", "the visible grain forgotten", "max(noise, line.granularity / math.sqrt(12))", "noise"),
    M(COLUMNS, "one_sided_as_central", "a weight of the one-sided formula", "outward[:2] @ [4, -1]", "outward[:2] @ [4, -2]"),
    M("_evidence/column_groups", "column_groups", "columns that share a row together", "taken[row] |= 1 << group", "pass"),
    M("_evidence/column_groups", "column_groups", "one group more than is of use", "group >= most", "group > most"),
    # -- evaluation
    M(ENGINE, "Engine.reserve", "one call more than the budget", "self.evaluations + count > self.budget", "self.evaluations + count > self.budget + 1"),
    M(ENGINE, "Engine.reserve", "the budget is not kept", "self.evaluations + count > self.budget", "False"),
    M(ENGINE, "Engine.evaluate", "calls are not counted", "self.evaluations += not outcome.outside", "pass"),
    M(ENGINE, "Engine.repeat", "a repetition is not counted", "self.evaluations += 1", "pass"),
    M(ENGINE, "Engine.evaluate", "beyond a bound is counted", "self.evaluations += not outcome.outside", "self.evaluations += 1"),
    M(ENGINE, "Engine.evaluate_rows", "a batch is one evaluation", "self.evaluations += 1 if values is None else len(rows)", "self.evaluations += 1"),
    M(ENGINE, "Engine.evaluate_complex", "a complex step is not counted", "self.evaluations += 1", "pass"),
    M(ENGINE, "Engine.still", "never still", "not self.moved and self.displaced >= STILL and len(self._touched) == len(self.problem.blocks)", "False"),
    M(ENGINE, "Engine.evaluate_point", "writing into the argument is not seen", "written = self.problem.mutated(given)", "written = ()"),
    M(ENGINE, "Engine.precision", "the highest precision", "max(kinds, key=lambda kind: UNIT_ROUNDOFF.get(kind, 0.0))", "min(kinds, key=lambda kind: UNIT_ROUNDOFF.get(kind, 0.0))"),
    M(SEEN, "Seen.precision", "of the type alone", "len(self.distinct) >= ENOUGH_VALUES", "False"),
    M(SEEN, "Seen.granularity", "one component is enough", "2 * len(shown) > len(found)", "len(shown) > 0"),
    # -- examination
    M(CERTIFICATION, "certify_group", "α not divided: joint and alone for all", "jointly + alone if single else jointly / (1 + halving)", "1.0"),
    M(CERTIFICATION, "certify_groups", "α not divided among the groups", "jointly / len(groups)", "jointly"),
    M(CERTIFICATION, "shares", "α not divided among the pairs", "share / len(study.every_pair)", "share"),
    M(CERTIFICATION, "isolate", "every round spends the same α", "remaining, left = kept, left / 2", "remaining = kept"),
    M(CERTIFICATION, "confirm", "one witness is enough", "not unmoved(study, certifier, o) and not aliased(study, o) and certifier.confirmed(o)", "True"),
    M(CERTIFICATION, "conclude", "staircases are judged", "pair.hold(Reason.STAIRCASE)", "pass"),
    M(CERTIFICATION, "split_by_zeros", "zeros are judged beside others", "tuple(m.block for m in members if not study.pairs[o][m.block].zero)", "tuple(m.block for m in members)"),
    M(CERTIFICATION, "flat_along", "whatever moves is flat", "max(norm(line.change(side)[line.own_rows[o]]) for side in (t, -t)) <= rounding", "True"),
    M(CERTIFICATION, "know_rounding", "the curvature ten thousandfold near a minimum", "even * longer**2", "1e4 * even * longer**2"),
    M(CERTIFICATION, "know_rounding", "the curvature is not known", "pair.rounding = max(pair.rounding, study.rounding(o, max(even * longer**2, odd * longer)))", "pass"),
    M(ENUMERATION, "tell", "undecided coordinates have a bound", "math.inf if undecided else upper", "upper"),
    M(ENUMERATION, "tell", "wrong entries are not told", "bool(measured.wrong.any())", "False"),
    M(ENUMERATION, "raise_for_coordinates", "a tolerance that was given is raised", "study.settings.tolerance is not None or pair.verdict is not Verdict.INCONCLUSIVE or pair.zero", "pair.verdict is not Verdict.INCONCLUSIVE or pair.zero"),
    M(DOT, "DotTest.pair", "α not divided among blocks and looks", "self.settings.alpha / (2 * 3 * len(self.bu) * len(self.av) * len(LOOKS))", "self.settings.alpha"),
    M(DOT, "DotTest.pair", "rounding forgotten", "np.maximum(np.abs(y) - bars, 0.0)", "np.abs(y)"),
    M(DOT, "DotTest.pair", "not the bound is compared", "most <= self.tolerance", "estimate <= self.tolerance"),
    M(DOT, "DotTest.pair", "the lower bound of the norm's quantile", "chi_square_upper_quantile(k, alpha)", "chi_square_lower_quantile(k, alpha)"),
    M(DOT, "DotTest.factor", "any factor is common", "c == 0 or left > COMMON * float(np.linalg.norm(b - a))", "c == 0"),
    M(DOT, "adjoint_report", "CORRECT outdoes open", "(Verdict.WRONG, Verdict.INCONCLUSIVE, Verdict.CORRECT)", "(Verdict.WRONG, Verdict.CORRECT, Verdict.INCONCLUSIVE)"),
    M(MAPS, "MapStudy.excuse", "a claim that changes excuses all", "open_ and pair.difference.estimate <= hidden", "open_"),
    M(MAPS, "MapStudy.look_closer", "no second line", "certifier.count < TELLING", "False"),
    M(MAPS, "Measured.whole", "rows without their own rounding", "ALMOST * math.hypot(*form.weights) * rounding + share", "share"),
    M(MAP_COLUMNS, "Columns._two_values", "columns without bars", "amplification * self._single(size, shares)", "0.0 * amplification * self._single(size, shares)"),
    M(MAP_COLUMNS, "Columns._two_values", "the discrepancy of half the step", "(up - down) / (2 * lengths)", "(up - down) / lengths"),
    M(MAP_COLUMNS, "Columns._two_values", "kinks are crossed unseen", "fits &= (jumps <= BENT * np.maximum(np.abs(claimed), typical)) | (jumps <= clear)", "pass"),
    M(MAP_COLUMNS, "Columns.measure", "not over the column's scale", "reading.values[known] / scale", "reading.values[known]"),
    M(MAP_COLUMNS, "Columns.measure", "bars not over the column's scale", "reading.bars[known] / scale", "1e-3 * reading.bars[known] / scale"),
    M(FAULTS, "FaultFinder.faulty_rows", "the best row first", "np.argsort(-worst, kind='stable')", "np.argsort(worst, kind='stable')"),
    M(FAULTS, "FaultFinder.off", "lines without bars", "norm(cotangent[asked] * line.bars[asked]) * 3 + 1e-14 * abs(numerical)", "0.0"),
    M(FAULTS, "FaultFinder.candidates", "the clearest lines last", "-abs(line[0])", "abs(line[0])"),
    M(FAULTS, "FaultFinder.discrepancies", "what is claimed is not taken off", "value -= inner(self.row(row), line.components)", "pass"),
    M(CONCLUSION, "coordinate_results", "the entries the wrong way round", "rows.sort(key=lambda row: row[:3])", "rows.sort(key=lambda row: row[:3], reverse=True)"),
    M(CONCLUSION, "coordinate_results", "an entry's bar without its noise", "float(measured.truncation[j]) + t * float(measured.spread[j])", "float(measured.truncation[j])"),
    M(CONCLUSION, "function_side", "randomness is not told", "any(pool.repetition for pool in study.reader.pools)", "False"),
    # -- problem
    M(CONTRACTIONS, "InnerSum.take", "the last block only", "self.sum += change_along(self.blocks[block], there, old)", "self.sum = change_along(self.blocks[block], there, old)"),
    M(CONTRACTIONS, "CotangentSums.take", "the last block only", "self.sums[o] += products[block] @ move", "self.sums[o] = products[block] @ move"),
    M(CONTRACTIONS, "OneEntry.take", "the entry of every block", "block == self.block", "True"),
    M(CONTRACTIONS, "AppliedTo.keep", "the displacement, not the direction", "(there - old) / self.t", "there - old"),
    M(CONTRACTIONS, "change_along", "the sign beyond a chunk", "new[part] - (old[part] if whole else old)", "(old[part] if whole else old) - new[part]"),
    M(CONTRACTIONS, "whole_rows", "rounding of what is claimed forgotten", "np.maximum(sizes, np.abs(claimed))", "sizes"),
    M(SCALES, "length_along", "the block that is last", "min(ratios)", "max(ratios)"),
    M(SCALES, "block_scales", "raised without end", "min(max(size, even), LARGEST_RAISE * size)", "max(size, even)"),
    M(SCALES, "block_scales", "never raised", "min(max(size, even), LARGEST_RAISE * size)", "size"),
    M(SCALES, "coordinate_scales", "a coordinate of zero takes nothing", "np.where(even > 0, np.minimum(even, block), block)", "1.0"),
    # -- adapters, surfaces, reports
    M(A_NUMPY, "NumpyAdapter.to_flat", "no copy", "np.array(leaf, dtype=np.float64).reshape(-1)", "np.asarray(leaf, dtype=np.float64).reshape(-1)"),
    M(A_NUMPY, "NumpyAdapter.from_flat", "the precision lost", "np.asarray(values, dtype=like.dtype).reshape(like.shape)", "np.asarray(values).reshape(like.shape)"),
    M(A_NUMPY, "NumpyAdapter.laid_out", "F is C", "np.asfortranarray(leaf)", "leaf"),
    M(A_NUMPY, "NumpyAdapter.laid_out", "strided is dense", "layout == 'strided'", "False"),
    M(A_TORCH, "TorchAdapter.from_flat", "strides lost", "made if like.is_contiguous() else _with_strides_of(like, made)", "made"),
    M(A_TORCH, "TorchAdapter.copy", "strides lost", "_with_strides_of(plain, plain)", "plain.clone(memory_format=torch.contiguous_format)"),
    M(A_TORCH, "TorchAdapter.from_pairs", "strides lost", "joined if like.is_contiguous() else _with_strides_of(like, joined)", "joined"),
    M(A_TORCH, "TorchAdapter.laid_out", "F is C", "leaf.permute(reverse).contiguous().permute(reverse)", "leaf.contiguous()"),
    M(A_TORCH, "TorchAdapter.flat_view", "lazy negation not resolved", "plain.is_neg() or plain.is_conj()", "False"),
    M(A_JAX, "_placed", "the placement lost", "like.committed", "False"),
    M(A_JAX, "JaxAdapter.from_flat", "the weak type lost", "like.weak_type and not like.shape", "False"),
    M("jax/_functions", "Evaluator._compile", "a compiled value is never compared", "not all(alike(one, two) for one, two in zip(self.values, values, strict=True))", "False"),
    M("reports/_tables", "_fold", "blocks the wrong way round", "-_nan_as_infinity(block.difference.estimate)", "_nan_as_infinity(block.difference.estimate)"),
    M("reports/_tables", "self_test", "what was not caught last", "result.caught", "not result.caught"),
)  # fmt: skip

WHY: dict[str, str] = {}
"""Of each that survives: why it is no mistake, or which test is missing."""


class Stale(ValueError):
    """A pattern does not occur exactly once."""


class _Replace(ast.NodeTransformer):
    def __init__(self, old: str, new: ast.AST) -> None:
        self.old, self.new, self.count = old, new, 0

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, (ast.expr, ast.stmt)) and ast.dump(node) == self.old:
            self.count += 1
            return ast.copy_location(self.new, node)
        return self.generic_visit(node)


def _parsed(text: str) -> ast.AST:
    """Return an expression, or the one statement, that a text is."""
    (statement,) = ast.parse(text).body
    return statement


def mutated(mutant: Mutant) -> str:
    """Return the source of a module with the mistake in it.

    Raises
    ------
    Stale
        Where the place does not exist, or the pattern is not there exactly once.
    """
    tree = ast.parse((SOURCES / "gradproof" / f"{mutant.module}.py").read_text(encoding="utf-8"))
    scope: ast.AST = tree
    for name in filter(None, mutant.place.split(".")):
        named = [n for n in ast.iter_child_nodes(scope) if getattr(n, "name", None) == name]
        if len(named) != 1:
            raise Stale(f"{mutant.label}: there is no {name}")
        (scope,) = named
    old, new = _parsed(mutant.before), _parsed(mutant.after)
    if isinstance(old, ast.Expr) and isinstance(new, ast.Expr):
        old, new = old.value, new.value
    replace = _Replace(ast.dump(old), new)
    replace.generic_visit(scope)
    if replace.count != 1:
        raise Stale(f"{mutant.label}: {mutant.before!r} is there {replace.count} times, not once")
    return ast.unparse(ast.fix_missing_locations(tree))


def nearest(mutant: Mutant) -> list[str]:
    """Return the tests to run, the file of the module's own name first."""
    own = ROOT / "tests" / "unit" / mutant.room.strip("_") / f"test_{Path(mutant.module).name.strip('_')}.py"
    found = [str(own.relative_to(ROOT))] if own.exists() else []
    return list(dict.fromkeys([*found, *NEAR[mutant.room], *QUICK]))


def run_tests(home: Path, tests: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run tests on the package that lies in a folder, up to the first that fails.

    Raises
    ------
    subprocess.TimeoutExpired
    """
    variables = {"PYTHONPATH": str(home), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = os.environ | variables | {"OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )


FAILS_ANYHOW: set[str] = set()
"""Tests that fail without a mistake, too: they see nothing."""


def judge(mutant: Mutant, home: Path, seconds: float) -> tuple[str, str]:
    """Run the nearest tests on a copy of the package with a mistake; return what became of it, and by which test."""
    file = home / "gradproof" / f"{mutant.module}.py"
    kept, end = file.read_bytes(), time.monotonic() + seconds
    while True:
        skipped = [f"--deselect={test}" for test in sorted(FAILS_ANYHOW)]
        file.write_text(mutated(mutant), encoding="utf-8")
        try:
            run = run_tests(home, [*nearest(mutant), *skipped], max(end - time.monotonic(), 1.0))
        except subprocess.TimeoutExpired:
            return "late", ""
        finally:
            file.write_bytes(kept)
        if run.returncode == 0:
            return "survives", ""
        failed = [line for line in run.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        if not failed:
            return "no run", (run.stdout + run.stderr)[-300:]
        test = failed[0].partition(" ")[2].partition(" - ")[0]
        if test in FAILS_ANYHOW:
            return "no run", f"{test} cannot be left out"
        # Does it fail because of the mistake?
        try:
            anyhow = run_tests(home, [test], 10 * seconds).returncode != 0
        except subprocess.TimeoutExpired:
            anyhow = True
        if not anyhow:
            return "dead", test
        FAILS_ANYHOW.add(test)


def judge_all(mutants: Sequence[Mutant], processes: int, seconds: float) -> dict[Mutant, tuple[str, str]]:
    """Judge mutants, as many at a time as there are copies of the package."""
    with tempfile.TemporaryDirectory() as folder:
        homes: SimpleQueue[Path] = SimpleQueue()
        for k in range(processes):
            ignore = shutil.ignore_patterns("__pycache__")
            homes.put(Path(shutil.copytree(SOURCES, Path(folder) / str(k), ignore=ignore)))

        def one(mutant: Mutant) -> tuple[str, str]:
            home = homes.get()
            try:
                found = judge(mutant, home, seconds)
            finally:
                homes.put(home)
            print(f"{found[0]:9s}{mutant.label}   {found[1]}", flush=True)
            return found

        with ThreadPoolExecutor(processes) as workers:
            return dict(zip(mutants, workers.map(one, mutants), strict=True))


def table(found: dict[Mutant, tuple[str, str]]) -> str:
    """Return what the benchmark says."""
    lines = [f"{'room':14s}{'planted':>8s}{'dead':>6s}{'late':>6s}{'alive':>6s}"]
    for room in dict.fromkeys(m.room for m in found):
        count = Counter(state for m, (state, _) in found.items() if m.room == room)
        lines.append(f"{room:14s}{count.total():8d}{count['dead']:6d}{count['late']:6d}{count['survives']:6d}")
    count = Counter(state for state, _ in found.values())
    lines.append(f"{'all':14s}{count.total():8d}{count['dead']:6d}{count['late']:6d}{count['survives']:6d}")
    for mutant, (state, _) in found.items():
        if state != "dead":
            lines.append(f"\n{state}: {mutant.label}\n    {WHY.get(mutant.label, 'not explained yet')}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--every", type=int, default=1, help="take each so-manieth only")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--assert", action="store_true", dest="strict")
    arguments = parser.parse_args()
    chosen = [m for m in MUTANTS if arguments.only in m.label][:: arguments.every]
    for mutant in chosen:
        mutated(mutant)  # a stale pattern is an error before anything is run
    if arguments.list:
        print(*(m.label for m in chosen), f"{len(chosen)} mistakes", sep="\n")
        return 0
    found = judge_all(chosen, arguments.processes, arguments.seconds)
    print(f"\n{table(found)}")
    if arguments.json:
        arguments.json.write_text(
            json.dumps({m.label: state for m, state in found.items()}, indent=1), encoding="utf-8"
        )
    dead = sum(state == "dead" for state, _ in found.values())
    return int(arguments.strict and dead < WANTED * len(found))


if __name__ == "__main__":
    sys.exit(main())
