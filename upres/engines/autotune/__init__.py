"""Which engine is the fastest for a network on this machine: measured once, and remembered."""
