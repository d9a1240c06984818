"""Upscale many files: plan the jobs, run them, resume them."""
