"""Training: rows, batches, losses, states and checkpoints; the tasks are in `tasks`."""
