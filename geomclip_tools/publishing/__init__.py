"""Check a dataset or a checkpoint, and upload it to the Hugging Face Hub."""
