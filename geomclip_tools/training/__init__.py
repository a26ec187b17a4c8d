"""Training: rows, batches, losses, training states and checkpoints. The tasks are in `tasks`."""
