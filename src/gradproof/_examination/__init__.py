"""The phases of a check in their order, and what is known in its course.

A file imports from those before it only. Order: study, certification, enumeration, explanation, steps, conclusion,
examination, self_test, measurement, dot_test, maps, map_tests, map_hypotheses, map_report, map_faults, map_columns,
map_groups, check_maps.
"""
