"""Training: the only rooms that need torch. `loop.py` is read once, top to bottom."""
