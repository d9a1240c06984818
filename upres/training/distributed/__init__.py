"""Training on several processes and machines: ranks, and the launcher that starts and restarts them."""
