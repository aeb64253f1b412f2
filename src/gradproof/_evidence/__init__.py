"""From lines to bounds, and from bounds to verdicts.

A file imports from those before it only. Order: zero, decision, certificate, search, columns, column_groups, nearby,
vector_tables, vector_kinks, line_reader, matrix_evidence.
"""
