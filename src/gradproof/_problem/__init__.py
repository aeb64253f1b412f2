"""The user's problem and every check of what was given: blocks of the point, outputs, what is claimed.

A file imports from those before it only. Order: blocks, outputs, problem, taps, views, answers, scales, structure,
contractions, called, claims, linearity, jacobians, leaves, differences, tangents,
held.
"""
