"""Monitoring of a run: validation, stability guard, TensorBoard, curves, contact sheets."""
