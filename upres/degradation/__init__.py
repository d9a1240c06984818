"""Degradation of HR to realistic LR: recipes of blur, resizing, noise and compression."""
