"""Metrics of `evaluate`; `evaluate.load("eval/metrics/<name>")` loads the same classes."""
