"""The folder that is published."""
