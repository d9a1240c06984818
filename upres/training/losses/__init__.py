"""Losses: formulas, feature networks, and the generator's weighted sum."""
