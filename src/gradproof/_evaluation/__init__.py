"""The only callers of the user's functions: engines that count and keep the budget, lines, batches.

A file imports from those before it only. Order: seen, site, engine, batches, journal, pools, workers, supply, coordinate_lines, map_batches, lines.
"""
