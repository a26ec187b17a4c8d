"""Studies: compare variants of a training run over seeds, choose one on validation, then test it once."""
