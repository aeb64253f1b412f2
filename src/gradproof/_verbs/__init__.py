"""The public functions: signatures, docstrings, and the flow of a check of a cost on one page.

A file imports from those before it only. Order: assertions, gradient, maps, adjoint, derivatives, modes, scipy.
"""
