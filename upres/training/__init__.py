"""Training, which needs torch (elsewhere torch is one engine among others). `loop.py` is read once, top to bottom."""
