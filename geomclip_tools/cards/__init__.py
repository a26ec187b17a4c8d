"""Write model cards."""
