"""Evaluation: functions of a model and rows that return figures, and their tables."""
