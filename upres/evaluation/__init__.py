"""Figures: models measured on test sets by one protocol."""
