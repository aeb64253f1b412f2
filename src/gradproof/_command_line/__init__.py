"""The command line: its app, the reading of FILE[:NAME], the story that `demo` tells.

A file imports from those before it only. Order: problem_file, story, kept_runs, app.
"""
