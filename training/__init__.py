"""What `train_accelerate.py` trains: settings, rows, tasks, training states."""
