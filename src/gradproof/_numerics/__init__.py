"""The derivative of φ: ℝ → ℝ along a line with its error bar, and the statistics of bounds; knows no user.

A file imports from those before it only. Order: statistics, formulas, noise, tables, kinks, steps, projections,
readings, witnesses, lines.
"""
