"""Losses: pure formulas, feature networks, and the generator's sum of terms."""
