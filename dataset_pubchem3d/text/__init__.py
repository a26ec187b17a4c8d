"""Compose and clean the texts about molecules."""
