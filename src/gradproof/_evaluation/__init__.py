"""The only callers of the user's functions: engines that count and keep the budget, lines, batches.

A file imports from those before it only. Order: engine, map_engine, batches, coordinate_lines, map_batches,
vector_lines.
"""
