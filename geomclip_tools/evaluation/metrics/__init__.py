"""Metrics for the `evaluate` library; `evaluate.load("eval/metrics/<name>")` loads the same classes."""
