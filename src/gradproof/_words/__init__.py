"""Words and nouns that everybody uses: errors, settings, results, events, recipes of directions, precisions, vectors.

A file imports from those before it only. Order: vectors, precision, errors, settings, directions, events, codec,
results.
"""
