"""Studies: variants of a training that are compared over seeds, run once, chosen on validation, then tested."""
