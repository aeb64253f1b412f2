"""From lines to bounds, and from bounds to verdicts.

A file imports from those before it only. Order: ledger, evidence, zero, looks, certificate, search, columns, column_groups.
"""
