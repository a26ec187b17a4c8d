"""Evaluation: functions that take a model and rows and return scores, and functions that format them as tables."""
