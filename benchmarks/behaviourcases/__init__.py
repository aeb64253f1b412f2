"""The cases of `behaviour.py`: claims known to be right or wrong, each with how it is checked."""
