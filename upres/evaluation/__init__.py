"""Measure models on test sets, by one protocol."""
