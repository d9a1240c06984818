"""Recipes that make LR from HR as the world does: blur, resizes, noise, codecs."""
