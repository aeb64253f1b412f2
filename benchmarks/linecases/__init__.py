"""Cases for `benchmarks/lines.py` and the calibration tests: costs, exact truths, and the peers."""
